/* SPDX-License-Identifier: MIT */
/*
 * Shards whose members are alive, but do not answer.
 *
 * A member may live without a vote, or without a store. While too few of the others are there, nothing of its
 * shards can be claimed, and nobody says so: each claim only comes too late. A round of claims that waits for
 * such a shard would hold up all that this node feeds, again and again, and each one leaves its mails in the
 * journal twice, as claimed and as taken back. So when claims of a shard were late it rests, for twice as
 * long each time (SILENT_FIRST to SILENT_LONGEST), and after each rest one mail of it is tried, for which no
 * round waits. Other shards that need the word of the same members are taken for silent as well. The first
 * claim that a majority has ends it, also for those that need no other members.
 */
#ifndef OPTIMUS_QUEUE_SILENT_H
#define OPTIMUS_QUEUE_SILENT_H

#include "queue/state.h"

#define SILENT_FIRST   (5 * USEC_PER_SEC)
#define SILENT_LONGEST (60 * USEC_PER_SEC)

/* Whether its latest claims were late, or those of another one that needs the same members. */
bool silent_shard(const struct shard *shard);
/* Nothing of it is claimed for a while. */
void silent_rest(struct core *core, struct shard *shard);
/* These claims are too late: too few members have answered. */
void silent_late(struct core *core, const struct write *write);
/* A majority has answered these. */
void silent_answered(struct core *core, const struct write *write);
/* One mail may be tried: its rest is over, or its members are others than they were. */
void silent_try(struct core *core, struct shard *shard);
/* With every heartbeat, for each shard. */
void silent_tick(struct core *core, struct shard *shard);

#endif
