/* SPDX-License-Identifier: MIT */
/*
 * What a home of a large cluster does before it votes: it asks the members around the batch what they know.
 *
 * In a cluster of up to MESH_FULL members every node hears every other one, and a home waits until all of
 * them have pushed what they hold (queue/homesync.h). With more of them a node has links to a few, and whole
 * views are seldom the same everywhere. There a home asks for the one batch that it is to vote on: the homes,
 * and as many members after them on the ring as may have been homes before. Their ids are what requests about
 * the batch carry the hash of, so views have to agree around the batch only. Who answers says with it that it
 * sees the same members there, so it votes for no older homes any more.
 *
 * A home votes when all of them that live have answered, and when those that have not are too few to be a
 * majority of the homes that the batch had without the nodes that are new. What they know becomes its own: a
 * record, or a register that is merged. The push goes on beside it, so that records follow their homes.
 *
 * After a restart the view may lack many, and nodes of a part of the cluster may see each other as the whole.
 * So those whom the mark names (queue/decider.h) and nobody else has named yet count among those homes, as
 * away; a home votes only while its mark names all whom it asks; and who knows that a majority of the homes
 * of before is away, some of them unnamed, answers "busy", for who asks may be new and know nothing of them.
 */
#ifndef OPTIMUS_QUEUE_HOMEREAD_H
#define OPTIMUS_QUEUE_HOMEREAD_H

#include "queue/call.h"
#include "queue/state.h"

enum { HOMEREAD_NEAR = 2 * REPLICAS_MAX + 2 /* at most as many are asked */ };

/* The hash that requests about the batch carry in a large cluster. */
struct opt_id homeread_hash(struct core *core, const struct opt_id *batch);
/* Whether this node knows what may have been decided about the batch; if not, it asks for it. */
bool homeread_complete(struct core *core, const struct opt_id *batch);

/* PEER_READ */
void homeread_serve(struct core *core, struct peer *peer, const struct peer_message *request);
/* CALL_READ */
void homeread_answered(struct core *core, struct call *call, const struct peer_message *answer);

/* Members came or were forgotten: what was asked of others than now counts no more. */
void homeread_members_changed(struct core *core);
/* The record of the batch is durable here. */
void homeread_learnt(struct core *core, const struct opt_id *batch);
/* Once a heartbeat. */
void homereads_tick(struct core *core);
void homereads_free(struct core *core);

#endif
