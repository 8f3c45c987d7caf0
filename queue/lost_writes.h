/* SPDX-License-Identifier: MIT */
/*
 * A store that comes back without writes that it had acknowledged (rule 5): a file cut short, a snapshot
 * restored. With them may go promises, claims of others and registers, on which somebody relies.
 *
 * Each write to a journal or a register raises the store's *sequence* in the same transaction. Heartbeats say
 * how far it is durable, and every peer remembers the highest number that it heard of each node, together
 * with the life (incarnation) of the process that said it. The first heartbeat over a link, and each one to a
 * peer that asks, tells the receiver what was heard of its earlier lives. Until all that are alive have told
 * it a node that starts votes for nothing: no promise, no answer to claims, nothing as a home. Their numbers
 * vouch for its store, or one of them is higher than the number that was read at the start: then writes are
 * lost.
 *
 *   start ── all have told it, none higher ──► vouched for: votes, raises the sequence
 *     └───── one is higher, now or later ─► lost: every shard is marked, owned ones are given up
 *                  └── all shards compared, the homes heard ──► vouched for, above every number heard
 *
 * A marked shard has no vote here. Its journal is compared with those of a majority of its other members
 * (queue/sync.h). One of these has helped in whatever this node has helped in, for it takes a majority to
 * give an epoch or to make a claim safe. Their promises are taken over, and the shard has its vote again.
 * Where the others are proven dead (queue/alone.h) those who are left have to do. What looks untouched then
 * may have been fed by one of the dead, so the vote says that the shard is *doubtful*, and whoever owns it by
 * that vote marks its claims as made alone. As a home the node is new again (queue/home.h), and counts itself
 * as one that could not be heard.
 *
 * The sequence stays where it was while the node is not vouched for: should it die once more the number still
 * says that writes are missing. The wrong suspicion costs a comparison, and nothing else.
 *
 * What this can't see: writes that were lost before a heartbeat told of them, a second's worth; and those of
 * which only nodes heard that are not there, or have restarted since.
 */
#ifndef OPTIMUS_QUEUE_LOST_WRITES_H
#define OPTIMUS_QUEUE_LOST_WRITES_H

#include "queue/call.h"
#include "queue/state.h"

/* What the store has (register_sequence()), at the start. Anything else than a number is as if there were
 * none.
 */
void lost_writes_recover(struct core *core, const void *data, size_t len);

/* Numbers the writes among the effects of this step, those from `first` on. */
void lost_writes_number(struct core *core, size_t first);
/* The store has it. */
void lost_writes_stored(struct core *core, const struct write *write);

/* Whether this node may promise anything about the shard, or take claims of it. */
bool lost_writes_may_vote(const struct core *core, const struct shard *shard);
/* Whether it may vote as a home; what it knows of the homes is asked apart. */
bool lost_writes_may_decide(const struct core *core);
/*
 * The same for a batch with `old` homes, this one among them, of which `unheard` could not be asked what they
 * have decided: a majority of them with this one, which does not know any more, would be too many.
 */
bool lost_writes_enough(uint32_t old, uint32_t unheard);
/* A shard of which nothing was known yet. */
void lost_writes_new_shard(const struct core *core, struct shard *shard);

/* Fills what a heartbeat says of this node's store, and what is meant for that peer alone. Takes a peer's. */
void lost_writes_beat(const struct core *core, struct peer_message *heartbeat);
void lost_writes_tell(const struct peer *peer, struct peer_message *heartbeat);
void lost_writes_heard(struct core *core, struct peer *peer, const struct peer_message *heartbeat);
/* Once a heartbeat. */
void lost_writes_tick(struct core *core);

#endif
