/* SPDX-License-Identifier: MIT */
/*
 * A node that is cut off from its shards' other members (rule 4).
 *
 * It can't make its outcomes safe, and the others may send its mails again. It claims nothing more as soon as
 * the members are missed; when that has lasted for a while and its Postfix still has mail of such a shard,
 * owned, given away, or not taken again yet since a restart, Postfix is stopped, and settled before it goes
 * on with the others. With two replicas it is the other one that waits (rule 7).
 *
 * Until Postfix's master is dead its delivery agents wait for their answers, once more than unreplicated_max
 * outcomes lack a majority: each would take another mail. So no more is sent that the others do not know of
 * than unreplicated_max mails and one for each agent.
 */
#ifndef OPTIMUS_QUEUE_ISOLATION_H
#define OPTIMUS_QUEUE_ISOLATION_H

#include "queue/state.h"

/* With every heartbeat. */
void isolation_tick(struct core *core);

#endif
