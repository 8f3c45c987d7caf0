/* SPDX-License-Identifier: MIT */
/*
 * optimus-spool as a child process. It links Postfix's libraries, which optimusd must not, and runs with
 * optimusd's own rights, since the queue files belong to the same user.
 */
#include "daemon/spool_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/message/buffer.h"

struct listing {
	uv_process_t process;
	uv_pipe_t pipe;
	struct buffer output;
	spool_list_fn *listed;
	spool_removed_fn *removed; /* of the two, one is NULL */
	void *context;
	int open; /* handles */
	bool ended, exited;
	int64_t exit_status;
};

static bool place_of(const char *queue, enum spool_place *ret_place)
{
	static const struct {
		const char *queue;
		enum spool_place place;
	} places[] = {{"writing", SPOOL_WRITING}, {"incoming", SPOOL_INCOMING}, {"maildrop", SPOOL_INCOMING},
	    {"active", SPOOL_ACTIVE}, {"deferred", SPOOL_ASIDE}, {"hold", SPOOL_ASIDE},
	    {"corrupt", SPOOL_ASIDE}};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strcmp(queue, places[i].queue) == 0) {
			*ret_place = places[i].place;
			return true;
		}
	}
	return false;
}

/* "QUEUE ID KEY": the entry's file becomes "QUEUE/ID", in place. */
static void parse_line(char *line, struct spool_list *list)
{
	char *id = strchr(line, ' ');
	char *key = id == NULL ? NULL : strchr(id + 1, ' ');
	struct spool_entry *entry = &list->entries[list->count];

	if (key == NULL)
		return;
	*id = '\0';
	*key++ = '\0';
	if (!place_of(line, &entry->place))
		return;
	if (attempt_from_text(key, &entry->key) != 0) {
		list->nameless_writing = list->nameless_writing || entry->place == SPOOL_WRITING;
		list->nameless_tried =
		    list->nameless_tried || entry->place == SPOOL_ACTIVE || entry->place == SPOOL_ASIDE;
		return;
	}
	*id = '/';
	entry->file = line;
	list->count++;
}

void spool_list_parse(char *text, struct spool_list *ret_list)
{
	size_t lines = 1;
	char *line;

	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	*ret_list = (struct spool_list){.entries = calloc(lines, sizeof(struct spool_entry))};
	if (ret_list->entries == NULL)
		abort();
	while ((line = strsep(&text, "\n")) != NULL)
		parse_line(line, ret_list);
}

static void report_list(struct listing *listing)
{
	struct spool_list list = {.count = 0};
	char *text;

	if (listing->exit_status != 0) {
		log_error("spool_listing_failed", "status", log_int(listing->exit_status), NULL);
		listing->listed(listing->context, OPT_E_IO, &list);
		return;
	}
	text = strdup(buffer_text(&listing->output));
	if (text == NULL)
		abort();
	spool_list_parse(text, &list);
	listing->listed(listing->context, 0, &list);
	free(list.entries);
	free(text);
}

static void report_removal(struct listing *listing)
{
	if (listing->exit_status != 0)
		log_error("spool_removal_failed", "status", log_int(listing->exit_status), NULL);
	listing->removed(listing->context, listing->exit_status == 0 ? 0 : OPT_E_IO);
}

static void closed(uv_handle_t *handle)
{
	struct listing *listing = handle->data;

	if (--listing->open > 0)
		return;
	buffer_done(&listing->output);
	free(listing);
}

static void check_end(struct listing *listing)
{
	if (!listing->ended || !listing->exited)
		return;
	if (listing->listed != NULL)
		report_list(listing);
	else
		report_removal(listing);
	uv_close((uv_handle_t *)&listing->pipe, closed);
	uv_close((uv_handle_t *)&listing->process, closed);
}

static void exited(uv_process_t *process, int64_t exit_status, int signal)
{
	struct listing *listing = process->data;

	listing->exited = true;
	listing->exit_status = signal != 0 ? 128 + signal : exit_status;
	check_end(listing);
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct listing *listing = handle->data;

	*buf = uv_buf_init(buffer_reserve(&listing->output, suggested), (unsigned int)suggested);
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct listing *listing = stream->data;

	(void)buf;
	if (got > 0) {
		listing->output.len += (size_t)got;
	} else if (got < 0) {
		uv_read_stop(stream);
		listing->ended = true;
		check_end(listing);
	}
}

static struct listing *listing_new(void *context)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (listing == NULL)
		abort();
	listing->context = context;
	buffer_init(&listing->output);
	return listing;
}

static void run(uv_loop_t *loop, char **argv, struct listing *listing)
{
	uv_stdio_container_t stdio[3];
	uv_process_options_t options = {
	    .exit_cb = exited, .file = argv[0], .args = argv, .stdio_count = 3, .stdio = stdio};
	int status;

	listing->open = 2;
	uv_pipe_init(loop, &listing->pipe, 0);
	listing->pipe.data = listing;
	listing->process.data = listing;
	stdio[0].flags = UV_IGNORE;
	stdio[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
	stdio[1].data.stream = (uv_stream_t *)&listing->pipe;
	stdio[2].flags = UV_INHERIT_FD;
	stdio[2].data.fd = 2;
	status = uv_spawn(loop, &listing->process, &options);
	if (status != 0 || uv_read_start((uv_stream_t *)&listing->pipe, give_memory, received) != 0) {
		log_error("spool_program_failed", "program", argv[0], "error", uv_strerror(status), NULL);
		listing->ended = listing->exited = true;
		listing->exit_status = 69;
		check_end(listing);
	}
}

void spool_list_run(uv_loop_t *loop, const char *program, const char *dir, spool_list_fn *fn, void *context)
{
	struct listing *listing = listing_new(context);
	char config[4096];
	char *argv[] = {(char *)(uintptr_t)program, "-c", config, NULL};

	snprintf(config, sizeof(config), "%s/etc", dir);
	listing->listed = fn;
	run(loop, argv, listing);
}

void spool_remove_run(uv_loop_t *loop, const char *program, const char *dir, const char *const *files,
    size_t count, spool_removed_fn *fn, void *context)
{
	enum { BEFORE = 4 };
	struct listing *listing = listing_new(context);
	char config[4096];
	char *argv[BEFORE + SPOOL_REMOVE_MAX + 1] = {(char *)(uintptr_t)program, "-c", config, "--remove"};

	snprintf(config, sizeof(config), "%s/etc", dir);
	for (size_t i = 0; i < count && i < SPOOL_REMOVE_MAX; i++)
		argv[BEFORE + i] = (char *)(uintptr_t)files[i];
	listing->removed = fn;
	run(loop, argv, listing);
}
