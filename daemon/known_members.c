/* SPDX-License-Identifier: MIT */
/*
 * One address a line, the latest last. The file is written anew and renamed into place.
 *
 * Where there are more members than it holds nearly every link brings a new address, and an fsync for each
 * would stop the loop, on the disk that Redis syncs as well. So they are written together, by a thread,
 * WRITE_MS after the first of them; a crash before that costs a hint. The first address of all is more than a
 * hint, it says that this node is not alone, and is written at once. For its sake the file is synced before
 * it takes the old one's place: an empty one would take that back.
 *
 *   clean -- add --> the timer runs -- WRITE_MS --> a thread writes --> clean, or the timer runs again
 */
#include "daemon/known_members.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "dht/presence.h"

enum { WRITE_MS = 5000 };

typedef char address_text[PRESENCE_ADDRESS_MAX + 1];

struct known_members {
	uv_loop_t *loop;
	uv_timer_t timer;
	char *path;
	char *fresh; /* where the file is written before it gets its name */
	address_text addresses[KNOWN_MEMBERS_MAX];
	size_t count;
	bool dirty;
	/* The thread's, while it writes. */
	uv_work_t work;
	bool writing;
	address_text copy[KNOWN_MEMBERS_MAX];
	size_t copied;
	int error;
	bool closing;
	void (*closed)(void *context);
	void *context;
};

static void remember(struct known_members *known, const char *address)
{
	if (known->count == KNOWN_MEMBERS_MAX)
		memmove(
		    known->addresses[0], known->addresses[1], --known->count * sizeof(known->addresses[0]));
	strlcpy(known->addresses[known->count++], address, sizeof(known->addresses[0]));
}

static bool has(const struct known_members *known, const char *address)
{
	for (size_t i = 0; i < known->count; i++) {
		if (strcmp(known->addresses[i], address) == 0)
			return true;
	}
	return false;
}

static void load(struct known_members *known)
{
	char line[2 * PRESENCE_ADDRESS_MAX];
	FILE *file = fopen(known->path, "re");

	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0' && strlen(line) <= PRESENCE_ADDRESS_MAX && !has(known, line))
			remember(known, line);
	}
	fclose(file);
}

struct known_members *known_members_load(uv_loop_t *loop, const char *data)
{
	struct known_members *known = calloc(1, sizeof(*known));

	if (known == NULL || asprintf(&known->path, "%s/members", data) < 0 ||
	    asprintf(&known->fresh, "%s.new", known->path) < 0)
		abort();
	known->loop = loop;
	uv_timer_init(loop, &known->timer);
	known->timer.data = known;
	known->work.data = known;
	load(known);
	return known;
}

size_t known_members_count(const struct known_members *known)
{
	return known->count;
}

const char *known_members_address(const struct known_members *known, size_t i)
{
	return known->addresses[i];
}

/* ---- the file ---- */

static bool write_lines(const struct known_members *known)
{
	FILE *file = fopen(known->fresh, "we");
	bool good = file != NULL;

	for (size_t i = 0; good && i < known->copied; i++)
		good = fprintf(file, "%s\n", known->copy[i]) > 0;
	if (file != NULL) {
		good = fflush(file) == 0 && fsync(fileno(file)) == 0 && good;
		good = fclose(file) == 0 && good;
	}
	return good;
}

/* On the thread, or before its time and after it. */
static void write_copy(uv_work_t *work)
{
	struct known_members *known = work->data;

	errno = 0;
	known->error = write_lines(known) && rename(known->fresh, known->path) == 0 ? 0 : errno;
}

static void take_copy(struct known_members *known)
{
	memcpy(known->copy, known->addresses, sizeof(known->copy));
	known->copied = known->count;
	known->dirty = false;
}

/* One that failed is not repeated: the next address brings the next try. */
static void tell_error(const struct known_members *known)
{
	if (known->error != 0)
		log_warning(
		    "members_not_written", "file", known->path, "error", strerror(known->error), NULL);
}

static void write_now(struct known_members *known)
{
	take_copy(known);
	write_copy(&known->work);
	tell_error(known);
}

static void written(uv_work_t *work, int status);

static void on_timer(uv_timer_t *timer)
{
	struct known_members *known = timer->data;

	take_copy(known);
	known->writing = true;
	if (uv_queue_work(known->loop, &known->work, write_copy, written) != 0)
		abort();
}

static void write_later(struct known_members *known)
{
	if (known->dirty && !known->writing && !uv_is_active((uv_handle_t *)&known->timer))
		uv_timer_start(&known->timer, on_timer, WRITE_MS, 0);
}

void known_members_add(struct known_members *known, const char *address)
{
	if (has(known, address))
		return;
	remember(known, address);
	if (known->count == 1) {
		write_now(known);
		return;
	}
	known->dirty = true;
	write_later(known);
}

/* ---- the end ---- */

static void on_close(uv_handle_t *handle)
{
	struct known_members *known = handle->data;

	known->closed(known->context);
	free(known->fresh);
	free(known->path);
	free(known);
}

static void finish(struct known_members *known)
{
	if (known->dirty)
		write_now(known);
	uv_close((uv_handle_t *)&known->timer, on_close);
}

static void written(uv_work_t *work, int status)
{
	struct known_members *known = work->data;

	(void)status; /* it is never cancelled */
	known->writing = false;
	tell_error(known);
	if (known->closing)
		finish(known);
	else
		write_later(known);
}

void known_members_close(struct known_members *known, void (*fn)(void *context), void *context)
{
	known->closing = true;
	known->closed = fn;
	known->context = context;
	if (!known->writing)
		finish(known);
}
