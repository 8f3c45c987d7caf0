/* SPDX-License-Identifier: MIT */
/*
 * A shard's mails.
 *
 * Two kinds of facts change a mail. A claim with a higher attempt number than any before makes it CLAIMED. An
 * outcome settles the attempt that it names: if that is the latest one the mail moves on, and if it is an
 * older one, only a final outcome matters. Both are written so that facts may come in any order and more than
 * once: an outcome whose claim was never seen implies the claim.
 *
 * What follows from a state (feeding, resending, timers) is not done while facts are taken in but afterwards,
 * in shard_settle(), so that reading a journal at start and learning a fact live go the same way.
 */
#include "queue/shard.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/catchup.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/doubt.h"
#include "queue/error.h"
#include "queue/facts.h"
#include "queue/lane.h"
#include "queue/left.h"
#include "queue/replica.h"
#include "queue/takeover.h"
#include "queue/tally.h"

static int compare(const struct shard *a, const struct shard *b)
{
	return id_compare(&a->id, &b->id);
}

RB_GENERATE_STATIC(shard_tree, shard, node, compare)

void shard_init(struct core *core, struct shard *shard, struct batch *batch, uint32_t index)
{
	*shard = (struct shard){
	    .id = shard_id(&batch->key, index),
	    .batch = batch,
	    .index = index,
	    .count = batch->record.shards[index].count,
	    .phase = SHARD_CLOSED,
	};
	TAILQ_INIT(&shard->facts);
	TAILQ_INIT(&shard->early);
	timer_init(&shard->retry, TIMER_SHARD_RETRY, shard);
	RB_INSERT(shard_tree, &core->shards, shard);
	replica_init(core, shard);
	if (shard->mine)
		shard->states[MAIL_READY] = (uint16_t)shard->count;
}

/* Mails that are not final. */
static uint32_t open_mails(const struct shard *shard)
{
	uint32_t open = shard->count;

	for (int state = MAIL_SENT; state < MAIL_STATES; state++)
		open -= shard->states[state];
	return open;
}

static void free_mails(struct core *core, struct shard *shard)
{
	if (shard->mails == NULL)
		return;
	for (uint32_t i = 0; i < shard->count; i++) {
		if (shard->mails[i].domain != NULL)
			domain_drop_ref(core, shard->mails[i].domain);
	}
	free(shard->mails);
	shard->mails = NULL;
	core->open_mails -= open_mails(shard);
}

void shard_done(struct core *core, struct shard *shard)
{
	timer_disarm(&core->boot_timers, &shard->retry);
	replica_forget(core, shard);
	facts_free(shard);
	free_mails(core, shard);
	tally_free(shard);
	free(shard->before);
	RB_REMOVE(shard_tree, &core->shards, shard);
}

struct shard *shard_find(struct core *core, const struct opt_id *id)
{
	struct shard key = {.id = *id};

	return RB_FIND(shard_tree, &core->shards, &key);
}

struct shard *shard_next(struct core *core, struct shard *shard)
{
	return shard == NULL ? RB_MIN(shard_tree, &core->shards) : RB_NEXT(shard_tree, &core->shards, shard);
}

void shard_each_in_turn(struct core *core, struct opt_id *next, uint32_t max,
    bool (*visit)(struct core *core, struct shard *shard))
{
	struct shard *first = shard_find(core, next);
	struct shard *shard;
	uint32_t count = 0;

	if (first == NULL)
		first = shard_next(core, NULL);
	if (first == NULL)
		return;
	shard = first;
	do {
		count += visit(core, shard);
		shard = shard_next(core, shard);
		if (shard == NULL)
			shard = shard_next(core, NULL);
	} while (shard != first && count < max);
	*next = shard->id;
}

void shard_need_mails(struct core *core, struct shard *shard)
{
	if (shard->mails != NULL)
		return;
	shard->mails = calloc(shard->count, sizeof(*shard->mails));
	if (shard->mails == NULL)
		abort();
	for (uint32_t i = 0; i < shard->count; i++)
		shard->mails[i].state = MAIL_READY;
	core->open_mails += shard->count;
}

struct attempt_key shard_key(const struct core *core, const struct shard *shard, uint32_t index)
{
	const struct mail *mail = shard->mails == NULL ? NULL : &shard->mails[index];

	if (mail == NULL || mail->attempt == 0)
		return (struct attempt_key){
		    .shard = shard->id, .index = index, .epoch = shard->epoch, .node = core->config.node};
	return (struct attempt_key){
	    .shard = shard->id,
	    .index = index,
	    .epoch = mail->epoch,
	    .node = mail->node->id,
	    .attempt = mail->attempt,
	};
}

struct shard_counts shard_count(const struct core *core, const struct shard *shard)
{
	struct shard_counts counts = {
	    .index = shard->index,
	    .duplicates = shard->duplicates,
	    .in_doubt_resent = shard->in_doubt_resent,
	    .epoch = shard->epoch,
	    .owner = shard->owning,
	    .finished = shard->phase == SHARD_FINISHED,
	    .last = shard->last,
	};

	(void)core;
	memcpy(counts.states, shard->states, sizeof(counts.states));
	return counts;
}

/* Mails that others claimed are in their Postfix, not in ours. */
static void leave_claimed(struct core *core, struct mail *mail)
{
	if (mail->node != core->self)
		return;
	core->in_flight--;
	if ((mail->flags & MAIL_UNCERTAIN) != 0)
		core->uncertain--;
	mail->flags &= (uint8_t) ~(MAIL_CLAIM_WRITING | MAIL_FEEDING | MAIL_UNCERTAIN);
	if (mail->domain != NULL)
		domain_settled(core, mail->domain);
}

void shard_move(struct core *core, struct shard *shard, uint32_t index, enum mail_state to)
{
	struct mail *mail = &shard->mails[index];
	enum mail_state from = (enum mail_state)mail->state;

	if (!mail_move_allowed(from, to))
		opt_abort("core: a mail was about to make a forbidden move");
	if (from == MAIL_CLAIMED && mail->node == core->self && !shard->journal_loading)
		core->settled += to != MAIL_READY && to != MAIL_IN_DOUBT;
	if (from == MAIL_CLAIMED)
		leave_claimed(core, mail);
	if (to == MAIL_SENT && core->recovered && !shard->journal_loading && mail->node == core->self)
		core->sent++;
	if (to == MAIL_CLAIMED && mail->node == core->self) {
		core->in_flight++;
		if (mail->domain != NULL)
			domain_claimed(core, mail->domain);
	}
	if (mail_state_final(to) && !mail_state_final(from))
		core->open_mails--;
	mail->state = (uint8_t)to;
	shard->states[from]--;
	shard->states[to]++;
	shard->batch->states[from]--;
	shard->batch->states[to]++;
}

/* Claims are ordered by their epoch, then by their attempt: what an owner knew when it took over goes before.
 */
static bool claim_newer(const struct mail *mail, uint32_t epoch, uint32_t attempt)
{
	return epoch != mail->epoch ? epoch > mail->epoch : attempt > mail->attempt;
}

void shard_take_claim(struct core *core, struct shard *shard, const struct claim *claim, uint32_t epoch,
    struct peer *node, uint64_t generation, struct utc_time at)
{
	struct mail *mail = &shard->mails[claim->index];

	if ((claim->flags & CLAIM_AFTER_DOUBT) != 0)
		tally_resent(shard, claim->index, epoch, claim->attempt, false);
	if (mail->first_try == 0 || utc_seconds(at) < mail->first_try)
		mail->first_try = utc_seconds(at);
	if (!claim_newer(mail, epoch, claim->attempt))
		return;
	if (mail->state == MAIL_IN_DOUBT || mail->state == MAIL_CLAIMED)
		shard_move(core, shard, claim->index, MAIL_READY);
	mail->attempt = claim->attempt;
	mail->epoch = epoch;
	mail->node = node;
	mail->generation = generation;
	mail->flags &= (uint8_t)~MAIL_AFTER_DOUBT;
	if (mail->state == MAIL_READY || mail->state == MAIL_RETRY)
		shard_move(core, shard, claim->index, MAIL_CLAIMED);
}

/*
 * When a deferred mail is tried again: Postfix's rule, the time since its first attempt within two bounds.
 * The fact has it in UTC; what is left of it is waited for in boot time, so that clocks may be set meanwhile.
 * A fact from the future is one of a clock that is, or was, ahead: it counts as one of now.
 */
static uint32_t retry_time(
    const struct core *core, const struct shard *shard, const struct mail *mail, struct utc_time at)
{
	uint64_t first = (uint64_t)mail->first_try * USEC_PER_SEC;
	const uint64_t since = at.us < core->utc.us ? at.us : core->utc.us;
	usec wait = since > first ? since - first : 0;
	uint64_t due, left;

	if (wait > core->config.max_backoff)
		wait = core->config.max_backoff;
	if (wait < core->config.min_backoff)
		wait = core->config.min_backoff;
	due = since + wait;
	/* Where the clock is known to be wrong nothing expires then: it would be tried all the time. */
	if (due > shard->batch->record.expires.us && !cluster_clock_wrong(core))
		due = shard->batch->record.expires.us;
	left = due > core->utc.us ? due - core->utc.us : 0;
	return (uint32_t)((core->now.us + left + USEC_PER_SEC - 1) / USEC_PER_SEC);
}

/* An outcome that is not final, of the latest attempt. */
static void take_open_outcome(struct core *core, struct shard *shard, const struct outcome *outcome)
{
	uint32_t index = outcome->key.index;
	struct mail *mail = &shard->mails[index];

	if (mail->state != MAIL_CLAIMED && mail->state != MAIL_IN_DOUBT)
		return;
	switch (outcome->kind) {
	case OUTCOME_DEFERRED:
		mail->due = retry_time(core, shard, mail, outcome->at);
		shard_move(core, shard, index, MAIL_RETRY);
		return;
	case OUTCOME_RETURNED:
		/* It is as it was before the claim. */
		if (tally_is_resent(shard, index, mail->epoch, mail->attempt))
			mail->flags |= MAIL_AFTER_DOUBT;
		shard_move(core, shard, index, MAIL_READY);
		return;
	default: /* OUTCOME_IN_DOUBT */
		if (mail->state == MAIL_CLAIMED)
			shard_move(core, shard, index, MAIL_IN_DOUBT);
	}
}

void shard_take_outcome(struct core *core, struct shard *shard, const struct outcome *outcome)
{
	const struct attempt_key *key = &outcome->key;
	struct mail *mail = &shard->mails[key->index];
	enum mail_state merged;

	if (core->config.broken_rule == CORE_BUG_LATE_OUTCOME_IGNORED && key->attempt < mail->attempt)
		return;
	/* A word about the mail itself, before any attempt, has attempt 0 and implies nothing. */
	if (key->attempt > 0 && claim_newer(mail, key->epoch, key->attempt)) {
		const struct claim implied = {
		    .index = key->index, .attempt = key->attempt, .flags = outcome->claim_flags};
		const bool doubted = mail->state == MAIL_IN_DOUBT || (mail->flags & MAIL_AFTER_DOUBT) != 0;

		shard_take_claim(
		    core, shard, &implied, key->epoch, peer_of(core, &key->node), 0, outcome->at);
		/* Nobody may ever know that this claim told of the doubt, so the next one does. */
		if (doubted && (outcome->claim_flags & CLAIM_AFTER_DOUBT) == 0)
			mail->flags |= MAIL_AFTER_DOUBT;
	}
	if ((outcome->claim_flags & CLAIM_AFTER_DOUBT) != 0)
		tally_resent(shard, key->index, key->epoch, key->attempt, outcome->kind == OUTCOME_RETURNED);
	if (!outcome_final(outcome->kind)) {
		if (key->attempt == mail->attempt && key->epoch == mail->epoch)
			take_open_outcome(core, shard, outcome);
		return;
	}
	if (outcome->at.us > shard->last.us)
		shard->last = outcome->at;
	if (outcome->kind == OUTCOME_SENT)
		tally_sent(shard, key);
	merged = outcome_merge((enum mail_state)mail->state, outcome->kind);
	if (merged != (enum mail_state)mail->state)
		shard_move(core, shard, key->index, merged);
}

static void end_unknown(struct core *core, struct shard *shard, uint32_t index)
{
	fact_add_own(core, shard, index, OUTCOME_UNKNOWN, "4.0.0",
	    "delivery was interrupted; it is not known whether the mail was sent");
}

void shard_end_mail(struct core *core, struct shard *shard, uint32_t index, enum outcome_kind kind)
{
	if ((shard->mails[index].flags & MAIL_AFTER_DOUBT) != 0)
		end_unknown(core, shard, index);
	else if (kind == OUTCOME_EXPIRED)
		fact_add_own(core, shard, index, kind, "4.4.7", "the mail's time was over");
	else
		fact_add_own(core, shard, index, kind, "", "");
}

bool shard_claimable(const struct shard *shard)
{
	return !shard->cut_off && !shard->resting;
}

static void settle_mail(struct core *core, struct shard *shard, uint32_t index)
{
	struct mail *mail = &shard->mails[index];

	if (!shard->owning)
		return; /* its owner decides */
	if (mail->state == MAIL_IN_DOUBT) {
		if (!core->config.resend_in_doubt) {
			end_unknown(core, shard, index);
			return;
		}
		mail->flags |= MAIL_AFTER_DOUBT;
		shard_move(core, shard, index, MAIL_READY);
	}
	if (control_cancelled(shard->batch) && (mail->state == MAIL_READY || mail->state == MAIL_RETRY)) {
		shard_end_mail(core, shard, index, OUTCOME_CANCELLED);
		return;
	}
	if (mail->state == MAIL_READY && batch_is_over(core, shard->batch)) {
		shard_end_mail(core, shard, index, OUTCOME_EXPIRED);
		return;
	}
	/* Somebody has said the last attempt that the others take: there can be no claim of another one. */
	if (mail->state == MAIL_READY && mail->attempt >= PEER_NUMBER_MAX) {
		end_unknown(core, shard, index);
		return;
	}
	if (mail->state == MAIL_READY && shard->phase == SHARD_OPEN && shard_claimable(shard))
		lane_push(core, shard, index);
}

/* Arms the timer for the earliest mail in RETRY. */
static void arm_retry(struct core *core, struct shard *shard)
{
	uint32_t earliest = UINT32_MAX;

	if (shard->mails == NULL || shard->states[MAIL_RETRY] == 0 || !shard->owning ||
	    core->config.broken_rule == CORE_BUG_RETRY_FORGOTTEN) {
		timer_disarm(&core->boot_timers, &shard->retry);
		return;
	}
	for (uint32_t i = 0; i < shard->count; i++) {
		if (shard->mails[i].state == MAIL_RETRY && shard->mails[i].due < earliest)
			earliest = shard->mails[i].due;
	}
	if (!shard->retry.armed || shard->retry.due != (uint64_t)earliest * USEC_PER_SEC)
		timer_arm(&core->boot_timers, &shard->retry, (uint64_t)earliest * USEC_PER_SEC);
}

bool shard_open_mails_left(const struct shard *shard)
{
	return open_mails(shard) > 0;
}

static void finish(struct core *core, struct shard *shard)
{
	struct effect *effect;

	timer_disarm(&core->boot_timers, &shard->retry);
	free_mails(core, shard);
	tally_free(shard);
	shard->phase = SHARD_FINISHED;
	core->owned_shards -= shard->owning;
	/* What a takeover has found, and was about to tell the others. */
	if (shard->takeover != NULL)
		replica_behind_others(core, shard);
	takeover_cancel(core, shard);
	timer_disarm(&core->boot_timers, &shard->takeover_timer);
	doubt_end(core, shard);
	effect = effects_add(core->effects, EFFECT_STORE_SQUASH);
	effect->id = shard->id;
	effect->token = core->next_token++;
	batch_shard_finished(core, shard->batch);
	catchup_finished(core, shard);
}

void shard_try_finish(struct core *core, struct shard *shard)
{
	if (shard->mine && !shard->journal_loading && shard->phase != SHARD_FINISHED &&
	    shard->phase != SHARD_LOADING && !shard_open_mails_left(shard) && TAILQ_EMPTY(&shard->facts) &&
	    TAILQ_EMPTY(&shard->early) && shard->writes == 0)
		finish(core, shard);
}

static bool settles(const struct shard *shard)
{
	return shard->mine && !shard->journal_loading && shard->phase != SHARD_FINISHED &&
	       shard->batch->started;
}

void shard_settle(struct core *core, struct shard *shard)
{
	if (!settles(shard))
		return;
	/* What others owned, or was not read yet, when its time ended here. */
	if (shard->owning && shard->states[MAIL_READY] > 0 && batch_is_over(core, shard->batch))
		shard_need_mails(core, shard);
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++)
		settle_mail(core, shard, i);
	arm_retry(core, shard);
	if (shard->owning && shard->phase == SHARD_CLOSED && shard->states[MAIL_READY] > 0)
		batch_want_open(shard->batch, shard);
	shard_try_finish(core, shard);
}

void shard_settle_one(struct core *core, struct shard *shard, uint32_t index)
{
	const struct mail *mail = &shard->mails[index];

	if (!settles(shard))
		return;
	settle_mail(core, shard, index);
	if (mail->state == MAIL_RETRY && shard->owning &&
	    (!shard->retry.armed || (uint64_t)mail->due * USEC_PER_SEC < shard->retry.due))
		arm_retry(core, shard);
	if (mail->state == MAIL_READY && shard->owning && shard->phase == SHARD_CLOSED)
		batch_want_open(shard->batch, shard);
	shard_try_finish(core, shard);
}

void shard_retry_due(struct core *core, struct shard *shard)
{
	if (!shard->owning)
		return;
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
		struct mail *mail = &shard->mails[i];

		if (mail->state == MAIL_RETRY && (uint64_t)mail->due * USEC_PER_SEC <= core->now.us)
			shard_move(core, shard, i, MAIL_READY);
	}
	shard_settle(core, shard);
}

void shard_expire(struct core *core, struct shard *shard)
{
	if (shard->journal_loading || shard->phase == SHARD_FINISHED || !shard->owning)
		return;
	shard_need_mails(core, shard);
	for (uint32_t i = 0; i < shard->count; i++) {
		if (shard->mails[i].state == MAIL_READY || shard->mails[i].state == MAIL_RETRY)
			shard_end_mail(core, shard, i, OUTCOME_EXPIRED);
	}
	shard_settle(core, shard);
}

bool shard_has_mail_of(const struct shard *shard, const struct peer *peer)
{
	if (shard->states[MAIL_CLAIMED] == 0 || shard->mails == NULL)
		return false;
	for (uint32_t i = 0; i < shard->count; i++) {
		if (shard->mails[i].state == MAIL_CLAIMED && shard->mails[i].node == peer)
			return true;
	}
	return false;
}

void shard_cancel(struct core *core, struct shard *shard)
{
	if (!shard->owning)
		return;
	shard_need_mails(core, shard);
	shard_settle(core, shard);
}

/* What this node had claimed is still in its Postfix, and reported from there. */
static void leave_own_claims(struct core *core, struct shard *shard)
{
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
		if (shard->mails[i].state == MAIL_CLAIMED)
			leave_claimed(core, &shard->mails[i]);
	}
}

/*
 * The members wait for this node's word on what it had claimed. Of what is in its live Postfix they will
 * hear; of the rest nobody would ever speak, for what left is not looked at when the spool is settled.
 */
static void settle_own_claims(struct core *core, struct shard *shard)
{
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
		const struct mail *mail = &shard->mails[i];

		if (mail->state != MAIL_CLAIMED || mail->node != core->self)
			continue;
		if ((mail->flags & MAIL_CLAIM_WRITING) != 0)
			fact_add_own(core, shard, i, OUTCOME_RETURNED, "", "");
		else if ((core->engine != ENGINE_UP && core->engine != ENGINE_STOPPING) ||
		         mail->generation != core->generation || (mail->flags & MAIL_UNCERTAIN) != 0)
			fact_add_doubt(core, shard, i, "its node was replaced when it was away", NULL);
	}
}

void shard_leave(struct core *core, struct shard *shard)
{
	settle_own_claims(core, shard);
	left_begin(core, shard);
	if (shard->phase == SHARD_LOADING)
		shard->batch->loading--;
	timer_disarm(&core->boot_timers, &shard->retry);
	timer_disarm(&core->boot_timers, &shard->takeover_timer);
	shard->mine = shard->value_here = false;
	if (shard->phase != SHARD_FINISHED)
		shard->phase = SHARD_CLOSED;
	shard_reset(core, shard);
	batch_shard_finished(core, shard->batch);
}

void shard_become_mine(struct core *core, struct shard *shard)
{
	shard->mine = true;
	shard->synced = false;
	shard->newcomer = core->recovered;
	shard->phase = SHARD_FINISHED; /* so that it is counted as one that is opened again */
	batch_reload(core, shard);
	left_end(core, shard);
}

void shard_remember(const struct core *core, struct shard *shard)
{
	/* One that has just become this node's, or was not wholly read the last time, has no counts to go by.
	 */
	if (shard->before != NULL || shard_open_mails_left(shard))
		return;
	shard->before = malloc(sizeof(*shard->before));
	if (shard->before == NULL)
		abort();
	*shard->before = shard_count(core, shard);
	shard->batch->rereading++;
}

void shard_forget_before(struct shard *shard)
{
	shard->batch->rereading -= shard->before != NULL;
	free(shard->before);
	shard->before = NULL;
}

void shard_reset(struct core *core, struct shard *shard)
{
	struct batch *batch = shard->batch;

	leave_own_claims(core, shard);
	free_mails(core, shard);
	for (int state = 0; state < MAIL_STATES; state++) {
		batch->states[state] -= shard->states[state];
		shard->states[state] = 0;
	}
	tally_reset(shard);
	shard->last.us = 0;
	if (shard->mine) {
		shard->states[MAIL_READY] = (uint16_t)shard->count;
		batch->states[MAIL_READY] += shard->count;
	}
	if (shard->phase == SHARD_FINISHED) {
		core->owned_shards += shard->owning;
		batch_shard_reopened(core, batch);
	}
	shard->phase = SHARD_CLOSED;
}
