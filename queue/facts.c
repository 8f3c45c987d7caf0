/* SPDX-License-Identifier: MIT */
/*
 * The way of a fact: EVENT_OUTCOME → the mail's state → a group in the shard's journal → the answer to
 * Postfix.
 *
 * One round of writes is on its way at a time; what arrives meanwhile makes the next round. So under load the
 * groups grow by themselves to what the disk's fsync asks for, and an idle node answers at once.
 *
 * A write that the store refused is repeated after a second, for as long as it takes: Postfix waits, and a
 * delivery that happened is never reported as anything else.
 */
#include "queue/facts.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/hop.h"
#include "queue/lane.h"
#include "queue/left.h"
#include "queue/replicate.h"
#include "queue/shard.h"
#include "queue/tally.h"
#include "queue/write.h"

/* The most facts in one journal entry. */
enum { GROUP_MAX = 200, FILE_NAME_LONGEST = 255 };

/* Postfix goes on when it is answered; not while others may have sent what it has. */
static void hold(struct core *core, uint64_t reply)
{
	if (core->held_count == core->held_size) {
		core->held_size = core->held_size * 2 + 64;
		core->held_replies =
		    reallocarray(core->held_replies, core->held_size, sizeof(*core->held_replies));
		if (core->held_replies == NULL)
			abort();
	}
	core->held_replies[core->held_count++] = reply;
}

static void answer(struct core *core, uint64_t reply)
{
	if (reply == 0)
		return;
	if (core->stale)
		hold(core, reply);
	else
		effects_add(core->effects, EFFECT_OUTCOME_ANSWER)->reply = reply;
}

void facts_release(struct core *core)
{
	for (size_t i = 0; i < core->held_count; i++)
		answer(core, core->held_replies[i]);
	core->held_count = 0;
}

static char *copy_text(const char *text, size_t max)
{
	char *copy = strndup(text == NULL ? "" : text, max);

	if (copy == NULL)
		abort();
	return copy;
}

static struct fact *fact_new(struct shard *shard, const struct outcome *outcome, uint64_t reply)
{
	struct fact *fact = calloc(1, sizeof(*fact));

	if (fact == NULL)
		abort();
	fact->shard = shard;
	fact->reply = reply;
	fact->outcome = *outcome;
	fact->outcome.dsn = copy_text(outcome->dsn, OUTCOME_DSN_MAX);
	fact->outcome.relay = copy_text(outcome->relay, OUTCOME_RELAY_MAX);
	fact->outcome.reason = copy_text(outcome->reason, OUTCOME_REASON_MAX);
	return fact;
}

static void fact_free(struct fact *fact)
{
	free((char *)(uintptr_t)fact->outcome.dsn);
	free((char *)(uintptr_t)fact->outcome.relay);
	free((char *)(uintptr_t)fact->outcome.reason);
	free(fact->file);
	free(fact);
}

static void mark_dirty(struct core *core, struct shard *shard)
{
	if (shard->dirty)
		return;
	shard->dirty = true;
	TAILQ_INSERT_TAIL(&core->dirty, shard, dirty_link);
}

/* As the claim is known here; of a shard of others, or of an attempt that nobody made, there is nothing to
 * say. */
static uint32_t claim_flags(const struct shard *shard, const struct attempt_key *key)
{
	return tally_is_resent(shard, key->index, key->epoch, key->attempt) ? CLAIM_AFTER_DOUBT : 0;
}

static void add(struct core *core, struct fact *fact)
{
	struct shard *shard = fact->shard;

	if (shard->mine)
		shard_need_mails(core, shard);
	if (core->config.broken_rule == CORE_BUG_OUTCOME_DROPPED) {
		answer(core, fact->reply);
		fact->reply = 0;
	}
	fact->outcome.claim_flags = claim_flags(shard, &fact->outcome.key);
	if (shard->mine)
		shard_take_outcome(core, shard, &fact->outcome);
	else
		left_begin(core, shard);
	TAILQ_INSERT_TAIL(&shard->facts, fact, link);
	mark_dirty(core, shard);
}

void fact_add(struct core *core, struct shard *shard, const struct outcome *outcome, uint64_t reply)
{
	add(core, fact_new(shard, outcome, reply));
}

void fact_add_doubt(struct core *core, struct shard *shard, uint32_t index, const char *why, const char *file)
{
	const struct attempt_key key = shard_key(core, shard, index);

	fact_add_doubt_of(core, shard, &key, why, file);
}

void fact_add_doubt_of(
    struct core *core, struct shard *shard, const struct attempt_key *key, const char *why, const char *file)
{
	const struct outcome outcome = {
	    .key = *key,
	    .kind = OUTCOME_IN_DOUBT,
	    .at = core->utc,
	    .dsn = "4.3.0",
	    .relay = "",
	    .reason = why,
	};
	struct fact *fact = fact_new(shard, &outcome, 0);

	if (file != NULL)
		fact->file = copy_text(file, FILE_NAME_LONGEST);
	add(core, fact);
}

void fact_add_own(struct core *core, struct shard *shard, uint32_t index, enum outcome_kind kind,
    const char *dsn, const char *reason)
{
	const struct outcome outcome = {
	    .key = shard_key(core, shard, index),
	    .kind = kind,
	    .at = core->utc,
	    .dsn = dsn,
	    .relay = "",
	    .reason = reason,
	};

	fact_add(core, shard, &outcome, 0);
}

/* The journal of a finished shard is read anew, and the fact waits for it. */
static void keep_early(struct core *core, struct fact *fact)
{
	struct shard *shard = fact->shard;

	TAILQ_INSERT_TAIL(&shard->early, fact, link);
	if (!shard->journal_loading)
		batch_reload(core, shard);
}

void facts_outcome(struct core *core, const struct outcome *outcome, uint64_t reply)
{
	struct shard *shard = shard_find(core, &outcome->key.shard);

	if (shard == NULL || outcome->key.index >= shard->count) {
		/* A batch that this node has forgotten, or never had: there is nobody to tell. */
		answer(core, reply);
		return;
	}
	if (shard->journal_loading || shard->phase == SHARD_FINISHED) {
		keep_early(core, fact_new(shard, outcome, reply));
		return;
	}
	fact_add(core, shard, outcome, reply);
	if (!shard->mine)
		return; /* it was ours once: the members take it from here */
	if (shard->mails[outcome->key.index].domain != NULL)
		hop_outcome(core, shard->mails[outcome->key.index].domain->hop, outcome);
	shard_settle_one(core, shard, outcome->key.index);
}

/* Whether the attempt ended without anybody's word on it. */
static bool unsettled(const struct shard *shard, const struct attempt_key *key)
{
	const struct mail *mail = shard->mails == NULL ? NULL : &shard->mails[key->index];

	return mail != NULL && mail->state == MAIL_CLAIMED && mail->attempt == key->attempt &&
	       mail->epoch == key->epoch && id_equal(&mail->node->id, &key->node);
}

void facts_left_spool(struct core *core, const struct attempt_key *key, uint64_t reply)
{
	struct shard *shard = shard_find(core, &key->shard);
	struct outcome outcome = {
	    .key = *key,
	    .kind = core->config.broken_rule == CORE_BUG_DOUBT_AS_SENT ? OUTCOME_SENT : OUTCOME_IN_DOUBT,
	    .at = core->utc,
	    .dsn = "4.3.0",
	    .relay = "",
	    .reason = "the mail left Postfix without an outcome",
	};

	if (shard == NULL || key->index >= shard->count ||
	    (shard->phase == SHARD_FINISHED && !shard->journal_loading)) {
		answer(core, reply);
		return;
	}
	if (shard->journal_loading) {
		struct fact *fact = fact_new(shard, &outcome, reply);

		fact->left_spool = true;
		keep_early(core, fact);
		return;
	}
	if (!unsettled(shard, key)) {
		answer(core, reply);
		return;
	}
	fact_add(core, shard, &outcome, reply);
	shard_settle_one(core, shard, key->index);
}

void facts_take_early(struct core *core, struct shard *shard)
{
	struct fact *fact;

	while ((fact = TAILQ_FIRST(&shard->early)) != NULL) {
		TAILQ_REMOVE(&shard->early, fact, link);
		if (fact->left_spool && !unsettled(shard, &fact->outcome.key)) {
			answer(core, fact->reply);
			fact_free(fact);
		} else {
			add(core, fact);
		}
	}
}

/* One journal entry from the first facts of the shard. */
static void write_group(struct core *core, struct shard *shard)
{
	struct outcome outcomes[GROUP_MAX];
	struct fact *group[GROUP_MAX];
	struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = outcomes};
	struct write *write = write_new(core, WRITE_OUTCOMES);

	write->shard = shard;
	write->id = shard->id;
	write->replies = calloc(GROUP_MAX, sizeof(*write->replies));
	write->files = calloc(GROUP_MAX, sizeof(*write->files));
	if (write->replies == NULL || write->files == NULL)
		abort();
	while (entry.count < GROUP_MAX && !TAILQ_EMPTY(&shard->facts)) {
		struct fact *fact = TAILQ_FIRST(&shard->facts);

		TAILQ_REMOVE(&shard->facts, fact, link);
		group[entry.count] = fact;
		outcomes[entry.count++] = fact->outcome;
		write->files[write->count] = fact->file;
		fact->file = NULL;
		write->replies[write->count++] = fact->reply;
	}
	shard->writes++;
	core->outcome_writes++;
	write_append_entry(core, write, &entry);
	for (size_t i = 0; i < entry.count; i++)
		fact_free(group[i]);
	replicate_send(core, write);
}

void facts_flush(struct core *core)
{
	struct shard *shard;

	if (core->outcome_writes > 0)
		return;
	while ((shard = TAILQ_FIRST(&core->dirty)) != NULL) {
		TAILQ_REMOVE(&core->dirty, shard, dirty_link);
		shard->dirty = false;
		while (!TAILQ_EMPTY(&shard->facts))
			write_group(core, shard);
	}
}

void facts_write_later(struct core *core, struct write *write)
{
	TAILQ_INSERT_TAIL(&core->again, write, again);
	if (!core->store_retry.armed)
		timer_arm(&core->boot_timers, &core->store_retry, core->now.us + USEC_PER_SEC);
}

static void answer_all(struct core *core, struct write *write)
{
	for (size_t i = 0; i < write->count; i++) {
		answer(core, write->replies[i]);
		write->replies[i] = 0;
	}
	core->held_writes -= write->held;
	write->held = false;
}

/* A delivery agent that is answered takes the next mail; without a master, there is none. */
static bool may_answer(const struct core *core)
{
	if (core->config.broken_rule == CORE_BUG_OUTCOMES_NOT_HELD)
		return true;
	return core->unreplicated <= core->config.unreplicated_max || core->master_dead;
}

void facts_answer_held(struct core *core)
{
	struct write *write = write_first(core);

	for (; write != NULL && core->held_writes > 0 && may_answer(core); write = write_next(write)) {
		if (write->held)
			answer_all(core, write);
	}
}

void facts_stored(struct core *core, struct write *write)
{
	struct shard *shard = write->shard;
	bool safe = replicate_stored(core, write);

	if (safe) {
		shard->writes--;
		answer_all(core, write);
		facts_answer_held(core);
	}
	if (replicate_over(write))
		write_free(core, write);
	if (safe)
		shard_try_finish(core, shard);
}

void facts_written(struct core *core, struct write *write, int status)
{
	if (status != 0) {
		facts_write_later(core, write);
		return;
	}
	for (size_t i = 0; i < write->count; i++) {
		if (write->files[i] != NULL)
			effects_add(core->effects, EFFECT_SPOOL_REMOVE)->text =
			    effects_copy_text(core->effects, write->files[i]);
	}
	core->outcome_writes--;
	write->local = true;
	write_answered(core, write);
	if (may_answer(core)) {
		answer_all(core, write);
	} else {
		write->held = true;
		core->held_writes++;
	}
	facts_stored(core, write);
}

void facts_write_again(struct core *core)
{
	struct write *write;

	while ((write = TAILQ_FIRST(&core->again)) != NULL) {
		TAILQ_REMOVE(&core->again, write, again);
		write_again(core, write);
	}
}

void facts_free(struct shard *shard)
{
	struct fact *fact;

	while ((fact = TAILQ_FIRST(&shard->facts)) != NULL) {
		TAILQ_REMOVE(&shard->facts, fact, link);
		fact_free(fact);
	}
	while ((fact = TAILQ_FIRST(&shard->early)) != NULL) {
		TAILQ_REMOVE(&shard->early, fact, link);
		fact_free(fact);
	}
}
