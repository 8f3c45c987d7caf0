/* SPDX-License-Identifier: MIT */
/*
 * What only the store in Redis promises: a Redis that dies costs nothing that was acknowledged, and a
 * database that isn't this node's gets no write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <signal.h>

#include "daemon/store_redis.h"
#include "queue/error.h"
#include "test/unit/store_effects.h"
#include "test/unit/store_fixture.h"

static struct fixture fixture;

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

/* Beside the store: a connection of the test's own. */
static redisContext *beside;

static void connect_beside(void)
{
	beside = redisConnectUnix(redis_server_socket(fixture.server));
	assert_true(beside != NULL && beside->err == 0);
}

static redisReply *command(const char *text)
{
	redisReply *reply = redisCommand(beside, text);

	assert_non_null(reply);
	return reply;
}

static size_t kill_at;

static bool enough_answered(struct fixture *f)
{
	return f->answered >= kill_at;
}

static void a_killed_redis_loses_no_acknowledged_write(void **state)
{
	enum { WRITES = 5000 };
	static bool seen[WRITES];
	struct opt_id id = store_id(9);
	static char text[4096]; /* so long that 5,000 of them can't be answered in one turn of the loop */

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < WRITES; i++) {
		struct effect effect = effect_append(9, text, 0);

		memset(text, ' ', sizeof(text));
		snprintf(text, sizeof(text), "%u", i);
		effect.len = sizeof(text);
		if (i % 5 == 0)
			effect = effect_shard(9, i, 9, text, effect.len);
		effect.token = i;
		fixture_write(&fixture, &effect);
	}
	/* Twice in the middle: with commands unread, executed, and with answers unread. */
	for (kill_at = 1000; kill_at <= 3000; kill_at += 2000) {
		pid_t pid;

		fixture_until(&fixture, enough_answered);
		fixture_until(&fixture, fixture_is_up);
		assert_true(fixture.answered < WRITES);
		pid = redis_server_pid(fixture.server);
		assert_true(pid > 1);
		kill(pid, SIGKILL);
	}
	fixture_until_answered(&fixture, WRITES);
	fixture_until(&fixture, fixture_is_up);
	assert_true(fixture.ups >= 2);
	assert_int_equal(store_redis_pending(fixture.store), 0);
	for (uint32_t i = 0; i < WRITES; i++)
		assert_int_equal(fixture.statuses[i], 0);
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_true(fixture.count >= WRITES / 5 * 4);
	for (size_t i = 0; i < fixture.count; i++) {
		struct span value = fixture_value(&fixture, i);

		assert_int_equal(value.len, sizeof(text));
		memcpy(text, value.data, value.len);
		seen[atoi(text)] = true;
	}
	for (uint32_t i = 0; i < WRITES; i++) {
		if (i % 5 == 0)
			assert_int_equal(fixture_read_shard(&fixture, 9, i, 9), 0);
		else
			assert_true(seen[i]);
	}
}

static void what_comes_while_redis_loads_waits(void **state)
{
	enum { WRITES = 3000 };
	struct opt_id id = store_id(3);
	redisReply *reply;
	char path[128];
	FILE *conf;

	(void)state;
	for (uint32_t i = 0; i < WRITES; i++) {
		struct effect effect = effect_append(3, "x", 1);

		effect.token = i;
		fixture_write(&fixture, &effect);
	}
	fixture_until_answered(&fixture, WRITES);
	/* Loading takes a second from now on. */
	snprintf(path, sizeof(path), "%s/redis.conf", fixture.dir);
	conf = fopen(path, "a");
	assert_non_null(conf);
	fprintf(conf, "key-load-delay 300\n");
	assert_int_equal(fclose(conf), 0);
	kill(redis_server_pid(fixture.server), SIGKILL);
	assert_int_equal(fixture_write_now(&fixture, effect_append(3, "y", 1)), 0);
	fixture_until(&fixture, fixture_is_up);
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_true(fixture.count >= WRITES + 1);
	connect_beside();
	reply = command("INFO errorstats");
	assert_non_null(strstr(reply->str, "errorstat_LOADING"));
	freeReplyObject(reply);
	redisFree(beside);
}

static int claim_status;
static char claim_message[256];

static void on_claim(void *context, int status, const char *message)
{
	(void)context;
	claim_status = status;
	snprintf(claim_message, sizeof(claim_message), "%s", message);
}

static bool is_claimed(struct fixture *f)
{
	(void)f;
	return claim_status != 1;
}

static int claim(uint8_t node)
{
	struct opt_id id = store_id(node);

	claim_status = 1;
	store_redis_claim(fixture.store, &id, on_claim, NULL);
	fixture_until(&fixture, is_claimed);
	return claim_status;
}

static void a_database_belongs_to_one_node(void **state)
{
	(void)state;
	assert_int_equal(claim(1), 0);
	assert_int_equal(claim(1), 0);
	assert_int_equal(claim(2), OPT_E_DENIED);
	assert_non_null(strstr(claim_message, "another node"));
	assert_int_equal(fixture_write_now(&fixture, effect_append(1, "a", 1)), 0);
}

static void a_database_with_other_data_is_refused(void **state)
{
	(void)state;
	assert_int_equal(fixture_write_now(&fixture, effect_append(1, "a", 1)), 0);
	assert_int_equal(claim(1), OPT_E_DENIED);
	assert_non_null(strstr(claim_message, "something else"));
}

static long gets_before;

/* How often Redis was asked for a key, by anybody: by the store, once a connection. */
static long count_gets(void)
{
	redisReply *reply = command("INFO commandstats");
	const char *at = strstr(reply->str, "cmdstat_get:calls=");
	long count = at != NULL ? atol(at + strlen("cmdstat_get:calls=")) : 0;

	freeReplyObject(reply);
	return count;
}

static bool has_looked_twice(struct fixture *f)
{
	(void)f;
	return count_gets() >= gets_before + 2;
}

/* After `spoil` no write reaches the database, and after `mend` what waited is written. */
static void check_writes_wait(const char *spoil, const char *mend)
{
	struct effect effect = effect_append(1, "late", 4);
	redisReply *reply;

	connect_beside();
	assert_int_equal(claim(1), 0);
	freeReplyObject(command(spoil));
	gets_before = count_gets();
	freeReplyObject(command("CLIENT KILL TYPE normal SKIPME yes"));
	effect.token = 1;
	fixture_write(&fixture, &effect);
	fixture_until(&fixture, has_looked_twice);
	assert_int_equal(store_redis_pending(fixture.store), 1);
	reply = command("DBSIZE");
	assert_int_equal(reply->integer, 1);
	freeReplyObject(reply);
	freeReplyObject(command(mend));
	fixture_until_answered(&fixture, 1);
	assert_int_equal(fixture.statuses[1], 0);
	redisFree(beside);
}

static void a_database_that_was_swapped_gets_no_write(void **state)
{
	(void)state;
	check_writes_wait("RENAME node aside", "RENAME aside node");
}

static void a_redis_that_loses_writes_by_now_gets_none(void **state)
{
	(void)state;
	check_writes_wait("CONFIG SET appendfsync everysec", "CONFIG SET appendfsync always");
}

static void a_write_that_failed_inside_a_transaction_is_no_write(void **state)
{
	const struct opt_id id = store_id(4);
	struct effect effect = effect_append(4, "claim", 5);
	char hex[OPT_ID_HEX];

	(void)state;
	connect_beside();
	freeReplyObject(redisCommand(beside, "SET journal:%s x", id_to_hex(&id, hex)));
	effect.sequence = 1;
	assert_int_equal(fixture_write_now(&fixture, effect), OPT_E_STORE);
	freeReplyObject(redisCommand(beside, "DEL journal:%s", hex));
	assert_int_equal(fixture_write_now(&fixture, effect), 0);
	assert_int_equal(fixture_read_journal(&fixture, &id), 0);
	assert_int_equal(fixture.count, 1);
	redisFree(beside);
}

static void a_full_disk_refuses_only_new_batches(void **state)
{
	(void)state;
	store_redis_set_full(fixture.store, true);
	assert_int_equal(fixture_write_now(&fixture, effect_upload(1, "t", 1)), OPT_E_FULL);
	assert_int_equal(fixture_write_now(&fixture, effect_shard(1, 0, 1, "s", 1)), OPT_E_FULL);
	assert_int_equal(fixture_write_now(&fixture, effect_commit("news", 1, "r")), OPT_E_FULL);
	assert_int_equal(fixture_write_now(&fixture, effect_append(1, "a", 1)), 0);
	store_redis_set_full(fixture.store, false);
	assert_int_equal(fixture_write_now(&fixture, effect_upload(1, "t", 1)), 0);
	assert_int_equal(fixture_read_batches(&fixture), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_killed_redis_loses_no_acknowledged_write, start_redis, stop),
	    cmocka_unit_test_setup_teardown(what_comes_while_redis_loads_waits, start_redis, stop),
	    cmocka_unit_test_setup_teardown(a_database_belongs_to_one_node, start_redis, stop),
	    cmocka_unit_test_setup_teardown(a_database_with_other_data_is_refused, start_redis, stop),
	    cmocka_unit_test_setup_teardown(a_database_that_was_swapped_gets_no_write, start_redis, stop),
	    cmocka_unit_test_setup_teardown(a_redis_that_loses_writes_by_now_gets_none, start_redis, stop),
	    cmocka_unit_test_setup_teardown(
	        a_write_that_failed_inside_a_transaction_is_no_write, start_redis, stop),
	    cmocka_unit_test_setup_teardown(a_full_disk_refuses_only_new_batches, start_redis, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
