/* SPDX-License-Identifier: MIT */
/*
 * See move.h. What a node has to do is counted in the time that it takes, at the rate that the node had while
 * it last had something to do. A rate that nobody knows yet is taken for the same as the other's.
 */
#include "queue/move.h"

#include <string.h>

#include "queue/batch.h"
#include "queue/change.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/heartbeat.h"
#include "queue/hop.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/takeover.h"

enum {
	GIVE_MAX = 48,     /* shards in one answer; a node takes a few more over at once */
	AHEAD_SECONDS = 2, /* of work: who has less asks for more */
};

static const usec START_REST = 3 * USEC_PER_SEC;    /* after our start: others have to be heard first */
static const usec STALLED = 3 * USEC_PER_SEC;       /* without any outcome */
static const usec LOAD_FRESH = 3 * USEC_PER_SEC;    /* what a heartbeat said counts for as long */
static const usec ASK_AGAIN = 3 * USEC_PER_SEC / 2; /* who had nothing to give is left alone for as long */
static const usec GIVE_LIMIT = 5 * USEC_PER_SEC;    /* for an answer */
static const usec OFFER_REST = 3 * USEC_PER_SEC;    /* a shard that was offered is about to go */

/* Mails that are ready or in Postfix, and how fast they go: the time to their end is the quotient. */
struct work {
	uint64_t mails;
	uint64_t rate;
};

static struct work work_of(const struct peer_load *load, const struct peer *peer)
{
	return (struct work){.mails = load->ready + load->in_flight, .rate = peer->busy_rate};
}

/* Whether `a` with some more mails would be done clearly before `b` is done. */
static bool done_before(struct work a, uint64_t more, struct work b)
{
	return 10 * (a.mails + more) * b.rate < 9 * b.mails * a.rate;
}

/* Rates to compare by: an unknown one is taken for the other's. */
static void known_rates(struct work *a, struct work *b)
{
	if (a->rate == 0)
		a->rate = b->rate;
	if (b->rate == 0)
		b->rate = a->rate;
	if (a->rate == 0)
		a->rate = b->rate = 1;
}

bool move_stalled(const struct core *core)
{
	return hop_relay_rests(core) ||
	       (core->in_flight > 0 && core->now.us - core->progress_at.us >= STALLED);
}

static void measure(struct core *core, const struct peer_load *load)
{
	if (core->settled != core->settled_before || core->in_flight == 0)
		core->progress_at = core->now;
	core->settled_before = core->settled;
	if (load->ready > 0)
		core->self->busy_rate = core->rate;
}

/* Little is left, by the rate; or Postfix has room and there is not enough to fill it. */
static bool dry(const struct core *core, const struct peer_load *load)
{
	if (!peer_may_own(core, core->self) || move_stalled(core) || core->in_flight >= core->config.window)
		return false;
	if (load->ready * 100 < (uint64_t)core->rate * AHEAD_SECONDS)
		return true;
	return core->in_flight < core->config.window / 2 && load->ready < core->config.window / 4 + 1;
}

static bool may_ask(const struct core *core, const struct peer *peer)
{
	return peer->load_at.us > 0 && peer->load.ready > 0 && core->now.us - peer->load_at.us < LOAD_FRESH &&
	       peer_alive(core, peer) &&
	       (peer->asked_at.us == 0 || core->now.us - peer->asked_at.us >= ASK_AGAIN);
}

/* The one that needs longest for what it has, if that is longer than we need. */
static struct peer *furthest_behind(struct core *core, const struct peer_load *load)
{
	struct peer *found = NULL;
	struct work most = work_of(load, core->self);
	struct peer *peer;

	TAILQ_FOREACH (peer, &core->linked, links) {
		struct work work = work_of(&peer->load, peer);
		struct work other = most;

		if (!may_ask(core, peer))
			continue;
		known_rates(&work, &other);
		if (!done_before(other, found == NULL ? 1 : 0, work))
			continue;
		found = peer;
		most = work_of(&peer->load, peer);
	}
	return found;
}

static void ask(struct core *core, struct peer *peer, const struct peer_load *load)
{
	struct peer_message request = {.type = PEER_GIVE};

	request.count = load->ready < PEER_ENTRIES_MAX ? (uint32_t)load->ready : PEER_ENTRIES_MAX;
	peer->asked_at = core->now;
	core->give_at = core->now;
	core->give = call_start(core, peer, CALL_GIVE, core, &request, false);
}

void move_tick(struct core *core)
{
	struct peer_load load = heartbeat_load(core);
	struct peer *peer;

	measure(core, &load);
	if (core->give != NULL &&
	    (!core->give->peer->linked || core->now.us - core->give_at.us >= GIVE_LIMIT)) {
		call_end(core, core->give);
		core->give = NULL;
	}
	if (core->give != NULL || !core->recovered || core->now.us < core->recovered_at.us + START_REST ||
	    !dry(core, &load))
		return;
	peer = furthest_behind(core, &load);
	if (peer != NULL)
		ask(core, peer, &load);
}

void move_given(struct core *core, struct call *call, const struct peer_message *answer)
{
	if (core->give != call)
		return;
	core->give = NULL;
	if (answer->status != PEER_OK)
		return;
	if (answer->entry_count > 0)
		call->peer->asked_at.us = 0; /* there may be more */
	for (size_t i = 0; i < answer->entry_count && i < GIVE_MAX; i++) {
		struct shard *shard;
		struct opt_id id;

		memcpy(id.bytes, answer->entries[i].data, OPT_ID_SIZE);
		shard = shard_find(core, &id);
		if (shard != NULL && shard->mine && shard->batch->started)
			takeover_start(core, shard);
	}
}

/* The owner's side. */

static bool offered(const struct core *core, const struct shard *shard)
{
	return shard->offered_at.us > 0 && core->now.us - shard->offered_at.us < OFFER_REST;
}

static bool feeds(const struct core *core, const struct shard *shard)
{
	return shard->owning && shard->phase != SHARD_FINISHED && !shard->journal_loading &&
	       shard->batch->started && control_may_claim(core, shard->batch) &&
	       shard->states[MAIL_READY] > 0;
}

static bool rests(const struct core *core, const struct shard *shard)
{
	return offered(core, shard) ||
	       (shard->owned_at.us > 0 && core->now.us - shard->owned_at.us < MOVE_REST &&
	           !move_stalled(core));
}

static uint64_t ready_to_feed(struct core *core)
{
	uint64_t ready = 0;

	for (const struct shard *shard = shard_next(core, NULL); shard != NULL;
	     shard = shard_next(core, (struct shard *)(uintptr_t)shard)) {
		if (feeds(core, shard) && !offered(core, shard))
			ready += shard->states[MAIL_READY];
	}
	return ready;
}

struct offer {
	struct peer *to;
	struct work here, there;
	struct span ids[GIVE_MAX];
	size_t count;
};

/* Whether it makes sense that the other feeds the shard. */
static bool worth(const struct core *core, const struct offer *offer, const struct shard *shard)
{
	return move_stalled(core) || done_before(offer->there, shard->states[MAIL_READY], offer->here);
}

static void offer_shard(const struct core *core, struct offer *offer, struct shard *shard)
{
	const uint64_t ready = shard->states[MAIL_READY];

	shard->offered_at = core->now;
	offer->ids[offer->count++] = (struct span){shard->id.bytes, OPT_ID_SIZE};
	offer->here.mails -= ready;
	offer->there.mails += ready;
}

/* Those of which nothing was touched yet go first: nothing of them is under way. */
static void offer_members(struct core *core, struct offer *offer, bool touched)
{
	for (struct shard *shard = shard_next(core, NULL); shard != NULL && offer->count < GIVE_MAX;
	     shard = shard_next(core, shard)) {
		const bool untouched = shard->phase == SHARD_CLOSED && shard->mails == NULL;

		if (untouched != touched && feeds(core, shard) && !rests(core, shard) &&
		    replica_number(shard, offer->to) >= 0 && worth(core, offer, shard))
			offer_shard(core, offer, shard);
	}
}

/* Where the asker is a member of none, some first get it as a member. */
static void bring_in(struct core *core, struct offer *offer)
{
	for (struct shard *shard = shard_next(core, NULL); shard != NULL && core->changes < CHANGES_MAX;
	     shard = shard_next(core, shard)) {
		if (feeds(core, shard) && !rests(core, shard) && replica_number(shard, offer->to) < 0 &&
		    worth(core, offer, shard) && change_start(core, shard, offer->to, true, true)) {
			shard->offered_at = core->now;
			offer->here.mails -= shard->states[MAIL_READY];
			offer->there.mails += shard->states[MAIL_READY];
		}
	}
}

void move_give(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct offer offer = {
	    .to = peer,
	    .here = {.rate = core->self->busy_rate},
	    .there = {.mails = request->count + peer->load.in_flight, .rate = peer->busy_rate},
	};
	struct peer_message answer = {.entries = offer.ids};

	if (peer_may_own(core, peer)) {
		offer.here.mails = ready_to_feed(core) + core->in_flight;
		known_rates(&offer.here, &offer.there);
		offer_members(core, &offer, false);
		offer_members(core, &offer, true);
		if (offer.count == 0)
			bring_in(core, &offer);
	}
	answer.entry_count = offer.count;
	call_reply(core, peer, request, PEER_OK, &answer);
}
