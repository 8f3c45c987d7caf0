/* SPDX-License-Identifier: MIT */
/*
 * Spreading the load among the members of shards: a node that runs dry takes shards over from the node that
 * is furthest behind.
 *
 * It asks with PEER_GIVE. The owner answers with shards of which the asker is a member and that have ready
 * mails, as long as the asker would be done with what it then has before the owner would. The asker takes
 * them over at once; the owner has agreed, and feeds them until it is asked for the promise. Who settles
 * nothing although its Postfix has mail, or whose relay is down, would never be done, and so gives away all
 * that it can, and takes nothing.
 *
 * A shard that has just changed hands stays for MOVE_REST, and one that was offered is not offered to the
 * next one who asks.
 */
#ifndef OPTIMUS_QUEUE_MOVE_H
#define OPTIMUS_QUEUE_MOVE_H

#include "queue/call.h"
#include "queue/state.h"

#define MOVE_REST (2 * USEC_PER_SEC)

/* With each heartbeat: asks when this node has nearly nothing to do. */
void move_tick(struct core *core);
/* Requests: PEER_GIVE. Answers to CALL_GIVE. */
void move_give(struct core *core, struct peer *peer, const struct peer_message *request);
void move_given(struct core *core, struct call *call, const struct peer_message *answer);

/* Its Postfix has had mail for a while and settled nothing, or its relay is down. */
bool move_stalled(const struct core *core);

#endif
