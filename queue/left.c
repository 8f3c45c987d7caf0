/* SPDX-License-Identifier: MIT */
/* See left.h. The order of a journal's entries counts here, as nowhere else: so a TOLD that the store has
 * refused is not repeated. */
#include "queue/left.h"

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/replica.h"
#include "queue/write.h"

void left_begin(struct core *core, struct shard *shard)
{
	if (shard->untold)
		return;
	shard->untold = true;
	batch_hold_end(core, shard->batch);
}

void left_end(struct core *core, struct shard *shard)
{
	if (!shard->untold)
		return;
	shard->untold = false;
	batch_release_end(core, shard->batch);
}

bool left_untold(const struct journal_entry *entry, bool before)
{
	if (entry->type == JOURNAL_CLAIMS || entry->type == JOURNAL_OUTCOMES)
		return true;
	return before && entry->type != JOURNAL_TOLD;
}

void left_read(struct core *core, struct shard *shard, bool untold)
{
	if (untold) {
		left_begin(core, shard);
		replica_behind_others(core, shard);
	} else if (TAILQ_EMPTY(&shard->facts) && shard->writes == 0) {
		left_end(core, shard);
	}
}

/* As many as make an outcome safe. */
static bool enough_have_it(const struct core *core, const struct shard *shard)
{
	const uint32_t told = shard->member_count - (uint32_t)__builtin_popcount(shard->behind);

	return told >= alone_needed(core, shard) || alone_left(core, shard) == 0;
}

static void write_told(struct core *core, struct shard *shard)
{
	const struct journal_entry entry = {.type = JOURNAL_TOLD};
	struct write *write = write_new(core, WRITE_TOLD);

	write->shard = shard;
	write->id = shard->id;
	write_append_entry(core, write, &entry);
}

void left_check(struct core *core, struct shard *shard)
{
	if (!shard->untold || shard->journal_loading || shard->sync != NULL || shard->writes > 0 ||
	    !TAILQ_EMPTY(&shard->facts) || !enough_have_it(core, shard))
		return;
	write_told(core, shard);
	left_end(core, shard);
}

void left_stored(struct core *core, struct write *write, int status)
{
	struct shard *shard = write->shard;

	write_free(core, write);
	if (status != 0 && !shard->mine)
		left_begin(core, shard);
}
