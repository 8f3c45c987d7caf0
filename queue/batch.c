/* SPDX-License-Identifier: MIT */
/*
 * The life of a batch: accepted → waits for its start → its shards are fed → every shard finished → done.
 *
 * A batch that was done when the node started is known by its FINISHED entry alone: counts, but no look into
 * its shards' journals. Should a fact about it arrive after all (a second delivery by a mail server that came
 * back), the summary is dropped, all its journals are read again and the batch is finished anew.
 */
#include "queue/batch.h"

#include <stdlib.h>
#include <string.h>

#include "queue/control.h"
#include "queue/cluster.h"
#include "queue/lane.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/tell.h"
#include "queue/takeover.h"
#include "queue/tally.h"
#include "queue/write.h"

/* Shards of a batch that is over its time are expired in steps of this many, so that no step takes long. */
enum { EXPIRE_STEP = 20 };

static const usec CLOCK_WAIT = 10 * USEC_PER_SEC;
static const usec EXPIRE_AGAIN = 60 * USEC_PER_SEC;
static const usec COMPARE_WAIT = USEC_PER_SEC; /* after the start: the others' clocks come in a moment */

static int compare_keys(const struct batch *a, const struct batch *b)
{
	return id_compare(&a->key, &b->key);
}

static int compare_order(const struct batch *a, const struct batch *b)
{
	const struct batch_record *x = &a->record, *y = &b->record;

	if (x->settings.priority != y->settings.priority)
		return x->settings.priority > y->settings.priority ? -1 : 1;
	if (x->created.us != y->created.us)
		return x->created.us < y->created.us ? -1 : 1;
	return id_compare(&a->key, &b->key);
}

RB_GENERATE_STATIC(batch_tree, batch, node, compare_keys)
RB_GENERATE_STATIC(batch_order, batch, order, compare_order)

struct batch *batch_find(struct core *core, const struct opt_id *key)
{
	struct batch wanted = {.key = *key};

	return RB_FIND(batch_tree, &core->batches, &wanted);
}

struct batch *batch_new(struct core *core, struct batch_record *record)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL)
		abort();
	batch->record = *record;
	memset(record, 0, sizeof(*record));
	batch->key = batch_key(batch->record.settings.name);
	batch->since = core->now;
	TAILQ_INIT(&batch->closed);
	TAILQ_INIT(&batch->orphans);
	TAILQ_INIT(&batch->tellings);
	TAILQ_INIT(&batch->ready);
	RB_INIT(&batch->lanes);
	timer_init(&batch->timer, TIMER_BATCH, batch);
	timer_init(&batch->rest, TIMER_BATCH_REST, batch);
	batch->shards = calloc(batch->record.shard_count + 1, sizeof(*batch->shards));
	if (batch->shards == NULL)
		abort();
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		shard_init(core, &batch->shards[i], batch, i);
		batch->total += batch->shards[i].count;
		if (!batch->shards[i].mine)
			continue;
		batch->states[MAIL_READY] += batch->shards[i].count;
		batch->unfinished++;
		core->owned_shards += batch->shards[i].owning;
	}
	core->unfinished_shards += batch->unfinished;
	RB_INSERT(batch_tree, &core->batches, batch);
	return batch;
}

static void leave_order(struct core *core, struct batch *batch)
{
	if (batch->in_order)
		RB_REMOVE(batch_order, &core->order, batch);
	batch->in_order = false;
}

void batch_free(struct core *core, struct batch *batch)
{
	leave_order(core, batch);
	control_forget(core, batch);
	tell_forget(core, batch);
	timer_disarm(&core->utc_timers, &batch->timer);
	core->resting -= batch->rest.armed;
	timer_disarm(&core->boot_timers, &batch->rest);
	lanes_free(core, batch);
	for (uint32_t i = 0; i < batch->record.shard_count; i++)
		shard_done(core, &batch->shards[i]);
	free(batch->shards);
	record_done(&batch->record);
	RB_REMOVE(batch_tree, &core->batches, batch);
	free(batch);
}

static void write_finished(struct core *core, const struct batch *batch)
{
	struct journal_entry entry = {.type = JOURNAL_FINISHED, .at = batch->end_version};
	struct shard_counts *shards = calloc(batch->record.shard_count + 1, sizeof(*shards));

	if (shards == NULL)
		abort();
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		if (shard->mine)
			shards[entry.count++] = shard_count(core, shard);
	}
	entry.shards = shards;
	write_entry(core, &batch->key, &entry);
	free(shards);
}

/* The time of its last final fact: who has the same facts names the same end. */
static struct utc_time end_of(const struct batch *batch)
{
	struct utc_time end = batch->record.created;

	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		if (batch->shards[i].mine && batch->shards[i].last.us > end.us)
			end = batch->shards[i].last;
	}
	return end;
}

struct utc_time batch_end_version(const struct core *core, const struct batch *batch)
{
	return core->utc.us > batch->end_version.us ? core->utc
	                                            : (struct utc_time){batch->end_version.us + 1};
}

void batch_reopening(struct core *core, struct batch *batch)
{
	struct journal_entry entry = {.type = JOURNAL_FINISHED};

	batch->end_held = false;
	if (!batch->ended)
		return;
	batch->ended = false;
	batch->end_version = entry.at = batch_end_version(core, batch);
	write_entry(core, &batch->key, &entry);
}

static void write_end(struct core *core, struct batch *batch)
{
	if (!batch->end_held || batch->untold > 0)
		return;
	batch->end_held = false;
	batch->end_version = batch_end_version(core, batch);
	batch->ended = true;
	write_finished(core, batch);
}

void batch_hold_end(struct core *core, struct batch *batch)
{
	const bool over = batch->ended || batch->end_held;

	batch->untold++;
	batch_reopening(core, batch);
	batch->end_held = over;
}

void batch_release_end(struct core *core, struct batch *batch)
{
	batch->untold--;
	write_end(core, batch);
}

static void finish(struct core *core, struct batch *batch)
{
	batch->finished = end_of(batch);
	batch->done = true;
	batch->end_held = true;
	leave_order(core, batch);
	timer_disarm(&core->utc_timers, &batch->timer);
	lanes_free(core, batch);
	write_end(core, batch);
	effects_add(core->effects, EFFECT_BATCH_DONE)->text =
	    effects_copy_text(core->effects, batch->record.settings.name);
}

static void start(struct core *core, struct batch *batch)
{
	batch->started = true;
	if (!batch->in_order) {
		RB_INSERT(batch_order, &core->order, batch);
		batch->in_order = true;
	}
	timer_arm(&core->utc_timers, &batch->timer, batch->record.expires.us);
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		replica_check_quorum(core, &batch->shards[i]);
		takeover_consider(core, &batch->shards[i]);
		shard_settle(core, &batch->shards[i]);
	}
	control_started(core, batch);
}

/* When a clock that may be wrong, and so starts and ends nothing (rule 9), is looked at again; 0: it may. */
static usec clock_wait(const struct core *core, const struct batch *batch)
{
	if (cluster_clock_wrong(core))
		return CLOCK_WAIT;
	/* Others have a part in it, so there is a clock to compare with. */
	return batch->record.node_count > 1 && !cluster_clock_compared(core) ? COMPARE_WAIT : 0;
}

/* When to look at its start again, in UTC; 0: it has come. */
static uint64_t start_left(const struct core *core, const struct batch *batch)
{
	const uint64_t begins = batch->record.settings.start.us;
	usec wait;

	if (begins == 0 || control_cancelled(batch))
		return 0;
	if (begins > core->utc.us)
		return begins;
	wait = clock_wait(core, batch);
	return wait > 0 ? core->utc.us + wait : 0;
}

void batch_begin(struct core *core, struct batch *batch)
{
	uint64_t wait;

	if (batch->done || batch->summary || batch->started)
		return;
	wait = start_left(core, batch);
	if (wait > 0)
		timer_arm(&core->utc_timers, &batch->timer, wait);
	else if (batch->record.shard_count == 0)
		finish(core, batch);
	else
		start(core, batch);
}

bool batch_is_over(const struct core *core, const struct batch *batch)
{
	return core->utc.us >= batch->record.expires.us && clock_wait(core, batch) == 0;
}

/*
 * Expires a few more shards, and comes back for the rest. Then it begins anew: what Postfix has may become
 * ready again by a clock that was behind for a moment, and nobody would look at it any more.
 */
static void expire(struct core *core, struct batch *batch)
{
	uint32_t end = batch->expire_next + EXPIRE_STEP;
	usec wait = USEC_PER_MSEC;

	if (end > batch->record.shard_count)
		end = batch->record.shard_count;
	while (batch->expire_next < end && !batch->done)
		shard_expire(core, &batch->shards[batch->expire_next++]);
	if (batch->expire_next == batch->record.shard_count) {
		batch->expire_next = 0;
		wait = EXPIRE_AGAIN;
	}
	if (!batch->done)
		timer_arm(&core->utc_timers, &batch->timer, core->utc.us + wait);
}

void batch_due(struct core *core, struct batch *batch)
{
	const usec wait = clock_wait(core, batch);

	if (!batch->started)
		batch_begin(core, batch);
	else if (wait > 0)
		timer_arm(&core->utc_timers, &batch->timer, core->utc.us + wait);
	else
		expire(core, batch);
}

void batch_clock_right(struct core *core)
{
	struct batch *batch = NULL;

	while ((batch = batch_after(core, batch == NULL ? NULL : &batch->key)) != NULL) {
		if (batch->started && !batch->done && !batch->summary)
			timer_arm(&core->utc_timers, &batch->timer, batch->record.expires.us);
		else
			batch_begin(core, batch);
	}
}

void batch_want_open(struct batch *batch, struct shard *shard)
{
	struct shard_list *list = shard->orphan ? &batch->orphans : &batch->closed;

	if (shard->in_closed)
		return;
	shard->in_closed = true;
	/* Where its mails are in memory already, opening it takes no room. */
	if (shard->mails != NULL)
		TAILQ_INSERT_HEAD(list, shard, closed_link);
	else
		TAILQ_INSERT_TAIL(list, shard, closed_link);
}

void batch_opens(struct batch *batch, struct shard *shard)
{
	if (!shard->in_closed)
		return;
	TAILQ_REMOVE(shard->orphan ? &batch->orphans : &batch->closed, shard, closed_link);
	shard->in_closed = false;
}

/* A batch of which this node has nothing any more is not over here, but unknown, as at its homes. */
static bool has_shards(const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		if (batch->shards[i].mine)
			return true;
	}
	return false;
}

void batch_shard_finished(struct core *core, struct batch *batch)
{
	batch->unfinished--;
	core->unfinished_shards--;
	if (batch->unfinished > 0 || batch->done)
		return;
	if (has_shards(batch))
		finish(core, batch); /* as far as this node has it */
	else
		batch_reopening(core, batch);
}

void batch_shard_reopened(struct core *core, struct batch *batch)
{
	batch->unfinished++;
	core->unfinished_shards++;
	batch->end_held = false;
	if (!batch->done)
		return;
	batch->done = false;
	batch->finished.us = 0;
	RB_INSERT(batch_order, &core->order, batch);
	batch->in_order = true;
	/* Others had started it, by clocks that were ahead of ours: its start will not come again. */
	batch->started = true;
	timer_arm(&core->utc_timers, &batch->timer, batch->record.expires.us);
}

void batch_load_journal(struct core *core, const struct opt_id *id)
{
	effects_add(core->effects, EFFECT_LOAD_JOURNAL)->id = *id;
	core->journals++;
}

static void reload(struct core *core, struct shard *shard)
{
	shard_remember(core, shard);
	shard_reset(core, shard);
	shard->journal_loading = true;
	batch_load_journal(core, &shard->id);
}

void batch_reload(struct core *core, struct shard *shard)
{
	struct batch *batch = shard->batch;

	batch_reopening(core, batch);
	if (!batch->summary) {
		reload(core, shard);
		return;
	}
	batch->summary = false;
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		if (batch->shards[i].mine)
			reload(core, &batch->shards[i]);
	}
	batch->started = true;
}

/* The counts of a shard as a summary has them, in the place of what was counted before. */
static void take_counts(struct batch *batch, const struct shard_counts *counts)
{
	struct shard *shard = &batch->shards[counts->index];

	shard->phase = SHARD_FINISHED;
	shard->mine = true;
	shard->duplicates = counts->duplicates;
	shard->in_doubt_resent = counts->in_doubt_resent;
	shard->last = counts->last;
	memcpy(shard->states, counts->states, sizeof(shard->states));
	batch->duplicates += counts->duplicates;
	batch->in_doubt_resent += counts->in_doubt_resent;
	for (int state = 0; state < MAIL_STATES; state++)
		batch->states[state] += counts->states[state];
}

void batch_take_finished(struct core *core, struct batch *batch, const struct journal_entry *entry)
{
	if (batch->summary && entry->at.us < batch->end_version.us)
		return;
	if (!batch->summary) {
		core->unfinished_shards -= batch->unfinished;
		batch->unfinished = 0;
	}
	batch->summary = true;
	batch->done = true;
	batch->ended = true;
	batch->end_version = entry->at;
	/* Those that came later are in it, those that went before are not. */
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		struct shard *shard = &batch->shards[i];

		shard->mine = false;
		shard->header = HEADER_UNREAD;
		tally_reset(shard);
		memset(shard->states, 0, sizeof(shard->states));
	}
	memset(batch->states, 0, sizeof(batch->states));
	for (size_t i = 0; i < entry->count; i++) {
		if (entry->shards[i].index < batch->record.shard_count)
			take_counts(batch, &entry->shards[i]);
	}
	batch->finished = end_of(batch);
}

struct batch *batch_next(struct core *core, struct batch *after)
{
	return after == NULL ? RB_MIN(batch_order, &core->order) : RB_NEXT(batch_order, &core->order, after);
}

struct batch *batch_after(const struct core *core, const struct opt_id *key)
{
	struct batch_tree *tree = (struct batch_tree *)(uintptr_t)&core->batches;
	struct batch wanted;
	struct batch *found;

	if (key == NULL)
		return RB_MIN(batch_tree, tree);
	wanted.key = *key;
	found = RB_NFIND(batch_tree, tree, &wanted);
	return found != NULL && id_equal(&found->key, key) ? RB_NEXT(batch_tree, tree, found) : found;
}

void batch_look(const struct core *core, const struct batch *batch, struct batch_view *ret_view)
{
	*ret_view = (struct batch_view){
	    .name = batch->record.settings.name,
	    .key = batch->key,
	    .upload = batch->record.upload,
	    .state = control_state(batch),
	    .uid = batch->record.settings.uid,
	    .replicas = 1,
	    .shards = batch->record.shard_count,
	    .total = batch->total,
	    .duplicates = batch->duplicates,
	    .in_doubt_resent = batch->in_doubt_resent,
	    .created = batch->record.created,
	    .finished = batch->finished,
	    .sender = batch->record.settings.sender,
	};
	(void)core;
	memcpy(ret_view->states, batch->states, sizeof(ret_view->states));
}
