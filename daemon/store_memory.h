/* SPDX-License-Identifier: MIT */
/*
 * The in-memory store: the same promises as Redis, for tests, with knobs for what goes wrong.
 */
#ifndef OPTIMUS_DAEMON_STORE_MEMORY_H
#define OPTIMUS_DAEMON_STORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "daemon/store.h"

/* Free with store_free(); the loop must run once more after it. What was not answered by then never is. */
struct store *store_memory_new(uv_loop_t *loop, store_done_fn *done, void *context);

/* The next `count` writes end with `status` and write nothing. */
void store_memory_fail(struct store *store, unsigned int count, int status);
/* While held, nothing is answered; what was asked meanwhile is answered in order after the release. */
void store_memory_hold(struct store *store, bool hold);
/* Answers that are still due. */
size_t store_memory_pending(const struct store *store);

#endif
