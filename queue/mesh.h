/* SPDX-License-Identifier: MIT */
/*
 * Which peers this node keeps a link to.
 *
 * In a cluster of up to MESH_FULL members, to all. In a larger one to its steps; to those that have
 * unfinished shards in common with it; and to those that a call waits for.
 *
 * Its steps are the members that follow its own id, and the ids a half, a quarter, an eighth, ... of the
 * circle of ids away from it (Stoica et al.: Chord, 2001), so about log2 of the members, and as many have
 * this node among theirs. Whoever fails, the circle is crossed by steps of all sizes; where the first one is
 * gone, the next one that lives is taken as well. A member that comes or goes changes the steps of those few
 * that step onto its part of the circle, and no others.
 */
#ifndef OPTIMUS_QUEUE_MESH_H
#define OPTIMUS_QUEUE_MESH_H

#include "queue/state.h"

enum { MESH_FULL = 64 };
/* A link that nothing needs any more is kept for as long, since it is often needed again. */
#define MESH_KEEP (60 * USEC_PER_SEC)
/* One that only held the cluster together goes sooner: while a cluster grows there are too many of these. */
#define MESH_HOLD (5 * USEC_PER_SEC)

/* Asks for the links that are needed and gives up those that are not. */
void mesh_update(struct core *core);
/* A link to the peer is needed now; mesh_update() will ask for it. */
void mesh_need(struct core *core, struct peer *peer);
/* Whether mesh_update() has to be called with every heartbeat. */
bool mesh_partial(const struct core *core);

#endif
