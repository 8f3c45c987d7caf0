/* SPDX-License-Identifier: MIT */
/* See takeover.h. */
#include "queue/takeover.h"

#include <stdlib.h>

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/facts.h"
#include "queue/feed.h"
#include "queue/header.h"
#include "queue/lost_writes.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/write.h"

enum {
	TAKEOVERS_MAX = 64, /* at once */
	ALONE_EPOCHS = 512, /* of each member, to choose from */
};

static const usec TURN = 2 * USEC_PER_SEC; /* how long the next in order waits for those before it */
static const usec RESTART_TIME =
    8 * USEC_PER_SEC; /* for an owner that has restarted to take its shards itself */
static const usec START_GRACE = 6 * USEC_PER_SEC; /* after our own start: the others have to be heard first */
static const usec LIMIT = 10 * USEC_PER_SEC;      /* for a takeover to get a step further */
static const usec OWN_LIMIT = 60 * USEC_PER_SEC;  /* the same, where only others get further */
static const usec PROMISE_MAX = 30 * USEC_PER_SEC; /* for a promise of which nothing more is heard */
static const usec REFUSED_LATELY = 30 * USEC_PER_SEC;
static const usec BUSY_WAIT = 50 * USEC_PER_MSEC;

struct takeover {
	uint32_t epoch;
	uint32_t promised;            /* bits of members */
	bool united;                  /* the union has begun */
	bool alone;                   /* those who are left decide (queue/alone.h) */
	struct boot_time progress_at; /* a promise came, or a part of the union */
	bool doubtful; /* one of the promises is of a node that lost writes (queue/lost_writes.h) */
	struct call *calls[REPLICAS_MAX];
	const struct peer *from; /* who had the shard, and why it is taken from that one: for the notice */
	const char *why;
};

static void arm(struct core *core, struct shard *shard, usec wait)
{
	timer_arm(&core->boot_timers, &shard->takeover_timer, core->now.us + wait);
}

static void end(struct core *core, struct shard *shard)
{
	struct takeover *takeover = shard->takeover;

	for (int i = 0; i < REPLICAS_MAX; i++) {
		if (takeover->calls[i] != NULL)
			call_end(core, takeover->calls[i]);
	}
	free(takeover);
	shard->takeover = NULL;
	core->takeovers--;
}

void takeover_cancel(struct core *core, struct shard *shard)
{
	if (shard->takeover == NULL)
		return;
	if (shard->takeover->united && shard->sync != NULL)
		sync_end(core, shard->sync);
	end(core, shard);
}

/* It came to nothing: again in a while, if it is still wanted. Two that try at once must not meet for ever.
 */
static void try_later(struct core *core, struct shard *shard)
{
	takeover_cancel(core, shard);
	arm(core, shard, USEC_PER_SEC / 2 + core_random(core, 1500) * USEC_PER_MSEC);
}

static uint32_t count_bits(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

static uint32_t needed(const struct core *core, const struct shard *shard)
{
	return shard->takeover->alone ? alone_needed(core, shard) : replica_majority(shard);
}

static void owned(struct core *core, struct shard *shard)
{
	struct takeover *takeover = shard->takeover;
	uint32_t epoch = takeover->epoch;
	uint8_t promised = (uint8_t)takeover->promised;
	const struct opt_id from = takeover->from->id;
	const char *why = takeover->why;
	bool doubtful = takeover->doubtful || shard->lost == LOST_DOUBTFUL;

	end(core, shard);
	timer_disarm(&core->boot_timers, &shard->takeover_timer);
	if (shard->promised != epoch || shard->promised_to != core->self) {
		takeover_consider(core, shard); /* another one was promised a higher epoch meanwhile */
		return;
	}
	shard->alone = doubtful || count_bits(promised) < replica_majority(shard);
	batch_opens(shard->batch, shard); /* in the order that is right from here on */
	shard->orphan = shard->owner != NULL && shard->owner != core->self;
	replica_own(core, shard, epoch);
	feed_announce(core, shard);
	/* Who has not promised was not compared with. */
	replica_behind(core, shard, (uint8_t)(((1U << shard->member_count) - 1) & ~(uint32_t)promised));
	if (shard->member_count > 1) {
		struct effect *effect = effects_add(core->effects, EFFECT_NOTICE);

		effect->text = effects_copy_text(core->effects, "shard_taken_over");
		effect->id = shard->id;
		effect->epoch = epoch;
		effect->node = from;
		effect->why = why;
	}
}

static void united(struct core *core, struct shard *shard, struct sync *sync)
{
	uint32_t complete = sync_complete(sync) | 1U << replica_number(shard, core->self);
	bool ours = sync_complete_here(sync);

	sync_end(core, sync);
	if (!ours || shard->rereads > 0 || count_bits(complete) < needed(core, shard)) {
		try_later(core, shard);
		return;
	}
	shard->takeover->promised &= complete;
	owned(core, shard);
}

static void check_promises(struct core *core, struct shard *shard)
{
	struct takeover *takeover = shard->takeover;
	uint32_t self = 1U << replica_number(shard, core->self);

	if (takeover->united || (takeover->promised & self) == 0 ||
	    count_bits(takeover->promised) < needed(core, shard))
		return;
	/* Without a union nobody else tells what its own journal has and it does not know. */
	if (takeover->promised == self && shard->rereads > 0) {
		try_later(core, shard);
		return;
	}
	takeover->united = true;
	if (takeover->promised == self || core->config.broken_rule == CORE_BUG_TAKEOVER_WITHOUT_UNION) {
		owned(core, shard);
		return;
	}
	if (shard->sync != NULL)
		sync_end(core, shard->sync);
	sync_start(core, shard, takeover->promised & ~self, united);
}

static void write_promise(struct core *core, struct shard *shard, uint32_t epoch, struct peer *to,
    struct peer *asker, uint64_t token)
{
	const struct journal_entry entry = {.type = JOURNAL_PROMISE, .epoch = epoch, .node = to->id};
	struct write *write = write_new(core, WRITE_PROMISE);

	write->shard = shard;
	write->id = shard->id;
	write->epoch = epoch;
	if (asker != NULL)
		write_for(write, asker, token);
	shard->promised = epoch;
	shard->promised_to = to;
	shard->promised_at = core->now;
	write_append_entry(core, write, &entry);
}

/* Of all members that are not being asked already. Who has promised is asked for the same again. */
static void ask_promises(struct core *core, struct shard *shard)
{
	struct takeover *takeover = shard->takeover;
	struct peer_message request = {
	    .type = PEER_PROMISE,
	    .shard = shard->id,
	    .epoch = takeover->epoch,
	    .config = shard->config,
	};

	for (uint32_t i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == core->self || takeover->calls[i] != NULL)
			continue;
		takeover->calls[i] =
		    call_start(core, shard->members[i], CALL_PROMISE, shard, &request, false);
		takeover->calls[i]->number = i;
	}
}

void takeover_progress(struct core *core, struct shard *shard)
{
	if (shard->takeover != NULL && shard->takeover->united)
		shard->takeover->progress_at = core->now;
}

/*
 * How long nothing has come of it. Many takeovers share the link to a member, and what it says about another
 * shard shows that the answers about this one are on their way: for a while, and then for as long as its turn
 * may be still to come.
 */
static usec standstill(const struct core *core, const struct shard *shard)
{
	const struct takeover *takeover = shard->takeover;
	uint64_t last = takeover->progress_at.us;

	if (core->now.us - last >= OWN_LIMIT && (shard->sync == NULL || !sync_waits_its_turn(shard->sync)))
		return core->now.us - last;
	for (uint32_t i = 0; i < shard->member_count && takeover->united; i++) {
		if ((takeover->promised >> i & 1U) != 0 && shard->members[i]->compared_at.us > last)
			last = shard->members[i]->compared_at.us;
	}
	return core->now.us - last;
}

/* A union may take long, with large journals over a slow link. Those who have promised hear that it goes on.
 */
static void go_on(struct core *core, struct shard *shard)
{
	const usec gone = standstill(core, shard);

	if (gone >= LIMIT) {
		try_later(core, shard);
		return;
	}
	if (shard->takeover->united)
		ask_promises(core, shard);
	arm(core, shard, LIMIT - gone);
}

/* Why a node can't keep the shard that it has, in one word of docs/operating.md; NULL: it could. */
static const char *why_not(const struct core *core, const struct shard *shard, const struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);
	const unsigned flags = member == NULL ? 0 : member->presence.flags;

	if (peer == core->self)
		return NULL;
	if (peer_forgotten(core, peer))
		return "forgotten";
	if ((flags & PRESENCE_LEFT) != 0)
		return "left";
	if (!peer_alive(core, peer))
		return peer->refused_last.us > 0 && core->now.us - peer->refused_last.us < REFUSED_LATELY
		           ? "refused"
		           : "silent";
	if ((flags & PRESENCE_DRAINING) != 0)
		return "draining";
	if (!peer_may_own(core, peer))
		return "unable";
	return replica_number(shard, peer) < 0 ? "removed" : NULL;
}

/* As things are when it begins: in the end the owner may be there again. */
static void note_reason(const struct core *core, const struct shard *shard, struct takeover *takeover)
{
	const struct peer *expected = takeover_expected(shard);
	const struct peer *owner = shard->owner;

	takeover->from = expected;
	takeover->why = why_not(core, shard, expected);
	if (takeover->why != NULL)
		return;
	takeover->from = owner;
	takeover->why = why_not(core, shard, owner);
	if (takeover->why != NULL)
		return;
	if (owner == core->self)
		takeover->why = "again";
	else if (peer_incarnation(core, owner) > shard->owner_incarnation)
		takeover->why = "restarted";
	else
		takeover->why = expected == owner || expected == core->self ? "moved" : "unfinished";
}

/*
 * An epoch that no majority gives may be taken by other members as well, who hear nothing of it. So each has
 * its own ones for that, by its place, and claims of two owners are never taken for one another. Who has a
 * majority takes the next one: that it is one of these is left to chance.
 *
 * 0: somebody has said the last one that the others take. Then nobody can own the shard any more.
 */
static uint32_t next_epoch(struct core *core, const struct shard *shard, bool alone)
{
	uint32_t epoch = shard->promised > shard->epoch ? shard->promised : shard->epoch;

	if (alone)
		epoch =
		    (epoch / REPLICAS_MAX + 1 + (uint32_t)core_random(core, ALONE_EPOCHS)) * REPLICAS_MAX +
		    (uint32_t)replica_number(shard, core->self);
	else
		epoch++;
	return epoch <= PEER_NUMBER_MAX ? epoch : 0;
}

/*
 * Nobody else can have been promised anything since this node is the only member. Before that another one may
 * have owned the epoch.
 */
static void own_alone(struct core *core, struct shard *shard)
{
	const uint32_t epoch = shard->promised + (shard->promised_to != core->self);

	if (epoch > PEER_NUMBER_MAX)
		return;
	shard->alone = shard->lost == LOST_DOUBTFUL;
	replica_own(core, shard, epoch);
}

void takeover_start(struct core *core, struct shard *shard)
{
	uint32_t epoch;
	bool alone;

	if (shard->takeover != NULL || shard->owning || !shard->mine || shard->phase == SHARD_FINISHED ||
	    shard->journal_loading || !lost_writes_may_vote(core, shard))
		return;
	if (shard->rereads > 0) {
		arm(core, shard, BUSY_WAIT);
		return;
	}
	/* Who needs another epoch for its configurations writes its promise down, as others do. */
	if (shard->member_count == 1 && !shard->config_sent) {
		own_alone(core, shard);
		return;
	}
	if (core->takeovers >= TAKEOVERS_MAX) {
		arm(core, shard, BUSY_WAIT);
		return;
	}
	alone = alone_needed(core, shard) < replica_majority(shard);
	epoch = next_epoch(core, shard, alone);
	if (epoch == 0)
		return;
	shard->takeover = calloc(1, sizeof(*shard->takeover));
	if (shard->takeover == NULL)
		abort();
	core->takeovers++;
	note_reason(core, shard, shard->takeover);
	shard->takeover->alone = alone;
	shard->takeover->epoch = epoch;
	shard->takeover->progress_at = core->now;
	write_promise(core, shard, shard->takeover->epoch, core->self, NULL, 0);
	ask_promises(core, shard);
	arm(core, shard, LIMIT);
}

void takeover_promised(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct shard *shard = call->owner;
	struct takeover *takeover = shard->takeover;
	uint32_t member = (uint32_t)call->number;

	takeover->calls[member] = NULL;
	if (answer->status == PEER_OK && takeover->united)
		return; /* once more, or too late for this union */
	if (answer->status == PEER_OK) {
		takeover->progress_at = core->now;
		takeover->promised |= 1U << member;
		takeover->doubtful = takeover->doubtful || answer->count > 0;
		check_promises(core, shard);
		return;
	}
	if (answer->status != PEER_REFUSED)
		return;
	if (answer->config > shard->config) {
		try_later(core, shard);
		replica_learn_config(core, shard, answer->config, answer->members, answer->member_count);
		return;
	}
	if (answer->epoch < takeover->epoch)
		return;
	/* A promise makes no owner: where two have promised themselves the same epoch, both try again. */
	if (answer->epoch > shard->promised) {
		shard->promised = answer->epoch;
		shard->promised_to = peer_of(core, &answer->node);
		shard->promised_at = core->now;
	}
	try_later(core, shard);
}

struct peer *takeover_expected(const struct shard *shard)
{
	return shard->promised > shard->epoch ? shard->promised_to : shard->owner;
}

/* Which one of those who could own it this node is, in the order of the members; -1: it can't. */
static int turn(const struct core *core, const struct shard *shard)
{
	int before = 0;

	if (!peer_may_own(core, core->self))
		return -1;
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == core->self)
			return before;
		before +=
		    shard->members[i] != takeover_expected(shard) && peer_may_own(core, shard->members[i]);
	}
	return -1;
}

static bool wanted(const struct core *core, const struct shard *shard)
{
	return core->recovered && shard->mine && !shard->owning && shard->phase != SHARD_FINISHED &&
	       !shard->journal_loading && lost_writes_may_vote(core, shard);
}

/* Somebody was promised the shard and nothing was heard of its owning it: how long that may go on. */
static usec promise_left(const struct core *core, const struct shard *shard)
{
	const uint64_t since =
	    shard->promised_at.us > core->recovered_at.us ? shard->promised_at.us : core->recovered_at.us;
	const usec gone = core->now.us - since;

	return gone < PROMISE_MAX ? PROMISE_MAX - gone : 0;
}

/* How long to wait before taking it over; UINT64_MAX: there is no reason to. */
static usec patience(const struct core *core, const struct shard *shard)
{
	const struct peer *owner = takeover_expected(shard);
	int place = turn(core, shard);
	usec wait;

	if (replica_alive(core, shard) < alone_needed(core, shard))
		return UINT64_MAX;
	/* Its own shards a node takes again at once; where its Postfix does not run, the others will know. */
	if (owner == core->self)
		return 0;
	if (place < 0)
		return UINT64_MAX;
	wait = (usec)place * TURN;
	if (core->now.us < core->recovered_at.us + START_GRACE)
		wait += core->recovered_at.us + START_GRACE - core->now.us;
	if (!peer_alive(core, owner) || !peer_may_own(core, owner) || replica_number(shard, owner) < 0)
		return wait;
	if (shard->promised == shard->epoch && peer_incarnation(core, owner) > shard->owner_incarnation)
		return wait + RESTART_TIME;
	if (shard->promised > shard->epoch)
		return wait + promise_left(core, shard);
	return UINT64_MAX;
}

void takeover_consider(struct core *core, struct shard *shard)
{
	usec wait;

	if (!wanted(core, shard) || shard->takeover != NULL)
		return;
	wait = patience(core, shard);
	if (wait == 0)
		takeover_start(core, shard);
	else if (wait == UINT64_MAX)
		timer_disarm(&core->boot_timers, &shard->takeover_timer);
	else if (!shard->takeover_timer.armed || shard->takeover_timer.due > core->now.us + wait)
		arm(core, shard, wait);
}

/* Whether it is for nothing but a promise to a live node that this one waits. */
static bool waits_for_promise(const struct core *core, const struct shard *shard)
{
	const struct peer *owner = takeover_expected(shard);

	return owner != core->self && shard->promised > shard->epoch && promise_left(core, shard) > 0 &&
	       peer_alive(core, owner) && peer_may_own(core, owner) && replica_number(shard, owner) >= 0 &&
	       turn(core, shard) >= 0;
}

void takeover_due(struct core *core, struct shard *shard)
{
	usec wait;

	if (!wanted(core, shard))
		return;
	if (shard->takeover != NULL) {
		go_on(core, shard);
		return;
	}
	wait = patience(core, shard);
	if (wait == UINT64_MAX)
		return; /* until somebody comes or goes */
	if (waits_for_promise(core, shard))
		arm(core, shard, wait);
	else
		takeover_start(core, shard);
}

/* Requests of others. */

void takeover_promise(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct shard *shard = shard_find(core, &request->shard);

	/* Who does not know the shard has no vote; what is still being read may hold a higher promise. */
	if (shard == NULL || !header_known(core, shard) || !lost_writes_may_vote(core, shard))
		return;
	if (request->config < shard->config || !shard->mine || request->epoch < shard->promised ||
	    (request->epoch == shard->promised && shard->promised_to != peer)) {
		replica_refuse(core, peer, request, shard);
		return;
	}
	if (request->epoch > shard->promised) {
		replica_step_down(core, shard);
		takeover_cancel(core, shard);
		arm(core, shard, LIMIT); /* should nothing come of it */
		shard->synced = false;   /* it is asked, in a while, what came of it */
	}
	if (!write_under_way(peer, request->token))
		write_promise(core, shard, request->epoch, peer, peer, request->token);
}

void takeover_promise_stored(struct core *core, struct write *write, int status)
{
	struct shard *shard = write->shard;
	struct peer *peer = write->peer;
	struct peer_message answer = {.epoch = write->epoch, .config = shard->config};

	if (status != 0) {
		if (peer == NULL && shard->takeover != NULL && shard->takeover->epoch == write->epoch)
			try_later(core, shard);
	} else if (peer != NULL) {
		answer.node = peer->id;
		answer.count = shard->lost == LOST_DOUBTFUL;
		answer.member_count = shard->member_count;
		for (int i = 0; i < shard->member_count; i++)
			answer.members[i] = shard->members[i]->id;
		call_reply_to(core, peer, PEER_PROMISE, write->peer_token, PEER_OK, &answer);
	} else if (shard->takeover != NULL && shard->takeover->epoch == write->epoch) {
		shard->takeover->progress_at = core->now;
		shard->takeover->promised |= 1U << replica_number(shard, core->self);
		check_promises(core, shard);
	}
	write_free(core, write);
}

void takeover_take(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct shard *shard = shard_find(core, &request->shard);
	struct peer_message answer = {.count = 0};

	/* A new member takes it when it has read what it has: it is asked again. */
	if (shard == NULL || shard->journal_loading || shard->rereads > 0 ||
	    (shard->mine && !lost_writes_may_vote(core, shard)))
		return;
	if (!shard->mine || !peer_may_own(core, core->self)) {
		call_reply(core, peer, request, PEER_UNKNOWN, &answer);
		return;
	}
	call_reply(core, peer, request, PEER_OK, &answer);
	takeover_start(core, shard);
}
