/* SPDX-License-Identifier: MIT */
/*
 * Which members the shards of this node should have (rule 6): R of them that are alive or will be back, and
 * one that may own.
 *
 * A member that is gone for longer than replace_after is replaced by the live node that is closest to the
 * shard on the ring. So is what was missing when the batch was accepted with fewer nodes than it wanted.
 * Where a node came that was to take the shard over, the member that is furthest on the ring goes.
 */
#ifndef OPTIMUS_QUEUE_RESTORE_H
#define OPTIMUS_QUEUE_RESTORE_H

#include "queue/state.h"

/* The peer is alive or gone, which it was not. */
void restore_peer_changed(struct core *core, struct peer *peer);
/* How long this node has known that the peer is gone; 0: it is alive. */
usec restore_absence(const struct core *core, struct peer *peer);
/* With each heartbeat. */
void restore_tick(struct core *core);

#endif
