/* SPDX-License-Identifier: MIT */
/*
 * The members as `optimus nodes` shows them: the view's word, and what their heartbeats say. Of one that is
 * gone nothing of that is true any more; there the shards count that wait for it, because none of their
 * members is alive. So an operator sees whom to bring back. One that was forgotten is shown for as long as
 * there are such shards, and so is one that only the mark in the store names (queue/decider.h): batches wait
 * for it, and to forget it one has to see its id.
 *
 * A shard all of whose members were forgotten does not wait: its mails are lost. Who is no member of a shard
 * knows what the batch's record says of it, and not whether it is finished. So a batch whose time is over
 * does not count.
 */
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/decider.h"
#include "queue/error.h"
#include "queue/heartbeat.h"

static bool waits(const struct core *core, const struct shard *shard)
{
	bool lost = true;

	for (int m = 0; m < shard->member_count; m++) {
		if (!shard->members[m]->waiting.away)
			return false;
		lost = lost && peer_forgotten(core, shard->members[m]);
	}
	return !lost;
}

static void count_shard(const struct core *core, const struct shard *shard)
{
	if (!waits(core, shard))
		return;
	for (int m = 0; m < shard->member_count; m++) {
		struct peer *member = shard->members[m];

		member->waiting.shards++;
		member->waiting.owned += shard->owner == member;
	}
}

/* For the list that begins. It changes nothing of what the core does. */
static void count_waiting(struct core *core)
{
	uint32_t away = 0;

	for (struct peer *peer = peer_next(core, NULL); peer != NULL; peer = peer_next(core, peer)) {
		peer->waiting.away = !peer_alive(core, peer);
		peer->waiting.owned = peer->waiting.shards = 0;
		away += peer->waiting.away;
	}
	for (struct batch *batch = batch_after(core, NULL); batch != NULL && away > 0;
	     batch = batch_after(core, &batch->key)) {
		if (batch_is_over(core, batch))
			continue;
		for (uint32_t i = 0; i < batch->record.shard_count; i++)
			count_shard(core, &batch->shards[i]);
	}
}

static bool shown(const struct core *core, const struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	return (member != NULL && !member->forgotten) || peer->waiting.shards > 0 ||
	       decider_unnamed(core, peer);
}

static struct peer *shown_after(struct core *core, const struct opt_id *after)
{
	struct peer *peer = peer_next(core, after == NULL ? NULL : peer_of(core, after));

	while (peer != NULL && !shown(core, peer))
		peer = peer_next(core, peer);
	return peer;
}

/* One that is gone, whether the view still counts it or not. */
static void view_gone(const struct peer *peer, const struct member *member, struct member_view *ret_view)
{
	*ret_view = (struct member_view){
	    .id = peer->id,
	    .address = member != NULL ? member->presence.address : "",
	    .version = member != NULL ? member->presence.version : "",
	    .state = "gone",
	    .weight = member != NULL ? member->presence.weight : WEIGHT_ONE,
	    .member = member != NULL && !member->forgotten,
	    .linked = peer->linked,
	    .load_known = peer->load_at.us > 0,
	    .owned = peer->waiting.owned,
	    .replicas = peer->waiting.shards,
	    .sent = peer->load.sent,
	};
}

int core_member_next(const struct core *core, const struct opt_id *after, struct member_view *ret_view)
{
	struct core *walked = (struct core *)(uintptr_t)core;
	const struct member *member;
	struct peer *peer;
	struct peer_load load;

	if (after == NULL)
		count_waiting(walked);
	peer = shown_after(walked, after);
	if (peer == NULL)
		return OPT_E_NOT_FOUND;
	member = view_find(core->view, &peer->id);
	if (!peer_alive(core, peer)) {
		view_gone(peer, member, ret_view);
		return 0;
	}
	load = peer == core->self ? heartbeat_load(core) : peer->load;
	*ret_view = (struct member_view){
	    .id = peer->id,
	    .address = member->presence.address,
	    .version = member->presence.version,
	    .state = member_state_name(member),
	    .weight = member->presence.weight,
	    .self = peer == core->self,
	    .member = true,
	    .linked = peer->linked,
	    .load_known = peer == core->self || peer->load_at.us > 0,
	    .owned = load.owned,
	    .replicas = load.replicas,
	    .in_flight = load.in_flight,
	    .sent = load.sent,
	    .rate = load.rate / 100.0,
	    .postfix = load.postfix != 0,
	};
	return 0;
}
