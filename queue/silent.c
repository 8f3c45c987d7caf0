/* SPDX-License-Identifier: MIT */
/* See silent.h. */
#include "queue/silent.h"

#include "queue/alone.h"
#include "queue/cluster.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/write.h"

bool silent_shard(const struct shard *shard)
{
	return shard->claims_rest > 0;
}

void silent_rest(struct core *core, struct shard *shard)
{
	shard->claims_rest = shard->claims_rest == 0 ? SILENT_FIRST : 2 * shard->claims_rest;
	if (shard->claims_rest > SILENT_LONGEST)
		shard->claims_rest = SILENT_LONGEST;
	shard->resting = true;
	shard->rests_until.us = core->now.us + shard->claims_rest;
}

/* Of that shard's members, those that are alive and have taken the write, or owe it no answer. */
static uint32_t who_answer(
    const struct core *core, const struct shard *shard, const struct write *write, bool taken)
{
	uint32_t count = 0;

	for (int i = 0; i < shard->member_count; i++) {
		const int member = replica_number(write->shard, shard->members[i]);
		const bool has = member >= 0 && (write->stored >> member & 1U) != 0;
		const bool owes = member >= 0 && write->calls[member] != NULL;

		count += peer_alive(core, shard->members[i]) && (taken ? has : !owes);
	}
	return count;
}

void silent_late(struct core *core, const struct write *write)
{
	/* Else it is this node's own store that did not answer in time. */
	if (!write->local)
		return;
	/* What was tried after a rest has begun the next one already. */
	if (!write->shard->resting)
		silent_rest(core, write->shard);
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->owning && shard->phase != SHARD_FINISHED && !silent_shard(shard) &&
		    who_answer(core, shard, write, false) < alone_needed(core, shard))
			shard->claims_rest = SILENT_FIRST;
	}
}

void silent_answered(struct core *core, const struct write *write)
{
	if (!silent_shard(write->shard))
		return;
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (!silent_shard(shard) || (shard != write->shard && who_answer(core, shard, write, true) <
		                                                          alone_needed(core, shard)))
			continue;
		shard->claims_rest = 0;
		silent_try(core, shard);
	}
}

void silent_try(struct core *core, struct shard *shard)
{
	if (!shard->resting)
		return;
	shard->resting = false;
	shard_settle(core, shard);
}

void silent_tick(struct core *core, struct shard *shard)
{
	if (shard->resting && core->now.us >= shard->rests_until.us)
		silent_try(core, shard);
}
