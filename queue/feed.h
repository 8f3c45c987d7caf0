/* SPDX-License-Identifier: MIT */
/*
 * Feeding: which shards to open, which mails to claim, and giving claimed mails to Postfix.
 */
#ifndef OPTIMUS_QUEUE_FEED_H
#define OPTIMUS_QUEUE_FEED_H

#include "queue/state.h"

/* Does as much as the window, the domains and the store allow now. Called at the end of every step. */
void feed_run(struct core *core);

/* Tells the members who owns the shard now: a claim of nothing, in the new epoch. */
void feed_announce(struct core *core, struct shard *shard);
/* The store answered a claim. */
void feed_claimed(struct core *core, struct write *write, int status);
/* A member has it, and maybe it is safe now: then its mails are fed. May free the write. */
void feed_claims_stored(struct core *core, struct write *write);
/* A member refused it, or this node has stepped down: its mails are taken back. May free the write. */
void feed_claims_refused(struct core *core, struct write *write);
/* A claim that took longer to become durable is not fed but made again. */
#define CLAIM_MAX_AGE (5 * USEC_PER_SEC)
/* TIMER_CLAIMS: no majority in time. May free the write. */
void feed_claims_late(struct core *core, struct write *write);
/* EVENT_FED */
void feed_result(
    struct core *core, const struct attempt_key *key, enum fed_status status, const char *reason);
/* EVENT_SHARD_LOADED */
void feed_shard_loaded(struct core *core, const struct event *event);

/* Feeding rests for a moment (trouble on the way into Postfix). */
void feed_rest(struct core *core);
/* TIMER_BATCH_REST */
void feed_batch_rested(struct core *core);

#endif
