/* SPDX-License-Identifier: MIT */
/*
 * The core says when it wants to be woken, is woken in vain without harm, and asks for nothing that it would
 * not use.
 */
#include "core_fixture.h"

static void idle(usec passed)
{
	shell->now.us += passed;
	shell->utc.us += passed;
}

/* A mail that starts at a moment in UTC. */
static void submit_later(usec wait)
{
	struct batch_settings settings = shell_settings("later");

	settings.start.us = shell->utc.us + wait;
	shell_submit(shell, &settings, 1);
	shell_run(shell);
}

static void a_tick_that_comes_a_millisecond_early_is_asked_for_again(void **state)
{
	uint64_t deadline;

	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_fed(shell, &shell->fed[0], FED_NOT_NOW);
	shell_run(shell);
	deadline = shell->wake;
	assert_int_equal(deadline, shell->now.us + USEC_PER_SEC);
	idle(USEC_PER_SEC - USEC_PER_MSEC);
	shell_tick(shell);
	assert_int_equal(shell->wake, deadline);
	assert_int_equal(shell->fed_count, 1);
	idle(USEC_PER_MSEC);
	shell_tick(shell);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
}

static void a_tick_a_little_early_is_asked_for_again_by_utc_too(void **state)
{
	(void)state;
	submit_later(300 * USEC_PER_SEC);
	shell_advance(shell, 290 * USEC_PER_SEC);
	idle(10 * USEC_PER_SEC - USEC_PER_MSEC);
	shell_tick(shell);
	assert_int_equal(shell->wake, shell->now.us + USEC_PER_MSEC);
	assert_int_equal(shell->fed_count, 0);
	idle(USEC_PER_MSEC);
	shell_tick(shell);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 1);
}

static void a_tick_that_comes_late_does_all_that_is_due(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 3);
	for (size_t i = 0; i < 3; i++) {
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_DEFERRED, 1 + i);
		shell_run(shell);
		idle(10 * USEC_PER_SEC);
	}
	idle(3600 * USEC_PER_SEC);
	shell_tick(shell);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 6);
}

static void an_idle_core_asks_for_no_tick(void **state)
{
	(void)state;
	assert_int_equal(shell->timers, 0);
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_run(shell);
	shell->wake = 0;
	shell_tick(shell);
	assert_int_equal(shell->wake, 0);
}

static void a_tick_in_vain_changes_nothing(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 3);
	for (int i = 0; i < 100; i++)
		shell_tick(shell);
	assert_int_equal(shell->fed_count, 3);
	assert_int_equal(shell->write_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 3);
}

static void utc_deadlines_follow_a_clock_that_is_set(void **state)
{
	(void)state;
	submit_later(3600 * USEC_PER_SEC);
	/* Looked at again within half a minute of boot time, whatever UTC promised. */
	assert_true(shell->wake <= shell->now.us + 30 * USEC_PER_SEC);
	shell->utc.us += 3600 * USEC_PER_SEC;
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
}

static void a_clock_set_back_makes_nothing_due(void **state)
{
	(void)state;
	submit_later(300 * USEC_PER_SEC);
	shell->utc.us -= 600 * USEC_PER_SEC;
	shell_advance(shell, 899 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 0);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
}

/* The first retry comes after 300 s, whatever the clock is set to meanwhile. */
static void check_retry(int64_t set, bool restart)
{
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 1);
	shell_run(shell);
	shell->utc.us += (uint64_t)set;
	if (restart)
		shell_crash(shell);
	shell_advance(shell, 299 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
}

static void a_retry_does_not_wait_for_a_clock_that_was_set_back(void **state)
{
	(void)state;
	check_retry(-3600 * (int64_t)USEC_PER_SEC, false);
}

static void a_retry_does_not_come_early_when_the_clock_is_set_forward(void **state)
{
	(void)state;
	check_retry(3600 * (int64_t)USEC_PER_SEC, false);
}

/* So it is with whoever reads what a clock wrote that was ahead. */
static void a_retry_from_the_future_waits_as_long_as_one_of_now(void **state)
{
	(void)state;
	check_retry(-24 * 3600 * (int64_t)USEC_PER_SEC, true);
}

static void a_shard_that_can_not_be_read_is_read_again_whatever_the_clock_is_set_to(void **state)
{
	struct event event = {.type = EVENT_SHARD_LOADED, .shard_loaded.status = OPT_E_STORE};
	const struct opt_id batch = batch_key("news");

	(void)state;
	shell->hold_loads = true;
	shell_submit_name(shell, "news", 1);
	event.shard_loaded.shard = shard_id(&batch, 0);
	shell_step(shell, &event);
	shell->hold_loads = false;
	shell->utc.us -= 3600 * USEC_PER_SEC;
	shell_advance(shell, 9 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 0);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
}

static void a_start_that_takes_long_does_not_tick_in_circles(void **state)
{
	struct attempt_key key;

	(void)state;
	shell_submit_name(shell, "first", 1);
	shell_submit_name(shell, "second", 1);
	key = shell->fed[0];
	/* The journals come slowly; Postfix, which ran on, reports, and the store refuses to write that. */
	shell->hold_loads = shell->hold_writes = true;
	shell_crash(shell);
	shell_tell_outcome(shell, &key, OUTCOME_SENT, 7);
	while (shell->write_count == 0)
		shell_answer_journal(shell);
	assert_int_equal(shell->journal_load_count, 1);
	assert_int_equal(shell->write_count, 1);
	shell_answer_write(shell, OPT_E_STORE);
	assert_false(core_numbers(shell->core).recovered);
	idle(2 * USEC_PER_SEC);
	shell_tick(shell);
	assert_true(shell->wake == 0 || shell->wake > shell->now.us);
	shell->hold_loads = shell->hold_writes = false;
	shell_run(shell);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_true(shell_answered(shell, 7));
	assert_int_equal(shell_count(shell, "first", MAIL_SENT), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(a_tick_that_comes_a_millisecond_early_is_asked_for_again),
	    CORE_TEST(a_tick_a_little_early_is_asked_for_again_by_utc_too),
	    CORE_TEST(a_tick_that_comes_late_does_all_that_is_due),
	    CORE_TEST(an_idle_core_asks_for_no_tick),
	    CORE_TEST(a_tick_in_vain_changes_nothing),
	    CORE_TEST(utc_deadlines_follow_a_clock_that_is_set),
	    CORE_TEST(a_clock_set_back_makes_nothing_due),
	    CORE_TEST(a_retry_does_not_wait_for_a_clock_that_was_set_back),
	    CORE_TEST(a_retry_does_not_come_early_when_the_clock_is_set_forward),
	    CORE_TEST(a_retry_from_the_future_waits_as_long_as_one_of_now),
	    CORE_TEST(a_shard_that_can_not_be_read_is_read_again_whatever_the_clock_is_set_to),
	    CORE_TEST(a_start_that_takes_long_does_not_tick_in_circles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
