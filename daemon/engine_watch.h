/* SPDX-License-Identifier: MIT */
/*
 * A look-out over a running Postfix: for the end of its master or its queue manager, and for files that it
 * puts aside.
 */
#ifndef OPTIMUS_DAEMON_ENGINE_WATCH_H
#define OPTIMUS_DAEMON_ENGINE_WATCH_H

#include <stdbool.h>
#include <uv.h>

struct engine_watch;

/* who: "master" or "qmgr" */
typedef void engine_died_fn(void *context, const char *who);
typedef void engine_aside_fn(void *context, const char *file);

/*
 * Watches the processes `master` and `qmgr` (0: not that one), children of ours or not, and the folders
 * deferred, hold and corrupt of the instance in `dir`. NULL when one of them is gone already. `died` is
 * called once for each process, and may free the watch.
 */
struct engine_watch *engine_watch_new(uv_loop_t *loop, int master, int qmgr, const char *dir,
    engine_died_fn *died, engine_aside_fn *aside, void *context);
/* Neither function is called any more; run the loop once more before the memory is gone. Takes NULL. */
void engine_watch_free(struct engine_watch *watch);

#endif
