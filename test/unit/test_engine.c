/* SPDX-License-Identifier: MIT */
/*
 * The engine's marks and commands. Everything around it is played here: the keeper does what the test says,
 * and what the core would be told is written down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/driver.h"
#include "daemon/engine.h"
#include "daemon/engine_watch.h"
#include "daemon/spool_list.h"
#include "daemon/spool_mark.h"
#include "queue/core.h"
#include "queue/error.h"

enum { LONG_AGO = 1, COMMANDS_MAX = 8, FILES = 500, STATUS_UP = 0, STATUS_DOWN = 1, STATUS_ORPHANS = 2 };

struct command {
	enum keeper_verb verb;
	keeper_done_fn *fn;
	void *context;
};

static struct {
	struct config config;
	char dir[64];
	uv_loop_t loop;
	uv_timer_t life; /* the engine's own timers do not keep the loop alive */
	struct engine *engine;
	bool alive;      /* what the keeper says of master */
	bool stale;      /* the core's */
	bool was_paused; /* the next step of the core is the first one after a long time */
	unsigned int ticks, ups, lives, deaths, spools, stops, ends, watches;
	engine_died_fn *died;
	bool hold; /* the keeper does not answer */
	struct command held[COMMANDS_MAX];
	size_t held_count;
	unsigned int removals;     /* processes that run */
	unsigned int given[FILES]; /* how often each file was named to one */
	spool_removed_fn *removed;
	void *removed_context;
} world;

/* The engine's neighbours. */

const struct config *node_config(const struct node *node)
{
	(void)node;
	return &world.config;
}

const struct core *node_core(const struct node *node)
{
	(void)node;
	return NULL;
}

struct core_numbers core_numbers(const struct core *core)
{
	(void)core;
	return (struct core_numbers){.stale = world.stale};
}

void node_event(struct node *node, struct event *event)
{
	(void)node;
	world.stale = world.stale || world.was_paused;
	world.was_paused = false;
	world.ticks += event->type == EVENT_TICK;
	world.ups += event->type == EVENT_ENGINE_UP;
	world.lives += event->type == EVENT_ENGINE_DOWN && event->engine_down.lives;
	world.deaths += event->type == EVENT_ENGINE_DOWN && !event->engine_down.lives;
	world.spools += event->type == EVENT_SPOOL;
}

void driver_start(struct driver *driver)
{
	(void)driver;
}

void driver_stop(struct driver *driver)
{
	(void)driver;
}

/* It answers at once, or when the test says so. */
void keeper_run(struct keeper *keeper, enum keeper_verb verb, keeper_done_fn *fn, void *context)
{
	(void)keeper;
	if (world.hold) {
		assert_true(world.held_count < COMMANDS_MAX);
		world.held[world.held_count++] = (struct command){verb, fn, context};
		return;
	}
	if (verb == KEEPER_START)
		world.alive = true;
	if (verb == KEEPER_STOP) {
		world.stops++;
		world.alive = false;
	}
	fn(context, verb == KEEPER_STATUS && !world.alive ? 1 : 0, world.alive ? "up 1 2" : "");
}

struct engine_watch *engine_watch_new(uv_loop_t *loop, int master, int qmgr, const char *dir,
    engine_died_fn *died, engine_aside_fn *aside, void *context)
{
	(void)loop;
	(void)master;
	(void)qmgr;
	(void)dir;
	(void)aside;
	(void)context;
	world.died = died;
	world.watches++;
	return (struct engine_watch *)&world;
}

void engine_watch_free(struct engine_watch *watch)
{
	(void)watch;
}

void spool_list_run(uv_loop_t *loop, const char *program, const char *dir, spool_list_fn *fn, void *context)
{
	const struct spool_list list = {.count = 0};

	(void)loop;
	(void)program;
	(void)dir;
	fn(context, 0, &list);
}

/* They are called "deferred/NUMBER". The process ends when the test says so. */
void spool_remove_run(uv_loop_t *loop, const char *program, const char *dir, const char *const *files,
    size_t count, spool_removed_fn *fn, void *context)
{
	(void)loop;
	(void)program;
	(void)dir;
	assert_in_range(count, 1, SPOOL_REMOVE_MAX);
	for (size_t i = 0; i < count; i++) {
		unsigned int number;

		assert_int_equal(sscanf(files[i], "deferred/%u", &number), 1);
		assert_true(number < FILES);
		world.given[number]++;
	}
	world.removals++;
	world.removed = fn;
	world.removed_context = context;
}

/* The tests. */

static void nothing(uv_timer_t *timer)
{
	(void)timer;
}

static int set_up(void **state)
{
	char path[128];

	(void)state;
	memset(&world, 0, sizeof(world));
	snprintf(world.dir, sizeof(world.dir), "/tmp/optimus-engine-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	snprintf(path, sizeof(path), "%s/spool", world.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/spool/flush", world.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	world.config.libexec = world.config.postfix_dir = world.dir;
	assert_int_equal(uv_loop_init(&world.loop), 0);
	uv_timer_init(&world.loop, &world.life);
	uv_timer_start(&world.life, nothing, 10, 10);
	world.engine = engine_new(&world.loop, NULL, NULL, (struct keeper *)&world);
	engine_begin(world.engine);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"spool/flush/worked", "spool/flush/generation",
	    "spool/flush/drained", "spool/flush", "spool", ""};
	char path[128];

	(void)state;
	engine_free(world.engine);
	uv_close((uv_handle_t *)&world.life, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", world.dir, files[i]);
		remove(path);
	}
	assert_int_not_equal(access(world.dir, F_OK), 0);
	return 0;
}

/* A Postfix that has just been started. */
static void start_postfix(void)
{
	engine_settle(world.engine);
	engine_restart(world.engine);
	assert_int_equal(world.ups, 1);
	assert_string_equal(engine_state_name(world.engine), "up");
	world.spools = 0;
}

/* The keeper answers what it was asked first. */
static void answer(enum keeper_verb verb, int status, const char *output)
{
	const struct command command = world.held[0];

	assert_true(world.held_count > 0);
	assert_int_equal(command.verb, verb);
	world.held_count--;
	memmove(world.held, world.held + 1, world.held_count * sizeof(world.held[0]));
	command.fn(command.context, status, output);
}

static void has_ended(void *context)
{
	(void)context;
	world.ends++;
}

/* As main does. */
static void end(void)
{
	world.hold = true;
	engine_stop(world.engine, has_ended, NULL);
}

/* Until the time was, or would have been, noted once more. */
static void await_note(void)
{
	const unsigned int ticks = world.ticks;

	while (world.ticks == ticks)
		uv_run(&world.loop, UV_RUN_ONCE);
}

/* SIGSTOP, and a crash right after SIGCONT: the next optimusd has to know of the time in between. */
static void a_pause_is_not_noted_as_work(void **state)
{
	(void)state;
	start_postfix();
	await_note();
	assert_true(spool_mark_read(world.dir, "worked") > LONG_AGO);
	spool_mark_write(world.dir, "worked", LONG_AGO);
	world.was_paused = true;
	await_note();
	await_note();
	assert_int_equal(spool_mark_read(world.dir, "worked"), LONG_AGO);
	world.stale = false;
	await_note();
	assert_true(spool_mark_read(world.dir, "worked") > LONG_AGO);
}

/* A kill in the first second is no absence of unknown length. */
static void a_postfix_that_was_just_started_is_known_to_be_looked_after(void **state)
{
	(void)state;
	start_postfix();
	assert_true(engine_away(world.engine) < 60 * USEC_PER_SEC);
}

/* Its queue manager dies, and its master, before it could be stopped: that is not the next one's fault. */
static void distrust_ends_with_the_postfix_it_was_about(void **state)
{
	(void)state;
	start_postfix();
	world.died(world.engine, "qmgr");
	world.died(world.engine, "master");
	engine_restart(world.engine);
	assert_int_equal(world.ups, 2);
	engine_settle(world.engine);
	assert_int_equal(world.stops, 0);
	assert_string_equal(engine_state_name(world.engine), "up");
}

/* Whoever waits for an answer may have it then, and not before. */
static void the_core_hears_of_masters_death_while_its_children_finish(void **state)
{
	(void)state;
	start_postfix();
	end();
	world.died(world.engine, "qmgr");
	assert_int_equal(world.deaths, 0);
	world.died(world.engine, "master");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.ends, 0);
	answer(KEEPER_STOP, 0, "drained");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.spools, 1);
}

/* An optimusd that has found a Postfix, and is to end before it has looked at it. */
static void a_postfix_that_was_only_just_found_is_watched_when_it_ends(void **state)
{
	(void)state;
	world.hold = true;
	engine_settle(world.engine);
	end();
	answer(KEEPER_STATUS, STATUS_UP, "up 1 2");
	assert_int_equal(world.watches, 1);
	assert_int_equal(world.deaths, 0);
	world.died(world.engine, "master");
	assert_int_equal(world.deaths, 1);
	answer(KEEPER_STOP, 0, "drained");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.ends, 1);
}

static void a_postfix_without_master_may_be_answered_while_it_ends(void **state)
{
	static const int statuses[] = {STATUS_DOWN, STATUS_ORPHANS};

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		world.hold = true;
		engine_settle(world.engine);
		end();
		answer(KEEPER_STATUS, statuses[i], "");
		assert_int_equal(world.deaths, 1);
		answer(KEEPER_STOP, 0, "");
		assert_int_equal(world.deaths, 1);
		assert_int_equal(world.ends, 1);
		tear_down(state);
		set_up(state);
	}
}

/* The keeper is gone, or some process can't be ended. */
static void a_master_that_outlives_the_node_is_never_called_dead(void **state)
{
	(void)state;
	start_postfix();
	end();
	answer(KEEPER_STOP, -1, "");
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.deaths, 0);
}

static void a_master_that_is_not_stopped_yet_is_not_called_dead(void **state)
{
	(void)state;
	start_postfix();
	world.hold = true;
	engine_stand_down(world.engine, "the test says so");
	answer(KEEPER_STOP, -1, "");
	assert_int_equal(world.deaths, 0);
	while (world.held_count == 0)
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.deaths, 0);
	answer(KEEPER_STOP, 0, "drained");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.spools, 1);
}

/* Its master would start another one, and lives until it is stopped. */
static void a_postfix_that_lost_its_queue_manager_is_called_dead_when_its_master_is(void **state)
{
	(void)state;
	start_postfix();
	world.hold = true;
	world.died(world.engine, "qmgr");
	assert_int_equal(world.lives, 1);
	assert_int_equal(world.deaths, 0);
	engine_settle(world.engine); /* the core asks for it */
	world.died(world.engine, "master");
	assert_int_equal(world.deaths, 1);
	answer(KEEPER_STOP, 0, "drained");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.spools, 1);
	assert_int_equal(spool_mark_read(world.dir, "drained"), 0);
}

/* Its status was being asked for, and said that all is well. */
static void a_postfix_that_loses_its_queue_manager_is_stopped_whatever_its_status_said(void **state)
{
	(void)state;
	start_postfix();
	world.hold = true;
	engine_settle(world.engine);
	world.died(world.engine, "qmgr");
	answer(KEEPER_STATUS, STATUS_UP, "up 1 2");
	assert_int_equal(world.spools, 0);
	answer(KEEPER_STOP, 0, "");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.spools, 1);
}

/* A clock that was set back: Postfix moves all of them, and every look names those that are there by then. */
static void remove_first(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		char file[32];

		snprintf(file, sizeof(file), "deferred/%u", i);
		engine_remove_file(world.engine, file);
	}
}

static void await_removal(void)
{
	while (world.removals == 0)
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.removals, 1);
}

static void end_removal(int status)
{
	world.removals--;
	world.removed(world.removed_context, status);
}

static unsigned int total_given(void)
{
	unsigned int total = 0;

	for (size_t i = 0; i < FILES; i++)
		total += world.given[i];
	return total;
}

static void files_are_removed_by_one_process_at_a_time_and_named_once(void **state)
{
	(void)state;
	start_postfix();
	remove_first(FILES / 2);
	await_removal();
	remove_first(FILES);
	uv_run(&world.loop, UV_RUN_ONCE);
	uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.removals, 1);
	while (total_given() < FILES) {
		await_removal();
		end_removal(0);
	}
	for (size_t i = 0; i < FILES; i++)
		assert_int_equal(world.given[i], 1);
	end_removal(0);
	assert_int_equal(world.removals, 0);
}

static void a_file_that_could_not_be_removed_is_named_again(void **state)
{
	unsigned int first;

	(void)state;
	start_postfix();
	remove_first(FILES);
	await_removal();
	first = total_given();
	end_removal(OPT_E_IO);
	assert_int_equal(world.removals, 0); /* not at once */
	while (total_given() < FILES + first) {
		await_removal();
		end_removal(0);
	}
	for (size_t i = 0; i < FILES; i++)
		assert_int_equal(world.given[i], i < first ? 2 : 1);
	end_removal(0);
	assert_int_equal(world.removals, 0);
}

/* Nobody could watch the next one. */
static void a_postfix_that_is_found_without_a_queue_manager_is_stopped(void **state)
{
	(void)state;
	world.hold = true;
	engine_settle(world.engine);
	answer(KEEPER_STATUS, STATUS_UP, "up 1 0");
	assert_int_equal(world.watches, 1);
	assert_int_equal(world.lives, 1);
	assert_int_equal(world.spools, 0);
	answer(KEEPER_STOP, 0, "drained");
	assert_int_equal(world.deaths, 1);
	assert_int_equal(world.spools, 1);
	assert_int_equal(spool_mark_read(world.dir, "drained"), 0);
}

static void a_postfix_that_starts_without_a_queue_manager_is_stopped(void **state)
{
	(void)state;
	engine_settle(world.engine);
	world.hold = true;
	engine_restart(world.engine);
	answer(KEEPER_SWEEP, 0, "");
	answer(KEEPER_START, 0, "");
	answer(KEEPER_STATUS, STATUS_UP, "up 1 0");
	assert_int_equal(world.ups, 0);
	answer(KEEPER_STOP, 0, "");
	assert_int_equal(world.deaths, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_pause_is_not_noted_as_work),
	    TEST(a_postfix_that_was_just_started_is_known_to_be_looked_after),
	    TEST(distrust_ends_with_the_postfix_it_was_about),
	    TEST(the_core_hears_of_masters_death_while_its_children_finish),
	    TEST(a_postfix_that_was_only_just_found_is_watched_when_it_ends),
	    TEST(a_postfix_without_master_may_be_answered_while_it_ends),
	    TEST(a_master_that_outlives_the_node_is_never_called_dead),
	    TEST(a_master_that_is_not_stopped_yet_is_not_called_dead),
	    TEST(a_postfix_that_lost_its_queue_manager_is_called_dead_when_its_master_is),
	    TEST(a_postfix_that_loses_its_queue_manager_is_stopped_whatever_its_status_said),
	    TEST(files_are_removed_by_one_process_at_a_time_and_named_once),
	    TEST(a_file_that_could_not_be_removed_is_named_again),
	    TEST(a_postfix_that_is_found_without_a_queue_manager_is_stopped),
	    TEST(a_postfix_that_starts_without_a_queue_manager_is_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
