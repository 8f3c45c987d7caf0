/* SPDX-License-Identifier: MIT */
/*
 * A batch record comes back as it was written; a damaged one is refused or read as something that holds every
 * limit. The content hash covers what was said and sent, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/error.h"
#include "queue/message/recipients.h"
#include "queue/record.h"

enum { NODES = 5 };

static struct opt_id *some_nodes(void)
{
	struct opt_id *nodes = calloc(NODES, sizeof(*nodes));

	assert_non_null(nodes);
	for (uint8_t i = 0; i < NODES; i++)
		nodes[i].bytes[0] = (uint8_t)(i + 1);
	return nodes;
}

static struct record_shard *some_shards(uint32_t count)
{
	struct record_shard *shards = calloc(count + 1, sizeof(*shards));

	assert_non_null(shards);
	for (uint32_t i = 0; i < count; i++)
		shards[i] = (struct record_shard){.count = 1 + i % SHARD_MAILS_MAX,
		    .hash = {{(uint8_t)i, (uint8_t)(i >> 8)}},
		    .replicas = {(uint16_t)(i % NODES), (uint16_t)((i + 1) % NODES)},
		    .replica_count = (uint8_t)(1 + i % 2)};
	return shards;
}

static struct batch_record sample(uint32_t shards)
{
	return (struct batch_record){
	    .settings =
	        {
	            .name = "news-2024_05.a",
	            .sender = "bounce+{{verp}}@example.org",
	            .start = {UINT64_C(1700000000000000)},
	            .expire = UINT64_C(432000000000),
	            .priority = -100,
	            .replicas = 3,
	            .uid = UINT32_MAX,
	        },
	    .upload = {{1}},
	    .content = {{2}},
	    .template = {{3}},
	    .nodes = some_nodes(),
	    .node_count = NODES,
	    .homes = {4, 0, 2},
	    .home_count = 3,
	    .created = {UINT64_C(1700000000000001)},
	    .expires = {UINT64_C(1700432000000000)},
	    .shard_count = shards,
	    .shards = some_shards(shards),
	};
}

static void check_same(const struct batch_record *a, const struct batch_record *b)
{
	assert_string_equal(a->settings.name, b->settings.name);
	assert_string_equal(a->settings.sender, b->settings.sender);
	assert_int_equal(a->settings.start.us, b->settings.start.us);
	assert_int_equal(a->settings.expire, b->settings.expire);
	assert_int_equal(a->settings.priority, b->settings.priority);
	assert_int_equal(a->settings.replicas, b->settings.replicas);
	assert_int_equal(a->settings.uid, b->settings.uid);
	assert_true(id_equal(&a->upload, &b->upload));
	assert_true(id_equal(&a->content, &b->content));
	assert_true(id_equal(&a->template, &b->template));
	assert_int_equal(a->node_count, b->node_count);
	assert_memory_equal(a->nodes, b->nodes, a->node_count * sizeof(*a->nodes));
	assert_int_equal(a->home_count, b->home_count);
	assert_memory_equal(a->homes, b->homes, a->home_count * sizeof(*a->homes));
	assert_int_equal(a->created.us, b->created.us);
	assert_int_equal(a->expires.us, b->expires.us);
	assert_int_equal(a->shard_count, b->shard_count);
	for (uint32_t i = 0; i < a->shard_count; i++) {
		assert_int_equal(a->shards[i].count, b->shards[i].count);
		assert_true(id_equal(&a->shards[i].hash, &b->shards[i].hash));
		assert_int_equal(a->shards[i].replica_count, b->shards[i].replica_count);
		assert_memory_equal(a->shards[i].replicas, b->shards[i].replicas,
		    a->shards[i].replica_count * sizeof(a->shards[i].replicas[0]));
	}
}

static int round_trip(const struct batch_record *record)
{
	struct batch_record got;
	struct buffer bytes;
	int result;

	buffer_init(&bytes);
	record_encode(record, &bytes);
	result = record_decode(bytes.data, bytes.len, &got);
	if (result == 0) {
		check_same(&got, record);
		record_done(&got);
	}
	buffer_done(&bytes);
	return result;
}

static void every_record_comes_back_as_it_was_written(void **state)
{
	static const uint32_t counts[] = {0, 1, 15, 16, 200, BATCH_SHARDS_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct batch_record record = sample(counts[i]);

		assert_int_equal(round_trip(&record), 0);
		record_done(&record);
	}
}

/* The largest batch of each R is as long as a message at most, and nearly as long where it is bounded. */
static void a_record_of_the_largest_batch_has_room(void **state)
{
	enum { BYTES = 1000 * 1000, MANY = 2000 };

	(void)state;
	for (uint8_t replicas = 1; replicas <= REPLICAS_MAX; replicas++) {
		const uint32_t shards = record_shards_max(replicas, MANY, BYTES);
		struct batch_record record = sample(shards);
		struct buffer bytes;

		memset(record.settings.name, 'n', BATCH_NAME_MAX);
		memset(record.settings.sender, 's', BATCH_SENDER_MAX);
		record.settings.replicas = record.settings.uid = UINT32_MAX;
		record.node_count = MANY;
		record.nodes = reallocarray(record.nodes, MANY, sizeof(*record.nodes));
		assert_non_null(record.nodes);
		memset(record.nodes, 0x77, MANY * sizeof(*record.nodes));
		for (uint32_t i = 0; i < shards; i++) {
			record.shards[i].count = SHARD_MAILS_MAX;
			record.shards[i].replica_count = replicas;
			for (uint8_t k = 0; k < replicas; k++)
				record.shards[i].replicas[k] = (uint16_t)(MANY - 1 - k);
		}
		buffer_init(&bytes);
		record_encode(&record, &bytes);
		assert_in_range(bytes.len, shards < BATCH_SHARDS_MAX ? BYTES - 1000 : 0, BYTES);
		buffer_done(&bytes);
		record_done(&record);
	}
	assert_true(record_shards_max(3, MANY, BYTES) == BATCH_SHARDS_MAX);
	assert_true(record_shards_max(7, MANY, BYTES) < BATCH_SHARDS_MAX);
	assert_int_equal(record_shards_max(1, 100, 1000), 0);
}

static void the_longest_texts_come_back(void **state)
{
	struct batch_record record = sample(1);

	(void)state;
	memset(record.settings.name, 'n', BATCH_NAME_MAX);
	memset(record.settings.sender, 's', BATCH_SENDER_MAX);
	record.settings.priority = PRIORITY_MAX;
	assert_int_equal(round_trip(&record), 0);
	record.settings.sender[0] = '\0';
	assert_int_equal(round_trip(&record), 0);
	record_done(&record);
}

static void values_beyond_their_limits_are_refused(void **state)
{
	const uint64_t year_10000 = UINT64_C(253402300800000000);
	struct batch_record good = sample(2), bad;

	(void)state;
	for (int what = 0; what < 17; what++) {
		bad = good;
		bad.shards = some_shards(2);
		bad.nodes = some_nodes();
		switch (what) {
		case 0:
			bad.settings.priority = PRIORITY_MAX + 1;
			break;
		case 1:
			bad.settings.priority = PRIORITY_MIN - 1;
			break;
		case 2:
			bad.settings.start.us = year_10000 + 1;
			break;
		case 3:
			bad.settings.expire = UINT64_MAX;
			break;
		case 4:
			bad.created.us = UINT64_MAX;
			break;
		case 5:
			bad.expires.us = year_10000 + 1;
			break;
		case 6:
			strcpy(bad.settings.name, ".hidden");
			break;
		case 7:
			strcpy(bad.settings.name, "");
			break;
		case 8:
			strcpy(bad.settings.name, "a/b");
			break;
		case 9:
			bad.shards[1].count = 0;
			break;
		case 10:
			bad.shards[1].count = SHARD_MAILS_MAX + 1;
			break;
		case 11:
			bad.settings.replicas = 8;
			break;
		case 12:
			bad.shards[1].replicas[1] = NODES;
			bad.shards[1].replica_count = 2;
			break;
		case 13:
			bad.shards[1].replicas[1] = bad.shards[1].replicas[0];
			bad.shards[1].replica_count = 2;
			break;
		case 14:
			bad.shards[1].replica_count = 0;
			break;
		case 15:
			bad.homes[0] = NODES;
			break;
		case 16:
			bad.nodes[1] = bad.nodes[NODES - 1];
			break;
		}
		if (round_trip(&bad) != OPT_E_INVALID)
			fail_msg("case %d was taken", what);
		record_done(&bad);
	}
	record_done(&good);
	good = sample(BATCH_SHARDS_MAX + 1);
	assert_int_equal(round_trip(&good), OPT_E_INVALID);
	record_done(&good);
}

static void check_valid(struct batch_record *record)
{
	assert_true(batch_name_valid(record->settings.name));
	assert_true(strlen(record->settings.sender) <= BATCH_SENDER_MAX);
	assert_in_range(record->settings.priority + 100, 0, 200);
	for (uint32_t i = 0; i < record->shard_count; i++)
		assert_in_range(record->shards[i].count, 1, SHARD_MAILS_MAX);
	assert_int_equal(round_trip(record), 0);
	record_done(record);
}

static void every_cut_and_every_changed_byte_is_refused_or_valid(void **state)
{
	struct batch_record record = sample(3), got = {.shard_count = 42};
	struct buffer bytes;
	size_t refused = 0;

	(void)state;
	buffer_init(&bytes);
	record_encode(&record, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		char *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, bytes.data, len);
		assert_int_equal(record_decode(cut, len, &got), OPT_E_INVALID);
		free(cut);
	}
	assert_int_equal(got.shard_count, 42);
	for (size_t i = 0; i < bytes.len; i++) {
		const char right = bytes.data[i];

		for (int wrong = 0; wrong < 256; wrong++) {
			bytes.data[i] = (char)wrong;
			if (record_decode(bytes.data, bytes.len, &got) == 0)
				check_valid(&got);
			else
				refused++;
		}
		bytes.data[i] = right;
	}
	assert_true(refused > bytes.len);
	buffer_add_char(&bytes, '\0');
	assert_int_equal(record_decode(bytes.data, bytes.len, &got), OPT_E_INVALID);
	buffer_done(&bytes);
	record_done(&record);
}

static void the_content_hash_covers_what_was_said_and_sent(void **state)
{
	struct batch_record record = sample(3);
	struct batch_settings *s = &record.settings;
	const struct opt_id hash = record_content_hash(s, &record.template, record.shards, 3);
	struct batch_settings changed[6];
	struct opt_id other;

	(void)state;
	for (int i = 0; i < 6; i++)
		changed[i] = *s;
	strcpy(changed[0].name, "other");
	strcpy(changed[1].sender, "other@example.org");
	changed[2].start.us++;
	changed[3].expire++;
	changed[4].priority++;
	changed[5].replicas++;
	for (int i = 0; i < 6; i++) {
		other = record_content_hash(&changed[i], &record.template, record.shards, 3);
		assert_false(id_equal(&hash, &other));
	}
	other = record_content_hash(s, &record.upload, record.shards, 3);
	assert_false(id_equal(&hash, &other));
	other = record_content_hash(s, &record.template, record.shards, 2);
	assert_false(id_equal(&hash, &other));
	record.shards[1].hash.bytes[19] ^= 1;
	other = record_content_hash(s, &record.template, record.shards, 3);
	assert_false(id_equal(&hash, &other));
	record_done(&record);
}

static void the_content_hash_does_not_depend_on_who_submits(void **state)
{
	struct batch_record record = sample(3);
	const struct opt_id hash = record_content_hash(&record.settings, &record.template, record.shards, 3);
	struct opt_id other;

	(void)state;
	record.settings.uid = 12;
	other = record_content_hash(&record.settings, &record.template, record.shards, 3);
	assert_true(id_equal(&hash, &other));
	/* Bytes behind a text's end are no part of it. */
	record.settings.name[BATCH_NAME_MAX] = 'x';
	record.settings.sender[BATCH_SENDER_MAX] = 'x';
	other = record_content_hash(&record.settings, &record.template, record.shards, 3);
	assert_true(id_equal(&hash, &other));
	record_done(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_record_comes_back_as_it_was_written),
	    cmocka_unit_test(a_record_of_the_largest_batch_has_room),
	    cmocka_unit_test(the_longest_texts_come_back),
	    cmocka_unit_test(values_beyond_their_limits_are_refused),
	    cmocka_unit_test(every_cut_and_every_changed_byte_is_refused_or_valid),
	    cmocka_unit_test(the_content_hash_covers_what_was_said_and_sent),
	    cmocka_unit_test(the_content_hash_does_not_depend_on_who_submits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
