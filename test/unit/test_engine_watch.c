/* SPDX-License-Identifier: MIT */
/*
 * The look-out over two processes, played by children that do nothing.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/engine_watch.h"

enum { TURNS = 100 };

static struct {
	uv_loop_t loop;
	struct engine_watch *watch;
	pid_t master, qmgr;
	unsigned int masters, qmgrs;
} world;

static pid_t start_child(void)
{
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
	while (child == 0)
		pause();
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void died(void *context, const char *who)
{
	(void)context;
	world.masters += strcmp(who, "master") == 0;
	world.qmgrs += strcmp(who, "qmgr") == 0;
}

static void put_aside(void *context, const char *file)
{
	(void)context;
	(void)file;
}

static int set_up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	assert_int_equal(uv_loop_init(&world.loop), 0);
	world.master = start_child();
	world.qmgr = start_child();
	world.watch =
	    engine_watch_new(&world.loop, world.master, world.qmgr, "/nonexistent", died, put_aside, NULL);
	assert_non_null(world.watch);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	engine_watch_free(world.watch);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < TURNS; i++)
		uv_run(&world.loop, UV_RUN_NOWAIT);
}

/* The end of the queue manager is not the end of the watch: its master is to be stopped. */
static void each_end_is_told_once_and_the_other_one_is_waited_for(void **state)
{
	(void)state;
	turn();
	assert_int_equal(world.masters + world.qmgrs, 0);
	end_child(world.qmgr);
	turn();
	assert_int_equal(world.qmgrs, 1);
	assert_int_equal(world.masters, 0);
	end_child(world.master);
	turn();
	assert_int_equal(world.qmgrs, 1);
	assert_int_equal(world.masters, 1);
}

static void nothing_is_told_after_the_watch_was_freed(void **state)
{
	(void)state;
	end_child(world.qmgr);
	end_child(world.master);
	engine_watch_free(world.watch);
	world.watch = NULL;
	turn();
	assert_int_equal(world.masters + world.qmgrs, 0);
}

static void who_is_gone_already_is_not_watched(void **state)
{
	(void)state;
	end_child(world.qmgr);
	assert_null(
	    engine_watch_new(&world.loop, world.master, world.qmgr, "/nonexistent", died, put_aside, NULL));
	end_child(world.master);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_end_is_told_once_and_the_other_one_is_waited_for),
	    TEST(nothing_is_told_after_the_watch_was_freed),
	    TEST(who_is_gone_already_is_not_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
