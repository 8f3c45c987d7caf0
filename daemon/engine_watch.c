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

enum { ASIDE_FOLDERS = 3 };
static const char *const aside_folders[ASIDE_FOLDERS] = {"deferred", "hold", "corrupt"};

/* Has memory of its own, which goes when its last handle is closed. */
struct engine_watch {
	engine_died_fn *died;
	engine_aside_fn *aside;
	void *context;
	bool freed;
	uv_poll_t end;
	int pidfd;
	uv_fs_event_t folders[ASIDE_FOLDERS];
	int open;
};

static void closed(uv_handle_t *handle)
{
	struct engine_watch *watch = handle->data;

	if (--watch->open > 0)
		return;
	close(watch->pidfd);
	free(watch);
}

static void ended(uv_poll_t *poll, int status, int events)
{
	struct engine_watch *watch = poll->data;

	(void)status;
	(void)events;
	if (!watch->freed)
		watch->died(watch->context);
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

struct engine_watch *engine_watch_new(
    uv_loop_t *loop, int pid, const char *dir, engine_died_fn *died, engine_aside_fn *aside, void *context)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct engine_watch *watch;

	if (pidfd < 0)
		return NULL;
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		abort();
	watch->died = died;
	watch->aside = aside;
	watch->context = context;
	watch->pidfd = pidfd;
	watch->open = 1;
	uv_poll_init(loop, &watch->end, pidfd);
	watch->end.data = watch;
	uv_poll_start(&watch->end, UV_READABLE, ended);
	watch_folders(loop, watch, dir);
	return watch;
}

void engine_watch_free(struct engine_watch *watch)
{
	if (watch == NULL)
		return;
	watch->freed = true;
	uv_close((uv_handle_t *)&watch->end, closed);
	for (int i = 0; i < ASIDE_FOLDERS; i++)
		uv_close((uv_handle_t *)&watch->folders[i], closed);
}
