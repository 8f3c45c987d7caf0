/* SPDX-License-Identifier: MIT */
/*
 * Claim before feed (rule 2).
 *
 * Ready mails are taken from the lanes in groups; each group's claim is written to the journals of its
 * shards, and only when the store says that the claim is durable do the mails go to Postfix. One round of
 * claims is on its way at a time: what the window has room for meanwhile makes the next round.
 *
 * A claim that took longer than CLAIM_MAX_AGE to become durable is not fed but made again, because in a
 * cluster the others may have taken the shard for abandoned by then.
 */
#include "queue/feed.h"

#include <stdlib.h>
#include <string.h>

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/facts.h"
#include "queue/join.h"
#include "queue/lane.h"
#include "queue/replica.h"
#include "queue/replicate.h"
#include "queue/shard.h"
#include "queue/silent.h"
#include "queue/takeover.h"
#include "queue/tally.h"
#include "queue/write.h"

enum { LOADING_MAX = 8 /* shards of a batch that are being opened at once */ };
static const usec BATCH_REST_MAX = 8 * USEC_PER_SEC;
static const usec UNREADABLE_WAIT = 10 * USEC_PER_SEC;

void feed_rest(struct core *core)
{
	core->feed_held = true;
	timer_arm(&core->boot_timers, &core->feed_hold, core->now.us + USEC_PER_SEC);
}

/* A value that can't be read is the trouble of one batch: it rests, for longer each time, and the others go
 * on. What two batches have at once is the node's. */
static void batch_rest(struct core *core, struct batch *batch)
{
	if (batch->rest.armed)
		return; /* the same round */
	if (core->resting > 0)
		feed_rest(core);
	batch->rest_time = batch->rest_time == 0 ? USEC_PER_SEC : 2 * batch->rest_time;
	if (batch->rest_time > BATCH_REST_MAX)
		batch->rest_time = BATCH_REST_MAX;
	timer_arm(&core->boot_timers, &batch->rest, core->now.us + batch->rest_time);
	core->resting++;
}

void feed_batch_rested(struct core *core)
{
	core->resting--;
}

static void open_shard(struct core *core, struct shard *shard)
{
	struct effect *effect = effects_add(core->effects, EFFECT_LOAD_SHARD);

	effect->id = shard->id;
	effect->batch = shard->batch->key;
	effect->upload = shard->batch->record.upload;
	effect->and_template = !shard->batch->template_here;
	shard->phase = SHARD_LOADING;
	shard->batch->loading++;
}

static bool may_feed(const struct core *core, const struct batch *batch)
{
	/* Its shards are expired a few at a time: those that are left must not be fed meanwhile. */
	return !batch->rest.armed && control_may_feed(core, batch) && !batch_is_over(core, batch);
}

/* Mails that can be fed are in memory, or on their way there: they go on, and make room. */
static bool any_to_feed(struct core *core)
{
	for (struct batch *batch = batch_next(core, NULL); batch != NULL; batch = batch_next(core, batch)) {
		if ((batch->lane_mails > 0 || batch->loading > 0) && may_feed(core, batch))
			return true;
	}
	return false;
}

static bool in_room(const struct core *core, const struct shard *shard)
{
	return shard->mails != NULL || core->open_mails < core->config.open_mails_max;
}

/*
 * Shards of which others are the owners, batches that are paused, and mails that wait for a retry or for a
 * domain that rests, may take all the room there is for days: then one at a time is opened, by batches that
 * do not have a window of mails for such domains themselves.
 */
static bool has_room(struct core *core, const struct shard *shard)
{
	return in_room(core, shard) ||
	       (shard->batch->lane_blocked < core->config.window && !any_to_feed(core));
}

/*
 * The next shard to open, NULL while about a window of mails is ready to be fed. Orphans don't wait for the
 * others, but those whose domains may have no more now keep nothing closed either.
 */
static struct shard *next_to_open(struct core *core, const struct batch *batch)
{
	const uint64_t loading = (uint64_t)batch->loading * SHARD_MAILS_MAX;
	struct shard *orphan = TAILQ_FIRST(&batch->orphans), *closed = TAILQ_FIRST(&batch->closed);

	if (batch->loading >= LOADING_MAX)
		return NULL;
	if (orphan != NULL && !has_room(core, orphan))
		orphan = NULL;
	if (orphan != NULL && batch->lane_orphans + loading < core->config.window)
		return orphan;
	if (batch->lane_mails + loading >= core->config.window)
		return NULL;
	return closed != NULL && has_room(core, closed) ? closed : orphan;
}

static void open_more(struct core *core, struct batch *batch)
{
	struct shard *shard;

	while ((shard = next_to_open(core, batch)) != NULL) {
		batch_opens(batch, shard);
		/* Others come back when they are settled. */
		if (shard->phase != SHARD_CLOSED || shard->states[MAIL_READY] == 0 || !shard->owning ||
		    !shard_claimable(shard))
			continue;
		if (silent_shard(shard) && !in_room(core, shard))
			silent_rest(core, shard);
		else
			open_shard(core, shard);
	}
}

/*
 * The claim write of this round for the shard, made when there is none. Rounds touch few shards. Of a silent
 * one the first mail is the only one: it rests from now on.
 */
static struct write *claim_write(struct core *core, struct write **round, size_t *count, struct shard *shard)
{
	struct write *write;

	for (size_t i = 0; i < *count; i++) {
		if (round[i]->shard == shard)
			return round[i];
	}
	write = write_new(core, WRITE_CLAIMS);
	write->shard = shard;
	write->id = shard->id;
	write->alone = alone_claims(core, shard);
	write->tried = silent_shard(shard);
	if (write->tried)
		silent_rest(core, shard);
	write->claims = calloc(core->config.claim_group, sizeof(*write->claims));
	if (write->claims == NULL)
		abort();
	round[(*count)++] = write;
	return write;
}

static void claim(struct core *core, struct write *write, uint32_t index)
{
	struct mail *mail = &write->shard->mails[index];
	struct claim *claim = &write->claims[write->count++];

	claim->index = index;
	claim->attempt = mail->attempt + 1;
	claim->flags = (mail->flags & MAIL_AFTER_DOUBT) != 0 ? CLAIM_AFTER_DOUBT : 0;
	if (write->alone)
		claim->flags |= CLAIM_ALONE;
	shard_take_claim(
	    core, write->shard, claim, write->shard->epoch, core->self, core->generation, core->utc);
	mail->flags |= MAIL_CLAIM_WRITING;
}

static void send_feed(struct core *core, struct write *write)
{
	struct shard *shard = write->shard;
	const struct batch_record *record = &shard->batch->record;
	struct frame_mail *mails = calloc(write->count, sizeof(*mails));
	struct effect *effect;
	size_t count = 0;

	if (mails == NULL)
		abort();
	for (size_t i = 0; i < write->count; i++) {
		const struct claim *claimed = &write->claims[i];
		struct mail *mail = shard->mails == NULL ? NULL : &shard->mails[claimed->index];

		if (mail == NULL || mail->state != MAIL_CLAIMED || mail->attempt != claimed->attempt ||
		    mail->epoch != write->epoch)
			continue;
		mail->flags &= (uint8_t)~MAIL_CLAIM_WRITING;
		mail->flags |= MAIL_FEEDING;
		mails[count++] = (struct frame_mail){claimed->index, claimed->attempt};
	}
	if (count > 0) {
		effect = effects_add(core->effects, EFFECT_FEED);
		effect->id = shard->id;
		effect->batch = shard->batch->key;
		effect->upload = record->upload;
		effect->epoch = write->epoch;
		effect->text = effects_copy_text(core->effects, record->settings.name);
		effect->sender = effects_copy_text(core->effects, record->settings.sender);
		effect->created =
		    record->settings.start.us > record->created.us ? record->settings.start : record->created;
		effect->mails = effects_copy(core->effects, mails, count * sizeof(*mails));
		effect->mail_count = count;
	}
	free(mails);
}

static void write_claims(struct core *core, struct write *write)
{
	const struct journal_entry entry = {
	    .type = JOURNAL_CLAIMS,
	    .node = core->config.node,
	    .epoch = write->shard->epoch,
	    .generation = core->generation,
	    .at = core->utc,
	    .claims = write->claims,
	    .count = write->count,
	};

	write->generation = core->generation;
	write->epoch = write->shard->epoch;
	core->claim_writes += !write->tried;
	write->shard->writes++;
	timer_init(&write->timer, TIMER_CLAIMS, write);
	write_append_entry(core, write, &entry);
	replicate_send(core, write);
	if (core->config.broken_rule == CORE_BUG_FEED_BEFORE_CLAIM)
		send_feed(core, write);
}

void feed_announce(struct core *core, struct shard *shard)
{
	struct write *write = write_new(core, WRITE_CLAIMS);

	write->shard = shard;
	write->id = shard->id;
	write->alone = alone_claims(core, shard);
	write_claims(core, write);
}

void feed_run(struct core *core)
{
	struct write **round;
	struct batch *batch;
	size_t writes = 0;
	uint32_t room;

	if (core->engine != ENGINE_UP || core->stale || core->feed_held || core->claim_writes > 0 ||
	    core->in_flight >= core->config.window)
		return;
	room = core->config.window - core->in_flight;
	if (room > core->config.claim_group)
		room = core->config.claim_group;
	round = calloc(room, sizeof(struct write *));
	if (round == NULL)
		abort();
	for (batch = batch_next(core, NULL); batch != NULL && room > 0; batch = batch_next(core, batch)) {
		struct shard *shard;
		uint32_t index;

		if (!may_feed(core, batch))
			continue;
		while (room > 0 && lane_pop(core, batch, &shard, &index)) {
			claim(core, claim_write(core, round, &writes, shard), index);
			room--;
		}
	}
	/* Only now is it known which of the mails in memory can be fed. */
	for (struct batch *seen = batch_next(core, NULL); seen != batch; seen = batch_next(core, seen)) {
		if (may_feed(core, seen))
			open_more(core, seen);
	}
	for (size_t i = 0; i < writes; i++)
		write_claims(core, round[i]);
	free(round);
}

/* The claim of a mail that Postfix can't have seen is taken back: it is ready again, now. */
static void take_back(struct core *core, struct write *write, bool durable)
{
	struct shard *shard = write->shard;

	for (size_t i = 0; i < write->count; i++) {
		const struct claim *claimed = &write->claims[i];
		struct mail *mail = shard->mails == NULL ? NULL : &shard->mails[claimed->index];

		if (!durable)
			tally_not_resent(shard, claimed->index, write->epoch, claimed->attempt);
		if (mail == NULL || mail->state != MAIL_CLAIMED || mail->attempt != claimed->attempt ||
		    mail->epoch != write->epoch || (mail->flags & MAIL_CLAIM_WRITING) == 0)
			continue;
		/* Where the journal has the claim, it must also have that Postfix never got the mail. */
		if (durable)
			fact_add_own(core, shard, claimed->index, OUTCOME_RETURNED, "", "");
		else
			shard_move(core, shard, claimed->index, MAIL_READY);
		if ((claimed->flags & CLAIM_AFTER_DOUBT) != 0)
			mail->flags |= MAIL_AFTER_DOUBT;
		shard_settle_one(core, shard, claimed->index);
	}
}

/* The round that the claims belong to is over for them. */
static void claims_done(struct core *core, struct write *write)
{
	write->done = true;
	core->claim_writes -= !write->tried;
	write->shard->writes--;
	timer_disarm(&core->boot_timers, &write->timer);
}

static void end_if_over(struct core *core, struct write *write)
{
	struct shard *shard = write->shard;

	if (!write->done || !replicate_over(write))
		return;
	write_free(core, write);
	shard_try_finish(core, shard); /* its mails may have been settled by late outcomes meanwhile */
}

/* The claims are not fed: a member may have them, so a fact must say so. */
static void call_off(struct core *core, struct write *write)
{
	claims_done(core, write);
	write->safe = true; /* nobody waits for a majority any more */
	replicate_leave_all_behind(core, write);
	take_back(core, write, true);
	end_if_over(core, write);
}

void feed_claims_refused(struct core *core, struct write *write)
{
	if (write->done)
		return;
	if (write->local)
		call_off(core, write);
	else
		write->refused = true; /* once the store has answered */
}

void feed_claims_stored(struct core *core, struct write *write)
{
	bool safe = replicate_stored(core, write);

	if (core->config.broken_rule == CORE_BUG_CLAIM_WITHOUT_MAJORITY && write->local && !write->done)
		safe = write->safe = true;
	if (!safe || write->done) {
		end_if_over(core, write);
		return;
	}
	silent_answered(core, write);
	if (core->engine != ENGINE_UP || core->generation != write->generation || !write->shard->owning ||
	    write->shard->epoch != write->epoch || core->now.us - write->since.us > CLAIM_MAX_AGE ||
	    !control_may_feed(core, write->shard->batch)) {
		call_off(core, write);
		return;
	}
	claims_done(core, write);
	send_feed(core, write);
	end_if_over(core, write);
}

void feed_claims_late(struct core *core, struct write *write)
{
	struct shard *shard = write->shard;

	if (write->done)
		return;
	silent_late(core, write);
	feed_claims_refused(core, write);
	/* Those who promised this epoch to another one never will: with the next one they may. */
	if (shard->owning && shard->contested && replica_alive(core, shard) >= replica_majority(shard)) {
		replica_step_down(core, shard);
		takeover_start(core, shard);
	}
}

void feed_claimed(struct core *core, struct write *write, int status)
{
	bool alone = write->shard->member_count == 1;

	if (status != 0) {
		feed_rest(core);
		if (alone) {
			claims_done(core, write);
			take_back(core, write, false);
			write->safe = true;
			end_if_over(core, write);
		} else {
			call_off(core, write);
		}
		return;
	}
	write->local = true;
	write_answered(core, write);
	if (write->refused)
		call_off(core, write);
	else
		feed_claims_stored(core, write);
}

void feed_result(struct core *core, const struct attempt_key *key, enum fed_status status, const char *reason)
{
	struct shard *shard = shard_find(core, &key->shard);
	struct outcome outcome = {.key = *key, .at = core->utc, .dsn = "", .relay = "", .reason = reason};
	struct mail *mail;

	if (shard == NULL || shard->mails == NULL || key->index >= shard->count)
		return;
	mail = &shard->mails[key->index];
	if (mail->state != MAIL_CLAIMED || mail->attempt != key->attempt || mail->epoch != key->epoch ||
	    mail->node != core->self)
		return; /* its outcome was faster */
	mail->flags &= (uint8_t)~MAIL_FEEDING;
	switch (status) {
	case FED_QUEUED:
		shard->batch->rest_time = 0;
		return;
	case FED_UNCERTAIN:
		if ((mail->flags & MAIL_UNCERTAIN) == 0)
			core->uncertain++;
		mail->flags |= MAIL_UNCERTAIN;
		mail->flags &= (uint8_t)~MAIL_LOOKED_FOR;
		if (!core->spool_check.armed)
			timer_arm(&core->boot_timers, &core->spool_check, core->now.us + 2 * USEC_PER_SEC);
		return;
	case FED_NOT_NOW:
		outcome.kind = OUTCOME_RETURNED;
		batch_rest(core, shard->batch);
		break;
	case FED_DEFERRED:
		outcome.kind = OUTCOME_DEFERRED;
		outcome.dsn = "4.7.0";
		break;
	case FED_REFUSED:
		outcome.kind = OUTCOME_BOUNCED;
		outcome.dsn = "5.6.0";
		break;
	}
	fact_add(core, shard, &outcome, 0);
	shard_settle_one(core, shard, key->index);
}

void feed_shard_loaded(struct core *core, const struct event *event)
{
	struct shard *shard = shard_find(core, &event->shard_loaded.shard);

	if (shard == NULL || shard->phase != SHARD_LOADING)
		return;
	shard->batch->loading--;
	shard->phase = SHARD_CLOSED;
	if (event->shard_loaded.status != 0 || event->shard_loaded.count != shard->count) {
		/* The shell says why. Its mails wait, nobody else's do: settling opens it again then, if
		 * anything is left. */
		timer_arm(&core->boot_timers, &shard->retry, core->now.us + UNREADABLE_WAIT);
		if (event->shard_loaded.status == OPT_E_NOT_FOUND)
			join_value(core, shard);
		shard_try_finish(core, shard);
		return;
	}
	shard->batch->template_here = shard->value_here = true; /* both were looked for */
	shard_need_mails(core, shard);
	for (uint32_t i = 0; i < shard->count; i++) {
		struct mail *mail = &shard->mails[i];

		mail->domain = domain_hold_ref(core, event->shard_loaded.domains[i]);
		if (mail->state == MAIL_CLAIMED && mail->node == core->self)
			domain_claimed(core, mail->domain);
	}
	shard->phase = SHARD_OPEN;
	shard_settle(core, shard);
}
