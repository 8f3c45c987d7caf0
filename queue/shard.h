/* SPDX-License-Identifier: MIT */
/*
 * The mails of a shard: the moves of their states, and how facts (claims and outcomes) change them.
 */
#ifndef OPTIMUS_QUEUE_SHARD_H
#define OPTIMUS_QUEUE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/state.h"

void shard_init(struct core *core, struct shard *shard, struct batch *batch, uint32_t index);
void shard_done(struct core *core, struct shard *shard);
struct shard *shard_find(struct core *core, const struct opt_id *id);
/* The next in the order of ids, or NULL; the first with NULL. */
struct shard *shard_next(struct core *core, struct shard *shard);
/* Visits shards from `*next` on, round and round, until `max` visits have returned true or all shards had
 * one; `*next` is then where the next call goes on, so that each has its turn. A visit removes no shard. */
void shard_each_in_turn(struct core *core, struct opt_id *next, uint32_t max,
    bool (*visit)(struct core *core, struct shard *shard));

/* Gives the shard its array of mails, all READY, unless it has one. */
void shard_need_mails(struct core *core, struct shard *shard);

/* The only way to change a mail's state. Aborts on a move that the table in mail.c forbids. */
void shard_move(struct core *core, struct shard *shard, uint32_t index, enum mail_state to);

/* Takes a claim in. One that is not newer than the latest changes nothing but counts. */
void shard_take_claim(struct core *core, struct shard *shard, const struct claim *claim, uint32_t epoch,
    struct peer *node, uint64_t generation, struct utc_time at);

/* Takes an outcome in, of any attempt, in any order. */
void shard_take_outcome(struct core *core, struct shard *shard, const struct outcome *outcome);

/*
 * Does what the states ask for now: a mail in doubt is resent or ends unknown, ready mails go to their lanes
 * or get the shard opened, the earliest retry arms the timer, and when everything is final the shard is
 * finished. Not while its journal is being read.
 */
void shard_settle(struct core *core, struct shard *shard);
/* Whether its members are there, as far as is known, so that mails of it may be claimed. */
bool shard_claimable(const struct shard *shard);
/* The same after a fact about one of its mails. */
void shard_settle_one(struct core *core, struct shard *shard, uint32_t index);
/* Finishes the shard when every mail is final and every fact is durable. */
void shard_try_finish(struct core *core, struct shard *shard);

/* TIMER_SHARD_RETRY: mails whose time has come become ready. */
void shard_retry_due(struct core *core, struct shard *shard);
/* Ends one ready or waiting mail as `kind`, expired or cancelled; unknown if its last attempt may have
 * delivered it. */
void shard_end_mail(struct core *core, struct shard *shard, uint32_t index, enum outcome_kind kind);
/* Ends all its ready and waiting mails as expired. */
void shard_expire(struct core *core, struct shard *shard);
/* The batch was cancelled: ends all its ready and waiting mails. */
void shard_cancel(struct core *core, struct shard *shard);
/* Whether the peer's Postfix may still have mail of the shard, of which only it can say what became of it. */
bool shard_has_mail_of(const struct shard *shard, const struct peer *peer);
bool shard_open_mails_left(const struct shard *shard);

/* This node is no member of the shard any more, and does not count it. Its facts stay in its journal. */
void shard_leave(struct core *core, struct shard *shard);
/* This node is a member from now on: what its journal has is read. */
void shard_become_mine(struct core *core, struct shard *shard);

/* Keeps the counts of a finished shard as the word on it (query_own_word()) while its journal is read again.
 */
void shard_remember(const struct core *core, struct shard *shard);
void shard_forget_before(struct shard *shard);
/* A finished shard to which a late fact came: forgets its counts, so that its journal can be read anew. */
void shard_reset(struct core *core, struct shard *shard);

/* Its counts, for the summary of its batch and for other nodes. */
struct shard_counts shard_count(const struct core *core, const struct shard *shard);
struct attempt_key shard_key(const struct core *core, const struct shard *shard, uint32_t index);

#endif
