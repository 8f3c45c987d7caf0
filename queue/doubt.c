/* SPDX-License-Identifier: MIT */
/* See doubt.h. */
#include "queue/doubt.h"

#include <stdlib.h>

#include "queue/call.h"
#include "queue/cluster.h"
#include "queue/facts.h"
#include "queue/replica.h"
#include "queue/restore.h"
#include "queue/shard.h"
#include "queue/tally.h"

enum { GROUPS_MAX = 16 /* of claims in a message */ };

static const usec LOOK_EVERY = 10 * USEC_PER_SEC;
static const usec LIVING_MIN = 30 * USEC_PER_SEC; /* a living node may be slow */

static bool waits_for_other(const struct core *core, const struct mail *mail)
{
	return mail->state == MAIL_CLAIMED && mail->node != core->self;
}

/* For how long nothing can be expected of the node; 0: it will tell. */
static usec silence(struct core *core, const struct shard *shard, struct peer *peer)
{
	usec silent = 0;

	if (!peer_alive(core, peer))
		return restore_absence(core, peer);
	if (shard->claims_told != NULL && shard->claims_told->peer == peer)
		silent = core->now.us - shard->claims_told_at.us;
	if (peer->idle_since.us != 0 && core->now.us - peer->idle_since.us > silent)
		silent = core->now.us - peer->idle_since.us;
	return silent;
}

static usec left(struct core *core, const struct shard *shard, struct peer *peer)
{
	const usec silent = silence(core, shard, peer);
	usec patience = core->config.doubt_hold;

	if (patience < LIVING_MIN && peer_alive(core, peer))
		patience = LIVING_MIN;
	return silent < patience ? patience - silent : 0;
}

void doubt_watch(struct core *core, struct shard *shard)
{
	usec wait = UINT64_MAX;

	if (!shard->owning || shard->states[MAIL_CLAIMED] == 0)
		return;
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
		const usec wait_here = waits_for_other(core, &shard->mails[i])
		                           ? left(core, shard, shard->mails[i].node)
		                           : UINT64_MAX;

		if (wait_here < wait)
			wait = wait_here;
	}
	if (wait != UINT64_MAX && (!shard->doubt_timer.armed || core->now.us + wait < shard->doubt_timer.due))
		timer_arm(&core->boot_timers, &shard->doubt_timer, core->now.us + wait);
}

/* The claims of the node that were made in the epoch and for the spool of mail `first`, and are not told yet.
 */
static struct span claims_like(
    const struct core *core, const struct shard *shard, uint32_t first, bool *told, struct buffer *bytes)
{
	const struct mail *like = &shard->mails[first];
	struct claim *claims = calloc(shard->count, sizeof(*claims));
	struct journal_entry entry = {
	    .type = JOURNAL_CLAIMS,
	    .node = like->node->id,
	    .epoch = like->epoch,
	    .generation = like->generation,
	    .at.us = (uint64_t)like->first_try * USEC_PER_SEC,
	    .claims = claims,
	};

	if (claims == NULL)
		abort();
	for (uint32_t i = first; i < shard->count; i++) {
		const struct mail *mail = &shard->mails[i];

		if (told[i] || !waits_for_other(core, mail) || mail->node != like->node ||
		    mail->epoch != like->epoch || mail->generation != like->generation)
			continue;
		told[i] = true;
		claims[entry.count++] = (struct claim){.index = i,
		    .attempt = mail->attempt,
		    .flags = tally_is_resent(shard, i, mail->epoch, mail->attempt) ? CLAIM_AFTER_DOUBT : 0};
	}
	buffer_init(bytes);
	journal_encode(&entry, bytes);
	free(claims);
	return (struct span){bytes->data, bytes->len};
}

static void tell_claims(struct core *core, struct shard *shard, struct peer *peer)
{
	bool *told = calloc(shard->count, sizeof(*told));
	struct buffer bytes[GROUPS_MAX];
	struct span entries[GROUPS_MAX];
	struct peer_message append = {
	    .type = PEER_APPEND,
	    .shard = shard->id,
	    .epoch = shard->epoch,
	    .config = shard->config,
	    .what = APPEND_UNION,
	    .entries = entries,
	};
	const int member = replica_number(shard, peer);

	if (told == NULL)
		abort();
	for (uint32_t i = 0; i < shard->count && append.entry_count < GROUPS_MAX; i++) {
		if (told[i] || shard->mails[i].node != peer || !waits_for_other(core, &shard->mails[i]))
			continue;
		entries[append.entry_count] = claims_like(core, shard, i, told, &bytes[append.entry_count]);
		append.entry_count++;
	}
	free(told);
	shard->claims_told = call_start(core, peer, CALL_CLAIMS, shard, &append, false);
	shard->claims_told_at = core->now;
	shard->claims_told_to = peer;
	for (size_t i = 0; i < append.entry_count; i++)
		buffer_done(&bytes[i]);
	/* It may have told what became of them to those who were members then. */
	if (member >= 0)
		replica_behind(core, shard, (uint8_t)(1U << member));
}

void doubt_answered(struct call *call)
{
	struct shard *shard = call->owner;

	shard->claims_told = NULL;
}

static void end_call(struct core *core, struct shard *shard)
{
	if (shard->claims_told != NULL)
		call_end(core, shard->claims_told);
	shard->claims_told = NULL;
}

void doubt_end(struct core *core, struct shard *shard)
{
	timer_disarm(&core->boot_timers, &shard->doubt_timer);
	end_call(core, shard);
}

/* Of two nodes that live, the one whose turn it is to be told: each in its turn, in the order of their ids.
 */
static struct peer *next_told(const struct shard *shard, struct peer *a, struct peer *b)
{
	const struct peer *last = shard->claims_told_to;
	const bool a_later = last == NULL || id_compare(&a->id, &last->id) > 0;
	const bool b_later = last == NULL || id_compare(&b->id, &last->id) > 0;

	if (a_later != b_later)
		return a_later ? a : b;
	return id_compare(&a->id, &b->id) <= 0 ? a : b;
}

static bool may_tell(const struct core *core, const struct shard *shard)
{
	return shard->claims_told == NULL &&
	       (shard->claims_told_at.us <= shard->owned_at.us ||
	           core->now.us - shard->claims_told_at.us >= core->config.doubt_hold);
}

void doubt_due(struct core *core, struct shard *shard)
{
	struct peer *lives = NULL;

	if (!shard->owning || shard->phase == SHARD_FINISHED)
		return;
	for (uint32_t i = 0; shard->mails != NULL && i < shard->count; i++) {
		struct peer *node = shard->mails[i].node;

		if (!waits_for_other(core, &shard->mails[i]))
			continue;
		if (left(core, shard, node) == 0) {
			fact_add_doubt(core, shard, i,
			    peer_alive(core, node) ? "the node that had the mail can't tell what became of it"
			                           : "the node that had the mail is gone",
			    NULL);
			shard_settle_one(core, shard, i);
		} else if (peer_alive(core, node)) {
			lives = lives == NULL ? node : next_told(shard, lives, node);
		}
	}
	if (shard->claims_told != NULL &&
	    (!peer_alive(core, shard->claims_told->peer) || left(core, shard, shard->claims_told->peer) == 0))
		end_call(core, shard);
	if (shard->phase == SHARD_FINISHED)
		return;
	if (lives != NULL && may_tell(core, shard))
		tell_claims(core, shard, lives);
	doubt_watch(core, shard);
	if (lives != NULL && shard->doubt_timer.armed && shard->doubt_timer.due > core->now.us + LOOK_EVERY)
		timer_arm(&core->boot_timers, &shard->doubt_timer, core->now.us + LOOK_EVERY);
}
