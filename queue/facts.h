/* SPDX-License-Identifier: MIT */
/*
 * Facts on their way into the journal: taken into the state at once, written in groups, and answered to
 * whoever reported them only when they are durable.
 */
#ifndef OPTIMUS_QUEUE_FACTS_H
#define OPTIMUS_QUEUE_FACTS_H

#include <stdint.h>

#include "queue/state.h"

/* A new fact, by the core itself or reported by Postfix (`reply`, or 0). Copies the outcome. */
void fact_add(struct core *core, struct shard *shard, const struct outcome *outcome, uint64_t reply);
/* A fact without words about a mail's latest attempt (attempt 0 if it has none). */
void fact_add_own(struct core *core, struct shard *shard, uint32_t index, enum outcome_kind kind,
    const char *dsn, const char *reason);

/*
 * The latest attempt ended in doubt. `file`, if any, is removed from the spool once that is durable: its
 * absence would say that the mail never got in.
 */
void fact_add_doubt(
    struct core *core, struct shard *shard, uint32_t index, const char *why, const char *file);
/* The same of any attempt. */
void fact_add_doubt_of(
    struct core *core, struct shard *shard, const struct attempt_key *key, const char *why, const char *file);

/* EVENT_OUTCOME and EVENT_LEFT_SPOOL. */
void facts_outcome(struct core *core, const struct outcome *outcome, uint64_t reply);
void facts_left_spool(struct core *core, const struct attempt_key *key, uint64_t reply);

/* Writes what has come together, unless an earlier group is still on its way. */
void facts_flush(struct core *core);
/* The store has answered a group. */
void facts_written(struct core *core, struct write *write, int status);
/* A member has it, and maybe it is safe now. May free the write. */
void facts_stored(struct core *core, struct write *write);
/* Answers what was held because too many outcomes were on this node alone, if that is over; or Postfix's
 * master is dead. */
void facts_answer_held(struct core *core);
/* Answers what was held because this node was away (core->stale): that is over. */
void facts_release(struct core *core);
/* The store refused a write that must succeed: again in a moment. */
void facts_write_later(struct core *core, struct write *write);
/* TIMER_STORE_RETRY: groups that failed are written again. */
void facts_write_again(struct core *core);

/* Takes in what came while the journal was being read. */
void facts_take_early(struct core *core, struct shard *shard);
void facts_free(struct shard *shard);

#endif
