/* SPDX-License-Identifier: MIT */
/*
 * The batch record's bytes, and the hash that makes a repeated submission the same batch. The hash covers
 * what the submitter said and sent; not who (the uid) nor where or when it was accepted.
 */
#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/message/recipients.h"

enum { RECORD_VERSION = 2, RECORD_ITEMS = 16 };

static const uint64_t year_10000 = UINT64_C(253402300800000000); /* a bound on any time, in microseconds */

static void pack_settings(msgpack_packer *pk, const struct batch_settings *settings)
{
	pack_text(pk, settings->name, BATCH_NAME_MAX);
	pack_text(pk, settings->sender, BATCH_SENDER_MAX);
	msgpack_pack_uint64(pk, settings->start.us);
	msgpack_pack_uint64(pk, settings->expire);
	msgpack_pack_int32(pk, settings->priority);
	msgpack_pack_uint32(pk, settings->replicas);
}

static void pack_numbers(msgpack_packer *pk, const uint16_t *numbers, uint8_t count)
{
	msgpack_pack_array(pk, count);
	for (uint8_t i = 0; i < count; i++)
		msgpack_pack_uint16(pk, numbers[i]);
}

/* 1 to REPLICAS_MAX different numbers below `nodes`. */
static uint8_t read_numbers(struct cursor *c, uint32_t nodes, uint16_t numbers[REPLICAS_MAX])
{
	uint8_t count = (uint8_t)cursor_array(c, REPLICAS_MAX);

	for (uint8_t i = 0; i < count; i++) {
		numbers[i] = (uint16_t)cursor_uint(c, UINT16_MAX);
		if (numbers[i] >= nodes)
			c->failed = true;
		for (uint8_t j = 0; j < i; j++) {
			if (numbers[j] == numbers[i])
				c->failed = true;
		}
	}
	if (count == 0)
		c->failed = true;
	return count;
}

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

/* Two numbers for one node would give it two votes. */
static bool all_different(const struct opt_id *nodes, uint32_t count)
{
	struct opt_id *sorted = calloc(count + 1, sizeof(*sorted));
	bool different = true;

	if (sorted == NULL)
		abort();
	memcpy(sorted, nodes, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_ids);
	for (uint32_t i = 1; i < count; i++)
		different = different && !id_equal(&sorted[i - 1], &sorted[i]);
	free(sorted);
	return different;
}

static void read_nodes(struct cursor *c, struct batch_record *r)
{
	r->node_count = cursor_array(c, BATCH_NODES_MAX);
	r->nodes = calloc(r->node_count + 1, sizeof(*r->nodes));
	if (r->nodes == NULL)
		abort();
	for (uint32_t i = 0; i < r->node_count; i++)
		r->nodes[i] = cursor_id(c);
	if (!all_different(r->nodes, r->node_count))
		c->failed = true;
	r->home_count = read_numbers(c, r->node_count, r->homes);
}

static void read_shards(struct cursor *c, struct batch_record *r)
{
	r->shard_count = cursor_array(c, BATCH_SHARDS_MAX);
	r->shards = calloc(r->shard_count + 1, sizeof(*r->shards));
	if (r->shards == NULL)
		abort();
	for (uint32_t i = 0; i < r->shard_count && !c->failed; i++) {
		struct record_shard *shard = &r->shards[i];

		cursor_array_of(c, 3);
		shard->count = (uint32_t)cursor_uint(c, SHARD_MAILS_MAX);
		shard->hash = cursor_id(c);
		shard->replica_count = read_numbers(c, r->node_count, shard->replicas);
		if (shard->count == 0)
			c->failed = true;
	}
}

int record_node(struct batch_record *record, const struct opt_id *node, uint16_t *ret_number)
{
	for (uint32_t i = 0; i < record->node_count; i++) {
		if (id_equal(&record->nodes[i], node)) {
			*ret_number = (uint16_t)i;
			return 0;
		}
	}
	if (record->node_count == BATCH_NODES_MAX)
		return OPT_E_LIMIT;
	record->nodes = reallocarray(record->nodes, record->node_count + 1, sizeof(*record->nodes));
	if (record->nodes == NULL)
		abort();
	record->nodes[record->node_count] = *node;
	*ret_number = (uint16_t)record->node_count++;
	return 0;
}

uint32_t record_shards_max(uint32_t replicas, uint32_t nodes, size_t bytes)
{
	enum { ID = 2 + OPT_ID_SIZE, NUMBER = 3, TIMES = 4 * 9, OTHERS = 8 * 5 + 2 * 5 };
	const size_t fixed = BATCH_NAME_MAX + BATCH_SENDER_MAX + TIMES + OTHERS + 3 * ID +
	                     REPLICAS_MAX * NUMBER + (size_t)nodes * ID;
	const size_t shard = 1 + NUMBER + ID + 1 + (size_t)replicas * NUMBER;
	const size_t room = bytes > fixed ? (bytes - fixed) / shard : 0;

	return room < BATCH_SHARDS_MAX ? (uint32_t)room : BATCH_SHARDS_MAX;
}

void record_encode(const struct batch_record *record, struct buffer *out)
{
	msgpack_packer pk;

	pack_to(&pk, out);
	msgpack_pack_array(&pk, RECORD_ITEMS);
	msgpack_pack_uint32(&pk, RECORD_VERSION);
	pack_settings(&pk, &record->settings);
	msgpack_pack_uint32(&pk, record->settings.uid);
	pack_id(&pk, &record->upload);
	pack_id(&pk, &record->content);
	pack_id(&pk, &record->template);
	msgpack_pack_uint64(&pk, record->created.us);
	msgpack_pack_uint64(&pk, record->expires.us);
	msgpack_pack_array(&pk, record->node_count);
	for (uint32_t i = 0; i < record->node_count; i++)
		pack_id(&pk, &record->nodes[i]);
	pack_numbers(&pk, record->homes, record->home_count);
	msgpack_pack_array(&pk, record->shard_count);
	for (uint32_t i = 0; i < record->shard_count; i++) {
		msgpack_pack_array(&pk, 3);
		msgpack_pack_uint32(&pk, record->shards[i].count);
		pack_id(&pk, &record->shards[i].hash);
		pack_numbers(&pk, record->shards[i].replicas, record->shards[i].replica_count);
	}
}

int record_decode(const void *data, size_t len, struct batch_record *ret_record)
{
	struct cursor c = cursor_over(data, len);
	struct batch_record r = {.shards = NULL};

	cursor_array_of(&c, RECORD_ITEMS);
	if (cursor_uint(&c, RECORD_VERSION) != RECORD_VERSION)
		return OPT_E_INVALID;
	cursor_text_into(&c, r.settings.name, BATCH_NAME_MAX);
	cursor_text_into(&c, r.settings.sender, BATCH_SENDER_MAX);
	r.settings.start.us = cursor_uint(&c, year_10000);
	r.settings.expire = cursor_uint(&c, year_10000);
	r.settings.priority = (int32_t)cursor_int(&c, PRIORITY_MIN, PRIORITY_MAX);
	r.settings.replicas = (uint32_t)cursor_uint(&c, REPLICAS_MAX);
	r.settings.uid = (uint32_t)cursor_uint(&c, UINT32_MAX);
	r.upload = cursor_id(&c);
	r.content = cursor_id(&c);
	r.template = cursor_id(&c);
	r.created.us = cursor_uint(&c, year_10000);
	r.expires.us = cursor_uint(&c, year_10000);
	if (c.failed || !batch_name_valid(r.settings.name))
		return OPT_E_INVALID;
	read_nodes(&c, &r);
	read_shards(&c, &r);
	if (cursor_end(&c) != 0) {
		record_done(&r);
		return OPT_E_INVALID;
	}
	*ret_record = r;
	return 0;
}

void record_done(struct batch_record *record)
{
	free(record->shards);
	free(record->nodes);
	record->shards = NULL;
	record->nodes = NULL;
	record->shard_count = 0;
	record->node_count = 0;
}

struct opt_id record_content_hash(const struct batch_settings *settings, const struct opt_id *template_hash,
    const struct record_shard *shards, uint32_t count)
{
	struct buffer bytes;
	struct id_hash hash;
	msgpack_packer pk;

	buffer_init(&bytes);
	pack_to(&pk, &bytes);
	pack_settings(&pk, settings);
	id_hash_init(&hash);
	id_hash_add(&hash, "optimus content", 15);
	id_hash_add(&hash, bytes.data, bytes.len);
	id_hash_add(&hash, template_hash->bytes, OPT_ID_SIZE);
	for (uint32_t i = 0; i < count; i++)
		id_hash_add(&hash, shards[i].hash.bytes, OPT_ID_SIZE);
	buffer_done(&bytes);
	return id_hash_done(&hash);
}
