/* SPDX-License-Identifier: MIT */
/*
 * Which peers this node keeps a link to.
 *
 * In a cluster of up to MESH_FULL members, to all. In a larger one to those that stand 1, 2, 4, 8, ... places
 * before and after this node in the order of ids, about 2 log2 of the members; to those that have unfinished
 * shards in common with it; and to those that a call waits for. The first kind is the same seen from both
 * ends, and holds any number of members together: whoever fails, the circle of ids is crossed by steps of all
 * sizes.
 */
#ifndef OPTIMUS_QUEUE_MESH_H
#define OPTIMUS_QUEUE_MESH_H

#include "queue/state.h"

enum { MESH_FULL = 64 };
/* A link that nothing needs any more is kept for as long, since it is often needed again. */
#define MESH_KEEP (60 * USEC_PER_SEC)

/* Asks for the links that are needed and gives up those that are not. */
void mesh_update(struct core *core);
/* Whether mesh_update() has to be called with every heartbeat. */
bool mesh_partial(const struct core *core);

#endif
