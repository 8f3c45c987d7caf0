/* SPDX-License-Identifier: MIT */
/* See restore.h. One look at all shards of this node with each heartbeat; queue/change.h limits how many
 * change at once. */
#include "queue/restore.h"

#include "queue/change.h"
#include "queue/cluster.h"
#include "queue/replica.h"
#include "queue/shard.h"

enum { CANDIDATES_MAX = 64 /* how far along the ring a new member is looked for */ };

/* A member that came to take the shard over has time for it before one has to go. */
static const usec SURPLUS_REST = 5 * USEC_PER_SEC;

void restore_peer_changed(struct core *core, struct peer *peer)
{
	peer->idle_since.us = 0;
	if (peer_alive(core, peer))
		peer->gone_since.us = 0;
	else
		restore_absence(core, peer);
}

usec restore_absence(const struct core *core, struct peer *peer)
{
	if (peer_alive(core, peer))
		return 0;
	/* Of one that was never heard of nothing has changed. */
	if (peer->gone_since.us == 0)
		peer->gone_since = core->now;
	return core->now.us - peer->gone_since.us;
}

static bool lost(const struct core *core, struct peer *peer)
{
	return !peer_alive(core, peer) && restore_absence(core, peer) >= core->config.replace_after;
}

static uint32_t wanted(const struct core *core, const struct shard *shard)
{
	uint32_t number = shard->batch->record.settings.replicas;

	if (number == 0)
		number = core->config.replicas;
	/* Rule 1 holds for as long as the batch lasts, whatever its submitter or this node is content with.
	 */
	if (number < 2 && cluster_members(core) >= 2)
		number = 2;
	if (number > REPLICAS_MAX)
		number = REPLICAS_MAX;
	return number > 0 ? number : 1;
}

/* The closest live node that is no member and may own; NULL: there is none. */
static struct peer *newcomer(struct core *core, const struct shard *shard)
{
	struct peer *closest[CANDIDATES_MAX];
	const uint32_t count = cluster_closest(core, &shard->id, CANDIDATES_MAX, closest);

	for (uint32_t i = 0; i < count; i++) {
		if (replica_number(shard, closest[i]) < 0 && peer_may_own(core, closest[i]))
			return closest[i];
	}
	return NULL;
}

static struct peer *lost_member(const struct core *core, const struct shard *shard)
{
	for (int i = 0; i < shard->member_count; i++) {
		if (lost(core, shard->members[i]))
			return shard->members[i];
	}
	return NULL;
}

/* The one to go when there are too many: who may not own, else who is furthest; never this node. */
static struct peer *surplus_member(struct core *core, const struct shard *shard)
{
	struct peer *closest[CANDIDATES_MAX], *found = NULL;
	const uint32_t count = cluster_closest(core, &shard->id, CANDIDATES_MAX, closest);
	uint32_t furthest = 0;

	for (int i = 0; i < shard->member_count; i++) {
		struct peer *member = shard->members[i];
		uint32_t rank = 0;

		if (member == core->self || shard_has_mail_of(shard, member))
			continue;
		while (rank < count && closest[rank] != member)
			rank++;
		if (!peer_may_own(core, member))
			rank += CANDIDATES_MAX;
		if (found == NULL || rank >= furthest) {
			found = member;
			furthest = rank;
		}
	}
	return found;
}

static bool another_may_own(const struct core *core, const struct shard *shard)
{
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] != core->self && peer_may_own(core, shard->members[i]))
			return true;
	}
	return false;
}

static void look(struct core *core, struct shard *shard)
{
	struct peer *gone = lost_member(core, shard), *peer = NULL;
	uint32_t there = 0;

	for (int i = 0; i < shard->member_count; i++)
		there += !lost(core, shard->members[i]);
	if ((there < wanted(core, shard) && shard->member_count < REPLICAS_MAX) ||
	    (!peer_may_own(core, core->self) && !another_may_own(core, shard))) {
		peer = newcomer(core, shard);
		if (peer != NULL)
			change_start(core, shard, peer, true, false);
		return;
	}
	if (gone != NULL && (there >= wanted(core, shard) || newcomer(core, shard) != NULL))
		peer = gone;
	else if (shard->member_count > wanted(core, shard) && peer_may_own(core, core->self) &&
	         core->now.us - shard->config_at.us >= SURPLUS_REST)
		peer = surplus_member(core, shard);
	if (peer != NULL)
		change_start(core, shard, peer, false, false);
}

void restore_tick(struct core *core)
{
	if (!core->recovered)
		return;
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		change_tick(core, shard);
		if (shard->owning && shard->phase != SHARD_FINISHED && shard->change == NULL &&
		    core->changes < CHANGES_MAX)
			look(core, shard);
	}
}
