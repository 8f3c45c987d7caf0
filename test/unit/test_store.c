/* SPDX-License-Identifier: MIT */
/*
 * What every store promises, tried on the one in memory and on a real Redis.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/squash.h"
#include "daemon/store_memory.h"
#include "queue/error.h"
#include "queue/register.h"
#include "test/unit/store_effects.h"
#include "test/unit/store_fixture.h"

static struct fixture fixture;

static int start_memory(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture_start_memory(&fixture);
	return 0;
}

static int start_redis(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture_start_redis(&fixture, 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_done(&fixture);
	return 0;
}

static int read_template(uint8_t n)
{
	struct opt_id of = store_id(n);

	fixture.read = false;
	store_read_template(fixture.store, &of, fixture_read_fn, &fixture);
	fixture_until(&fixture, fixture_has_read);
	return fixture.read_status;
}

static size_t read_uploads(void)
{
	fixture.read = false;
	store_read_uploads(fixture.store, fixture_read_fn, &fixture);
	fixture_until(&fixture, fixture_has_read);
	assert_int_equal(fixture.read_status, 0);
	return fixture.count;
}

static void assert_value(size_t i, const void *data, size_t len)
{
	struct span value = fixture_value(&fixture, i);

	assert_int_equal(value.len, len);
	assert_memory_equal(value.data, data, len);
}

static void an_upload_becomes_a_batch(void **state)
{
	char hex[OPT_ID_HEX];
	struct opt_id id = store_id(7);

	(void)state;
	assert_int_equal(read_uploads(), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_upload(7, "template", 8)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_shard(1, 0, 7, "zero", 4)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_shard(1, 1, 7, "one", 3)), 0);
	assert_int_equal(read_uploads(), 2);
	assert_value(0, id_to_hex(&id, hex), 40);
	assert_int_equal(fixture_read_batches(&fixture), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news-1", 7, "record")), 0);
	assert_int_equal(read_uploads(), 0);
	assert_int_equal(fixture_read_batches(&fixture), 1);
	assert_value(0, "record", 6);
	assert_int_equal(read_template(7), 0);
	assert_value(0, "template", 8);
	assert_int_equal(fixture_read_shard(&fixture, 1, 1, 7), 0);
	assert_value(0, "one", 3);
	assert_int_equal(fixture_read_shard(&fixture, 1, 2, 7), OPT_E_NOT_FOUND);
	assert_int_equal(read_template(8), OPT_E_NOT_FOUND);
}

static void a_batch_record_is_written_once(void **state)
{
	(void)state;
	assert_int_equal(fixture_write_now(&fixture, effect_upload(1, "t", 1)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_upload(2, "t", 1)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news", 1, "first")), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news", 2, "second")), OPT_E_CONFLICT);
	assert_int_equal(read_uploads(), 2); /* the loser is still there to be dropped */
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news", 1, "first")), 0);
	assert_int_equal(fixture_read_batches(&fixture), 1);
	assert_value(0, "first", 5);
}

static size_t read_registers(void)
{
	fixture.read = false;
	store_read_registers(fixture.store, fixture_read_fn, &fixture);
	fixture_until(&fixture, fixture_has_read);
	assert_int_equal(fixture.read_status, 0);
	return fixture.count;
}

static struct effect effect_register(const char *batch, const char *value)
{
	return (struct effect){
	    .type = EFFECT_STORE_REGISTER, .id = batch_key(batch), .data = value, .len = strlen(value)};
}

static void a_register_lives_until_the_batch_is_decided(void **state)
{
	struct opt_id key = batch_key("news");
	char hex[OPT_ID_HEX];

	(void)state;
	assert_int_equal(read_registers(), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_register("news", "promise 1")), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_register("news", "promise 2")), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_register("other", "promise")), 0);
	assert_int_equal(read_registers(), 4);
	assert_int_equal(fixture_write_now(&fixture, effect_register("other", "")), 0);
	assert_int_equal(read_registers(), 2);
	assert_value(0, id_to_hex(&key, hex), 40);
	assert_value(1, "promise 2", 9);
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news", 1, "first")), 0);
	assert_int_equal(read_registers(), 0);
}

static void the_sequence_is_raised_with_the_write(void **state)
{
	const struct opt_id key = register_sequence();
	struct effect append = effect_append(1, "fact", 4);
	struct effect promise = effect_register("news", "promise");
	char hex[OPT_ID_HEX];

	(void)state;
	assert_int_equal(fixture_write_now(&fixture, append), 0);
	assert_int_equal(read_registers(), 0);
	append.sequence = 9;
	assert_int_equal(fixture_write_now(&fixture, append), 0);
	assert_int_equal(read_registers(), 2);
	assert_value(0, id_to_hex(&key, hex), 40);
	assert_value(1, "9", 1);
	append.sequence = 0; /* as it was */
	assert_int_equal(fixture_write_now(&fixture, append), 0);
	assert_int_equal(fixture_read_journal(&fixture, &append.id), 0);
	assert_int_equal(fixture.count, 3);
	promise.sequence = 123456789012;
	assert_int_equal(fixture_write_now(&fixture, promise), 0);
	promise = effect_register("news", "");
	assert_int_equal(fixture_write_now(&fixture, promise), 0);
	assert_int_equal(read_registers(), 2);
	assert_value(1, "123456789012", 12);
}

static void a_dropped_upload_leaves_nothing(void **state)
{
	struct effect drop = {.type = EFFECT_STORE_DROP_UPLOAD, .id = store_id(1), .shards = 2500};

	(void)state;
	for (uint8_t n = 1; n <= 3; n++) {
		fixture_write(
		    &fixture, &(struct effect){
		                  .type = EFFECT_STORE_UPLOAD, .upload = store_id(n), .data = "t", .len = 1});
		fixture.answers[0] = 0;
		fixture_until_answered(&fixture, n);
	}
	memset(fixture.answers, 0, sizeof(fixture.answers));
	fixture.answered = 0;
	for (uint32_t i = 0; i < 2500; i++)
		for (uint8_t n = 1; n <= 3; n++) {
			struct effect effect = effect_shard(1, i, n, "x", 1);

			effect.token = i * 3 + n;
			fixture_write(&fixture, &effect);
		}
	fixture_until_answered(&fixture, 7500);
	drop.upload = store_id(1);
	assert_int_equal(fixture_write_now(&fixture, drop), 0);
	drop.upload = store_id(2);
	drop.shards = UINT32_MAX; /* after a restart nobody knows how many */
	assert_int_equal(fixture_write_now(&fixture, drop), 0);
	for (uint32_t i = 0; i < 2500; i += 499) {
		assert_int_equal(fixture_read_shard(&fixture, 1, i, 1), OPT_E_NOT_FOUND);
		assert_int_equal(fixture_read_shard(&fixture, 1, i, 2), OPT_E_NOT_FOUND);
		assert_int_equal(fixture_read_shard(&fixture, 1, i, 3), 0);
	}
	assert_int_equal(read_template(1), OPT_E_NOT_FOUND);
	assert_int_equal(read_template(2), OPT_E_NOT_FOUND);
	assert_int_equal(read_template(3), 0);
	assert_int_equal(read_uploads(), 2);
	assert_int_equal(fixture_write_now(&fixture, drop), 0); /* again: nothing changes */
	assert_int_equal(read_uploads(), 2);
}

static void any_bytes_come_back_as_they_were(void **state)
{
	static const char odd[] = "\0a\r\n$5\r\n\0\xff\xfe*3";
	char *large = malloc(1 << 20);
	struct opt_id id = store_id(4);

	(void)state;
	assert_non_null(large);
	for (size_t i = 0; i < 1 << 20; i++)
		large[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(fixture_write_now(&fixture, effect_upload(4, odd, sizeof(odd))), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_shard(4, 0, 4, large, 1 << 20)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_append(4, odd, sizeof(odd))), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_append(4, "", 0)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_append(4, large, 1 << 20)), 0);
	assert_int_equal(read_template(4), 0);
	assert_value(0, odd, sizeof(odd));
	assert_int_equal(fixture_read_shard(&fixture, 4, 0, 4), 0);
	assert_value(0, large, 1 << 20);
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_int_equal(fixture.count, 3);
	assert_value(0, odd, sizeof(odd));
	assert_value(1, "", 0);
	assert_value(2, large, 1 << 20);
	free(large);
}

static void a_journal_survives_its_squash(void **state)
{
	struct opt_id id = store_id(5);
	struct effect squash = {.type = EFFECT_STORE_SQUASH, .id = store_id(5)};
	char text[32];

	(void)state;
	assert_int_equal(fixture_write_now(&fixture, squash), 0); /* of nothing */
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_int_equal(fixture.count, 0);
	/* Appends before, between and behind squashes that are all on their way at once. */
	for (uint32_t i = 0; i < 1000; i++) {
		struct effect effect = effect_append(5, text, 0);

		effect.len = (size_t)snprintf(text, sizeof(text), "entry %u", i);
		effect.token = 1 + 2 * i;
		fixture_write(&fixture, &effect);
		if (i % 100 != 50)
			continue;
		squash.token = 2 + 2 * i;
		fixture_write(&fixture, &squash);
		squash.token += 2000;
		fixture_write(&fixture, &squash);
	}
	fixture_until_answered(&fixture, 1 + 1000 + 20);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(fixture.statuses[1 + 2 * i], 0);
	for (int turn = 0; turn < 3; turn++) {
		assert_int_equal(fixture_read_journal(&fixture, &id), 0);
		assert_int_equal(fixture.count, 1000);
		for (uint32_t i = 0; i < 1000; i++) {
			snprintf(text, sizeof(text), "entry %u", i);
			assert_value(i, text, strlen(text));
		}
		assert_int_equal(fixture_write_now(&fixture, squash), 0);
	}
}

static void a_broken_squashed_entry_is_refused(void **state)
{
	struct opt_id id = store_id(6);
	struct effect squash = {.type = EFFECT_STORE_SQUASH, .id = store_id(6)};

	(void)state;
	assert_int_equal(
	    fixture_write_now(&fixture, effect_append(6, "\x93\x09\xce\xff\xff\xff\xff\xc6", 8)), 0);
	assert_int_equal(fixture_write_now(&fixture, effect_append(6, "good", 4)), 0);
	assert_int_equal(fixture_read_journal(&fixture, &id), OPT_E_INVALID);
	assert_int_equal(fixture.count, 0);
	fixture_write_now(&fixture, squash);
	assert_int_equal(fixture_read_journal(&fixture, &id), OPT_E_INVALID);
}

static void ten_thousand_batches_are_read(void **state)
{
	char name[32], record[32];

	(void)state;
	for (uint32_t i = 0; i < 9000; i++) {
		struct effect effect;

		snprintf(name, sizeof(name), "batch-%u", i);
		snprintf(record, sizeof(record), "record-%05u", i);
		effect = effect_commit(name, 1, record);
		effect.token = i;
		fixture_write(&fixture, &effect);
	}
	fixture_until_answered(&fixture, 9000);
	assert_int_equal(fixture_read_batches(&fixture), 9000);
	for (size_t i = 0; i < 9000; i++)
		assert_int_equal(fixture.lens[i], 12);
}

/* ---- memory alone ---- */

static void the_twin_fails_when_told_to(void **state)
{
	struct opt_id id = store_id(1);

	(void)state;
	store_memory_fail(fixture.store, 1, OPT_E_FULL);
	assert_int_equal(fixture_write_now(&fixture, effect_append(1, "a", 1)), OPT_E_FULL);
	assert_int_equal(fixture_write_now(&fixture, effect_append(1, "b", 1)), 0);
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_int_equal(fixture.count, 1);
	store_memory_hold(fixture.store, true);
	fixture_write(&fixture, &(struct effect){.type = EFFECT_STORE_APPEND, .token = 3});
	fixture.answered = 0;
	uv_run(&fixture.loop, UV_RUN_NOWAIT);
	assert_int_equal(fixture.answered, 0);
	assert_int_equal(store_memory_pending(fixture.store), 1);
	store_memory_hold(fixture.store, false);
	fixture_until_answered(&fixture, 1);
}

#define FOR_BOTH(test)                                                                                       \
	{#test " (memory)", test, start_memory, stop, NULL},                                                 \
	{                                                                                                    \
#test " (redis)", test, start_redis, stop, NULL                                              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FOR_BOTH(an_upload_becomes_a_batch),
	    FOR_BOTH(a_batch_record_is_written_once),
	    FOR_BOTH(a_register_lives_until_the_batch_is_decided),
	    FOR_BOTH(the_sequence_is_raised_with_the_write),
	    FOR_BOTH(a_dropped_upload_leaves_nothing),
	    FOR_BOTH(any_bytes_come_back_as_they_were),
	    FOR_BOTH(a_journal_survives_its_squash),
	    FOR_BOTH(a_broken_squashed_entry_is_refused),
	    FOR_BOTH(ten_thousand_batches_are_read),
	    cmocka_unit_test_setup_teardown(the_twin_fails_when_told_to, start_memory, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
