/* SPDX-License-Identifier: MIT */
/* See replica.h. Members are named by their place in shard->members, and sets of them by bits. */
#include "queue/replica.h"

#include <string.h>

#include "queue/alone.h"
#include "queue/catchup.h"
#include "queue/change.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/doubt.h"
#include "queue/feed.h"
#include "queue/left.h"
#include "queue/lost_writes.h"
#include "queue/replicate.h"
#include "queue/shard.h"
#include "queue/silent.h"
#include "queue/stage.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/tell.h"
#include "queue/upload.h"
#include "queue/write.h"

/*
 * Of two, the first owner goes on without the other one, who may have taken the shard over, alone, while this
 * node was away. It was not if it has been there since it got the mails.
 */
static bool owns_at_first(struct core *core, struct shard *shard)
{
	const struct opt_id *upload = &shard->batch->record.upload;

	if (!core->recover_done || shard->owner != core->self || !lost_writes_may_vote(core, shard))
		return false;
	return shard->member_count != 2 || upload_find(core, upload) != NULL ||
	       stage_since_start(core, upload);
}

void replica_init(struct core *core, struct shard *shard)
{
	const struct batch_record *record = &shard->batch->record;
	const struct record_shard *place = &record->shards[shard->index];

	shard->member_count = place->replica_count;
	for (uint8_t i = 0; i < place->replica_count; i++)
		shard->members[i] = peer_of(core, &record->nodes[place->replicas[i]]);
	shard->config = 1;
	shard->epoch = 1;
	shard->promised = 1;
	shard->owner = shard->promised_to = shard->members[0];
	shard->owner_incarnation = peer_incarnation(core, shard->owner);
	shard->mine = replica_mine(core, shard);
	/* What was recovered is owned only after it was taken over again. */
	shard->synced = core->recover_done;
	lost_writes_new_shard(core, shard);
	shard->owning = owns_at_first(core, shard);
	timer_init(&shard->takeover_timer, TIMER_TAKEOVER, shard);
	timer_init(&shard->doubt_timer, TIMER_DOUBT, shard);
}

int replica_number(const struct shard *shard, const struct peer *peer)
{
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == peer)
			return i;
	}
	return -1;
}

bool replica_mine(const struct core *core, const struct shard *shard)
{
	return replica_number(shard, core->self) >= 0;
}

uint32_t replica_majority(const struct shard *shard)
{
	return shard->member_count / 2U + 1;
}

uint32_t replica_alive(const struct core *core, const struct shard *shard)
{
	uint32_t alive = 0;

	for (int i = 0; i < shard->member_count; i++)
		alive += peer_alive(core, shard->members[i]);
	return alive;
}

uint8_t replica_others(const struct core *core, const struct shard *shard)
{
	const int self = replica_number(shard, core->self);

	return (uint8_t)(((1U << shard->member_count) - 1) & ~(self < 0 ? 0U : 1U << self));
}

void replica_say_members(const struct shard *shard, struct peer_message *message)
{
	message->config = shard->config;
	message->member_count = shard->member_count;
	for (int i = 0; i < shard->member_count; i++)
		message->members[i] = shard->members[i]->id;
}

void replica_behind(struct core *core, struct shard *shard, uint8_t members)
{
	if (shard->behind == 0 && members != 0)
		core->behind++;
	shard->behind |= members;
	if (shard->sync != NULL)
		sync_missed(shard->sync, members);
}

void replica_behind_others(struct core *core, struct shard *shard)
{
	replica_behind(core, shard, replica_others(core, shard));
}

void replica_not_behind(struct core *core, struct shard *shard, uint8_t members)
{
	if (shard->behind == 0)
		return;
	shard->behind &= (uint8_t)~members;
	if (shard->behind == 0)
		core->behind--;
}

/* Who owns it. */

void replica_step_down(struct core *core, struct shard *shard)
{
	struct write *next;

	if (!shard->owning)
		return;
	shard->owning = false;
	shard->synced = false; /* it may have facts that nobody else has */
	change_end(core, shard);
	core->owned_shards -= shard->phase != SHARD_FINISHED;
	doubt_end(core, shard);
	timer_disarm(&core->boot_timers, &shard->retry);
	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->kind == WRITE_CLAIMS && write->shard == shard && !write->safe)
			feed_claims_refused(core, write);
	}
}

void replica_own(struct core *core, struct shard *shard, uint32_t epoch)
{
	shard->epoch = epoch;
	shard->owner = core->self;
	shard->owner_incarnation = peer_incarnation(core, core->self);
	if (shard->promised < epoch) {
		shard->promised = epoch;
		shard->promised_to = core->self;
	}
	if (!shard->owning && shard->phase != SHARD_FINISHED)
		core->owned_shards++;
	shard->owning = true;
	shard->contested = false;
	shard->owned_at = core->now;
	shard->config_sent = false;
	shard->synced = true;
	shard->resting = false;
	replica_check_quorum(core, shard);
	doubt_watch(core, shard);
	if (control_cancelled(shard->batch))
		shard_cancel(core, shard);
	else
		shard_settle(core, shard);
}

void replica_learn(struct core *core, struct shard *shard, uint32_t epoch, struct peer *owner)
{
	if (epoch < shard->promised ||
	    (epoch == shard->promised && shard->promised_to == owner && shard->epoch == epoch))
		return;
	if (epoch > shard->promised) {
		shard->promised = epoch;
		shard->promised_to = owner;
		shard->promised_at = core->now;
	}
	if (owner != core->self && epoch > shard->epoch)
		replica_step_down(core, shard);
	if (epoch > shard->epoch && !shard->owning) {
		shard->epoch = epoch;
		shard->owner = owner;
		shard->owner_incarnation = peer_incarnation(core, owner);
	}
}

/* Who its members are. */

static void set_members(
    struct core *core, struct shard *shard, uint32_t config, const struct opt_id *members, uint32_t count)
{
	shard->config = config;
	shard->config_at = core->now;
	shard->member_count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		shard->members[i] = peer_of(core, &members[i]);
}

/* It may have been heard of, and be in no journal here; who looks for the shard on this node is sent on. */
static void write_members(struct core *core, const struct shard *shard)
{
	struct opt_id members[REPLICAS_MAX];
	const struct journal_entry entry = {
	    .type = JOURNAL_CONFIG,
	    .config = shard->config,
	    .epoch = shard->config / CONFIGS_AN_EPOCH,
	    .members = members,
	    .count = shard->member_count,
	};

	for (int i = 0; i < shard->member_count; i++)
		members[i] = shard->members[i]->id;
	if (core->recovered)
		write_entry(core, &shard->id, &entry);
}

bool replica_follow_members(struct core *core, struct shard *shard)
{
	const bool mine = replica_mine(core, shard);

	if (mine && !shard->mine) {
		shard_become_mine(core, shard);
		return true;
	}
	if (!mine && shard->mine) {
		/* It was away, and may have facts that nobody else has: the members get them. */
		const bool tells = !shard->synced;

		shard_leave(core, shard);
		write_members(core, shard);
		if (tells)
			replica_behind_others(core, shard);
	}
	return false;
}

void replica_learn_config(
    struct core *core, struct shard *shard, uint32_t config, const struct opt_id *members, uint32_t count)
{
	const uint8_t before_count = shard->member_count;
	const bool tells = !shard->mine && shard->behind != 0; /* what it had when it left */
	struct peer *before[REPLICAS_MAX];

	if (config <= shard->config || count == 0 || count > REPLICAS_MAX)
		return;
	memcpy(before, shard->members, sizeof(before));
	replica_not_behind(core, shard, shard->behind);
	takeover_cancel(core, shard);
	if (shard->sync != NULL)
		sync_end(core, shard->sync);
	change_end(core, shard);
	set_members(core, shard, config, members, count);
	if (!replica_mine(core, shard))
		replica_step_down(core, shard);
	if (!shard->journal_loading)
		replica_follow_members(core, shard);
	replicate_to_members(core, shard, before, before_count);
	/* Nobody knows what the newcomer lacks, nor who else has not heard of this. */
	if (tells || (shard->owning && shard->phase != SHARD_FINISHED))
		replica_behind_others(core, shard);
	/* A command that came while it joined was told to those who were members then. */
	for (uint32_t i = 0; i < count && shard->owning; i++)
		tell_peer(core, shard->batch, shard->members[i]);
	replica_check_quorum(core, shard);
	silent_try(core, shard);
	takeover_consider(core, shard);
}

void replica_take_entry(struct core *core, struct shard *shard, const struct journal_entry *entry)
{
	switch (entry->type) {
	case JOURNAL_CLAIMS:
	case JOURNAL_PROMISE:
		replica_learn(core, shard, entry->epoch, peer_of(core, &entry->node));
		return;
	case JOURNAL_CONFIG:
		replica_learn_config(core, shard, entry->config, entry->members, (uint32_t)entry->count);
		/* Its first member owned the shard in that epoch. */
		replica_learn(core, shard, entry->epoch, peer_of(core, &entry->members[0]));
		return;
	default:
		return;
	}
}

struct peer_message replica_header(const struct shard *shard)
{
	struct peer_message message = {.epoch = shard->promised, .node = shard->promised_to->id};

	replica_say_members(shard, &message);
	return message;
}

void replica_refuse(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct shard *shard)
{
	struct peer_message answer = replica_header(shard);

	call_reply(core, peer, request, PEER_REFUSED, &answer);
}

/* Members come and go. */

void replica_check_quorum(struct core *core, struct shard *shard)
{
	bool cut_off = replica_alive(core, shard) < alone_needed(core, shard);

	if (cut_off == shard->cut_off)
		return;
	shard->cut_off = cut_off;
	if (!cut_off && shard->owning) {
		shard->resting = false;
		replicate_recheck(core, shard);
		shard_settle(core, shard);
	}
}

void replica_peer_changed(struct core *core, struct peer *peer)
{
	bool alive = peer_alive(core, peer);

	if (!core->recovered)
		return;
	if (!alive)
		replicate_members_gone(core);
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		int member = replica_number(shard, peer);

		/* Who is no member any more compares journals, too: its facts are for those who are left. */
		if (member >= 0 && shard->sync != NULL)
			sync_peer_changed(core, shard, peer);
		if (member < 0 || !shard->mine)
			continue;
		if (shard->owner == peer)
			shard->synced = false;
		/* Heard for the first time since our own start: nothing says that it has restarted. */
		if (shard->owner == peer && shard->owner_incarnation == 0)
			shard->owner_incarnation = peer_incarnation(core, peer);
		/* It may have lost what it had not written down, or come back after we gave it up. */
		if (shard->owning && shard->phase != SHARD_FINISHED &&
		    peer_incarnation(core, peer) > peer->seen_incarnation)
			replica_behind(core, shard, (uint8_t)(1U << member));
		replica_check_quorum(core, shard);
		silent_try(core, shard);
		if (!alive && shard->owning)
			replicate_recheck(core, shard);
		takeover_consider(core, shard);
	}
	peer->seen_incarnation = peer_incarnation(core, peer);
}

uint32_t replica_catchable(const struct core *core, const struct shard *shard)
{
	uint32_t members = 0, mute = 0;

	for (uint32_t i = 0; i < shard->member_count; i++) {
		const struct peer *peer = shard->members[i];

		/* Who is gone may still have a link: nobody would say that it went, once the sync has begun.
		 */
		if ((shard->behind & 1U << i) == 0 || !peer_alive(core, peer) || !peer_linked(core, peer) ||
		    !sync_may_ask(core, peer))
			continue;
		if (peer->mute_at.us == 0)
			members |= 1U << i;
		else
			mute |= 1U << i;
	}
	/* Nobody waits for one that may say nothing again: it is tried alone. */
	return members != 0 ? members : mute & -mute;
}

void replica_tick(struct core *core)
{
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		left_check(core, shard);
		/* A takeover has its own limits. */
		if (shard->sync != NULL && shard->takeover == NULL)
			sync_leave_out_mute(core, shard);
		if (shard->phase == SHARD_FINISHED || !shard->mine)
			continue;
		/* Who is away is taken for dead after a time. */
		if (shard->cut_off)
			replica_check_quorum(core, shard);
		silent_tick(core, shard);
		/* Members and owners change in many ways; whoever should own it is asked again. */
		if (!shard->owning && !shard->takeover_timer.armed)
			takeover_consider(core, shard);
	}
	replicate_tick(core);
	for (struct shard *shard = shard_next(core, NULL); shard != NULL && core->syncs < SYNCS_MAX;
	     shard = shard_next(core, shard)) {
		uint32_t members = shard->behind == 0 ? 0 : replica_catchable(core, shard);

		if (members != 0 && sync_may_start(core, shard) && shard->sync == NULL &&
		    shard->takeover == NULL && !shard->journal_loading)
			sync_start(core, shard, members, catchup_done);
	}
}

void replica_forget(struct core *core, struct shard *shard)
{
	takeover_cancel(core, shard);
	if (shard->sync != NULL)
		sync_end(core, shard->sync);
	change_end(core, shard);
	if (shard->catch_up != NULL)
		call_end(core, shard->catch_up);
	if (shard->hand_over != NULL)
		call_end(core, shard->hand_over);
	replica_not_behind(core, shard, shard->behind);
	timer_disarm(&core->boot_timers, &shard->takeover_timer);
	doubt_end(core, shard);
}
