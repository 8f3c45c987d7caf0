/* SPDX-License-Identifier: MIT */
/*
 * One process at a time: to start one holds the loop up for milliseconds, and a clock that is set back moves
 * all that Postfix has into deferred/ at once. Each look into the spool names such files again until they are
 * gone, so a name that waits is kept once.
 *
 * When something could not be removed, nobody says what: all of that process's files are named again after a
 * second, behind those that wait. To remove what is gone already is no error.
 */
#include "daemon/spool_removals.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/spool_list.h"
#include "queue/tree.h"

enum { RETRY_MS = 1000 };

struct removal {
	RB_ENTRY(removal) by_name;
	TAILQ_ENTRY(removal) link;
	char *file;
};

RB_HEAD(removal_tree, removal);
TAILQ_HEAD(removal_list, removal);

struct spool_removals {
	uv_loop_t *loop;
	const char *program, *dir;
	struct removal_tree names; /* of those that wait and those given */
	struct removal_list waiting, given;
	bool running, freed, closed;
	uv_timer_t timer;
};

static int compare_names(const struct removal *a, const struct removal *b)
{
	return strcmp(a->file, b->file);
}

RB_GENERATE_STATIC(removal_tree, removal, by_name, compare_names)

static void run(struct spool_removals *removals);

static void release(struct spool_removals *removals)
{
	if (removals->closed && !removals->running)
		free(removals);
}

static void forget(struct spool_removals *removals, struct removal_list *list)
{
	struct removal *removal;

	while ((removal = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, removal, link);
		RB_REMOVE(removal_tree, &removals->names, removal);
		free(removal->file);
		free(removal);
	}
}

static void run_again(uv_timer_t *timer)
{
	run(timer->data);
}

static void removed(void *context, int status)
{
	struct spool_removals *removals = context;
	const struct removal *removal;

	removals->running = false;
	if (removals->freed) {
		release(removals);
		return;
	}
	if (status != 0) {
		TAILQ_CONCAT(&removals->waiting, &removals->given, link);
		uv_timer_start(&removals->timer, run_again, RETRY_MS, 0);
		return;
	}
	TAILQ_FOREACH (removal, &removals->given, link)
		log_info("spool_file_removed", "file", removal->file, NULL);
	forget(removals, &removals->given);
	run(removals);
}

/* Gives the first of those that wait to a process, unless there is one or a second is to pass. */
static void run(struct spool_removals *removals)
{
	const char *files[SPOOL_REMOVE_MAX];
	struct removal *removal;
	size_t count = 0;

	if (removals->running || uv_is_active((uv_handle_t *)&removals->timer))
		return;
	while (count < SPOOL_REMOVE_MAX && (removal = TAILQ_FIRST(&removals->waiting)) != NULL) {
		TAILQ_REMOVE(&removals->waiting, removal, link);
		TAILQ_INSERT_TAIL(&removals->given, removal, link);
		files[count++] = removal->file;
	}
	if (count == 0)
		return;
	removals->running = true;
	spool_remove_run(removals->loop, removals->program, removals->dir, files, count, removed, removals);
}

/* With the loop's next turn: what one step of the core names goes to one process. */
void spool_removals_add(struct spool_removals *removals, const char *file)
{
	struct removal *removal = calloc(1, sizeof(*removal));

	if (removal == NULL || (removal->file = strdup(file)) == NULL)
		abort();
	if (RB_INSERT(removal_tree, &removals->names, removal) != NULL) {
		free(removal->file);
		free(removal);
		return;
	}
	TAILQ_INSERT_TAIL(&removals->waiting, removal, link);
	if (!removals->running && !uv_is_active((uv_handle_t *)&removals->timer))
		uv_timer_start(&removals->timer, run_again, 0, 0);
}

struct spool_removals *spool_removals_new(uv_loop_t *loop, const char *program, const char *dir)
{
	struct spool_removals *removals = calloc(1, sizeof(*removals));

	if (removals == NULL)
		abort();
	removals->loop = loop;
	removals->program = program;
	removals->dir = dir;
	RB_INIT(&removals->names);
	TAILQ_INIT(&removals->waiting);
	TAILQ_INIT(&removals->given);
	uv_timer_init(loop, &removals->timer);
	removals->timer.data = removals;
	return removals;
}

static void timer_closed(uv_handle_t *handle)
{
	struct spool_removals *removals = handle->data;

	removals->closed = true;
	release(removals);
}

void spool_removals_free(struct spool_removals *removals)
{
	if (removals == NULL)
		return;
	forget(removals, &removals->waiting);
	forget(removals, &removals->given);
	removals->freed = true;
	uv_close((uv_handle_t *)&removals->timer, timer_closed);
}
