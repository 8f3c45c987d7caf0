/* SPDX-License-Identifier: MIT */
/*
 * What must hold at the moment when mails are handed to Postfix: the batch is accepted, the claim is durable,
 * it is time, there is room, and every earlier attempt is over or was declared doubtful with reason.
 */
#include "test/sim/check.h"

#include "test/sim/pickup.h"
#include "test/sim/world.h"

static void fail(struct world *w, const char *what, const struct attempt *attempt)
{
	world_fail(w, "%s: %s/%u.%u attempt %u", what, attempt->mail->batch->name,
	    (unsigned)attempt->mail->shard->index, (unsigned)attempt->mail->index,
	    (unsigned)attempt->key.attempt);
}

static bool in_live_spool(const struct node *node, const struct attempt *attempt)
{
	if (attempt->place == PLACE_PICKUP)
		return true;
	/* A file that was put aside is removed when its doubt is durable, which may be a moment later. */
	return attempt->place == PLACE_SPOOL && node->engine.alive && attempt->file->report != REPORT_LEFT &&
	       attempt->file->place != SPOOL_ASIDE;
}

/* In the order of claims. */
static bool later(const struct attempt *a, const struct attempt *b)
{
	return a->key.epoch != b->key.epoch ? a->key.epoch > b->key.epoch : a->key.attempt > b->key.attempt;
}

/* Whether doubt was declared between the attempt and now. */
static bool doubt_declared(const struct attempt *attempt, const struct attempt *now)
{
	for (const struct attempt *a = attempt->mail->attempts; a != NULL; a = a->next) {
		if (later(a, attempt) && !later(a, now) && (a->flags & CLAIM_AFTER_DOUBT) != 0)
			return true;
	}
	return false;
}

static bool too_early(const struct node *node, const struct attempt *earlier)
{
	usec backoff = node->config.min_backoff;
	usec second = USEC_PER_SEC; /* deadlines are kept in seconds */
	uint64_t waited = node_boot_time(node).us + second;
	uint64_t due = earlier->deferred_utc.us + backoff;

	/* What is left of it, to the end of its batch at most, goes by the UTC of whoever heard of it, and
	 * then by boot time. */
	if (due > earlier->mail->batch->expires.us)
		due = earlier->mail->batch->expires.us;
	if (!(earlier->told & 1U << OUTCOME_DEFERRED) || node->world->node_count > 1)
		return false;
	if (waited + node->utc_ahead >= due)
		return false;
	if (earlier->deferred_booted == node->booted)
		waited -= earlier->deferred_boot.us;
	return waited < backoff;
}

/* Its node has claimed the mail again and did not call that a doubt: it knew how this one had ended. */
static bool followed(const struct attempt *earlier, const struct attempt *now)
{
	const struct attempt *later = now;

	while (later->next != earlier)
		later = later->next;
	return later != now && id_equal(&later->key.node, &earlier->key.node) &&
	       (later->flags & CLAIM_AFTER_DOUBT) == 0;
}

/* An attempt of another node. What that node knows, a majority knows, or the new owner had to doubt it. */
static void check_foreign(struct node *node, const struct attempt *earlier, const struct attempt *now)
{
	const uint32_t settled = 1U << OUTCOME_DEFERRED | 1U << OUTCOME_RETURNED | 1U << OUTCOME_IN_DOUBT;
	struct world *w = node->world;
	const struct sim_epoch *epoch = truth_epoch(&w->truth, now->mail->shard, now->key.epoch);

	/* Rule 7: what was done without a majority may be known to nobody who is left. */
	if (((earlier->flags | now->flags) & CLAIM_ALONE) != 0)
		return;
	if (earlier->settled != 0 && earlier->settled < epoch->promised)
		fail(w, "I3: a mail is fed again although a majority has its outcome", now);
	else if (earlier->place != PLACE_NOWHERE && (earlier->facts & settled) == 0 &&
	         !doubt_declared(earlier, now) && !followed(earlier, now))
		fail(w, "I3: a mail is fed that another node was given, and nobody calls it doubt", now);
}

/* Looks at one earlier attempt. */
static void check_earlier(struct node *node, const struct attempt *earlier, const struct attempt *now)
{
	struct world *w = node->world;

	if (earlier->fed == 0)
		return;
	if (!id_equal(&earlier->key.node, &node->id)) {
		check_foreign(node, earlier, now);
		return;
	}
	if (truth_settled(earlier)) {
		if (earlier->told & (1U << OUTCOME_SENT | 1U << OUTCOME_BOUNCED) || earlier->refused)
			fail(w, "I3: a mail is fed again that has its outcome", now);
		else if (earlier == now->next && !(now->flags & CLAIM_AFTER_DOUBT) &&
		         too_early(node, earlier))
			fail(w, "a mail is tried again before its backoff is over", now);
		return;
	}
	/* Another owner may have doubted it while this node could not be heard. */
	if (in_live_spool(node, earlier) && (w->node_count == 1 || !doubt_declared(earlier, now)))
		fail(w, "I3: a mail is fed while an earlier attempt is in Postfix", now);
	else if (earlier->place == PLACE_GONE && earlier->causes == 0 && earlier->life == node->life)
		fail(w, "I3: a mail is fed again for no reason", now);
	/* That it was deferred the others had stored, when this node could not; it has it from them. */
	else if (earlier->accepted > 0 && !doubt_declared(earlier, now) &&
	         (truth_facts_of(earlier, node->index) & 1U << OUTCOME_DEFERRED) == 0)
		fail(w, "I3: a delivered mail is fed again and nobody calls it doubt", now);
}

static void check_mail(struct node *node, const struct attempt *attempt)
{
	struct world *w = node->world;
	const struct sim_batch *batch = attempt->mail->batch;

	if (!truth_claim_safe(attempt) && !(attempt->flags & CLAIM_ALONE))
		fail(w, "I2: a mail is fed without a durable claim", attempt);
	if (w->node_count > 1)
		check_held(node, attempt);
	if (node->utc_max.us < batch->accepted->settings.start.us)
		fail(w, "a mail is fed before its start", attempt);
	/* A clock that most others contradict expires nothing (rule 9), nor does one that none could be
	 * compared with since the start. */
	if (attempt->claimed_at.us > batch->expires.us &&
	    (w->node_count == 1 || !(plan_has(&w->plan, FAULT_CLOCK) || plan_has(&w->plan, FAULT_DRIFT) ||
	                               plan_has(&w->plan, FAULT_AWAY))))
		fail(w, "a mail is claimed and fed after it expired", attempt);
	if (attempt->fed > 0 && !attempt->not_now)
		fail(w, "I2: a mail is fed twice under one claim", attempt);
	if (attempt->fed > 0 && in_live_spool(node, attempt))
		fail(w, "I3: a mail is fed while it is in Postfix", attempt);
	for (const struct attempt *a = attempt->next; a != NULL && !w->failed; a = a->next)
		check_earlier(node, a, attempt);
}

static void check_batch(struct node *node, const struct effect *effect, const struct sim_shard *shard)
{
	struct world *w = node->world;

	if (shard == NULL) {
		world_fail(w, "I4: mails of a shard are fed that was never accepted");
		return;
	}
	if (!id_equal(&shard->batch->key, &effect->batch) ||
	    !id_equal(&shard->batch->upload, &effect->upload))
		world_fail(w, "I4: mails of %s are fed from another upload", shard->batch->name);
	if (w->node_count == 1)
		check_commanded(node, shard->batch);
	if (idmap_get(&node->store.shards, &effect->id, &effect->upload) == NULL)
		world_fail(
		    w, "I4: mails of %s are fed, but the shard is not in the store", shard->batch->name);
	if (idmap_get(&node->store.templates, &effect->upload, NULL) == NULL)
		world_fail(
		    w, "I4: mails of %s are fed, but the template is not in the store", shard->batch->name);
}

static uint32_t in_pickups(const struct sim_engine *engine)
{
	uint32_t count = 0;

	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++)
		count += pickup_waiting(&engine->pickups[i]);
	return count;
}

void check_feed(struct node *node, const struct effect *effect)
{
	struct world *w = node->world;
	const struct sim_shard *shard = idmap_get(&w->truth.shards, &effect->id, NULL);
	uint64_t inside = engine_in_flight(&node->engine) + in_pickups(&node->engine) + effect->mail_count;

	check_batch(node, effect, shard);
	if (inside > node->config.window)
		world_fail(w, "the window of %u is exceeded: %llu mails", (unsigned)node->config.window,
		    (unsigned long long)inside);
	for (size_t i = 0; i < effect->mail_count && !w->failed; i++) {
		struct attempt_key key = {
		    effect->id, effect->mails[i].index, effect->epoch, node->id, effect->mails[i].attempt};
		struct attempt *attempt = truth_attempt(&w->truth, &key);

		if (attempt == NULL)
			world_fail(w, "I2: %s/%u.%u attempt %u is fed without a durable claim",
			    shard->batch->name, (unsigned)shard->index, (unsigned)key.index,
			    (unsigned)key.attempt);
		else
			check_mail(node, attempt);
		if (attempt != NULL)
			attempt->life = node->life;
	}
}
