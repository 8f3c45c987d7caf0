/* SPDX-License-Identifier: MIT */
/* See catchup.h. */
#include "queue/catchup.h"

#include "queue/cluster.h"
#include "queue/header.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/takeover.h"

enum { ASKS_MAX = 64 /* with one heartbeat */ };

static const usec ASK_EVERY = 30 * USEC_PER_SEC;

void catchup_heard(struct core *core, struct shard *shard)
{
	shard->heard_at = core->now;
}

static void ask(struct core *core, struct shard *shard)
{
	struct peer_message request = {
	    .type = PEER_CATCH_UP,
	    .shard = shard->id,
	    .what = shard->synced ? CATCH_UP_ASK : CATCH_UP_COMPARE,
	};

	replica_say_members(shard, &request);
	shard->synced = true;
	catchup_heard(core, shard);
	if (shard->catch_up != NULL)
		call_end(core, shard->catch_up);
	shard->catch_up = call_start(core, takeover_expected(shard), CALL_CATCH_UP, shard, &request, false);
}

static bool wanted(const struct core *core, const struct shard *shard)
{
	const struct peer *owner = takeover_expected(shard);

	if (!shard->mine || shard->owning || shard->phase == SHARD_FINISHED || shard->journal_loading ||
	    owner == core->self || shard->takeover != NULL || !peer_linked(core, owner))
		return false;
	return !shard->synced || (shard->catch_up == NULL && core->now.us - shard->heard_at.us >= ASK_EVERY);
}

void catchup_finished(struct core *core, struct shard *shard)
{
	if (shard->newcomer && takeover_expected(shard) != core->self)
		ask(core, shard);
	shard->newcomer = false;
}

static bool ask_if_wanted(struct core *core, struct shard *shard)
{
	if (!wanted(core, shard))
		return false;
	ask(core, shard);
	return true;
}

void catchup_tick(struct core *core)
{
	if (core->unfinished_shards > 0)
		shard_each_in_turn(core, &core->catchup_next, ASKS_MAX, ask_if_wanted);
}

void catchup_done(struct core *core, struct shard *shard, struct sync *sync)
{
	const uint8_t up_to_date = (uint8_t)sync_up_to_date(sync);

	/* What was news here may be news to those who took no part. */
	if (sync_gained(sync) && shard->mine)
		replica_behind_others(core, shard);
	replica_not_behind(core, shard, up_to_date);
	sync_end(core, sync);
	shard_settle(core, shard);
}

static void answer(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct shard *shard)
{
	struct peer_message message = {.epoch = shard->epoch, .node = shard->owner->id};

	replica_say_members(shard, &message);
	call_reply(core, peer, request, PEER_OK, &message);
}

void catchup_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct shard *shard = shard_find(core, &request->shard);
	bool compare;
	int member;

	/* Who can't start it now says nothing, and is asked again. */
	if (shard == NULL || !header_known(core, shard) || shard->sync != NULL || core->syncs >= SYNCS_MAX ||
	    !sync_may_ask(core, peer))
		return;
	/* A change that was given up when only the newcomer had heard of it: it may as well count. */
	replica_learn_config(core, shard, request->config, request->members, request->member_count);
	member = replica_number(shard, peer);
	if (shard->journal_loading)
		return;
	if (member < 0 || !replica_mine(core, shard)) {
		/* One of the two was a member once, and the other has not heard that it is none any more. */
		replica_refuse(core, peer, request, shard);
		return;
	}
	compare = request->what == CATCH_UP_COMPARE || shard->phase == SHARD_FINISHED ||
	          (shard->behind >> member & 1U) != 0;
	answer(core, peer, request, shard);
	if (!compare)
		return;
	/* It believes us: should the sync be cut short, it has to be made again. */
	replica_behind(core, shard, (uint8_t)(1U << member));
	sync_start(core, shard, 1U << member, catchup_done);
}

void catchup_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct shard *shard = call->owner;

	shard->catch_up = NULL;
	if (answer->status == PEER_OK)
		shard->newcomer = false;
	else
		shard->synced = false;
	replica_learn_config(core, shard, answer->config, answer->members, answer->member_count);
	if (answer->status != PEER_OK)
		takeover_consider(core, shard);
	else if (answer->epoch >= shard->promised)
		replica_learn(core, shard, answer->epoch, peer_of(core, &answer->node));
}
