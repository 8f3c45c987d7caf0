/* SPDX-License-Identifier: MIT */
/*
 * Every accepted mail ended in one reported state, and the report is the remote server's ledger (I1, I3, I7).
 *
 * Where a delivery went unheard (smtp(8) died with the mail accepted, the connection died after the final
 * dot) nobody can know it: such copies excuse a mail that is reported as something else, and nothing else
 * does.
 */
#include "test/sim/check_end.h"

#include <string.h>

#include "queue/describe.h"
#include "test/sim/check.h"
#include "test/sim/sim_client.h"
#include "test/sim/sim_control.h"
#include "test/sim/store_write.h"
#include "test/sim/stuck.h"
#include "test/sim/world.h"

static const usec DAY = 24 * 3600 * USEC_PER_SEC;

/* Mails for the dead destination end by expiring; all others after a few more tries. */
static uint64_t latest_utc(const struct world *w)
{
	uint64_t latest = node_utc(&w->nodes[0]).us;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;
		const struct batch_settings *settings = &batch->contents[0]->settings;
		uint64_t begin = settings->start.us > latest ? settings->start.us : latest;
		uint64_t end = begin + (settings->expire < DAY ? settings->expire + 10 * USEC_PER_SEC : 0);

		if (end > latest)
			latest = end;
	}
	return latest;
}

usec check_limit(const struct world *w)
{
	usec left = latest_utc(w) - node_utc(&w->nodes[0]).us;

	/* Clocks that jumped ahead may have put deadlines some hours away. */
	return w->now + left + DAY;
}

/* The node is a home, or a member of a shard. */
static bool concerns(const struct sim_batch *batch, uint32_t node)
{
	for (uint32_t i = 0; i < batch->home_count; i++) {
		if (batch->homes[i] == node)
			return true;
	}
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		if (truth_member(&batch->shards[i], node))
			return true;
	}
	return false;
}

static bool has_shard(const struct sim_batch *batch, uint32_t node)
{
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		if (truth_member(&batch->shards[i], node))
			return true;
	}
	return false;
}

static const char *batch_not_over(const struct node *node, const struct sim_batch *batch)
{
	struct batch_view view;

	if (core_batch(node->core, batch->name, &view) != 0 || view.state == BATCH_UPLOADING)
		return "an accepted batch is not shown";
	if (!has_shard(batch, node->index))
		return NULL;
	if (view.finished.us == 0)
		return "a batch is not done";
	/* When its time is over nobody needs to be told (queue/tell.c). */
	if (batch->control.stands == CONTROL_CANCELLED && view.state != BATCH_CANCELLED &&
	    !batch->control.late)
		return "a cancel is not known";
	if (idmap_get(&node->store.finished, &batch->key, NULL) == NULL)
		return "the end of a batch is not durable";
	return NULL;
}

/*
 * Something is staged in its store. Where that refused the record of a batch, or to close its upload once
 * more, what is staged of this batch waits for the next start.
 */
static bool left_over(const struct world *w, const struct node *node)
{
	const bool restarted = w->restarted && node->index < RESTARTS_MAX;

	for (size_t i = 0; i < node->store.uploads.count; i++) {
		const struct stored_upload *upload = node->store.uploads.items[i].value;
		const struct sim_batch *batch =
		    upload != NULL ? idmap_get(&w->truth.batches, &upload->batch, NULL) : NULL;
		const bool own = batch != NULL && batch->accepted != NULL &&
		                 id_equal(&batch->upload, &node->store.uploads.items[i].a);

		if (upload != NULL && (!own || restarted))
			return true;
	}
	return false;
}

static const char *not_over(struct world *w, const struct node *node)
{
	const char *why = NULL;

	if (node->dead)
		return NULL;
	if (!node_settled(node) || w->now < node->asleep_until)
		return "the node has not settled";
	if (clients_waiting(w) > 0)
		return "a client waits for an answer";
	for (size_t i = 0; i < w->truth.batches.count && why == NULL; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && concerns(batch, node->index))
			why = batch_not_over(node, batch);
	}
	if (why != NULL)
		return why;
	if (left_over(w, node))
		return "an upload is still staged";
	if (!engine_empty(&node->engine))
		return "the spool is not empty";
	if (!node->store.up)
		return "the store is away";
	if (node->store.first != NULL)
		return "the store is at work";
	if (w->pending > 0)
		return "a late report is under way";
	if (describe_spreading(node->core))
		return "replicas are not equal yet";
	if (sim_control_waiting(w))
		return "the operator waits for an answer";
	return core_numbers(node->core).in_flight > 0 ? "the core thinks that mails are in flight" : NULL;
}

bool check_all_over(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		if (not_over(w, &w->nodes[i]) != NULL)
			return false;
	}
	return true;
}

void check_stuck(struct world *w)
{
	stuck_trace(w);
	for (uint32_t n = 0; n < w->node_count; n++) {
		const char *why = not_over(w, &w->nodes[n]);

		if (why != NULL)
			world_fail(w, "liveness: long after the last fault %s (%s)", why, w->nodes[n].name);
	}
}

static void fail_mail(struct world *w, const struct mail *mail, const char *what)
{
	world_fail(w, "%s: %s/%u.%u is %s, %u copies", what, mail->batch->name, (unsigned)mail->shard->index,
	    (unsigned)mail->index, mail_state_name(truth_state(mail)), (unsigned)mail->copies);
}

/* Copies that nobody could hear of, and copies that somebody's answered word vouches for. */
static void check_ledger(struct world *w, const struct mail *mail)
{
	enum mail_state state = truth_state(mail);
	uint32_t unheard = 0;

	for (const struct attempt *a = mail->attempts; a != NULL; a = a->next) {
		if (a->accepted > 0 && (a->lost_dots > 0 || !(a->facts & 1U << OUTCOME_SENT)))
			unheard += a->accepted;
		if ((a->answered & ~a->facts) != 0 && !(a->causes & CAUSE_DEATH))
			fail_mail(w, mail, "an answered outcome is not in the store");
		if (a->accepted > 0 && a->lost_dots == 0 && !(a->facts & 1U << OUTCOME_SENT) &&
		    a->causes == 0)
			fail_mail(w, mail, "I7: a delivery was never reported");
	}
	if (!mail_state_final(state))
		fail_mail(w, mail, "I1: a mail has no final fact");
	else if (state == MAIL_SENT && mail->copies == 0)
		fail_mail(w, mail, "I7: a mail is called sent that no server has");
	else if (state != MAIL_SENT && mail->copies > unheard)
		fail_mail(w, mail, "I7: a server has a mail that is not called sent");
}

/* The numbers of one batch, counted from the truth. */
struct tally {
	uint64_t states[MAIL_STATES];
	uint64_t duplicates; /* second words of `sent` */
	uint64_t least_resent;
	uint64_t most_resent;
};

static void tally_mail(struct tally *tally, const struct mail *mail)
{
	uint64_t sent = 0, lost = 0, flagged = 0;

	for (const struct attempt *a = mail->attempts; a != NULL; a = a->next) {
		sent += (a->facts & 1U << OUTCOME_SENT) != 0;
		/* Claims made alone are counted apart. */
		lost += a->lost_dots + ((a->flags & CLAIM_ALONE) != 0);
		flagged += (a->flags & CLAIM_AFTER_DOUBT) != 0;
	}
	tally->states[truth_state(mail)]++;
	tally->duplicates += sent > 1 ? sent - 1 : 0;
	tally->least_resent += mail->copies > 1 + lost ? mail->copies - 1 - lost : 0;
	tally->most_resent += flagged;
}

/* Over the shards of which the node is a member; NULL: over all. */
static void tally_batch(const struct sim_batch *batch, const struct node *node, struct tally *tally)
{
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		if (node != NULL && !truth_member(&batch->shards[i], node->index))
			continue;
		for (uint32_t k = 0; k < batch->shards[i].count; k++)
			tally_mail(tally, &batch->shards[i].mails[k]);
	}
}

static void compare(
    struct node *node, const struct batch_view *view, const struct tally *tally, const char *who)
{
	struct world *w = node->world;

	for (int i = 0; i < MAIL_STATES; i++) {
		if (view->states[i] != tally->states[i])
			world_fail(w, "I1: %s shows %llu mails of %s %s, the facts say %llu%s", node->name,
			    (unsigned long long)view->states[i], view->name,
			    mail_state_name((enum mail_state)i), (unsigned long long)tally->states[i], who);
	}
	if (view->duplicates != tally->duplicates)
		world_fail(w, "I3: %s shows %llu duplicates of %s, the facts say %llu%s", node->name,
		    (unsigned long long)view->duplicates, view->name, (unsigned long long)tally->duplicates,
		    who);
	if (view->in_doubt_resent < tally->least_resent || view->in_doubt_resent > tally->most_resent)
		world_fail(w, "I3: %s shows %llu of %s resent in doubt, the ledger says %llu to %llu%s",
		    node->name, (unsigned long long)view->in_doubt_resent, view->name,
		    (unsigned long long)tally->least_resent, (unsigned long long)tally->most_resent, who);
}

/* What one member's durable facts say of a mail is what all of them together say. */
static void check_converged(struct world *w, const struct sim_shard *shard)
{
	for (uint32_t m = 0; m < shard->config->count && !w->failed; m++) {
		const uint32_t node = shard->config->nodes[m];

		if (w->nodes[node].dead)
			continue;
		for (uint32_t k = 0; k < shard->count; k++) {
			struct mail alone = shard->mails[k];

			alone.fact_kinds = 0;
			for (const struct attempt *a = alone.attempts; a != NULL; a = a->next)
				alone.fact_kinds |= truth_facts_of(a, node);
			if (truth_state(&alone) != truth_state(&shard->mails[k]))
				world_fail(w, "I5: %s has %s/%u.%u as %s, others as %s", w->nodes[node].name,
				    shard->batch->name, (unsigned)shard->index, (unsigned)k,
				    mail_state_name(truth_state(&alone)),
				    mail_state_name(truth_state(&shard->mails[k])));
		}
	}
}

static void check_mails(struct world *w, const struct sim_batch *batch)
{
	for (uint32_t i = 0; i < batch->accepted->shard_count && !w->failed; i++) {
		for (uint32_t k = 0; k < batch->shards[i].count; k++)
			check_ledger(w, &batch->shards[i].mails[k]);
		if (w->node_count > 1 && !w->failed)
			check_converged(w, &batch->shards[i]);
	}
}

static void check_batch(struct node *node, const struct sim_batch *batch)
{
	struct world *w = node->world;
	struct tally tally = {.duplicates = 0};
	struct batch_view view;

	if (!concerns(batch, node->index))
		return;
	tally_batch(batch, node, &tally);
	if (core_batch(node->core, batch->name, &view) != 0) {
		world_fail(w, "I1: the accepted batch %s vanished", batch->name);
		return;
	}
	/* Who was a member when it heard of the last fact may count the shard, or not. */
	if (!truth_members_changed(batch))
		compare(node, &view, &tally, "");
	if (view.finished.us != 0 && has_shard(batch, node->index) &&
	    idmap_get(&node->store.finished, &batch->key, NULL) == NULL)
		world_fail(w, "I1: %s is called done, but the store does not know", batch->name);
}

/* Any node is asked, also one that has nothing of the batch. */
enum { ASKED_MAX = 9, TRIES_MAX = 20 };

struct question {
	struct node *node;
	struct sim_batch *batch;
	struct sim_shard *shard; /* NULL: about the batch */
	uint32_t tries;
};

static void ask(struct world *w, void *context)
{
	const struct question *question = context;
	struct node *node = question->node;
	struct reply *reply = node_reply(node, question->shard != NULL ? REPLY_FETCH : REPLY_QUERY);
	struct event event = {.type = question->shard != NULL ? EVENT_FETCH : EVENT_QUERY};

	(void)w;
	reply->batch = question->batch;
	reply->shard = question->shard;
	reply->tries = question->tries;
	if (question->shard != NULL) {
		event.fetch.reply = reply->number;
		event.fetch.batch = question->batch->key;
		event.fetch.index = question->shard->index;
	} else {
		event.query.reply = reply->number;
		event.query.batch = question->batch->name;
	}
	node_step(node, &event);
}

static void ask_in(
    struct node *node, struct sim_batch *batch, struct sim_shard *shard, uint32_t tries, usec delay)
{
	struct question *question = ARENA_NEW(node->world->arena, struct question);

	*question = (struct question){node, batch, shard, tries};
	world_in(node->world, delay, ask, question);
}

/* Who was too slow is left out of an answer: it is asked again a few times. */
static bool asked_again(struct node *node, const struct reply *reply, const char *wrong)
{
	if (wrong == NULL)
		return false;
	if (reply->tries < TRIES_MAX) {
		ask_in(node, reply->batch, reply->shard, reply->tries + 1, 2 * USEC_PER_SEC);
		return true;
	}
	world_fail(node->world, "%s: %s, asked at %s", wrong, reply->batch->name, node->name);
	return true;
}

void check_ask(struct world *w)
{
	for (uint32_t n = 0; n < w->node_count && n < ASKED_MAX && w->node_count > 1; n++) {
		struct node *node = &w->nodes[n];

		for (size_t i = 0; i < w->truth.batches.count && !node->dead; i++) {
			struct sim_batch *batch = w->truth.batches.items[i].value;

			if (batch->accepted == NULL)
				continue;
			w->asked += 2;
			ask_in(node, batch, NULL, 0, 0);
			ask_in(node, batch,
			    &batch->shards[rng_below(&w->rng_client, batch->accepted->shard_count)], 0, 0);
		}
	}
}

bool check_asked(struct world *w)
{
	return w->asked == 0;
}

void check_query_answer(struct node *node, const struct reply *reply, const struct effect *effect)
{
	struct world *w = node->world;
	const struct batch_view *view = effect->view;
	struct tally tally = {.duplicates = 0};
	const char *wrong = NULL;

	if (effect->status != 0 || view == NULL)
		wrong = "I1: nobody knows how a batch ended";
	else if (view->state != BATCH_DONE && view->state != BATCH_CANCELLED)
		wrong = "I1: a batch that is over is not called so";
	else if (view->unavailable > 0 || view->total != reply->batch->accepted->total)
		wrong = "I1: mails of a batch are not shown";
	tally_batch(reply->batch, NULL, &tally);
	/* Members whose link has just come up compare how their shards ended, one batch a second. */
	if (wrong == NULL && view->duplicates < tally.duplicates)
		wrong = "I3: not all duplicates are shown";
	if (asked_again(node, reply, wrong))
		return;
	w->asked--;
	if (reply->batch->control.stands == CONTROL_CANCELLED && view->state != BATCH_CANCELLED)
		world_fail(w, "I6: %s was cancelled and is called %s", reply->batch->name,
		    batch_state_name(view->state));
	compare(node, view, &tally, ", asked of any node");
}

/* The journal that a report is made of, read as a report reads it. */
static void check_report(struct world *w, const struct sim_shard *shard, const struct effect *effect)
{
	struct mail *mails = arena_alloc(w->arena, shard->count * sizeof(*mails));
	struct journal_entry entry;

	for (size_t i = 0; i < effect->entry_count; i++) {
		if (journal_read(w->truth.reader, &shard->id, effect->entries[i].data, effect->entries[i].len,
		        &entry) != 0 ||
		    entry.type != JOURNAL_OUTCOMES)
			continue;
		for (size_t k = 0; k < entry.count; k++) {
			if (entry.outcomes[k].key.index < shard->count)
				mails[entry.outcomes[k].key.index].fact_kinds |= 1U << entry.outcomes[k].kind;
		}
	}
	for (uint32_t k = 0; k < shard->count; k++) {
		if (truth_state(&mails[k]) != truth_state(&shard->mails[k]))
			fail_mail(w, &shard->mails[k], "I7: the report says something else");
	}
}

void check_fetch_answer(struct node *node, const struct reply *reply, const struct effect *effect)
{
	struct world *w = node->world;
	const struct sim_shard *shard = reply->shard;
	const struct content_shard *content = &shard->batch->accepted->shards[shard->index];

	if (asked_again(node, reply, effect->status != 0 ? "I1: a shard can't be fetched" : NULL))
		return;
	w->asked--;
	if (effect->len != content->len || memcmp(effect->data, content->value, content->len) != 0)
		world_fail(w, "I4: %s fetches another value of %s/%u", node->name, shard->batch->name,
		    (unsigned)shard->index);
	check_report(w, shard, effect);
}

void check_end(struct world *w)
{
	for (size_t i = 0; i < w->truth.batches.count && !w->failed; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL)
			check_mails(w, batch);
		for (int c = 0; c < 2; c++) {
			if (batch->contents[c]->told_conflict &&
			    (batch->accepted == NULL || batch->accepted == batch->contents[c]))
				world_fail(w, "I1: %s was called a conflict, but there is no other content",
				    batch->name);
		}
	}
	for (uint32_t n = 0; n < w->node_count; n++) {
		struct node *node = &w->nodes[n];

		for (size_t i = 0; i < w->truth.batches.count && !w->failed; i++) {
			const struct sim_batch *batch = w->truth.batches.items[i].value;

			if (batch->accepted != NULL && !node->dead)
				check_batch(node, batch);
			else if (batch->accepted == NULL && batch->told_accepted)
				world_fail(w, "I1: the accepted batch %s is not in the store", batch->name);
		}
	}
}

void check_nothing_staged(struct world *w)
{
	for (uint32_t n = 0; n < w->node_count; n++) {
		if (!w->nodes[n].dead && left_over(w, &w->nodes[n]))
			world_fail(
			    w, "an upload is left over in the store of %s after a restart", w->nodes[n].name);
	}
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ (hash >> 32);
}

uint64_t check_views_hash(const struct node *node)
{
	const struct world *w = node->world;
	uint64_t hash = 1;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;
		struct batch_view view;

		/* Who has no shard of it shows by its clock and what it happened to hear where the batch
		 * stands. */
		if (batch->accepted == NULL || node->core == NULL || !concerns(batch, node->index) ||
		    !has_shard(batch, node->index) || core_batch(node->core, batch->name, &view) != 0)
			continue;
		TRACE_NODE(node, "%s shows: state %u, sent %u, duplicates %u, resent %u, finished %u",
		    T(batch->name), N(view.state), N(view.states[MAIL_SENT]), N(view.duplicates),
		    N(view.in_doubt_resent), N(view.finished.us));
		hash = mix(hash, view.state);
		hash = mix(hash, view.total);
		hash = mix(hash, view.duplicates);
		hash = mix(hash, view.in_doubt_resent);
		hash = mix(hash, view.created.us);
		hash = mix(hash, view.finished.us);
		for (int s = 0; s < MAIL_STATES; s++)
			hash = mix(hash, view.states[s]);
	}
	return hash;
}
