/* SPDX-License-Identifier: MIT */
/*
 * What a heartbeat says, and what is kept of one: the peer's load, and its clock beside ours.
 *
 * Clocks are compared as they are now, by what has gone by since the peer spoke. Its words took some time on
 * the way, which makes its clock look slow by that; CLUSTER_CLOCK_OFF is far above it. A clock of which
 * nothing was heard for HEARTBEAT_FRESH is not counted.
 */
#include "queue/heartbeat.h"

#include "queue/batch.h"
#include "queue/call.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/homesync.h"

#define HEARTBEAT_FRESH (5 * USEC_PER_SEC)

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
	message.digest = digest;
	message.digest_count = view_digest(core->view, core->now, digest, VIEW_DIGEST_MAX, &cursor);
	call_notice(core, peer, &message);
}

void heartbeat_send_all(struct core *core)
{
	struct peer_message message;
	struct digest_entry digest[VIEW_DIGEST_MAX];

	if (TAILQ_EMPTY(&core->linked))
		return;
	message = compose(core);
	message.digest = digest;
	message.digest_count =
	    view_digest(core->view, core->now, digest, VIEW_DIGEST_MAX, &core->digest_cursor);
	call_notice_all(core, &message);
}

void heartbeat_take(struct core *core, struct peer *peer, const struct peer_message *message)
{
	peer->load = message->load;
	peer->load_at = core->now;
	if (message->load.ready > 0)
		peer->busy_rate = message->load.rate;
	peer->utc = message->at;
	peer->members = message->hash;
	homesync_heard(core, peer, message);
	view_take_digest(core->view, &peer->id, message->digest, message->digest_count, core->now);
}

/*
 * With ours the clocks are one more than `heard`, and their median is off only when more than half of them
 * are, to the same side; one other alone never is.
 */
bool cluster_clock_wrong(const struct core *core)
{
	uint32_t heard = 0, ahead = 0, behind = 0;

	for (struct peer *peer = peer_next((struct core *)(uintptr_t)core, NULL); peer != NULL;
	     peer = peer_next((struct core *)(uintptr_t)core, peer)) {
		const usec age = core->now.us - peer->load_at.us;
		const uint64_t utc = peer->utc.us + age;

		if (peer->load_at.us == 0 || age > HEARTBEAT_FRESH)
			continue;
		heard++;
		ahead += utc > core->utc.us + CLUSTER_CLOCK_OFF;
		behind += core->utc.us > utc + CLUSTER_CLOCK_OFF;
	}
	return 2 * ahead > heard + 1 || 2 * behind > heard + 1;
}
