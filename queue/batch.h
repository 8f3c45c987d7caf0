/* SPDX-License-Identifier: MIT */
/*
 * Batches: from the accepted record to "done".
 */
#ifndef OPTIMUS_QUEUE_BATCH_H
#define OPTIMUS_QUEUE_BATCH_H

#include "queue/state.h"

struct batch *batch_find(struct core *core, const struct opt_id *key);

/* Takes the record over. The batch neither starts nor reads its journals yet. */
struct batch *batch_new(struct core *core, struct batch_record *record);
void batch_free(struct core *core, struct batch *batch);

/* It was accepted now, or all that is known of it has been read: start it, or wait for its start. */
void batch_begin(struct core *core, struct batch *batch);
/* TIMER_BATCH */
void batch_due(struct core *core, struct batch *batch);
/* The clock was wrong and is right again: what waited for that, in whatever time, is looked at. */
void batch_clock_right(struct core *core);
/* The time of the batch is over: nothing of it is fed any more, what is not claimed expires. */
bool batch_is_over(const struct core *core, const struct batch *batch);

/* Puts an owned, closed shard with ready mails into the list of those to open; no effect where it is in one.
 */
void batch_want_open(struct batch *batch, struct shard *shard);
/* Takes it out of that list; no effect where it is in none. Before its `orphan` changes. */
void batch_opens(struct batch *batch, struct shard *shard);
void batch_shard_finished(struct core *core, struct batch *batch);
void batch_shard_reopened(struct core *core, struct batch *batch);

/*
 * Facts are about to come, or to go, of which the batch's FINISHED entry in the store does not know: an entry
 * without shards says so, that a restart in between reads the journals and does not believe the summary.
 */
void batch_reopening(struct core *core, struct batch *batch);
/* A shard that this node has left is untold (queue/left.h), or is not any more: what else it has of the batch
 * may be over, but no restart may believe the summary alone. */
void batch_hold_end(struct core *core, struct batch *batch);
void batch_release_end(struct core *core, struct batch *batch);
/* For the next FINISHED entry: above those of all before it. */
struct utc_time batch_end_version(const struct core *core, const struct batch *batch);

/* Asks for the journal of the shard, or of the whole batch when only its summary is known. */
void batch_reload(struct core *core, struct shard *shard);
/* EFFECT_LOAD_JOURNAL for `id`. */
void batch_load_journal(struct core *core, const struct opt_id *id);
/* A FINISHED entry of the batch was read. */
void batch_take_finished(struct core *core, struct batch *batch, const struct journal_entry *entry);

/* The batches that may be fed, in order: NULL to start, NULL at the end. */
struct batch *batch_next(struct core *core, struct batch *after);

void batch_look(const struct core *core, const struct batch *batch, struct batch_view *ret_view);
struct batch *batch_after(const struct core *core, const struct opt_id *key);

#endif
