/* SPDX-License-Identifier: MIT */
/* See header.h. */
#include "queue/header.h"

#include "queue/recover.h"
#include "queue/replica.h"
#include "queue/write.h"

static void load(struct core *core, struct shard *shard)
{
	struct write *write = write_new(core, WRITE_HEADER);
	struct effect *effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);

	write->shard = shard;
	effect->id = shard->id;
	effect->token = write->token;
	shard->header = HEADER_LOADING;
}

bool header_known(struct core *core, struct shard *shard)
{
	/* All of the journal is being read, the header with it. */
	if (shard->journal_loading)
		return false;
	if (shard->header == HEADER_UNREAD)
		load(core, shard);
	return shard->header == HEADER_KNOWN;
}

void header_loaded(struct core *core, struct write *write, const struct event *event)
{
	struct shard *shard = write->shard;
	struct journal_entry entry;

	write_free(core, write);
	if (shard->header == HEADER_KNOWN || shard->journal_loading)
		return;
	if (event->journal_loaded.status != 0) {
		load(core, shard);
		return;
	}
	/* One configuration follows the other: what they mean for this node is seen at the end. */
	shard->journal_loading = true;
	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &shard->id, bytes->data, bytes->len, &entry) == 0)
			recover_take_header(core, shard, &entry);
	}
	shard->journal_loading = false;
	shard->header = HEADER_KNOWN;
	replica_follow_members(core, shard);
}
