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
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 1);
	shell_run(shell);
	shell_advance(shell, 290 * USEC_PER_SEC);
	idle(10 * USEC_PER_SEC - USEC_PER_MSEC);
	shell_tick(shell);
	assert_int_equal(shell->wake, shell->now.us + USEC_PER_MSEC);
	assert_int_equal(shell->fed_count, 1);
	idle(USEC_PER_MSEC);
	shell_tick(shell);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
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
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 1);
	shell_run(shell);
	/* Looked at again within half a minute of boot time, whatever UTC promised. */
	assert_true(shell->wake <= shell->now.us + 30 * USEC_PER_SEC);
	shell->utc.us += 3600 * USEC_PER_SEC;
	shell_advance(shell, 30 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
}

static void a_clock_set_back_makes_nothing_due(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 1);
	shell_run(shell);
	shell->utc.us -= 600 * USEC_PER_SEC;
	shell_advance(shell, 899 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
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
	    CORE_TEST(a_start_that_takes_long_does_not_tick_in_circles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
