/* SPDX-License-Identifier: MIT */
/*
 * Comparing how finished shards ended (I5).
 *
 * Who lacks a late fact of a finished shard is remembered in memory only (shard->behind), and so nobody knows
 * it after a restart; the one that lacks it has finished the shard, too, and does not ask. So a node that
 * gets a link to another one asks it for its counts of each batch of which both have shards, one batch a
 * second. Where both have finished a shard and count differently, they compare journals (queue/sync.h). The
 * answer also says where the batch stands by the operator's commands.
 */
#ifndef OPTIMUS_QUEUE_ENDS_H
#define OPTIMUS_QUEUE_ENDS_H

#include "queue/call.h"
#include "queue/state.h"

/* There is a link to the peer, or none any more. */
void ends_peer_up(struct core *core, struct peer *peer);
void ends_peer_down(struct core *core, struct peer *peer);
/* With each heartbeat. */
void ends_tick(struct core *core);
/* CALL_ENDS */
void ends_answered(struct core *core, struct call *call, const struct peer_message *answer);

#endif
