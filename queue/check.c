/* SPDX-License-Identifier: MIT */
/*
 * The invariants of the core's own state, counted again from the bottom. For the simulator and the tests: it
 * walks everything.
 */
#include <string.h>

#include "queue/batch.h"
#include "queue/core.h"
#include "queue/hop.h"
#include "queue/shard.h"
#include "queue/state.h"

struct totals {
	uint32_t claimed;
	uint32_t uncertain;
	uint64_t open_mails;
	uint32_t unfinished;
	uint32_t owned;
};

static const char *check_mails(const struct shard *shard, const struct peer *self, struct totals *totals)
{
	uint16_t states[MAIL_STATES] = {0};

	for (uint32_t i = 0; i < shard->count; i++) {
		const struct mail *mail = &shard->mails[i];

		states[mail->state]++;
		totals->open_mails += !mail_state_final((enum mail_state)mail->state);
		if ((mail->flags & MAIL_UNCERTAIN) != 0)
			totals->uncertain++;
		if (mail->state == MAIL_CLAIMED && mail->node == NULL)
			return "a claimed mail is nobody's";
		if (mail->state == MAIL_CLAIMED)
			totals->claimed += mail->node == self;
		else if ((mail->flags & (MAIL_CLAIM_WRITING | MAIL_FEEDING | MAIL_UNCERTAIN)) != 0)
			return "a mail that is not claimed has flags of a claim";
		if (mail->state == MAIL_CLAIMED && mail->attempt == 0)
			return "a claimed mail has no attempt";
		if (mail->state == MAIL_STAGED)
			return "a mail of an accepted batch is staged";
	}
	return memcmp(states, shard->states, sizeof(states)) == 0 ? NULL
	                                                          : "a shard's counts are not its mails'";
}

static const char *check_shard(
    const struct shard *shard, const struct peer *self, uint64_t sums[MAIL_STATES], struct totals *totals)
{
	uint32_t total = 0;

	for (int state = 0; state < MAIL_STATES; state++) {
		sums[state] += shard->states[state];
		total += shard->states[state];
	}
	if (total != (shard->mine ? shard->count : 0))
		return "a shard's counts do not add up";
	if (!shard->mine)
		return shard->mails != NULL || shard->owning ? "a shard of others has mails here" : NULL;
	totals->owned += shard->owning && shard->phase != SHARD_FINISHED;
	if (shard->phase != SHARD_FINISHED)
		totals->unfinished++;
	else if (shard->mails != NULL || shard_open_mails_left(shard))
		return "a finished shard has open mails";
	return shard->mails == NULL ? NULL : check_mails(shard, self, totals);
}

static uint64_t mails_here(const struct batch *batch)
{
	uint64_t mails = 0;

	for (uint32_t i = 0; i < batch->record.shard_count; i++)
		mails += batch->shards[i].mine ? batch->shards[i].count : 0;
	return mails;
}

static const char *check_batch(const struct batch *batch, const struct peer *self, struct totals *totals)
{
	uint64_t sums[MAIL_STATES] = {0};
	uint64_t total = 0;
	uint32_t before = totals->unfinished;

	for (int state = 0; state < MAIL_STATES; state++)
		total += batch->states[state];
	if (total != mails_here(batch))
		return "a batch's counts do not add up to its mails";
	if (batch->summary)
		return NULL;
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const char *broken = check_shard(&batch->shards[i], self, sums, totals);

		if (broken != NULL)
			return broken;
	}
	if (memcmp(sums, batch->states, sizeof(sums)) != 0)
		return "a batch's counts are not its shards'";
	if (totals->unfinished - before != batch->unfinished)
		return "a batch miscounts its unfinished shards";
	return batch->done && batch->unfinished > 0 ? "a batch is done with unfinished shards" : NULL;
}

const char *core_check(const struct core *core)
{
	struct totals totals = {0};
	const struct batch *batch = NULL;

	while ((batch = batch_after(core, batch == NULL ? NULL : &batch->key)) != NULL) {
		const char *broken = check_batch(batch, core->self, &totals);

		if (broken != NULL)
			return broken;
	}
	if (totals.claimed != core->in_flight)
		return "in_flight is not the number of claimed mails";
	if (totals.uncertain != core->uncertain)
		return "the number of uncertain mails is wrong";
	if (totals.open_mails != core->open_mails)
		return "the number of open mails is wrong";
	if (totals.owned != core->owned_shards)
		return "the number of owned shards is wrong";
	if (totals.unfinished != core->unfinished_shards)
		return "the number of unfinished shards is wrong";
	return hops_check(core);
}
