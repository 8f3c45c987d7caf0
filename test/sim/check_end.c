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

#include "test/sim/sim_client.h"
#include "test/sim/sim_control.h"
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
	/* Clocks that jumped ahead may have put deadlines some hours away. */
	return w->now + (latest_utc(w) - node_utc(&w->nodes[0]).us) + DAY;
}

static const char *not_over(struct world *w, const struct node *node)
{
	struct batch_view view;

	if (!node_settled(node))
		return "the node has not settled";
	if (clients_waiting(w) > 0)
		return "a client waits for an answer";
	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted == NULL)
			continue;
		if (core_batch(node->core, batch->name, &view) != 0)
			return "an accepted batch is not shown";
		if (view.finished.us == 0)
			return "a batch is not done";
		if (!batch->finished)
			return "the end of a batch is not durable";
	}
	if (!engine_empty(&node->engine))
		return "the spool is not empty";
	if (node->store.first != NULL)
		return "the store is at work";
	if (w->pending > 0)
		return "a late report is under way";
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
	struct batch_view view;

	for (uint32_t n = 0; n < w->node_count; n++) {
		const char *why = not_over(w, &w->nodes[n]);

		for (size_t i = 0; w->nodes[n].core != NULL && i < w->truth.batches.count; i++) {
			const struct sim_batch *batch = w->truth.batches.items[i].value;

			if (core_batch(w->nodes[n].core, batch->name, &view) == 0 && view.finished.us == 0)
				TRACE(w, "%s: ready %u, claimed %u, retry %u, in doubt %u, total %u",
				    T(batch->name), N(view.states[MAIL_READY]), N(view.states[MAIL_CLAIMED]),
				    N(view.states[MAIL_RETRY]), N(view.states[MAIL_IN_DOUBT]), N(view.total));
		}
		if (why != NULL)
			world_fail(w, "liveness: long after the last fault %s", why);
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
		if ((a->answered & ~a->facts) != 0)
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
		lost += a->lost_dots;
		flagged += (a->flags & CLAIM_AFTER_DOUBT) != 0;
	}
	tally->states[truth_state(mail)]++;
	tally->duplicates += sent > 1 ? sent - 1 : 0;
	tally->least_resent += mail->copies > 1 + lost ? mail->copies - 1 - lost : 0;
	tally->most_resent += flagged;
}

static void check_batch(struct node *node, const struct sim_batch *batch)
{
	struct world *w = node->world;
	struct tally tally = {.duplicates = 0};
	struct batch_view view;

	for (uint32_t i = 0; i < batch->accepted->shard_count && !w->failed; i++) {
		for (uint32_t k = 0; k < batch->shards[i].count; k++) {
			check_ledger(w, &batch->shards[i].mails[k]);
			tally_mail(&tally, &batch->shards[i].mails[k]);
		}
	}
	if (w->failed)
		return;
	if (core_batch(node->core, batch->name, &view) != 0) {
		world_fail(w, "I1: the accepted batch %s vanished", batch->name);
		return;
	}
	for (int i = 0; i < MAIL_STATES; i++) {
		if (view.states[i] != tally.states[i])
			world_fail(w, "I1: %s shows %llu mails %s, the facts say %llu", batch->name,
			    (unsigned long long)view.states[i], mail_state_name((enum mail_state)i),
			    (unsigned long long)tally.states[i]);
	}
	if (view.duplicates != tally.duplicates)
		world_fail(w, "I3: %s shows %llu duplicates, the facts say %llu", batch->name,
		    (unsigned long long)view.duplicates, (unsigned long long)tally.duplicates);
	if (view.in_doubt_resent < tally.least_resent || view.in_doubt_resent > tally.most_resent)
		world_fail(w, "I3: %s shows %llu resent in doubt, the ledger says %llu to %llu", batch->name,
		    (unsigned long long)view.in_doubt_resent, (unsigned long long)tally.least_resent,
		    (unsigned long long)tally.most_resent);
	if (view.finished.us != 0 && !batch->finished)
		world_fail(w, "I1: %s is called done, but the store does not know", batch->name);
}

void check_end(struct world *w)
{
	for (uint32_t n = 0; n < w->node_count; n++) {
		struct node *node = &w->nodes[n];

		for (size_t i = 0; i < w->truth.batches.count && !w->failed; i++) {
			const struct sim_batch *batch = w->truth.batches.items[i].value;

			if (batch->accepted != NULL)
				check_batch(node, batch);
			else if (batch->told_accepted)
				world_fail(w, "I1: the accepted batch %s is not in the store", batch->name);
		}
	}
}

void check_nothing_staged(struct world *w)
{
	for (uint32_t n = 0; n < w->node_count; n++) {
		const struct idmap *uploads = &w->nodes[n].store.uploads;

		for (size_t i = 0; i < uploads->count; i++) {
			if (uploads->items[i].value != NULL)
				world_fail(w, "an upload is left over in the store after a restart");
		}
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

		if (batch->accepted == NULL || core_batch(node->core, batch->name, &view) != 0)
			continue;
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
