/* SPDX-License-Identifier: MIT */
/*
 * Going on without a majority (rule 7).
 *
 * A step of a shard usually needs a majority of its members. Where those who are left can't be one, they may
 * go on alone once the others are known to be dead, each by one of these proofs:
 *
 *     it was forgotten (`optimus forget`);
 *     its host answers and refused its port, again and again, for a while;
 *     nothing was heard of it for config.alone_after (0: that proves nothing).
 *
 * Then a majority of those who are not dead decides. The owner of a shard with two replicas needs no proof:
 * the other one can't take the shard from it without its promise, unless that one has a proof itself.
 *
 * What the dead did last may be known to nobody: a mail that looks untouched may have been fed by one of
 * them. So claims made alone carry CLAIM_ALONE, and what they send twice is counted apart. When the others
 * turn out to be alive, both sides exchange facts, and the higher epoch owns. Each member has epochs of its
 * own to go on with alone; two owners in one epoch, which is left to chance, step down and ask for the next.
 */
#ifndef OPTIMUS_QUEUE_ALONE_H
#define OPTIMUS_QUEUE_ALONE_H

#include "queue/state.h"

/* How many of these members have to agree now: their majority, or fewer as above. This node is one of them.
 */
uint32_t alone_needed_of(
    const struct core *core, const struct shard *shard, struct peer *const *members, uint32_t count);
/* The same for the shard's members as they are. */
uint32_t alone_needed(const struct core *core, const struct shard *shard);
/* Members that are not known to be dead, this node among them. */
uint32_t alone_left(const struct core *core, const struct shard *shard);
/* Whether claims that are made now have to say that they were made alone. */
bool alone_claims(const struct core *core, const struct shard *shard);

/* Whether the peer is known to be dead, for what no shard's members decide. */
bool alone_dead(const struct core *core, struct peer *peer);

/* The peer's port was refused; what was refused before counts no more once there is a link. */
void alone_refused(struct core *core, struct peer *peer);
void alone_linked(struct peer *peer);

/*
 * Another node was promised the shard in the epoch in which this node owns it: true when this one owned it
 * alone, and owns it no more. It asks for a new promise at once.
 */
bool alone_yield(struct core *core, struct shard *shard, uint32_t epoch);

#endif
