/* SPDX-License-Identifier: MIT */
/* See alone.h. */
#include "queue/alone.h"

#include "queue/cluster.h"
#include "queue/replica.h"
#include "queue/restore.h"
#include "queue/takeover.h"

/*
 * How long a port has to be refused. With two replicas every claim of the dead one is known here. With more
 * it may not be, and after a failure of the power of all machines the others only need longer to start.
 */
static const usec REFUSED_OF_TWO = 10 * USEC_PER_SEC;
static const usec REFUSED_OF_MORE = 60 * USEC_PER_SEC;
static const usec REFUSALS_APART = 30 * USEC_PER_SEC; /* between them it may have been there */

static bool proven_dead(const struct core *core, struct peer *peer, uint32_t member_count)
{
	const usec refused = member_count == 2 ? REFUSED_OF_TWO : REFUSED_OF_MORE;

	if (peer_alive(core, peer))
		return false;
	return peer_forgotten(core, peer) || peer->refused_last.us - peer->refused_first.us >= refused ||
	       (core->config.alone_after > 0 && restore_absence(core, peer) >= core->config.alone_after);
}

bool alone_dead(const struct core *core, struct peer *peer)
{
	return proven_dead(core, peer, cluster_members(core));
}

uint32_t alone_needed_of(
    const struct core *core, const struct shard *shard, struct peer *const *members, uint32_t count)
{
	const uint32_t majority = count / 2 + 1;
	uint32_t left = 0, alive = 0;

	for (uint32_t i = 0; i < count; i++) {
		alive += peer_alive(core, members[i]);
		left += !proven_dead(core, members[i], count);
	}
	if (core->config.broken_rule == CORE_BUG_ALONE_WITHOUT_PROOF)
		left = alive;
	if (left < majority)
		return left / 2 + 1;
	if (count == 2 && alive == 1 && shard->owning)
		return 1;
	return majority;
}

uint32_t alone_needed(const struct core *core, const struct shard *shard)
{
	return alone_needed_of(core, shard, shard->members, shard->member_count);
}

uint32_t alone_left(const struct core *core, const struct shard *shard)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < shard->member_count; i++)
		left += !proven_dead(core, shard->members[i], shard->member_count);
	return left;
}

bool alone_claims(const struct core *core, const struct shard *shard)
{
	return shard->alone || alone_needed(core, shard) < replica_majority(shard);
}

void alone_refused(struct core *core, struct peer *peer)
{
	if (peer->refused_last.us == 0 || core->now.us - peer->refused_last.us >= REFUSALS_APART)
		peer->refused_first = core->now;
	peer->refused_last = core->now;
}

void alone_linked(struct peer *peer)
{
	peer->refused_first = peer->refused_last;
}

bool alone_yield(struct core *core, struct shard *shard, uint32_t epoch)
{
	if (!shard->owning || !shard->alone || shard->epoch != epoch || shard->promised != epoch)
		return false;
	replica_step_down(core, shard);
	takeover_consider(core, shard);
	return true;
}
