/* SPDX-License-Identifier: MIT */
/*
 * Watching by the kernel's own means: a pidfd becomes readable when its process ends, which works for a
 * master that an earlier optimusd started, too; inotify tells of files that appear in a folder.
 */
#include "daemon/engine_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/log.h"

enum { ASIDE_FOLDERS = 3, WATCHED = 2 };
static const char *const aside_folders[ASIDE_FOLDERS] = {"deferred", "hold", "corrupt"};

/* Has memory of its own, which goes when its last handle is closed. */
struct engine_watch {
	engine_died_fn *died;
	engine_aside_fn *aside;
	void *context;
	bool freed;
	struct end {
		uv_poll_t poll;
		const char *who;
		int pidfd; /* -1: not watched */
	} ends[WATCHED];
	uv_fs_event_t folders[ASIDE_FOLDERS];
	int open;
};

static void closed(uv_handle_t *handle)
{
	struct engine_watch *watch = handle->data;

	if (--watch->open > 0)
		return;
	for (int i = 0; i < WATCHED; i++) {
		if (watch->ends[i].pidfd >= 0)
			close(watch->ends[i].pidfd);
	}
	free(watch);
}

static void ended(uv_poll_t *poll, int status, int events)
{
	struct engine_watch *watch = poll->data;
	const struct end *end = (const struct end *)poll; /* its first member */

	(void)status;
	(void)events;
	uv_poll_stop(poll); /* it would be said for ever */
	if (!watch->freed)
		watch->died(watch->context, end->who);
}

static void moved(uv_fs_event_t *handle, const char *file, int events, int status)
{
	struct engine_watch *watch = handle->data;

	(void)events;
	(void)status;
	if (!watch->freed)
		watch->aside(watch->context, file == NULL ? "" : file);
}

static void watch_folders(uv_loop_t *loop, struct engine_watch *watch, const char *dir)
{
	for (int i = 0; i < ASIDE_FOLDERS; i++) {
		char path[4096];
		int status;

		snprintf(path, sizeof(path), "%s/spool/%s", dir, aside_folders[i]);
		uv_fs_event_init(loop, &watch->folders[i]);
		watch->folders[i].data = watch;
		watch->open++;
		status = uv_fs_event_start(&watch->folders[i], moved, path, 0);
		if (status != 0)
			log_warning("spool_not_watched", "path", path, "error", uv_strerror(status), NULL);
	}
}

static void watch_end(uv_loop_t *loop, struct engine_watch *watch, struct end *end)
{
	uv_poll_init(loop, &end->poll, end->pidfd);
	end->poll.data = watch;
	watch->open++;
	uv_poll_start(&end->poll, UV_READABLE, ended);
}

struct engine_watch *engine_watch_new(uv_loop_t *loop, int master, int qmgr, const char *dir,
    engine_died_fn *died, engine_aside_fn *aside, void *context)
{
	struct engine_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		abort();
	watch->ends[0] = (struct end){.who = "master", .pidfd = (int)syscall(SYS_pidfd_open, master, 0)};
	watch->ends[1] =
	    (struct end){.who = "qmgr", .pidfd = qmgr == 0 ? -1 : (int)syscall(SYS_pidfd_open, qmgr, 0)};
	if (watch->ends[0].pidfd < 0 || (qmgr != 0 && watch->ends[1].pidfd < 0)) {
		if (watch->ends[0].pidfd >= 0)
			close(watch->ends[0].pidfd);
		free(watch);
		return NULL;
	}
	watch->died = died;
	watch->aside = aside;
	watch->context = context;
	for (int i = 0; i < WATCHED; i++) {
		if (watch->ends[i].pidfd >= 0)
			watch_end(loop, watch, &watch->ends[i]);
	}
	watch_folders(loop, watch, dir);
	return watch;
}

void engine_watch_free(struct engine_watch *watch)
{
	if (watch == NULL)
		return;
	watch->freed = true;
	for (int i = 0; i < WATCHED; i++) {
		if (watch->ends[i].pidfd >= 0)
			uv_close((uv_handle_t *)&watch->ends[i].poll, closed);
	}
	for (int i = 0; i < ASIDE_FOLDERS; i++)
		uv_close((uv_handle_t *)&watch->folders[i], closed);
}
