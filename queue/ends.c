/* SPDX-License-Identifier: MIT */
/* See ends.h. Each peer has a place of its own in the order of the batches. */
#include "queue/ends.h"

#include <string.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/query.h"
#include "queue/replica.h"

enum { LOOKS_MAX = 16 /* at batches, for one peer, with one heartbeat */ };

static bool in_common(const struct shard *shard, const struct peer *peer)
{
	return shard->mine && shard->phase == SHARD_FINISHED && replica_number(shard, peer) >= 0;
}

static bool has_ends(const struct batch *batch, const struct peer *peer)
{
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		if (in_common(&batch->shards[i], peer))
			return true;
	}
	return false;
}

static void ask(struct core *core, struct peer *peer, const struct opt_id *batch, uint64_t from)
{
	struct peer_message request = {
	    .type = PEER_STATUS, .batch = *batch, .from = from, .count = QUERY_SHARDS};

	peer->ends_batch = *batch;
	peer->ends_call = call_start(core, peer, CALL_ENDS, peer, &request, false);
	peer->ends_call->number = from;
}

static void next_batch(struct core *core, struct peer *peer)
{
	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		struct batch *batch = batch_after(core, peer->ends_begun ? &peer->ends_batch : NULL);

		peer->ends_begun = true;
		if (batch == NULL) {
			peer->ends_left = false;
			return;
		}
		peer->ends_batch = batch->key;
		if (has_ends(batch, peer)) {
			ask(core, peer, &batch->key, 0);
			return;
		}
	}
}

void ends_peer_up(struct core *core, struct peer *peer)
{
	ends_peer_down(core, peer);
	peer->ends_left = true;
}

void ends_peer_down(struct core *core, struct peer *peer)
{
	if (peer->ends_call != NULL)
		call_end(core, peer->ends_call);
	peer->ends_call = NULL;
	peer->ends_left = peer->ends_begun = false;
}

void ends_tick(struct core *core)
{
	struct peer *peer;

	if (!core->recovered)
		return;
	TAILQ_FOREACH (peer, &core->linked, links) {
		if (peer->ends_left && peer->ends_call == NULL)
			next_batch(core, peer);
	}
}

static bool same(const struct shard_counts *a, const struct shard_counts *b)
{
	return memcmp(a->states, b->states, sizeof(a->states)) == 0 && a->duplicates == b->duplicates &&
	       a->in_doubt_resent == b->in_doubt_resent && a->last.us == b->last.us;
}

static void compare(
    struct core *core, struct shard *shard, struct peer *peer, const struct shard_counts *word)
{
	struct shard_counts own;

	if (shard->journal_loading || !in_common(shard, peer) || !word->finished ||
	    !query_own_word(core, shard, &own) || same(&own, word))
		return;
	replica_behind(core, shard, (uint8_t)(1U << replica_number(shard, peer)));
}

/*
 * Who came to the batch later is told of a command by the owners and asks the homes, but not once all that it
 * has is finished.
 */
static void take_control(struct core *core, struct batch *batch, const struct peer_message *answer)
{
	const struct control control = {
	    .version = answer->version, .what = (enum control_what)answer->what, .at = answer->at};

	if (control_above(&control, &batch->control.now))
		control_write(core, &batch->control, &batch->key, &control);
}

void ends_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct peer *peer = call->owner;
	struct batch *batch = batch_find(core, &peer->ends_batch);

	if (answer->status == PEER_BUSY) {
		call_again(call);
		return;
	}
	peer->ends_call = NULL;
	if (batch == NULL || answer->status != PEER_OK)
		return;
	for (size_t i = 0; i < answer->shard_count; i++) {
		if (answer->shards[i].index < batch->record.shard_count)
			compare(core, &batch->shards[answer->shards[i].index], peer, &answer->shards[i]);
	}
	take_control(core, batch, answer);
	if (answer->next > call->number && answer->next < batch->record.shard_count)
		ask(core, peer, &batch->key, answer->next);
}
