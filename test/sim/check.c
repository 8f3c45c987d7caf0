/* SPDX-License-Identifier: MIT */
/*
 * Checks of single moments, against the truth. What was promised is checked when it is promised; what must be
 * so in the end is in check_end.c; what must hold before Postfix gets a mail is in check_feed.c.
 */
#include "test/sim/check.h"

#include "test/sim/store_write.h"
#include "test/sim/world.h"

/* The others may leave 1,000 with a node whose store is away (queue/requests.c); its own ones come on top. */
enum { WRITES_MAX = 1200 };

/* How often core_check() walks everything: rarer in larger worlds, so that a seed stays fast. */
static uint64_t full_check_every(const struct world *w)
{
	return 1 + w->truth.mails / 16;
}

static void check_counts(struct world *w, const struct batch_view *view)
{
	uint64_t sum = 0;

	for (int i = 0; i < MAIL_STATES; i++)
		sum += view->states[i];
	if (w->node_count == 1 ? sum != view->total : sum > view->total)
		world_fail(w, "the states of %s add up to %llu, not to %llu", view->name,
		    (unsigned long long)sum, (unsigned long long)view->total);
}

/* A command whose answer was OK stands, whatever died since. */
static void check_stands(struct node *node, const struct sim_batch *batch, const struct batch_view *view)
{
	const struct commanded *control = &batch->control;

	if (control->stands == CONTROL_CANCELLED && view->state != BATCH_CANCELLED)
		world_fail(node->world, "I6: %s was cancelled and is called %s", batch->name,
		    batch_state_name(view->state));
	if (!control->cancel_asked && view->state == BATCH_CANCELLED)
		world_fail(node->world, "I6: %s is called cancelled, and nobody did", batch->name);
	if (control->stands == CONTROL_PAUSED && !control->waiting && !control->unknown &&
	    view->state != BATCH_PAUSED && view->state != BATCH_DONE)
		world_fail(node->world, "I6: %s was paused and is called %s", batch->name,
		    batch_state_name(view->state));
}

/* Once the start is over every accepted batch is shown. */
static void check_shown(struct node *node)
{
	struct world *w = node->world;
	struct batch_view view;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted == NULL ||
		    (w->node_count == 1 ? !batch->told_accepted
		                        : idmap_get(&node->store.answered, &batch->key, NULL) == NULL))
			continue;
		if (core_batch(node->core, batch->name, &view) != 0 ||
		    (view.state == BATCH_UPLOADING && w->node_count == 1))
			world_fail(w, "I1: the accepted batch %s vanished", batch->name);
		else if (view.state == BATCH_UPLOADING)
			continue; /* the record is stored, and the answer under way */
		else if (view.total != batch->accepted->total)
			world_fail(w, "I1: %s has another number of mails than was accepted", batch->name);
		if (w->node_count == 1)
			check_stands(node, batch, &view);
	}
}

void check_step(struct node *node)
{
	struct world *w = node->world;
	struct core_numbers numbers = core_numbers(node->core);
	const struct opt_id *after = NULL;
	struct opt_id key;
	struct batch_view view;
	const char *broken;

	/* After a crash, mails whose outcome was not durable count again, beside their successors. */
	if (node->life == 0 && numbers.in_flight > node->config.window)
		world_fail(w, "the core has %u mails in flight, the window is %u",
		    (unsigned)numbers.in_flight, (unsigned)w->plan.config.window);
	if (numbers.writes > WRITES_MAX)
		world_fail(w, "%s remembers %llu writes", node->name, (unsigned long long)numbers.writes);
	while (core_batch_next(node->core, after, &view) == 0) {
		check_counts(w, &view);
		key = view.key;
		after = &key;
	}
	if (numbers.recovered && (!node->was_recovered || w->steps % 64 == 0))
		check_shown(node);
	node->was_recovered = numbers.recovered;
	if (w->steps % full_check_every(w) != 0)
		return;
	w->checks++;
	broken = core_check(node->core);
	if (broken != NULL)
		world_fail(w, "core_check: %s", broken);
}

void check_delivery(struct world *w, const struct attempt *attempt)
{
	const struct mail *mail = attempt->mail;
	uint32_t lost = 0, resent = 0;

	for (const struct attempt *a = mail->attempts; a != NULL; a = a->next) {
		lost += a->lost_dots;
		resent += (a->flags & (CLAIM_AFTER_DOUBT | CLAIM_ALONE)) != 0;
	}
	if (mail->copies > 1 + resent + lost)
		world_fail(w, "I3: %s/%u.%u was delivered %u times, resent after doubt %u times",
		    mail->batch->name, (unsigned)mail->shard->index, (unsigned)mail->index,
		    (unsigned)mail->copies, (unsigned)resent);
}

bool check_disturbed(const struct world *w)
{
	static const enum fault parting[] = {FAULT_DAEMON, FAULT_POWER, FAULT_ZOMBIE, FAULT_DEATH,
	    FAULT_PAUSE, FAULT_CUT, FAULT_FLAP, FAULT_LEAVE, FAULT_LOSS, FAULT_REDIS, FAULT_SLOW,
	    FAULT_POSTFIX, FAULT_DRIFT, FAULT_STORE_ERROR, FAULT_LOAD_ERROR, FAULT_COMMAND, FAULT_AWAY};

	for (size_t i = 0; i < sizeof(parting) / sizeof(parting[0]); i++) {
		if (plan_has(&w->plan, parting[i]))
			return true;
	}
	return false;
}

void check_epoch(struct node *node, const struct opt_id *shard_id, uint32_t epoch, const struct node *owner)
{
	struct world *w = node->world;
	struct sim_shard *shard = idmap_get(&w->truth.shards, shard_id, NULL);
	struct sim_epoch *found;

	if (shard == NULL)
		return; /* said elsewhere */
	found = truth_epoch(&w->truth, shard, epoch);
	if (found->owner == UINT32_MAX)
		found->owner = owner->index;
	else if (found->owner != owner->index)
		world_fail(w, "I2: %s and %s both own %s/%u in epoch %u", w->nodes[found->owner].name,
		    owner->name, shard->batch->name, (unsigned)shard->index, (unsigned)epoch);
}

static bool was_refused(const struct attempt *attempt)
{
	return attempt->mail->refused && attempt->fed > 0;
}

/* The last durable word on the attempt is that nobody knows. */
static bool in_doubt(const struct attempt *attempt)
{
	const uint32_t settled = 1U << OUTCOME_DEFERRED | 1U << OUTCOME_RETURNED;

	return (attempt->facts & 1U << OUTCOME_IN_DOUBT) != 0 && (attempt->facts & settled) == 0;
}

/* The latest time that a node that runs has seen. */
uint64_t check_any_utc(const struct world *w)
{
	uint64_t latest = 0;

	for (uint32_t i = 0; i < w->node_count; i++) {
		if (w->nodes[i].utc_max.us > latest)
			latest = w->nodes[i].utc_max.us;
	}
	return latest;
}

/* Whether a clock may have said that the batch's time is over. What a node that died was writing it thought
 * by its own. */
static bool may_be_over(const struct node *node, const struct sim_batch *batch)
{
	return check_any_utc(node->world) >= batch->expires.us || node->core == NULL;
}

/* NULL when the fact is true. */
static const char *untrue(const struct node *node, const struct attempt *attempt, enum outcome_kind kind)
{
	const struct sim_batch *batch = attempt->mail->batch;
	const struct world *w = node->world;
	const struct node *owner = world_node(w, &attempt->key.node);

	switch (kind) {
	case OUTCOME_SENT:
		return attempt->accepted > 0 ? NULL : "I7: a mail is called sent that no server has";
	case OUTCOME_BOUNCED:
		return attempt->did & 1U << OUTCOME_BOUNCED || was_refused(attempt)
		           ? NULL
		           : "I7: a mail is called bounced that nobody refused";
	case OUTCOME_DEFERRED:
		return attempt->did & 1U << OUTCOME_DEFERRED ? NULL
		                                             : "I7: a mail is called deferred that was not";
	case OUTCOME_RETURNED:
		if (attempt->accepted > 0)
			return "I3: a mail is called never tried, but a server has it";
		if (attempt->place == PLACE_SPOOL && owner->engine.alive && !attempt->file->reported)
			return "I3: a mail is called never tried while Postfix has it";
		return NULL;
	case OUTCOME_IN_DOUBT:
		return attempt->causes != 0 || attempt->life != owner->life ||
		               (w->node_count > 1 && check_disturbed(w))
		           ? NULL
		           : "I3: a mail is called in doubt for no reason";
	case OUTCOME_UNKNOWN:
		return node->world->plan.config.resend_in_doubt && !batch->control.cancel_asked &&
		               !may_be_over(node, batch)
		           ? "I1: a mail ends unknown although it may be resent"
		           : NULL;
	case OUTCOME_EXPIRED:
		return may_be_over(node, batch) ? NULL : "I1: a mail is called expired before its time";
	case OUTCOME_CANCELLED:
		if (!batch->control.cancel_asked)
			return "I6: a mail is called cancelled that nobody did";
		return in_doubt(attempt) ? "I6: a mail in doubt is called cancelled" : NULL;
	case OUTCOME_SUPPRESSED:
	case OUTCOME_KINDS:
		break;
	}
	return "I1: a fact of a kind that nobody asked for";
}

void check_fact(struct node *node, const struct attempt *attempt, enum outcome_kind kind)
{
	const char *wrong = untrue(node, attempt, kind);
	const struct mail *mail = attempt->mail;

	if (wrong != NULL)
		world_fail(node->world, "%s: %s/%u.%u attempt %u", wrong, mail->batch->name,
		    (unsigned)mail->shard->index, (unsigned)mail->index, (unsigned)attempt->key.attempt);
}

static uint32_t shards_of(const struct sim_batch *batch, uint32_t node)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < batch->accepted->shard_count; i++)
		count += truth_member(&batch->shards[i], node);
	return count;
}

void check_finished(struct node *node, struct sim_batch *batch, const struct journal_entry *entry)
{
	if (batch->accepted == NULL) {
		world_fail(node->world, "I1: %s is called finished, and was never accepted", batch->name);
		return;
	}
	for (size_t i = 0; i < entry->count; i++) {
		const struct shard_counts *counts = &entry->shards[i];
		uint64_t sum = 0;

		for (int s = MAIL_SENT; s < MAIL_STATES; s++)
			sum += counts->states[s];
		if (counts->index >= batch->accepted->shard_count ||
		    sum != batch->shards[counts->index].count)
			world_fail(node->world,
			    "I1: %s/%u is called finished with %llu mails in a final state", batch->name,
			    (unsigned)counts->index, (unsigned long long)sum);
	}
	/* A node that does not know yet that it is a member of more, or of fewer, is right all the same. */
	if (entry->count > 0 && entry->count != shards_of(batch, node->index) &&
	    !truth_members_changed(batch))
		world_fail(node->world, "I1: %s is called finished by %s, with another number of shards",
		    batch->name, node->name);
}

void check_outcome_answer(struct node *node, const struct reply *reply)
{
	if (reply->kind != REPLY_OUTCOME || reply->attempt == NULL)
		return;
	if (!(truth_facts_of(reply->attempt, node->index) & 1U << reply->outcome))
		world_fail(node->world,
		    "an outcome was answered that is not durable: %s of %s/%u.%u attempt %u",
		    outcome_kind_name(reply->outcome), reply->attempt->mail->batch->name,
		    (unsigned)reply->attempt->mail->shard->index, (unsigned)reply->attempt->mail->index,
		    (unsigned)reply->attempt->key.attempt);
}

void check_upload_answer(
    struct node *node, const struct sim_batch *batch, struct content *content, enum upload_answer answer)
{
	struct world *w = node->world;
	const char *missing;

	if (answer == UPLOAD_ACCEPTED || answer == UPLOAD_SAME) {
		missing = store_whole(w, batch);
		if (missing == NULL)
			missing = store_recorded(node, batch);
		if (missing != NULL)
			world_fail(
			    w, "I1: %s is called accepted, but %s is not durable", batch->name, missing);
		else if (batch->accepted != content)
			world_fail(w, "I1: %s is called accepted, but with other content", batch->name);
	}
	if (answer == UPLOAD_CONFLICT && w->node_count > 1)
		content->told_conflict = true; /* the record may be on its way yet */
	else if (answer == UPLOAD_CONFLICT && (batch->accepted == NULL || batch->accepted == content))
		world_fail(w, "I1: %s is called a conflict, but there is no other content", batch->name);
}
