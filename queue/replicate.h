/* SPDX-License-Identifier: MIT */
/*
 * This node's claims and outcomes, on their way to a majority of their shard's members (rules 2 and 3).
 *
 * A write to a shard's journal goes to this node's store and, as a call, to every other member. It is
 * *durable here* when the store has it, and *safe* when a majority of the members has it, or as many as
 * queue/alone.h asks for. A member that does not answer is left behind once the write is safe, and it is no
 * longer alive or has had its time: replica_behind() notes it.
 *
 * A member that refuses claims knows of another owner, of other members, or of a batch that is held. The
 * claims are taken back then. Outcomes are never refused: they are facts, whoever owns the shard.
 *
 * What follows when a write is safe is with whoever made it: queue/feed.h for claims, queue/facts.h for
 * outcomes. Other entries, such as promises and configurations, have ways of their own.
 */
#ifndef OPTIMUS_QUEUE_REPLICATE_H
#define OPTIMUS_QUEUE_REPLICATE_H

#include "queue/call.h"
#include "queue/state.h"

/* Sends what `write` appends to the other members: CLAIMS or FACTS by its kind. After write_append(). */
void replicate_send(struct core *core, struct write *write);
/* The store has the write, or a member has it. True when it has just become safe. */
bool replicate_stored(struct core *core, struct write *write);
/* Safe, and nobody is being told of it any more. */
bool replicate_over(const struct write *write);
/* Ends the calls: who has not answered gets the entry by a comparison of journals. */
void replicate_leave_all_behind(struct core *core, struct write *write);
void replicate_end_calls(struct core *core, struct write *write);

/* Answers to CALL_APPEND. */
void replicate_answered(struct core *core, struct call *call, const struct peer_message *answer);

/*
 * The shard has other members than `before`. What is under way goes to the new ones, too, and is safe when a
 * majority of these has it. Who has not got what was safe already gets it by a sync.
 */
void replicate_to_members(
    struct core *core, struct shard *shard, struct peer *const *before, uint8_t before_count);
/* Outcomes of the shard may be safe by now: they waited for members that are known to be dead. */
void replicate_recheck(struct core *core, const struct shard *shard);
/*
 * With every heartbeat. The same for those of all shards, whoever feeds them: who is dead, and how many have
 * to agree, changes in many ways. And members that live, and have not answered for long, are left behind.
 */
void replicate_tick(struct core *core);
/* Members are not alive any more: nobody waits for their answers about what is safe. */
void replicate_members_gone(struct core *core);

#endif
