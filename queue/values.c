/* SPDX-License-Identifier: MIT */
/* See values.h. */
#include "queue/values.h"

#include "queue/join.h"
#include "queue/shard.h"

enum { LOOKS_MAX = 32 /* with one heartbeat: each may be the reading of a whole value */ };

static const usec COORDINATORS_TIME = 10 * USEC_PER_SEC;

static bool wanted(const struct core *core, const struct shard *shard)
{
	return shard->mine && !shard->value_here && shard->phase != SHARD_FINISHED &&
	       !shard->journal_loading && core->now.us - shard->batch->since.us >= COORDINATORS_TIME;
}

static bool look(struct core *core, struct shard *shard)
{
	return wanted(core, shard) && join_value(core, shard);
}

void values_tick(struct core *core)
{
	if (core->unfinished_shards > 0)
		shard_each_in_turn(core, &core->values_next, LOOKS_MAX, look);
}
