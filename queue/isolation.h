/* SPDX-License-Identifier: MIT */
/*
 * An owner that is cut off from its shards' other members (rule 4).
 *
 * It can't make its outcomes safe, and the others may send its mails again. It claims nothing more as soon as
 * the members are missed; when that has lasted for a while and its Postfix still has mail of such a shard,
 * Postfix is stopped, and settled before it goes on with the others. With two replicas it is the other one
 * that waits (rule 7).
 */
#ifndef OPTIMUS_QUEUE_ISOLATION_H
#define OPTIMUS_QUEUE_ISOLATION_H

#include "queue/state.h"

/* With every heartbeat. */
void isolation_tick(struct core *core);

#endif
