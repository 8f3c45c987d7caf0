/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a batch record. What is read holds every limit, is written and read again as the
 * same, and a core starts with it, feeds and expires its mails without breaking an invariant of its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/core.h"
#include "queue/message/recipients.h"
#include "queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_limits(const struct batch_record *record)
{
	const struct batch_settings *settings = &record->settings;

	if (!batch_name_valid(settings->name) || strlen(settings->sender) > BATCH_SENDER_MAX ||
	    settings->priority < PRIORITY_MIN || settings->priority > PRIORITY_MAX ||
	    record->shard_count > BATCH_SHARDS_MAX)
		abort();
	for (uint32_t i = 0; i < record->node_count; i++) {
		for (uint32_t k = 0; k < i; k++) {
			if (id_equal(&record->nodes[i], &record->nodes[k]))
				abort();
		}
	}
	for (uint32_t i = 0; i < record->shard_count; i++) {
		if (record->shards[i].count == 0 || record->shards[i].count > SHARD_MAILS_MAX)
			abort();
	}
}

static void check_round_trip(const struct batch_record *record)
{
	struct batch_record again;
	struct buffer one, two;

	buffer_init(&one);
	buffer_init(&two);
	record_encode(record, &one);
	if (record_decode(one.data, one.len, &again) != 0)
		abort();
	record_encode(&again, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	record_done(&again);
	buffer_done(&one);
	buffer_done(&two);
}

static void step(struct core *core, struct event *event, uint64_t seconds, struct effects *effects)
{
	event->now.us = seconds * USEC_PER_SEC;
	event->utc.us = (1700000000 + seconds) * USEC_PER_SEC;
	core_step(core, event, effects);
	if (core_check(core) != NULL)
		abort();
}

/* Every journal that is asked for is empty. */
static void answer_loads(struct core *core, struct effects *effects)
{
	for (size_t i = 0; i < effects->count; i++) {
		struct event event = {.type = EVENT_JOURNAL_LOADED};

		if (effects->items[i].type != EFFECT_LOAD_JOURNAL)
			continue;
		event.journal_loaded.id = effects->items[i].id;
		step(core, &event, 1, effects);
	}
}

static void start_core(const void *data, size_t len)
{
	const struct core_config config = core_config_default();
	struct core *core = core_new(&config);
	struct event event = {.type = EVENT_RECOVER_BATCH, .recover_batch = {data, len}};
	struct effects effects;

	effects_init(&effects);
	step(core, &event, 1, &effects);
	answer_loads(core, &effects);
	event = (struct event){.type = EVENT_RECOVER_DONE};
	step(core, &event, 1, &effects);
	event = (struct event){.type = EVENT_TICK};
	for (uint64_t second = 2; second < 40; second++)
		step(core, &event, second * second * 1000, &effects);
	effects_done(&effects);
	core_free(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct batch_record record;

	if (record_decode(data, len, &record) != 0)
		return 0;
	check_limits(&record);
	check_round_trip(&record);
	record_done(&record);
	start_core(data, len);
	return 0;
}
