/* SPDX-License-Identifier: MIT */
/*
 * Recovery.
 *
 * The shell reads every batch record; then the core asks for the node's and each batch's own journal, and,
 * where that has no FINISHED entry, for the journals of its shards. When the last one has been read the node
 * knows every claim and every outcome that was durable, and only then looks into Postfix's spool. Until then
 * nothing is fed.
 *
 * The journal of a finished shard is read the same way when a late fact arrives for it.
 */
#include "queue/recover.h"

#include <stdio.h>
#include <stdlib.h>

#include "queue/append.h"
#include "queue/batch.h"
#include "queue/control.h"
#include "queue/cluster.h"
#include "queue/doubt.h"
#include "queue/facts.h"
#include "queue/header.h"
#include "queue/home.h"
#include "queue/left.h"
#include "queue/replica.h"
#include "queue/settle.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/write.h"

void recover_batch(struct core *core, const void *record, size_t len)
{
	struct batch_record decoded;
	struct batch *batch;
	struct opt_id key;

	/* A record that can't be read would be mail that is lost: the shell has checked it and stops the
	 * node. */
	if (core->recover_done || record_decode(record, len, &decoded) != 0)
		return;
	key = batch_key(decoded.settings.name);
	if (batch_find(core, &key) != NULL) {
		record_done(&decoded);
		return;
	}
	batch = batch_new(core, &decoded);
	/* Postfix may report before the batch's own journal says whether those of its shards are needed. */
	for (uint32_t i = 0; i < batch->record.shard_count; i++)
		batch->shards[i].journal_loading = true;
	batch_load_journal(core, &batch->key);
}

/* A batch that is over: its shards' journals are read only if somebody reported about it meanwhile. */
static void take_summary(struct core *core, struct batch *batch)
{
	struct shard *late = NULL;

	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		struct shard *shard = &batch->shards[i];
		const bool early = !TAILQ_EMPTY(&shard->early);

		shard->journal_loading = false;
		if (shard->mine && early)
			late = shard;
		/* It left this shard: its journal says to whom, for those who look for it here, and for what
		 * it has to tell. */
		if (!shard->mine && (early || replica_mine(core, shard))) {
			shard->journal_loading = true;
			batch_load_journal(core, &shard->id);
		}
	}
	if (late != NULL)
		batch_reload(core, late);
}

static void all_read(struct core *core)
{
	struct batch *batch = NULL;

	core->recovered = true;
	core->recovered_at = core->now;
	cluster_recovered(core);
	home_recovered(core);
	while ((batch = batch_after(core, batch == NULL ? NULL : &batch->key)) != NULL) {
		batch_begin(core, batch);
		if (!batch->done)
			home_directory(core, batch);
	}
	core->engine = ENGINE_SETTLING;
	settle_ask(core);
}

static void check_all_read(struct core *core)
{
	if (core->recover_done && !core->recovered && core->journals == 0)
		all_read(core);
}

void recover_records_done(struct core *core)
{
	core->recover_done = true;
	batch_load_journal(core, &core->config.node);
	check_all_read(core);
}

static bool is_latest(const struct mail *mail, const struct journal_entry *entry, const struct claim *claim)
{
	return mail->attempt == claim->attempt && mail->epoch == entry->epoch;
}

static void take_claim(
    struct core *core, struct shard *shard, const struct journal_entry *entry, const struct claim *claim)
{
	const struct mail *mail = &shard->mails[claim->index];
	const bool known = is_latest(mail, entry, claim);

	shard_take_claim(
	    core, shard, claim, entry->epoch, peer_of(core, &entry->node), entry->generation, entry->at);
	if (!known && is_latest(mail, entry, claim) && mail->state == MAIL_CLAIMED &&
	    mail->node == core->self)
		settle_learnt(core, shard, claim->index);
	/* A claim that only a member knew which was away when the shard was taken over. */
	if (mail->state == MAIL_CLAIMED && mail->node != core->self && !shard->doubt_timer.armed)
		doubt_watch(core, shard);
}

void recover_take_header(struct core *core, struct shard *shard, const struct journal_entry *entry)
{
	replica_take_entry(core, shard, entry);
	/* Who made an attempt owned its epoch, also when its claim is not known here. */
	for (size_t i = 0; i < entry->count && entry->type == JOURNAL_OUTCOMES; i++) {
		const struct attempt_key *key = &entry->outcomes[i].key;

		if (key->attempt > 0 && key->epoch > shard->promised)
			replica_learn(core, shard, key->epoch, peer_of(core, &key->node));
	}
}

void recover_take_entry(struct core *core, struct shard *shard, const struct journal_entry *entry)
{
	recover_take_header(core, shard, entry);
	if (!shard->mine || (entry->type != JOURNAL_CLAIMS && entry->type != JOURNAL_OUTCOMES))
		return;
	shard_need_mails(core, shard);
	for (size_t i = 0; i < entry->count && entry->type == JOURNAL_CLAIMS; i++) {
		if (entry->claims[i].index < shard->count)
			take_claim(core, shard, entry, &entry->claims[i]);
	}
	for (size_t i = 0; i < entry->count && entry->type == JOURNAL_OUTCOMES; i++) {
		if (entry->outcomes[i].key.index < shard->count)
			shard_take_outcome(core, shard, &entry->outcomes[i]);
	}
}

/* Whether its latest end still stands: an entry without shards says that a shard came after it. */
static bool is_over(struct core *core, const struct batch *batch, const struct event *event)
{
	struct utc_time last = {0};
	struct journal_entry entry;
	bool over = false;

	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &batch->key, bytes->data, bytes->len, &entry) != 0 ||
		    entry.type != JOURNAL_FINISHED || entry.at.us < last.us)
			continue;
		last = entry.at;
		over = entry.count > 0 || batch->record.shard_count == 0;
	}
	return over;
}

static void batch_journal(struct core *core, struct batch *batch, const struct event *event)
{
	const bool over = is_over(core, batch, event);
	struct journal_entry entry;

	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &batch->key, bytes->data, bytes->len, &entry) != 0)
			continue;
		if (entry.type == JOURNAL_FINISHED && over)
			batch_take_finished(core, batch, &entry);
		else if (entry.type == JOURNAL_FINISHED && entry.at.us > batch->end_version.us)
			batch->end_version = entry.at;
		else if (entry.type == JOURNAL_CONTROL)
			control_take(core, &batch->control, &entry.control);
		else if (entry.type == JOURNAL_VERSION)
			control_take_version(&batch->control, entry.control.version);
	}
	if (batch->summary) {
		take_summary(core, batch);
		return;
	}
	for (uint32_t i = 0; i < batch->record.shard_count; i++)
		batch_load_journal(core, &batch->shards[i].id);
}

/* The node's own journal: whether it drains. */
static void node_journal(struct core *core, const struct event *event)
{
	struct journal_entry entry;

	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &core->config.node, bytes->data, bytes->len, &entry) == 0 &&
		    entry.type == JOURNAL_CONTROL)
			control_take(core, &core->drain, &entry.control);
	}
}

static void shard_journal(struct core *core, struct shard *shard, const struct event *event)
{
	struct journal_entry entry;
	bool untold = false;

	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &shard->id, bytes->data, bytes->len, &entry) != 0)
			continue;
		recover_take_entry(core, shard, &entry);
		untold = left_untold(&entry, untold);
	}
	shard->journal_loading = false;
	shard->header = HEADER_KNOWN;
	/* More came meanwhile, which may not have been in what was read. */
	if (shard->reload) {
		shard->reload = false;
		batch_reload(core, shard);
		return;
	}
	shard_forget_before(shard);
	/* It has left, and has told all: not once more after each start. */
	if (!untold && !replica_mine(core, shard))
		shard->synced = true;
	if (replica_follow_members(core, shard))
		return;
	if (!shard->mine)
		left_read(core, shard, untold);
	facts_take_early(core, shard);
	takeover_consider(core, shard);
	shard_settle(core, shard);
}

void recover_journal(struct core *core, const struct event *event)
{
	const struct opt_id *id = &event->journal_loaded.id;
	struct shard *shard = shard_find(core, id);
	struct batch *batch = shard == NULL ? batch_find(core, id) : NULL;
	struct write *write = write_find(core, event->journal_loaded.token);

	if (event->journal_loaded.token != 0) {
		if (write != NULL && write->kind == WRITE_SERVE)
			sync_serve_loaded(core, write, event);
		else if (write != NULL && write->kind == WRITE_REREAD)
			append_reread_loaded(core, write, event);
		else if (write != NULL && write->kind == WRITE_HEADER)
			header_loaded(core, write, event);
		else if (shard != NULL)
			sync_journal_loaded(core, shard, event);
		return;
	}
	if (event->journal_loaded.status != 0) {
		/* Nothing can be said about its mails without it: ask until the store answers. */
		effects_add(core->effects, EFFECT_LOAD_JOURNAL)->id = *id;
		return;
	}
	core->journals--;
	if (shard != NULL && shard->journal_loading)
		shard_journal(core, shard, event);
	else if (batch != NULL)
		batch_journal(core, batch, event);
	else if (id_equal(id, &core->config.node))
		node_journal(core, event);
	check_all_read(core);
}
