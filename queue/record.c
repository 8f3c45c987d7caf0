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

enum { RECORD_VERSION = 1, RECORD_ITEMS = 15, REPLICAS_MAX = 7 };

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
	msgpack_pack_array(&pk, 1);
	pack_id(&pk, &record->node);
	msgpack_pack_array(&pk, record->shard_count);
	for (uint32_t i = 0; i < record->shard_count; i++) {
		msgpack_pack_array(&pk, 2);
		msgpack_pack_uint32(&pk, record->shards[i].count);
		pack_id(&pk, &record->shards[i].hash);
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
	cursor_array_of(&c, 1);
	r.node = cursor_id(&c);
	r.shard_count = cursor_array(&c, BATCH_SHARDS_MAX);
	if (c.failed || !batch_name_valid(r.settings.name))
		return OPT_E_INVALID;
	r.shards = calloc(r.shard_count > 0 ? r.shard_count : 1, sizeof(*r.shards));
	if (r.shards == NULL)
		abort();
	for (uint32_t i = 0; i < r.shard_count; i++) {
		cursor_array_of(&c, 2);
		r.shards[i].count = (uint32_t)cursor_uint(&c, SHARD_MAILS_MAX);
		r.shards[i].hash = cursor_id(&c);
		if (r.shards[i].count == 0)
			c.failed = true;
	}
	if (cursor_end(&c) != 0) {
		free(r.shards);
		return OPT_E_INVALID;
	}
	*ret_record = r;
	return 0;
}

void record_done(struct batch_record *record)
{
	free(record->shards);
	record->shards = NULL;
	record->shard_count = 0;
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
