/* SPDX-License-Identifier: MIT */
/*
 * Whether the values are here of the shards that this node is a member of.
 *
 * A batch is accepted when a majority of the replicas has a shard with its template; the rest gets them from
 * the coordinator, as long as both live and answer. A member that knows the batch and lacks the values would
 * count for R, and be no help when the others die. So every member looks once for what it should have, when
 * the coordinator has had its time, and gets what is missing from another member (queue/join.h). After a
 * restart it looks again, for nobody knows then what it had.
 */
#ifndef OPTIMUS_QUEUE_VALUES_H
#define OPTIMUS_QUEUE_VALUES_H

#include "queue/state.h"

/* With every heartbeat: looks for a few. */
void values_tick(struct core *core);

#endif
