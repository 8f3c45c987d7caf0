/* SPDX-License-Identifier: MIT */
/*
 * A member that may lack facts asks the shard's owner.
 *
 * An owner knows which members are behind, but not for ever: it may restart, or finish the shard and restart,
 * and then nobody has anything to tell any more. So a member compares journals with the owner when one of the
 * two was away (`shard->synced` says that it did), and as long as the shard is not finished here it asks
 * every now and then whether there is anything that it lacks. The owner answers from memory: only for a
 * member that it holds to be behind, or when the shard is finished, are journals compared.
 *
 * A configuration of which one of the two has not heard comes to light on the same way. An owner that
 * finishes the shard, or restarts, when only the newcomer has heard of it leaves a member of which the others
 * do not know, and whom they would not tell what they hear later. So a newcomer asks once also where all is
 * over.
 */
#ifndef OPTIMUS_QUEUE_CATCHUP_H
#define OPTIMUS_QUEUE_CATCHUP_H

#include "queue/call.h"
#include "queue/state.h"

/* With every heartbeat: asks for the shards whose time has come. */
void catchup_tick(struct core *core);
/* The shard is finished here: a newcomer that has no answer yet asks now. */
void catchup_finished(struct core *core, struct shard *shard);
/* The owner was heard of in this shard: it need not be asked for a while. */
void catchup_heard(struct core *core, struct shard *shard);

/* Requests: PEER_CATCH_UP. Answers to CALL_CATCH_UP. */
void catchup_request(struct core *core, struct peer *peer, const struct peer_message *request);
void catchup_answered(struct core *core, struct call *call, const struct peer_message *answer);

/* The end of a sync with members that were behind. */
void catchup_done(struct core *core, struct shard *shard, struct sync *sync);

#endif
