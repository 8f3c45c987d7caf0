/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the store have in common. A write that is answered twice fails the test here.
 */
#include "test/unit/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ftw.h>
#include <sys/mount.h>
#include <unistd.h>

#include "daemon/store_memory.h"
#include "daemon/store_redis.h"
#include "test/unit/store_effects.h"

void fixture_init(struct fixture *fixture)
{
	const char *tmp = getenv("TMPDIR");

	memset(fixture, 0, sizeof(*fixture));
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/optimus-XXXXXX",
	    tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(fixture->dir));
	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	buffer_init(&fixture->values);
}

static void on_done(void *context, uint64_t token, int status)
{
	struct fixture *fixture = context;

	assert_true(token < FIXTURE_TOKENS);
	assert_int_equal(fixture->answers[token], 0);
	fixture->answers[token] = 1;
	fixture->statuses[token] = status;
	fixture->answered++;
}

static void on_state(void *context, enum redis_server_state state, bool full)
{
	struct fixture *fixture = context;

	if (state == REDIS_SERVER_UP && fixture->state != REDIS_SERVER_UP)
		fixture->ups++;
	fixture->state = state;
	fixture->full = full;
	if (fixture->store != NULL)
		store_redis_set_full(fixture->store, full);
}

void fixture_start_memory(struct fixture *fixture)
{
	fixture->store = store_memory_new(&fixture->loop, on_done, fixture);
}

bool fixture_is_up(struct fixture *fixture)
{
	return fixture->state == REDIS_SERVER_UP;
}

static bool is_stopped(struct fixture *fixture)
{
	return fixture->state == REDIS_SERVER_STOPPED;
}

void fixture_start_server(struct fixture *fixture, uint64_t ballast)
{
	fixture->state = REDIS_SERVER_DOWN;
	assert_int_equal(
	    redis_server_new(&fixture->loop, fixture->dir, ballast, on_state, fixture, &fixture->server), 0);
	fixture_until(fixture, fixture_is_up);
}

void fixture_start_redis(struct fixture *fixture, uint64_t ballast)
{
	fixture_start_server(fixture, ballast);
	fixture->store =
	    store_redis_new(&fixture->loop, redis_server_socket(fixture->server), on_done, fixture);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fixture_done(struct fixture *fixture)
{
	store_free(fixture->store);
	fixture->store = NULL;
	if (fixture->server != NULL) {
		redis_server_stop(fixture->server);
		fixture_until(fixture, is_stopped);
		redis_server_free(fixture->server);
	}
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	buffer_done(&fixture->values);
	if (fixture->mounted)
		assert_int_equal(umount(fixture->dir), 0);
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Wakes the loop up: UV_RUN_ONCE may block although a timer has just made the condition true. */
static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static void on_tick_closed(uv_handle_t *handle)
{
	*(bool *)handle->data = true;
}

void fixture_until(struct fixture *fixture, bool (*condition)(struct fixture *fixture))
{
	uv_timer_t tick;
	uint64_t limit;
	bool closed = false;

	uv_timer_init(&fixture->loop, &tick);
	tick.data = &closed;
	uv_timer_start(&tick, on_tick, 10, 10);
	limit = uv_now(&fixture->loop) + FIXTURE_LIMIT_MS;
	while (!condition(fixture) && uv_now(&fixture->loop) < limit)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&tick, on_tick_closed);
	while (!closed)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	if (!condition(fixture))
		fail_msg("the condition did not come true in time");
}

bool fixture_has_read(struct fixture *fixture)
{
	return fixture->read;
}

static size_t wanted_answers;

static bool has_answers(struct fixture *fixture)
{
	return fixture->answered >= wanted_answers;
}

void fixture_until_answered(struct fixture *fixture, size_t count)
{
	wanted_answers = count;
	fixture_until(fixture, has_answers);
}

void fixture_write(struct fixture *fixture, const struct effect *effect)
{
	store_apply(fixture->store, effect);
}

static uint64_t wanted_token;

static bool token_answered(struct fixture *fixture)
{
	return fixture->answers[wanted_token] != 0;
}

int fixture_write_now(struct fixture *fixture, struct effect effect)
{
	/* From the end of the range, which tests with numbered writes don't reach. */
	static uint64_t last = FIXTURE_TOKENS;

	last = last > FIXTURE_TOKENS / 2 ? last - 1 : FIXTURE_TOKENS - 1;
	effect.token = last;
	fixture->answers[last] = 0;
	store_apply(fixture->store, &effect);
	assert_int_equal(fixture->answers[last], 0); /* never from inside the call */
	wanted_token = last;
	fixture_until(fixture, token_answered);
	return fixture->statuses[last];
}

void fixture_read_fn(void *context, int status, const struct span *values, size_t count)
{
	struct fixture *fixture = context;

	assert_false(fixture->read);
	assert_true(count <= FIXTURE_TOKENS);
	fixture->read = true;
	fixture->read_status = status;
	fixture->count = count;
	buffer_clear(&fixture->values);
	for (size_t i = 0; i < count; i++) {
		buffer_add(&fixture->values, values[i].data, values[i].len);
		fixture->lens[i] = values[i].len;
	}
}

struct span fixture_value(const struct fixture *fixture, size_t i)
{
	size_t start = 0;

	assert_true(i < fixture->count);
	for (size_t before = 0; before < i; before++)
		start += fixture->lens[before];
	return (struct span){.data = fixture->values.data + start, .len = fixture->lens[i]};
}

int fixture_read_shard(struct fixture *fixture, uint8_t batch, uint32_t index, uint8_t upload)
{
	struct opt_id key = store_id(batch), id = shard_id(&key, index), of = store_id(upload);

	fixture->read = false;
	store_read_shard(fixture->store, &id, &of, fixture_read_fn, fixture);
	assert_false(fixture->read);
	fixture_until(fixture, fixture_has_read);
	return fixture->read_status;
}

size_t fixture_read_batches(struct fixture *fixture)
{
	fixture->read = false;
	store_read_batches(fixture->store, fixture_read_fn, fixture);
	fixture_until(fixture, fixture_has_read);
	assert_int_equal(fixture->read_status, 0);
	return fixture->count;
}

int fixture_read_journal(struct fixture *fixture, const struct opt_id *id)
{
	fixture->read = false;
	store_read_journal(fixture->store, id, fixture_read_fn, fixture);
	fixture_until(fixture, fixture_has_read);
	return fixture->read_status;
}
