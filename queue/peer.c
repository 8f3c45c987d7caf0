/* SPDX-License-Identifier: MIT */
/*
 * Messages to bytes and back, by one table: for each type the fields of its request and of its answer, in
 * their order. Whoever adds a type adds a line; whoever adds a field adds a case to pack_field() and one to
 * read_field().
 *
 * The reader trusts no byte. Every number has a bound, every count is checked against the bytes that are left
 * before memory is asked for, and nothing may be left over at the end.
 */
#include "queue/peer.h"

#include <stdlib.h>
#include <string.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/message/recipients.h"

enum { FIELDS_MAX = 9, LOAD_ITEMS = 8, SHARD_ITEMS = 7, DIGEST_ITEMS = 10, HEARD_ITEMS = 3 };

static const uint64_t year_10000 = UINT64_C(253402300800000000); /* a bound on any time, in microseconds */

enum field {
	END,
	BATCH,
	UPLOAD,
	SHARD,
	NODE,
	HASH,
	INDEX,
	EPOCH,
	CONFIG,
	COUNT,
	WHAT,
	FROM,
	NEXT,
	VERSION,
	GIVEN,
	AT,
	BALLOT,
	ACCEPTED,
	MEMBERS,
	DATA,
	ENTRIES,
	IDS, /* entries of the size of an id */
	SHARDS,
	LOAD,
	DIGEST,
	HEARD,
};

struct layout {
	const char *name;
	uint8_t request[FIELDS_MAX + 1];
	uint8_t answer[FIELDS_MAX + 1];
	uint32_t what_max;
	uint32_t count_max;
	bool no_answer;
};

static const struct layout layouts[PEER_TYPES] = {
    [PEER_HEARTBEAT] = {"heartbeat", {AT, HASH, WHAT, LOAD, DIGEST, VERSION, NEXT, HEARD},
        .what_max = BEAT_FLAGS, .no_answer = true},
    [PEER_STAGE_OPEN] = {"stage_open", {BATCH, UPLOAD, INDEX, COUNT, DATA}, .count_max = STAGE_PARTS_MAX},
    [PEER_STAGE_SHARD] = {"stage_shard", {BATCH, UPLOAD, INDEX, DATA}},
    [PEER_STAGE_DROP] = {"stage_drop", {BATCH, UPLOAD}, .no_answer = true},
    [PEER_PREPARE] = {"prepare", {BATCH, UPLOAD, BALLOT, HASH}, {WHAT, BALLOT, ACCEPTED, UPLOAD, DATA},
        .what_max = HOME_WORDS - 1},
    [PEER_ACCEPT] = {"accept", {BATCH, UPLOAD, BALLOT, HASH, DATA}, {WHAT, BALLOT, UPLOAD, DATA},
        .what_max = HOME_WORDS - 1},
    [PEER_RECORD] = {"record", {BATCH, UPLOAD, WHAT, DATA}, {BATCH}, .what_max = RECORD_WHATS - 1},
    [PEER_DECISION] = {"decision", {BATCH, UPLOAD}, {WHAT, UPLOAD, DATA}, .what_max = DECISION_ABORT},
    [PEER_APPEND] = {"append", {SHARD, EPOCH, CONFIG, WHAT, ENTRIES}, {EPOCH, NODE, CONFIG, MEMBERS},
        .what_max = APPEND_KINDS - 1},
    [PEER_PROMISE] = {"promise", {SHARD, EPOCH, CONFIG}, {EPOCH, NODE, CONFIG, MEMBERS, COUNT},
        .count_max = UINT32_MAX},
    [PEER_JOURNAL] = {"journal", {SHARD, FROM}, {ENTRIES, NEXT}},
    [PEER_CATCH_UP] = {"catch_up", {SHARD, WHAT, CONFIG, MEMBERS}, {EPOCH, NODE, CONFIG, MEMBERS},
        .what_max = CATCH_UPS - 1},
    [PEER_FETCH] = {"fetch", {BATCH, UPLOAD, SHARD, WHAT, FROM}, {DATA, NEXT}, .what_max = FETCH_WHATS - 1},
    [PEER_TAKE] = {"take", {SHARD, EPOCH}},
    [PEER_GIVE] = {"give", {COUNT}, {IDS}, .count_max = PEER_ENTRIES_MAX},
    [PEER_JOIN] = {"join", {BATCH, SHARD, EPOCH, CONFIG, MEMBERS, VERSION, WHAT, AT, DATA},
        .what_max = CONTROL_CANCELLED},
    [PEER_CONTROL] = {"control", {BATCH, VERSION, WHAT, AT}, {VERSION, WHAT, AT},
        .what_max = CONTROL_CANCELLED},
    [PEER_DRAIN] = {"drain", {WHAT}, .what_max = CONTROL_PAUSED},
    [PEER_STATUS] = {"status", {BATCH, FROM, COUNT}, {VERSION, WHAT, AT, GIVEN, NEXT, SHARDS, IDS},
        .what_max = CONTROL_CANCELLED, .count_max = BATCH_SHARDS_MAX},
    [PEER_READ] = {"read", {BATCH, HASH}, {WHAT, DATA}, .what_max = READ_WORDS - 1},
    [PEER_VERSION] = {"version", {BATCH, VERSION}},
};

struct peer_reader {
	struct span *entries;
	struct shard_counts *shards;
	struct digest_entry *digest;
};

static const uint8_t *fields_of(const struct peer_message *message)
{
	const struct layout *layout = &layouts[message->type];

	return message->answer ? layout->answer : layout->request;
}

static uint32_t count_fields(const uint8_t *fields)
{
	uint32_t count = 0;

	while (fields[count] != END)
		count++;
	return count;
}

static void pack_bytes(msgpack_packer *pk, const void *data, size_t len)
{
	msgpack_pack_bin(pk, len);
	msgpack_pack_bin_body(pk, data, len);
}

static void pack_members(msgpack_packer *pk, const struct peer_message *message)
{
	msgpack_pack_array(pk, message->member_count);
	for (uint32_t i = 0; i < message->member_count; i++)
		pack_id(pk, &message->members[i]);
}

static void pack_entries(msgpack_packer *pk, const struct peer_message *message)
{
	msgpack_pack_array(pk, message->entry_count);
	for (size_t i = 0; i < message->entry_count; i++)
		pack_bytes(pk, message->entries[i].data, message->entries[i].len);
}

static void pack_shards(msgpack_packer *pk, const struct peer_message *message)
{
	msgpack_pack_array(pk, message->shard_count);
	for (size_t i = 0; i < message->shard_count; i++) {
		const struct shard_counts *shard = &message->shards[i];

		msgpack_pack_array(pk, SHARD_ITEMS);
		msgpack_pack_uint32(pk, shard->index);
		msgpack_pack_array(pk, MAIL_STATES);
		for (int state = 0; state < MAIL_STATES; state++)
			msgpack_pack_uint16(pk, shard->states[state]);
		msgpack_pack_uint32(pk, shard->duplicates);
		msgpack_pack_uint32(pk, shard->in_doubt_resent);
		msgpack_pack_uint32(pk, shard->epoch);
		msgpack_pack_uint32(pk, (shard->owner ? 1U : 0) | (shard->finished ? 2U : 0));
		msgpack_pack_uint64(pk, shard->last.us);
	}
}

static void pack_load(msgpack_packer *pk, const struct peer_load *load)
{
	msgpack_pack_array(pk, LOAD_ITEMS);
	msgpack_pack_uint64(pk, load->ready);
	msgpack_pack_uint32(pk, load->owned);
	msgpack_pack_uint32(pk, load->replicas);
	msgpack_pack_uint32(pk, load->in_flight);
	msgpack_pack_uint32(pk, load->window);
	msgpack_pack_uint64(pk, load->sent);
	msgpack_pack_uint32(pk, load->rate);
	msgpack_pack_uint32(pk, load->postfix);
}

static void pack_heard(msgpack_packer *pk, const struct heard_of *heard)
{
	msgpack_pack_array(pk, HEARD_ITEMS);
	msgpack_pack_uint64(pk, heard->life);
	msgpack_pack_uint64(pk, heard->now);
	msgpack_pack_uint64(pk, heard->before);
}

static void pack_digest(msgpack_packer *pk, const struct peer_message *message)
{
	msgpack_pack_array(pk, message->digest_count);
	for (size_t i = 0; i < message->digest_count; i++) {
		const struct digest_entry *entry = &message->digest[i];
		const struct presence *presence = &entry->presence;

		msgpack_pack_array(pk, DIGEST_ITEMS);
		pack_id(pk, &presence->node);
		pack_text(pk, presence->address, PRESENCE_ADDRESS_MAX);
		msgpack_pack_uint64(pk, presence->incarnation);
		msgpack_pack_uint64(pk, presence->sequence);
		msgpack_pack_uint32(pk, presence->weight);
		msgpack_pack_uint32(pk, presence->flags);
		pack_text(pk, presence->version, PRESENCE_VERSION_MAX);
		msgpack_pack_uint64(pk, entry->beat);
		msgpack_pack_uint32(pk, entry->age);
		msgpack_pack_uint32(pk, (entry->asks ? 1U : 0) | (entry->forgotten ? 2U : 0));
	}
}

static void pack_field(msgpack_packer *pk, enum field field, const struct peer_message *message)
{
	switch (field) {
	case END:
		return;
	case BATCH:
		pack_id(pk, &message->batch);
		return;
	case UPLOAD:
		pack_id(pk, &message->upload);
		return;
	case SHARD:
		pack_id(pk, &message->shard);
		return;
	case NODE:
		pack_id(pk, &message->node);
		return;
	case HASH:
		pack_id(pk, &message->hash);
		return;
	case INDEX:
		msgpack_pack_uint32(pk, message->index);
		return;
	case EPOCH:
		msgpack_pack_uint32(pk, message->epoch);
		return;
	case CONFIG:
		msgpack_pack_uint32(pk, message->config);
		return;
	case COUNT:
		msgpack_pack_uint32(pk, message->count);
		return;
	case WHAT:
		msgpack_pack_uint32(pk, message->what);
		return;
	case FROM:
		msgpack_pack_uint64(pk, message->from);
		return;
	case NEXT:
		msgpack_pack_uint64(pk, message->next);
		return;
	case VERSION:
		msgpack_pack_uint64(pk, message->version);
		return;
	case GIVEN:
		msgpack_pack_uint64(pk, message->given);
		return;
	case AT:
		msgpack_pack_uint64(pk, message->at.us);
		return;
	case BALLOT:
		ballot_pack(pk, &message->ballot);
		return;
	case ACCEPTED:
		ballot_pack(pk, &message->accepted);
		return;
	case MEMBERS:
		pack_members(pk, message);
		return;
	case DATA:
		pack_bytes(pk, message->data, message->len);
		return;
	case ENTRIES:
	case IDS:
		pack_entries(pk, message);
		return;
	case SHARDS:
		pack_shards(pk, message);
		return;
	case LOAD:
		pack_load(pk, &message->load);
		return;
	case DIGEST:
		pack_digest(pk, message);
		return;
	case HEARD:
		pack_heard(pk, &message->heard);
		return;
	}
}

void peer_encode(const struct peer_message *message, struct buffer *out)
{
	const uint8_t *fields = fields_of(message);
	uint32_t count = count_fields(fields);
	msgpack_packer pk;

	pack_to(&pk, out);
	msgpack_pack_array(&pk, (message->answer ? 3 : 2) + count);
	msgpack_pack_uint32(&pk, (uint32_t)message->type + (message->answer ? PEER_ANSWER : 0));
	msgpack_pack_uint64(&pk, message->token);
	if (message->answer)
		msgpack_pack_uint32(&pk, message->status);
	for (uint32_t i = 0; i < count; i++)
		pack_field(&pk, (enum field)fields[i], message);
}

struct peer_reader *peer_reader_new(void)
{
	struct peer_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		opt_abort("out of memory");
	return reader;
}

void peer_reader_free(struct peer_reader *reader)
{
	if (reader == NULL)
		return;
	free(reader->entries);
	free(reader->shards);
	free(reader->digest);
	free(reader);
}

/* Room for `count` items in the place of what was there. */
static void *room(void *array, size_t count, size_t item)
{
	free(array);
	array = calloc(count + 1, item);
	if (array == NULL)
		opt_abort("out of memory");
	return array;
}

/* Different ones; at least one in a request, while an answer may know of none. */
static void read_members(struct cursor *c, struct peer_message *message)
{
	message->member_count = cursor_array(c, REPLICAS_MAX);
	if (message->member_count == 0 && !message->answer)
		c->failed = true;
	for (uint32_t i = 0; i < message->member_count; i++) {
		message->members[i] = cursor_id(c);
		for (uint32_t j = 0; j < i; j++) {
			if (id_equal(&message->members[j], &message->members[i]))
				c->failed = true;
		}
	}
}

/* `exactly`: the length that each must have; 0: any but none. */
static void read_entries(
    struct peer_reader *reader, struct cursor *c, size_t exactly, struct peer_message *message)
{
	uint32_t count = cursor_array(c, PEER_ENTRIES_MAX);

	reader->entries = room(reader->entries, count, sizeof(*reader->entries));
	for (uint32_t i = 0; i < count && !c->failed; i++) {
		struct span *entry = &reader->entries[i];

		entry->data = cursor_bytes(c, PEER_MESSAGE_MAX, &entry->len);
		if (entry->len == 0 || (exactly > 0 && entry->len != exactly))
			c->failed = true;
	}
	message->entries = reader->entries;
	message->entry_count = count;
}

static void read_shard(struct cursor *c, struct shard_counts *shard)
{
	uint32_t flags, total = 0;

	cursor_array_of(c, SHARD_ITEMS);
	shard->index = (uint32_t)cursor_uint(c, BATCH_SHARDS_MAX - 1);
	cursor_array_of(c, MAIL_STATES);
	for (int state = 0; state < MAIL_STATES; state++) {
		shard->states[state] = (uint16_t)cursor_uint(c, SHARD_MAILS_MAX);
		total += shard->states[state];
	}
	if (total > SHARD_MAILS_MAX)
		c->failed = true;
	shard->duplicates = (uint32_t)cursor_uint(c, UINT32_MAX);
	shard->in_doubt_resent = (uint32_t)cursor_uint(c, UINT32_MAX);
	shard->epoch = (uint32_t)cursor_uint(c, PEER_NUMBER_MAX);
	flags = (uint32_t)cursor_uint(c, 3);
	shard->owner = (flags & 1) != 0;
	shard->finished = (flags & 2) != 0;
	shard->last.us = cursor_uint(c, year_10000);
}

static void read_shards(struct peer_reader *reader, struct cursor *c, struct peer_message *message)
{
	uint32_t count = cursor_array(c, BATCH_SHARDS_MAX);

	reader->shards = room(reader->shards, count, sizeof(*reader->shards));
	for (uint32_t i = 0; i < count && !c->failed; i++) {
		read_shard(c, &reader->shards[i]);
		if (i > 0 && reader->shards[i].index <= reader->shards[i - 1].index)
			c->failed = true;
	}
	message->shards = reader->shards;
	message->shard_count = count;
}

static void read_load(struct cursor *c, struct peer_load *load)
{
	cursor_array_of(c, LOAD_ITEMS);
	load->ready = cursor_uint(c, INT64_MAX);
	load->owned = (uint32_t)cursor_uint(c, UINT32_MAX);
	load->replicas = (uint32_t)cursor_uint(c, UINT32_MAX);
	load->in_flight = (uint32_t)cursor_uint(c, UINT32_MAX);
	load->window = (uint32_t)cursor_uint(c, UINT32_MAX);
	load->sent = cursor_uint(c, INT64_MAX);
	load->rate = (uint32_t)cursor_uint(c, UINT32_MAX);
	load->postfix = (uint32_t)cursor_uint(c, 1);
}

static void read_heard(struct cursor *c, struct heard_of *heard)
{
	cursor_array_of(c, HEARD_ITEMS);
	heard->life = cursor_uint(c, INT64_MAX);
	heard->now = cursor_uint(c, PEER_HEARD_MAX);
	heard->before = cursor_uint(c, PEER_HEARD_MAX);
}

static void read_digest_entry(struct cursor *c, struct digest_entry *entry)
{
	uint32_t flags;

	cursor_array_of(c, DIGEST_ITEMS);
	entry->presence.node = cursor_id(c);
	cursor_text_into(c, entry->presence.address, PRESENCE_ADDRESS_MAX);
	entry->presence.incarnation = cursor_uint(c, UINT64_MAX);
	entry->presence.sequence = cursor_uint(c, UINT64_MAX);
	entry->presence.weight = (uint32_t)cursor_uint(c, WEIGHT_MAX);
	entry->presence.flags = (uint32_t)cursor_uint(c, UINT32_MAX);
	cursor_text_into(c, entry->presence.version, PRESENCE_VERSION_MAX);
	entry->beat = cursor_uint(c, UINT64_MAX);
	entry->age = (uint32_t)cursor_uint(c, VIEW_AGE_NONE);
	flags = (uint32_t)cursor_uint(c, 3);
	entry->asks = (flags & 1) != 0;
	entry->forgotten = (flags & 2) != 0;
}

static void read_digest(struct peer_reader *reader, struct cursor *c, struct peer_message *message)
{
	uint32_t count = cursor_array(c, VIEW_DIGEST_MAX);

	reader->digest = room(reader->digest, count, sizeof(*reader->digest));
	for (uint32_t i = 0; i < count && !c->failed; i++)
		read_digest_entry(c, &reader->digest[i]);
	message->digest = reader->digest;
	message->digest_count = count;
}

static void read_field(
    struct peer_reader *reader, struct cursor *c, enum field field, struct peer_message *message)
{
	switch (field) {
	case END:
		return;
	case BATCH:
		message->batch = cursor_id(c);
		return;
	case UPLOAD:
		message->upload = cursor_id(c);
		return;
	case SHARD:
		message->shard = cursor_id(c);
		return;
	case NODE:
		message->node = cursor_id(c);
		return;
	case HASH:
		message->hash = cursor_id(c);
		return;
	case INDEX:
		message->index = (uint32_t)cursor_uint(c, BATCH_SHARDS_MAX - 1);
		return;
	case EPOCH:
		message->epoch = (uint32_t)cursor_uint(c, PEER_NUMBER_MAX);
		return;
	case CONFIG:
		message->config = (uint32_t)cursor_uint(c, PEER_NUMBER_MAX);
		return;
	case COUNT:
		message->count = (uint32_t)cursor_uint(c, layouts[message->type].count_max);
		return;
	case WHAT:
		message->what = (uint32_t)cursor_uint(c, layouts[message->type].what_max);
		return;
	case FROM:
		message->from = cursor_uint(c, INT64_MAX);
		return;
	case NEXT:
		message->next = cursor_uint(c, INT64_MAX);
		return;
	case VERSION:
		message->version = cursor_uint(c, PEER_VERSION_MAX);
		return;
	case GIVEN:
		message->given = cursor_uint(c, PEER_VERSION_MAX);
		return;
	case AT:
		message->at.us = cursor_uint(c, year_10000);
		return;
	case BALLOT:
		message->ballot = ballot_read(c);
		return;
	case ACCEPTED:
		message->accepted = ballot_read(c);
		return;
	case MEMBERS:
		read_members(c, message);
		return;
	case DATA:
		message->data = cursor_bytes(c, PEER_MESSAGE_MAX, &message->len);
		return;
	case ENTRIES:
		read_entries(reader, c, 0, message);
		return;
	case IDS:
		read_entries(reader, c, OPT_ID_SIZE, message);
		return;
	case SHARDS:
		read_shards(reader, c, message);
		return;
	case LOAD:
		read_load(c, &message->load);
		return;
	case DIGEST:
		read_digest(reader, c, message);
		return;
	case HEARD:
		read_heard(c, &message->heard);
		return;
	}
}

int peer_read(struct peer_reader *reader, const void *data, size_t len, struct peer_message *ret_message)
{
	struct cursor c = cursor_over(data, len);
	struct peer_message message = {.answer = false};
	const uint8_t *fields;
	uint32_t items, type;

	if (len > PEER_MESSAGE_MAX)
		return OPT_E_INVALID;
	items = cursor_array(&c, 3 + FIELDS_MAX);
	type = (uint32_t)cursor_uint(&c, PEER_ANSWER + PEER_TYPES - 1);
	message.token = cursor_uint(&c, UINT64_MAX);
	message.answer = type >= PEER_ANSWER;
	type -= message.answer ? PEER_ANSWER : 0;
	if (c.failed || type == 0 || type >= PEER_TYPES)
		return OPT_E_INVALID;
	message.type = (enum peer_type)type;
	fields = fields_of(&message);
	if (items != (message.answer ? 3U : 2U) + count_fields(fields) ||
	    (message.answer && layouts[type].no_answer))
		return OPT_E_INVALID;
	if (message.answer)
		message.status = (enum peer_status)cursor_uint(&c, PEER_STATUSES - 1);
	for (uint32_t i = 0; fields[i] != END; i++)
		read_field(reader, &c, (enum field)fields[i], &message);
	if (cursor_end(&c) != 0)
		return OPT_E_INVALID;
	*ret_message = message;
	return 0;
}

const char *peer_type_name(enum peer_type type)
{
	return type > 0 && type < PEER_TYPES ? layouts[type].name : "unknown";
}
