/* SPDX-License-Identifier: MIT */
/*
 * What a heartbeat says, and what is kept of one: the peer's load, and its clock beside ours.
 *
 * Clocks are compared as they are now, by what has gone by since the peer spoke. Its words took some time on
 * the way, which makes its clock look slow by that; CLUSTER_CLOCK_OFF is far above it. A clock of which
 * nothing was heard for HEARTBEAT_FRESH is not counted, as long as there is another one.
 *
 * A node that is cut off learns nothing of its own clock by that: those that it heard last go on to count,
 * until they are forgotten or nothing was heard of them for config.alone_after.
 */
#include "queue/heartbeat.h"

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/call.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/homesync.h"
#include "queue/lost_writes.h"

#define HEARTBEAT_FRESH    (5 * USEC_PER_SEC)
#define CLOCK_COMPARE_WAIT (6 * USEC_PER_SEC) /* after our own start: the others have to be heard first */

static void add_shards(const struct core *core, const struct batch *batch, struct peer_load *load)
{
	const bool may_claim = batch->started && control_may_claim(core, batch);

	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		if (shard->phase == SHARD_FINISHED)
			continue;
		if (shard->mine)
			load->replicas++;
		if (shard->owning) {
			load->owned++;
			load->ready += may_claim ? shard->states[MAIL_READY] : 0;
		}
	}
}

struct peer_load heartbeat_load(const struct core *core)
{
	struct peer_load load = {
	    .in_flight = core->in_flight,
	    .window = core->config.window,
	    .sent = core->sent,
	    .rate = core->rate,
	    .postfix = core->engine == ENGINE_UP,
	};

	for (const struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		if (batch->unfinished > 0)
			add_shards(core, batch, &load);
	}
	return load;
}

void heartbeat_measure(struct core *core)
{
	const usec gone = core->now.us - core->rate_at.us;

	if (core->rate_at.us > 0 && gone > 0) {
		const uint64_t now = (core->settled - core->rate_settled) * 100 * USEC_PER_SEC / gone;

		core->rate =
		    (uint32_t)((core->rate * UINT64_C(3) + (now < UINT32_MAX ? now : UINT32_MAX)) / 4);
	}
	core->rate_at = core->now;
	core->rate_settled = core->settled;
}

static struct peer_message compose(struct core *core)
{
	struct peer_message message = {
	    .type = PEER_HEARTBEAT,
	    .at = core->utc,
	    .hash = cluster_hash(core),
	    .load = heartbeat_load(core),
	};

	homesync_beat(core, &message);
	lost_writes_beat(core, &message);
	return message;
}

/* What was sent to one alone does not keep the others from their round through the members. */
void heartbeat_send(struct core *core, struct peer *peer)
{
	struct peer_message message;
	struct digest_entry digest[VIEW_DIGEST_MAX];
	struct opt_id cursor = core->digest_cursor;

	if (!peer->linked)
		return;
	message = compose(core);
	lost_writes_tell(peer, &message);
	message.digest = digest;
	message.digest_count = view_digest(core->view, core->now, digest, VIEW_DIGEST_MAX, &cursor);
	call_notice(core, peer, &message);
}

static bool asks(const struct peer *peer)
{
	return peer->asks;
}

/* Those who ask get a word of their own. */
void heartbeat_send_all(struct core *core)
{
	struct peer_message message;
	struct peer *peer;
	struct digest_entry digest[VIEW_DIGEST_MAX];

	if (TAILQ_EMPTY(&core->linked))
		return;
	message = compose(core);
	message.digest = digest;
	message.digest_count =
	    view_digest(core->view, core->now, digest, VIEW_DIGEST_MAX, &core->digest_cursor);
	call_notice_all(core, &message, asks);
	TAILQ_FOREACH (peer, &core->linked, links) {
		if (!asks(peer))
			continue;
		lost_writes_tell(peer, &message);
		call_notice(core, peer, &message);
	}
}

void heartbeat_take(struct core *core, struct peer *peer, const struct peer_message *message)
{
	peer->load = message->load;
	peer->load_at = core->now;
	if (message->load.postfix != 0)
		peer->idle_since.us = 0;
	else if (peer->idle_since.us == 0)
		peer->idle_since = core->now;
	if (message->load.ready > 0)
		peer->busy_rate = message->load.rate;
	peer->utc = message->at;
	peer->members = message->hash;
	homesync_heard(core, peer, message);
	lost_writes_heard(core, peer, message);
	view_take_digest(core->view, &peer->id, message->digest, message->digest_count, core->now);
}

/* How far others' clocks are ahead of ours, of those who were heard lately, and around the middle of them. */
struct clocks {
	uint32_t heard;
	uint32_t ahead, behind; /* by more than CLUSTER_CLOCK_OFF */
	int64_t least_ahead, most_behind;
	int64_t least, most; /* of the others and ours, which is 0: not ahead, and not behind */
};

static void add_clock(struct clocks *clocks, int64_t offset)
{
	const int64_t off = (int64_t)CLUSTER_CLOCK_OFF;

	clocks->heard++;
	if (offset > off) {
		if (clocks->ahead++ == 0 || offset < clocks->least_ahead)
			clocks->least_ahead = offset;
	} else if (offset > clocks->most) {
		clocks->most = offset;
	}
	if (offset < -off) {
		if (clocks->behind++ == 0 || offset > clocks->most_behind)
			clocks->most_behind = offset;
	} else if (offset < clocks->least) {
		clocks->least = offset;
	}
}

static bool counts(const struct core *core, const struct peer *peer)
{
	const usec age = core->now.us - peer->load_at.us;

	return peer->load_at.us != 0 && (age <= HEARTBEAT_FRESH || (!peer_forgotten(core, peer) &&
	                                                               (core->config.alone_after == 0 ||
	                                                                   age < core->config.alone_after)));
}

static void look_at_clocks(const struct core *core, struct clocks *clocks)
{
	struct core *all = (struct core *)(uintptr_t)core;
	uint64_t latest = 0;

	for (struct peer *peer = peer_next(all, NULL); peer != NULL; peer = peer_next(all, peer)) {
		if (counts(core, peer) && peer->load_at.us > latest)
			latest = peer->load_at.us;
	}
	if (core->now.us - latest <= HEARTBEAT_FRESH)
		latest = core->now.us;
	for (struct peer *peer = peer_next(all, NULL); peer != NULL; peer = peer_next(all, peer)) {
		if (counts(core, peer) && peer->load_at.us + HEARTBEAT_FRESH >= latest)
			add_clock(clocks,
			    (int64_t)(peer->utc.us + (core->now.us - peer->load_at.us) - core->utc.us));
	}
}

/*
 * With ours the clocks are one more than `heard`. Their median is off when more than half of them are, to the
 * same side. When just half of them are, it lies between the two in the middle: of two that differ by more
 * than twice CLUSTER_CLOCK_OFF either may be wrong, and neither acts.
 */
bool cluster_clock_wrong(const struct core *core)
{
	const int64_t off = (int64_t)CLUSTER_CLOCK_OFF;
	struct clocks clocks = {.heard = 0};
	uint32_t all;

	look_at_clocks(core, &clocks);
	all = clocks.heard + 1;
	return 2 * clocks.ahead > all || 2 * clocks.behind > all ||
	       (2 * clocks.ahead == all && clocks.least_ahead + clocks.most > 2 * off) ||
	       (2 * clocks.behind == all && clocks.most_behind + clocks.least < -2 * off);
}

/* Its clock may still come. Of whom the view knows nothing silence alone is waited for. */
static bool expected(const struct core *core, struct peer *peer)
{
	return peer != core->self && !alone_dead(core, peer) &&
	       (core->config.alone_after > 0 || view_find(core->view, &peer->id) != NULL);
}

bool cluster_clock_compared(const struct core *core)
{
	struct core *all = (struct core *)(uintptr_t)core;
	bool waits = false;

	for (struct peer *peer = peer_next(all, NULL); peer != NULL; peer = peer_next(all, peer)) {
		if (peer->load_at.us != 0)
			return true;
		waits = waits || expected(core, peer);
	}
	return !waits && core->now.us >= core->recovered_at.us + CLOCK_COMPARE_WAIT;
}

void heartbeat_judge_clock(struct core *core)
{
	const bool wrong = cluster_clock_wrong(core);
	struct effect *effect;

	if (wrong == core->clock_wrong)
		return;
	core->clock_wrong = wrong;
	effect = effects_add(core->effects, EFFECT_NOTICE);
	effect->id = core->config.node;
	effect->text = effects_copy_text(core->effects, wrong ? "clock_wrong" : "clock_right");
	if (!wrong)
		batch_clock_right(core);
}
