/* SPDX-License-Identifier: MIT */
/*
 * The store in Redis, over a Unix socket. docs/store.md names the keys.
 *
 * Commands are pipelined in the order of the calls. When the connection is lost, or Redis says that it is
 * loading, everything unanswered is kept and repeated in the same order on the next connection, which is
 * tried after 10 ms, then 20, up to every second. No answer is lost and none comes twice.
 */
#ifndef OPTIMUS_DAEMON_STORE_REDIS_H
#define OPTIMUS_DAEMON_STORE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "daemon/store.h"

/*
 * Connects by itself, now or whenever Redis is there. End with store_free(), not from inside a call back; the
 * loop must run once more after it. What was not answered by then never is, but may have been written.
 */
struct store *store_redis_new(uv_loop_t *loop, const char *socket_path, store_done_fn *done, void *context);

/*
 * status: 0 when the database is (now) this node's; OPT_E_DENIED when it is another's, of a newer format or
 * holds something else, with a message for the operator; OPT_E_STORE, OPT_E_FULL.
 */
typedef void store_claim_fn(void *context, int status, const char *message);
/*
 * To be called before anything else. After success every new connection is checked too, and a database that
 * has changed under our feet gets no command: the store then waits, and says so in the log.
 */
void store_redis_claim(struct store *store, const struct opt_id *node, store_claim_fn *fn, void *context);

/*
 * While the disk is full, uploads, shards and commits end with OPT_E_FULL at once, unless Redis is working on
 * them; what belongs to accepted batches goes on. An upload or shard that was on its way when Redis died may
 * have been written all the same: drop the upload.
 */
void store_redis_set_full(struct store *store, bool full);

/* Operations that are not answered yet. */
size_t store_redis_pending(const struct store *store);

#endif
