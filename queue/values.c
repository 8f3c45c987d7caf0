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

/* Goes on where it stopped the last time, so that each shard has its turn. */
void values_tick(struct core *core)
{
	struct shard *first = shard_find(core, &core->values_next);
	struct shard *shard = first == NULL ? shard_next(core, NULL) : first;
	uint32_t looks = 0;

	if (core->unfinished_shards == 0 || shard == NULL)
		return;
	first = shard;
	do {
		looks += wanted(core, shard) && join_value(core, shard);
		shard = shard_next(core, shard);
		if (shard == NULL)
			shard = shard_next(core, NULL);
	} while (shard != first && looks < LOOKS_MAX);
	core->values_next = shard->id;
}
