/* SPDX-License-Identifier: MIT */
/* See lost_writes.h. */
#include "queue/lost_writes.h"

#include <assert.h>

#include "queue/alone.h"
#include "queue/cluster.h"
#include "queue/homesync.h"
#include "queue/mesh.h"
#include "queue/registers.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/write.h"

enum { SEQUENCE_DIGITS = 18 };
#define SEQUENCE_MAX UINT64_C(999999999999999999)
static_assert(PEER_HEARD_MAX < SEQUENCE_MAX, "whoever is told a number counts on from it");

/* Who is said to be alive has so long to be linked, after our own start; then only those with a link count.
 */
static const usec LINK_TIME = 2 * USEC_PER_SEC;

void lost_writes_recover(struct core *core, const void *data, size_t len)
{
	const char *digits = data;
	uint64_t number = 0;

	if (core->recover_done || len == 0 || len > SEQUENCE_DIGITS)
		return;
	for (size_t i = 0; i < len; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return;
		number = 10 * number + (uint64_t)(digits[i] - '0');
	}
	core->sequence = core->sequence_durable = core->sequence_start = number;
}

static uint64_t next_number(struct core *core)
{
	if (core->vouched)
		return core->sequence < SEQUENCE_MAX ? ++core->sequence : core->sequence;
	/* What was written before it was noticed must not hide it from the next life. */
	return core->writes_lost ? core->sequence_start + (core->sequence_start == 0) : 0;
}

void lost_writes_number(struct core *core, size_t first)
{
	for (size_t i = first; i < core->effects->count; i++) {
		struct effect *effect = &core->effects->items[i];
		struct write *write;

		if (effect->type != EFFECT_STORE_APPEND && effect->type != EFFECT_STORE_REGISTER)
			continue;
		effect->sequence = next_number(core);
		write = write_find(core, effect->token);
		if (write != NULL && core->vouched)
			write->sequence = effect->sequence;
	}
}

void lost_writes_stored(struct core *core, const struct write *write)
{
	/* Of entries that are written together the last one has the number. */
	if (write->pending <= 1 && write->sequence > core->sequence_durable)
		core->sequence_durable = write->sequence;
}

/* Whether it is still to say what it has heard. */
static bool awaited(const struct core *core, const struct peer *peer)
{
	const usec since = core->recovered ? core->now.us - core->recovered_at.us : 0;

	if (peer == core->self || peer->vouched || !peer_alive(core, peer))
		return false;
	return peer_linked(core, peer) || (since < LINK_TIME && !mesh_partial(core));
}

static bool any_awaited(const struct core *core)
{
	for (struct peer *peer = peer_next((struct core *)(uintptr_t)core, NULL); peer != NULL;
	     peer = peer_next((struct core *)(uintptr_t)core, peer)) {
		if (awaited(core, peer))
			return true;
	}
	return false;
}

bool lost_writes_may_decide(const struct core *core)
{
	return core->vouched || core->config.broken_rule == CORE_BUG_LOST_WRITES_IGNORED ||
	       !any_awaited(core);
}

bool lost_writes_enough(uint32_t old, uint32_t unheard)
{
	return old <= 1 || 2 * (unheard + 1) <= old;
}

bool lost_writes_may_vote(const struct core *core, const struct shard *shard)
{
	if (core->config.broken_rule == CORE_BUG_LOST_WRITES_IGNORED)
		return true;
	if (shard->mine && shard->lost == LOST_NO_VOTE)
		return false;
	for (int i = 0; i < shard->member_count; i++) {
		if (awaited(core, shard->members[i]))
			return false;
	}
	return lost_writes_may_decide(core);
}

void lost_writes_new_shard(const struct core *core, struct shard *shard)
{
	shard->lost = core->writes_lost ? LOST_NO_VOTE : LOST_NOTHING;
}

/* What a peer remembers, and tells. */

static uint64_t own_life(const struct core *core)
{
	return core->config.presence.incarnation & INT64_MAX;
}

void lost_writes_beat(const struct core *core, struct peer_message *heartbeat)
{
	heartbeat->version = own_life(core);
	heartbeat->next = core->sequence_durable;
	for (const struct peer *peer = TAILQ_FIRST(&core->linked); peer != NULL;
	     peer = TAILQ_NEXT(peer, links)) {
		if (!peer->vouched)
			heartbeat->what |= BEAT_ASKS;
	}
}

/* What it says of itself may be above what it takes of others. */
static uint64_t within(uint64_t number)
{
	return number < PEER_HEARD_MAX ? number : PEER_HEARD_MAX;
}

void lost_writes_tell(const struct peer *peer, struct peer_message *heartbeat)
{
	heartbeat->what |= BEAT_TELLS;
	heartbeat->heard = (struct heard_of){
	    .life = peer->heard.life, .now = within(peer->heard.now), .before = within(peer->heard.before)};
}

static void remember(struct heard_of *heard, uint64_t life, uint64_t number)
{
	uint64_t *highest = life < heard->life ? &heard->before : &heard->now;

	if (life > heard->life) {
		if (heard->now > heard->before)
			heard->before = heard->now;
		heard->now = 0;
		heard->life = life;
	}
	if (number > *highest)
		*highest = number;
}

static void consider_all(struct core *core)
{
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard))
		takeover_consider(core, shard);
}

static void vouch(struct core *core)
{
	core->vouched = true;
	if (core->sequence < core->sequence_heard)
		core->sequence = core->sequence_heard;
	consider_all(core);
}

/* Somebody has answered, and nobody is left to. */
static void check_vouched(struct core *core)
{
	if (core->sequence_answered && !core->vouched && !core->writes_lost && !any_awaited(core))
		vouch(core);
}

static void notice(struct core *core, const char *text)
{
	struct effect *effect = effects_add(core->effects, EFFECT_NOTICE);

	effect->id = core->config.node;
	effect->text = effects_copy_text(core->effects, text);
}

static void lose(struct core *core)
{
	notice(core, "store_lost_writes");
	core->writes_lost = core->writes_missed = core->resyncs = true;
	core->vouched = false;
	homesync_unlearn(core);
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		shard->lost = LOST_NO_VOTE;
		if (shard->phase == SHARD_FINISHED)
			continue;
		takeover_cancel(core, shard);
		replica_step_down(core, shard);
	}
}

static void take_word(struct core *core, struct peer *peer, struct heard_of heard)
{
	/* It need not have heard of this life. */
	remember(&heard, own_life(core), 0);
	peer->vouched = true;
	core->sequence_answered = true;
	if (heard.before > core->sequence_heard)
		core->sequence_heard = heard.before;
	if (heard.before > core->sequence_start && !core->writes_missed &&
	    core->config.broken_rule != CORE_BUG_LOST_WRITES_IGNORED)
		lose(core);
	check_vouched(core);
	if (core->vouched)
		consider_all(core);
}

void lost_writes_heard(struct core *core, struct peer *peer, const struct peer_message *heartbeat)
{
	remember(&peer->heard, heartbeat->version, heartbeat->next);
	peer->asks = (heartbeat->what & BEAT_ASKS) != 0;
	/* What the store has is read first. */
	if ((heartbeat->what & BEAT_TELLS) != 0 && core->recover_done && !peer->vouched)
		take_word(core, peer, heartbeat->heard);
}

/* Back to the same state as the others. */

static uint32_t count_bits(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

/* So many of its other members have to be compared with; fewer where the others are dead. */
static uint32_t needed(const struct core *core, const struct shard *shard, bool *ret_doubtful)
{
	const uint32_t others = shard->member_count - 1U;
	const uint32_t majority = others / 2 + 1;
	const uint32_t left = alone_left(core, shard) - 1;

	*ret_doubtful = left < majority;
	return left < majority ? left : majority;
}

static void trust(struct core *core, struct shard *shard, bool doubtful)
{
	shard->lost = doubtful ? LOST_DOUBTFUL : LOST_NOTHING;
	takeover_consider(core, shard);
}

/* A promise that one of them knows may have been given here, too: it is taken for one of ours. */
static void keep_promise(struct core *core, struct shard *shard, const struct sync *sync)
{
	struct journal_entry entry = {.type = JOURNAL_PROMISE};
	struct peer *to = sync_promised(sync, &entry.epoch);

	if (to == NULL || entry.epoch < shard->promised ||
	    (entry.epoch == shard->promised && to == shard->promised_to))
		return;
	/* To whom of two it was given can't be known: it is given to neither. */
	if (entry.epoch == shard->promised)
		to = core->self;
	shard->promised = entry.epoch;
	shard->promised_to = to;
	shard->promised_at = core->now;
	entry.node = to->id;
	write_entry(core, &shard->id, &entry);
}

static void compared(struct core *core, struct shard *shard, struct sync *sync)
{
	const uint32_t complete = count_bits(sync_complete(sync));
	const bool ours = sync_complete_here(sync) && shard->rereads == 0;
	bool doubtful;
	const uint32_t wanted = needed(core, shard, &doubtful);

	keep_promise(core, shard, sync);
	sync_end(core, sync);
	shard_settle(core, shard);
	if (ours && complete >= wanted)
		trust(core, shard, doubtful);
}

/* The other members that can be compared with now. */
static uint32_t at_hand(const struct core *core, const struct shard *shard)
{
	uint32_t members = 0;

	for (uint32_t i = 0; i < shard->member_count; i++) {
		const struct peer *peer = shard->members[i];

		if (peer != core->self && peer_alive(core, peer) && peer_linked(core, peer) &&
		    sync_may_ask(core, peer))
			members |= 1U << i;
	}
	return members;
}

static void resync(struct core *core, struct shard *shard)
{
	const uint32_t members = at_hand(core, shard);
	bool doubtful;
	const uint32_t wanted = needed(core, shard, &doubtful);

	if (shard->journal_loading || shard->sync != NULL || shard->takeover != NULL ||
	    (shard->lost == LOST_DOUBTFUL && doubtful))
		return;
	if (wanted == 0)
		trust(core, shard, doubtful);
	else if (count_bits(members) >= wanted && sync_may_start(core, shard))
		sync_start(core, shard, members, compared);
}

static void resync_all(struct core *core)
{
	bool left = false, no_vote = false;

	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->lost == LOST_NOTHING || !shard->mine || shard->phase == SHARD_FINISHED)
			continue;
		resync(core, shard);
		left = left || shard->lost != LOST_NOTHING;
		no_vote = no_vote || shard->lost == LOST_NO_VOTE;
	}
	if (core->writes_lost && !no_vote && core->registers->known) {
		notice(core, "store_resynced");
		core->writes_lost = false;
		vouch(core);
	}
	core->resyncs = left || core->writes_lost;
}

void lost_writes_tick(struct core *core)
{
	if (!core->recovered)
		return;
	check_vouched(core);
	if (core->resyncs)
		resync_all(core);
}
