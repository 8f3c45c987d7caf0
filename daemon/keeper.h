/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the one process of a node that stays root, to run optimus-instance.
 *
 * optimusd forks it before it gives its privileges up. It takes single-byte commands over a socket pair, runs
 * `optimus-instance VERB` with arguments that were fixed before the fork, and sends back the exit status and
 * what the script printed. Nothing that optimusd reads from a user or a peer reaches it. It ends when
 * optimusd ends.
 */
#ifndef OPTIMUS_DAEMON_KEEPER_H
#define OPTIMUS_DAEMON_KEEPER_H

#include <stdint.h>
#include <uv.h>

#include "daemon/config.h"

enum keeper_verb {
	KEEPER_PREPARE,
	KEEPER_START,
	KEEPER_STOP,
	KEEPER_KILL,
	KEEPER_STATUS,
	KEEPER_SWEEP,
	KEEPER_REMOVE,
	KEEPER_VERBS,
};

enum { KEEPER_OUTPUT_MAX = 4000 };

/*
 * Forks the keeper. Call as root, before the loop is made and before any thread. The keeper lets go of
 * `lock`, which is the daemon's alone. Returns the daemon's end of the socket pair, or OPT_E_IO.
 */
int keeper_fork(const struct config *config, int lock);

struct keeper;

/* exit_status: of the script; -1 when the keeper is gone. output: NUL-terminated. */
typedef void keeper_done_fn(void *context, int exit_status, const char *output);

/* The keeper's process ended by itself: Postfix can't be looked after any more. */
typedef void keeper_lost_fn(void *context);

/* Takes the socket over. */
struct keeper *keeper_new(uv_loop_t *loop, int fd, keeper_lost_fn *fn, void *context);
/* One command at a time, in the order of the calls. */
void keeper_run(struct keeper *keeper, enum keeper_verb verb, keeper_done_fn *fn, void *context);
/* Closes the connection, upon which the process ends; run the loop once more before it is gone. Takes NULL.
 */
void keeper_free(struct keeper *keeper);

#endif
