/* SPDX-License-Identifier: MIT */
/*
 * Journal entries to bytes and back. The reader trusts no byte: an entry comes from a disk that may have been
 * cut short and, in a cluster, from another node.
 */
#include "queue/journal.h"

#include <stdlib.h>
#include <string.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/record.h"

struct journal_reader {
	struct claim claims[JOURNAL_ENTRIES_MAX];
	struct outcome outcomes[JOURNAL_ENTRIES_MAX];
	struct opt_id members[REPLICAS_MAX];
	struct shard_counts *shards;
	struct buffer texts; /* the outcomes' strings, each with its NUL */
};

static void pack_claims(msgpack_packer *pk, const struct journal_entry *entry)
{
	msgpack_pack_array(pk, 6);
	msgpack_pack_uint32(pk, JOURNAL_CLAIMS);
	msgpack_pack_uint32(pk, entry->epoch);
	pack_id(pk, &entry->node);
	msgpack_pack_uint64(pk, entry->generation);
	msgpack_pack_uint64(pk, entry->at.us);
	msgpack_pack_array(pk, 3 * entry->count);
	for (size_t i = 0; i < entry->count; i++) {
		msgpack_pack_uint32(pk, entry->claims[i].index);
		msgpack_pack_uint32(pk, entry->claims[i].attempt);
		msgpack_pack_uint32(pk, entry->claims[i].flags);
	}
}

static void pack_outcomes(msgpack_packer *pk, const struct journal_entry *entry)
{
	msgpack_pack_array(pk, 2);
	msgpack_pack_uint32(pk, JOURNAL_OUTCOMES);
	msgpack_pack_array(pk, entry->count);
	for (size_t i = 0; i < entry->count; i++) {
		const struct outcome *outcome = &entry->outcomes[i];

		msgpack_pack_array(pk, 10);
		msgpack_pack_uint32(pk, outcome->key.index);
		msgpack_pack_uint32(pk, outcome->key.epoch);
		pack_id(pk, &outcome->key.node);
		msgpack_pack_uint32(pk, outcome->key.attempt);
		msgpack_pack_uint32(pk, outcome->claim_flags);
		msgpack_pack_uint32(pk, outcome->kind);
		msgpack_pack_uint64(pk, outcome->at.us);
		pack_text(pk, outcome->dsn, OUTCOME_DSN_MAX);
		pack_text(pk, outcome->relay, OUTCOME_RELAY_MAX);
		pack_text(pk, outcome->reason, OUTCOME_REASON_MAX);
	}
}

static void pack_finished(msgpack_packer *pk, const struct journal_entry *entry)
{
	msgpack_pack_array(pk, 3);
	msgpack_pack_uint32(pk, JOURNAL_FINISHED);
	msgpack_pack_uint64(pk, entry->at.us);
	msgpack_pack_array(pk, entry->count);
	for (size_t i = 0; i < entry->count; i++) {
		const struct shard_counts *shard = &entry->shards[i];

		msgpack_pack_array(pk, 5);
		msgpack_pack_uint32(pk, shard->index);
		msgpack_pack_uint32(pk, shard->duplicates);
		msgpack_pack_uint32(pk, shard->in_doubt_resent);
		msgpack_pack_uint64(pk, shard->last.us);
		msgpack_pack_array(pk, MAIL_STATES);
		for (int state = 0; state < MAIL_STATES; state++)
			msgpack_pack_uint16(pk, shard->states[state]);
	}
}

static void pack_promise(msgpack_packer *pk, const struct journal_entry *entry)
{
	msgpack_pack_array(pk, 3);
	msgpack_pack_uint32(pk, JOURNAL_PROMISE);
	msgpack_pack_uint32(pk, entry->epoch);
	pack_id(pk, &entry->node);
}

static void pack_config(msgpack_packer *pk, const struct journal_entry *entry)
{
	msgpack_pack_array(pk, 4);
	msgpack_pack_uint32(pk, JOURNAL_CONFIG);
	msgpack_pack_uint32(pk, entry->config);
	msgpack_pack_uint32(pk, entry->epoch);
	msgpack_pack_array(pk, entry->count);
	for (size_t i = 0; i < entry->count; i++)
		pack_id(pk, &entry->members[i]);
}

static void pack_control(msgpack_packer *pk, const struct control *control)
{
	msgpack_pack_array(pk, 4);
	msgpack_pack_uint32(pk, JOURNAL_CONTROL);
	msgpack_pack_uint64(pk, control->version);
	msgpack_pack_uint32(pk, control->what);
	msgpack_pack_uint64(pk, control->at.us);
}

static void pack_version(msgpack_packer *pk, uint64_t version)
{
	msgpack_pack_array(pk, 2);
	msgpack_pack_uint32(pk, JOURNAL_VERSION);
	msgpack_pack_uint64(pk, version);
}

static void pack_told(msgpack_packer *pk)
{
	msgpack_pack_array(pk, 1);
	msgpack_pack_uint32(pk, JOURNAL_TOLD);
}

void journal_encode(const struct journal_entry *entry, struct buffer *out)
{
	msgpack_packer pk;

	pack_to(&pk, out);
	switch (entry->type) {
	case JOURNAL_CLAIMS:
		pack_claims(&pk, entry);
		return;
	case JOURNAL_OUTCOMES:
		pack_outcomes(&pk, entry);
		return;
	case JOURNAL_FINISHED:
		pack_finished(&pk, entry);
		return;
	case JOURNAL_PROMISE:
		pack_promise(&pk, entry);
		return;
	case JOURNAL_CONFIG:
		pack_config(&pk, entry);
		return;
	case JOURNAL_CONTROL:
		pack_control(&pk, &entry->control);
		return;
	case JOURNAL_VERSION:
		pack_version(&pk, entry->control.version);
		return;
	case JOURNAL_TOLD:
		pack_told(&pk);
		return;
	}
	abort();
}

struct journal_reader *journal_reader_new(void)
{
	struct journal_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		abort();
	buffer_init(&reader->texts);
	return reader;
}

void journal_reader_free(struct journal_reader *reader)
{
	if (reader == NULL)
		return;
	buffer_done(&reader->texts);
	free(reader->shards);
	free(reader);
}

/* An epoch, a configuration or an attempt. */
static uint32_t read_number(struct cursor *c)
{
	return (uint32_t)cursor_uint(c, JOURNAL_NUMBER_MAX);
}

static void read_claims(struct journal_reader *reader, struct cursor *c, struct journal_entry *entry)
{
	uint32_t count;

	entry->epoch = read_number(c);
	entry->node = cursor_id(c);
	entry->generation = cursor_uint(c, UINT64_MAX);
	entry->at.us = cursor_uint(c, UINT64_MAX);
	count = cursor_array(c, 3 * JOURNAL_ENTRIES_MAX);
	if (count % 3 != 0)
		c->failed = true;
	for (uint32_t i = 0; i < count / 3; i++) {
		reader->claims[i].index = (uint32_t)cursor_uint(c, UINT32_MAX);
		reader->claims[i].attempt = read_number(c);
		reader->claims[i].flags = (uint32_t)cursor_uint(c, UINT32_MAX);
		if (reader->claims[i].attempt == 0)
			c->failed = true;
	}
	entry->claims = reader->claims;
	entry->count = count / 3;
}

/* Copies a text with its NUL and returns where it begins in `texts`: the buffer may still move. */
static size_t keep_text(struct journal_reader *reader, struct cursor *c, size_t max)
{
	size_t at = reader->texts.len;
	size_t len;
	const char *text = cursor_text(c, max, &len);

	buffer_add(&reader->texts, text, len);
	buffer_add_char(&reader->texts, '\0');
	return at;
}

static void read_outcomes(
    struct journal_reader *reader, const struct opt_id *shard, struct cursor *c, struct journal_entry *entry)
{
	size_t at[JOURNAL_ENTRIES_MAX][3];
	uint32_t count = cursor_array(c, JOURNAL_ENTRIES_MAX);

	buffer_clear(&reader->texts);
	for (uint32_t i = 0; i < count; i++) {
		struct outcome *outcome = &reader->outcomes[i];

		cursor_array_of(c, 10);
		outcome->key.shard = *shard;
		outcome->key.index = (uint32_t)cursor_uint(c, UINT32_MAX);
		outcome->key.epoch = read_number(c);
		outcome->key.node = cursor_id(c);
		outcome->key.attempt = read_number(c);
		outcome->claim_flags = (uint32_t)cursor_uint(c, UINT32_MAX);
		outcome->kind = (enum outcome_kind)cursor_uint(c, OUTCOME_KINDS - 1);
		outcome->at.us = cursor_uint(c, UINT64_MAX);
		at[i][0] = keep_text(reader, c, OUTCOME_DSN_MAX);
		at[i][1] = keep_text(reader, c, OUTCOME_RELAY_MAX);
		at[i][2] = keep_text(reader, c, OUTCOME_REASON_MAX);
	}
	for (uint32_t i = 0; i < count; i++) {
		reader->outcomes[i].dsn = reader->texts.data + at[i][0];
		reader->outcomes[i].relay = reader->texts.data + at[i][1];
		reader->outcomes[i].reason = reader->texts.data + at[i][2];
	}
	entry->outcomes = reader->outcomes;
	entry->count = count;
}

static void read_finished(struct journal_reader *reader, struct cursor *c, struct journal_entry *entry)
{
	entry->at.us = cursor_uint(c, UINT64_MAX);
	entry->count = cursor_array(c, BATCH_SHARDS_MAX);
	reader->shards = reallocarray(reader->shards, entry->count + 1, sizeof(*reader->shards));
	if (reader->shards == NULL)
		abort();
	for (size_t i = 0; i < entry->count && !c->failed; i++) {
		struct shard_counts shard = {.finished = true};

		cursor_array_of(c, 5);
		shard.index = (uint32_t)cursor_uint(c, BATCH_SHARDS_MAX - 1);
		shard.duplicates = (uint32_t)cursor_uint(c, UINT32_MAX);
		shard.in_doubt_resent = (uint32_t)cursor_uint(c, UINT32_MAX);
		shard.last.us = cursor_uint(c, UINT64_MAX);
		cursor_array_of(c, MAIL_STATES);
		for (int state = 0; state < MAIL_STATES; state++)
			shard.states[state] = (uint16_t)cursor_uint(c, UINT16_MAX);
		reader->shards[i] = shard;
	}
	entry->shards = reader->shards;
}

static void read_promise(struct cursor *c, struct journal_entry *entry)
{
	entry->epoch = read_number(c);
	entry->node = cursor_id(c);
}

/* Different members: one that was named twice would have two votes. */
static void read_config(struct journal_reader *reader, struct cursor *c, struct journal_entry *entry)
{
	entry->config = read_number(c);
	entry->epoch = read_number(c);
	entry->count = cursor_array(c, REPLICAS_MAX);
	for (size_t i = 0; i < entry->count; i++) {
		reader->members[i] = cursor_id(c);
		for (size_t j = 0; j < i; j++) {
			if (id_equal(&reader->members[j], &reader->members[i]))
				c->failed = true;
		}
	}
	if (entry->count == 0)
		c->failed = true;
	entry->members = reader->members;
}

static void read_control(struct cursor *c, struct control *control)
{
	control->version = cursor_uint(c, UINT64_MAX);
	control->what = (enum control_what)cursor_uint(c, CONTROL_CANCELLED);
	control->at.us = cursor_uint(c, UINT64_MAX);
}

int journal_read(struct journal_reader *reader, const struct opt_id *shard, const void *data, size_t len,
    struct journal_entry *ret_entry)
{
	struct cursor c = cursor_over(data, len);
	struct journal_entry entry = {.count = 0};
	uint32_t items = cursor_array(&c, 16);

	entry.type = (enum journal_type)cursor_uint(&c, UINT8_MAX);
	if (entry.type == JOURNAL_CLAIMS && items == 6)
		read_claims(reader, &c, &entry);
	else if (entry.type == JOURNAL_OUTCOMES && items == 2)
		read_outcomes(reader, shard, &c, &entry);
	else if (entry.type == JOURNAL_FINISHED && items == 3)
		read_finished(reader, &c, &entry);
	else if (entry.type == JOURNAL_CONTROL && items == 4)
		read_control(&c, &entry.control);
	else if (entry.type == JOURNAL_VERSION && items == 2)
		entry.control.version = cursor_uint(&c, UINT64_MAX);
	else if (entry.type == JOURNAL_PROMISE && items == 3)
		read_promise(&c, &entry);
	else if (entry.type == JOURNAL_CONFIG && items == 4)
		read_config(reader, &c, &entry);
	else if (entry.type != JOURNAL_TOLD || items != 1)
		return OPT_E_INVALID;
	if (cursor_end(&c) != 0)
		return OPT_E_INVALID;
	*ret_entry = entry;
	return 0;
}

bool journal_numbers_within(const struct journal_entry *entry, uint32_t max)
{
	bool within = entry->epoch <= max && entry->config <= max;

	for (size_t i = 0; i < entry->count && entry->type == JOURNAL_CLAIMS; i++)
		within = within && entry->claims[i].attempt <= max;
	for (size_t i = 0; i < entry->count && entry->type == JOURNAL_OUTCOMES; i++)
		within =
		    within && entry->outcomes[i].key.epoch <= max && entry->outcomes[i].key.attempt <= max;
	return within;
}
