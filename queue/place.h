/* SPDX-License-Identifier: MIT */
/*
 * The shards of an upload on their way to their replicas.
 */
#ifndef OPTIMUS_QUEUE_PLACE_H
#define OPTIMUS_QUEUE_PLACE_H

#include "queue/call.h"
#include "queue/state.h"

enum { PLACE_LATE_MAX = 64 /* calls that may be late before the client has to wait for them */ };

/*
 * Chooses the replicas of the upload's last shard, and sends its value to the others of them. Sets
 * *ret_here when this node is to store it. OPT_E_AGAIN: there are no nodes for it.
 */
int place_shard(struct core *core, struct upload *upload, const void *value, size_t len, bool *ret_here);
/* This node has stored the shard. */
void place_stored_here(struct core *core, struct upload *upload, uint32_t index);
/* An answer to CALL_STAGE. The call is over, unless it is repeated. */
void place_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* Leaves out replicas that are gone or silent: calls that nobody waits for end, and a shard with too few left
 * fails the upload. */
void place_tick(struct core *core, struct upload *upload);
/* Whether a majority of every shard's replicas has both the shard and the record (`have`, by node). */
bool place_complete(const struct core *core, const struct upload *upload, const bool *have);
/* Ends all calls; with `drop` the replicas hear that nothing of it will be a batch. */
void place_end(struct core *core, struct upload *upload, bool drop);

#endif
