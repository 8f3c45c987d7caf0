/* SPDX-License-Identifier: MIT */
/*
 * A node remembers whom it has met, over a restart and over a crash, and does not write for each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <stdbool.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/known_members.h"

enum { MET = 100 };

static char dir[] = "/tmp/optimus-members-XXXXXX";
static uv_loop_t loop;
static int writes;
static bool closed;

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_rename(const char *from, const char *to)
{
	__atomic_add_fetch(&writes, 1, __ATOMIC_SEQ_CST);
	return __real_rename(from, to);
}

static int written(void)
{
	return __atomic_load_n(&writes, __ATOMIC_SEQ_CST);
}

static int setup(void **state)
{
	(void)state;
	strcpy(strrchr(dir, '-'), "-XXXXXX");
	writes = 0;
	assert_non_null(mkdtemp(dir));
	return uv_loop_init(&loop);
}

static const char *members(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/members", dir);
	return path;
}

static int teardown(void **state)
{
	(void)state;
	unlink(members());
	return uv_loop_close(&loop) != 0 || rmdir(dir) != 0;
}

static void on_closed(void *context)
{
	(void)context;
	closed = true;
}

static void end(struct known_members *known)
{
	closed = false;
	known_members_close(known, on_closed, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(closed);
}

static void meet(struct known_members *known, int first, int last)
{
	for (int i = first; i < last; i++) {
		char address[32];

		snprintf(address, sizeof(address), "10.0.0.%d:4100", i);
		known_members_add(known, address);
	}
}

static size_t count_in_file(void)
{
	struct known_members *known = known_members_load(&loop, dir);
	size_t count = known_members_count(known);

	end(known);
	return count;
}

static void the_first_one_is_written_at_once(void **state)
{
	struct known_members *known = known_members_load(&loop, dir);

	(void)state;
	assert_int_equal(known_members_count(known), 0);
	meet(known, 1, 2);
	/* Who died here would know that it is not alone. */
	assert_int_equal(count_in_file(), 1);
	meet(known, 1, 2);
	end(known);
	assert_int_equal(written(), 1);
}

static void a_hundred_cost_two_writes(void **state)
{
	struct known_members *known = known_members_load(&loop, dir);

	(void)state;
	meet(known, 0, MET);
	assert_int_equal(written(), 1);
	/* The loop has nothing to do but to wait for the timer, and then for the thread. */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(written(), 2);
	end(known);
	assert_int_equal(written(), 2);
	known = known_members_load(&loop, dir);
	assert_int_equal(known_members_count(known), KNOWN_MEMBERS_MAX);
	assert_string_equal(known_members_address(known, KNOWN_MEMBERS_MAX - 1), "10.0.0.99:4100");
	assert_string_equal(known_members_address(known, 0), "10.0.0.68:4100");
	end(known);
}

static void the_end_writes_what_waits(void **state)
{
	struct known_members *known = known_members_load(&loop, dir);

	(void)state;
	meet(known, 0, 3);
	end(known);
	assert_int_equal(written(), 2);
	assert_int_equal(count_in_file(), 3);
}

static void the_end_waits_for_the_thread(void **state)
{
	struct known_members *known = known_members_load(&loop, dir);

	(void)state;
	meet(known, 0, 3);
	uv_run(&loop, UV_RUN_ONCE); /* the timer: the thread has its work */
	meet(known, 3, 4);          /* and more comes */
	end(known);
	assert_int_equal(count_in_file(), 4);
	assert_int_equal(written(), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_first_one_is_written_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_hundred_cost_two_writes, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_end_writes_what_waits, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_end_waits_for_the_thread, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
