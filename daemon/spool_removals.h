/* SPDX-License-Identifier: MIT */
/*
 * The files that are to go from Postfix's spool. Each is named to optimus-spool until it is gone.
 */
#ifndef OPTIMUS_DAEMON_SPOOL_REMOVALS_H
#define OPTIMUS_DAEMON_SPOOL_REMOVALS_H

#include <uv.h>

struct spool_removals;

/* program, the path of optimus-spool, and dir, the instance's, are borrowed until spool_removals_free(). */
struct spool_removals *spool_removals_new(uv_loop_t *loop, const char *program, const char *dir);
/* file: "queue/id". One that waits already, or is being removed, is not named twice. */
void spool_removals_add(struct spool_removals *removals, const char *file);
/* Those that wait are forgotten. Closes its handles; run the loop once more. Takes NULL. */
void spool_removals_free(struct spool_removals *removals);

#endif
