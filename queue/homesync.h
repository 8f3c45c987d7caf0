/* SPDX-License-Identifier: MIT */
/*
 * Homes that move: what was decided is pushed to the present homes before they vote (queue/home.h).
 */
#ifndef OPTIMUS_QUEUE_HOMESYNC_H
#define OPTIMUS_QUEUE_HOMESYNC_H

#include "queue/call.h"
#include "queue/state.h"

struct reg;

/* Whether this node may vote as a home of the batch: it knows what may have been decided about it. */
bool homesync_complete(struct core *core, const struct opt_id *batch);

/* Once a heartbeat, before it is sent: goes on with the push, starts it anew when the members have changed.
 */
void homesync_tick(struct core *core);
/* What it knew may be lost: it is new again, until it has heard the others. */
void homesync_unlearn(struct core *core);
/* EVENT_JOINED */
void homesync_joined(struct core *core);
/* There is a new link to the peer, or none any more. */
void homesync_peer_changed(struct core *core, struct peer *peer);
/* Where the mesh is not full: the peer is gone, or is `back`. */
void homesync_member_changed(struct core *core, struct peer *peer, bool back);
/* Fills what a heartbeat, whose hash is set, says about the push; takes it from one. */
void homesync_beat(struct core *core, struct peer_message *heartbeat);
void homesync_heard(struct core *core, struct peer *peer, const struct peer_message *heartbeat);
/* Pushes a register that may be left over once more; not while there is anything else to push. */
void homesync_push_again(struct core *core, struct reg *reg);
/* Whether this node is one of those that others have to hear before they vote, also after a restart. */
bool homesync_knows(struct core *core);
/* An answer to CALL_PUSH. The call is over. */
void homesync_answered(struct core *core, struct call *call, const struct peer_message *answer);

#endif
