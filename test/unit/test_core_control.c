/* SPDX-License-Identifier: MIT */
/*
 * A command that was answered holds: nothing is fed of what is paused, cancelled or on a draining node, also
 * after a restart. A cancelled batch ends by itself, and every mail of it in a reported state.
 */
#include "core_fixture.h"
#include "queue/control.h"

static enum batch_state state_of(const char *name)
{
	return shell_view(shell, name).state;
}

static void tell(size_t fed, enum outcome_kind kind)
{
	shell_tell_outcome(shell, &shell->fed[fed], kind, 100 + fed);
	shell_run(shell);
}

static void a_paused_batch_is_not_fed_and_what_postfix_has_goes_on(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	assert_int_equal(shell->fed_count, 100);
	assert_int_equal(shell_control(shell, "news", CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(state_of("news"), BATCH_PAUSED);
	for (size_t i = 0; i < 100; i++)
		tell(i, OUTCOME_SENT);
	assert_int_equal(shell->fed_count, 100);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 100);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 50);
	assert_int_equal(shell_control(shell, "news", CONTROL_RUNNING), CONTROL_OK);
	assert_int_equal(state_of("news"), BATCH_SENDING);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 150);
}

static void a_paused_batch_lets_the_next_one_go_first(void **state)
{
	(void)state;
	shell->hold_loads = true;
	shell_submit_name(shell, "news", 150);
	assert_int_equal(shell_control(shell, "news", CONTROL_PAUSED), CONTROL_OK);
	shell->hold_loads = false;
	shell_submit_name(shell, "alert", 10);
	assert_int_equal(shell->fed_count, 10);
	assert_int_equal(shell_count(shell, "alert", MAIL_CLAIMED), 10);
}

static void a_retry_that_is_due_waits_for_the_end_of_the_pause(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	tell(0, OUTCOME_DEFERRED);
	shell_control(shell, "news", CONTROL_PAUSED);
	shell_advance(shell, 3600 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	shell_control(shell, "news", CONTROL_RUNNING);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
}

static void a_paused_batch_expires(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.expire = 3600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 150);
	shell_control(shell, "news", CONTROL_PAUSED);
	shell_advance(shell, 3601 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 50);
	for (size_t i = 0; i < 100; i++)
		tell(i, OUTCOME_SENT);
	assert_int_equal(state_of("news"), BATCH_DONE);
	assert_int_equal(shell_control(shell, "news", CONTROL_RUNNING), CONTROL_ALREADY);
}

static void a_claim_that_becomes_durable_after_the_pause_is_taken_back(void **state)
{
	(void)state;
	shell->hold_loads = true;
	shell_submit_name(shell, "news", 5);
	shell->hold_writes = true;
	shell->hold_loads = false;
	shell_run(shell);
	assert_int_equal(shell->write_count, 1); /* the claim */
	shell_tell_control(shell, "news", CONTROL_PAUSED);
	assert_int_equal(shell->write_count, 2);
	/* The store may answer in another order than it was asked. */
	shell->writes[2] = shell->writes[0];
	memmove(shell->writes, shell->writes + 1, 2 * sizeof(shell->writes[0]));
	shell_answer_write(shell, 0);
	assert_int_equal(shell->control_answer_count, 1);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell->fed_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 5);
}

static void a_command_takes_effect_and_is_answered_when_it_is_durable(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	shell->hold_writes = true;
	shell_tell_control(shell, "news", CONTROL_PAUSED);
	assert_int_equal(shell->control_answer_count, 0);
	assert_int_equal(state_of("news"), BATCH_SENDING);
	shell_answer_write(shell, OPT_E_FULL);
	assert_int_equal(shell->control_answer_count, 1);
	assert_int_equal(shell->control_answers[0], CONTROL_FAILED);
	assert_int_equal(state_of("news"), BATCH_SENDING);
	shell_tell_control(shell, "news", CONTROL_PAUSED);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->control_answers[1], CONTROL_OK);
	assert_int_equal(state_of("news"), BATCH_PAUSED);
}

static void the_last_of_two_commands_on_their_way_stands(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	shell->hold_writes = true;
	shell_tell_control(shell, "news", CONTROL_PAUSED);
	shell_tell_control(shell, "news", CONTROL_RUNNING);
	assert_int_equal(shell->write_count, 2);
	shell_answer_writes(shell, 0);
	assert_int_equal(state_of("news"), BATCH_SENDING);
	shell->hold_writes = false;
	shell_crash(shell);
	assert_int_equal(state_of("news"), BATCH_SENDING);
}

static void commands_survive_a_restart(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	shell_submit_name(shell, "alert", 150);
	shell_control(shell, "news", CONTROL_PAUSED);
	shell_control(shell, "alert", CONTROL_CANCELLED);
	shell_crash(shell);
	assert_int_equal(state_of("news"), BATCH_PAUSED);
	assert_int_equal(state_of("alert"), BATCH_CANCELLED);
	assert_int_equal(shell_count(shell, "alert", MAIL_CANCELLED), 150);
	assert_int_equal(shell->fed_count, 100); /* as before */
	assert_int_equal(shell_control(shell, "news", CONTROL_RUNNING), CONTROL_OK);
	shell_crash(shell);
	assert_int_equal(state_of("news"), BATCH_SENDING);
}

static void cancel_ends_ready_and_deferred_mails_and_waits_for_the_others(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	tell(0, OUTCOME_DEFERRED);
	tell(1, OUTCOME_SENT);
	assert_int_equal(shell_control(shell, "news", CONTROL_CANCELLED), CONTROL_OK);
	assert_int_equal(state_of("news"), BATCH_CANCELLED);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 0);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 0);
	assert_int_equal(
	    shell_count(shell, "news", MAIL_CANCELLED) + shell_count(shell, "news", MAIL_CLAIMED), 149);
	assert_int_equal(shell_view(shell, "news").finished.us, 0);
	for (size_t i = 2; i < shell->fed_count; i++)
		tell(i, i % 2 == 0 ? OUTCOME_SENT : OUTCOME_DEFERRED);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 0);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 0);
	assert_int_equal(state_of("news"), BATCH_CANCELLED);
	assert_int_not_equal(shell_view(shell, "news").finished.us, 0);
	assert_int_equal(shell->done, 1);
}

static void in_doubt_mail_of_a_cancelled_batch_ends_unknown_and_is_not_resent(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_control(shell, "news", CONTROL_CANCELLED);
	shell_tell_left(shell, &shell->fed[0], 7);
	shell_run(shell);
	tell(1, OUTCOME_SENT);
	assert_int_equal(shell_count(shell, "news", MAIL_UNKNOWN), 1);
	assert_int_equal(shell->fed_count, 2);
	assert_int_not_equal(shell_view(shell, "news").finished.us, 0);
}

static void mail_that_waits_to_be_resent_after_doubt_ends_unknown_by_a_cancel(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_control(shell, "news", CONTROL_PAUSED);
	shell_tell_left(shell, &shell->fed[0], 7);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 1);
	shell_control(shell, "news", CONTROL_CANCELLED);
	assert_int_equal(shell_count(shell, "news", MAIL_UNKNOWN), 1);
}

static void a_scheduled_batch_can_be_paused_and_cancelled(void **state)
{
	struct batch_settings settings = shell_settings("later");

	(void)state;
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 10);
	assert_int_equal(shell_control(shell, "later", CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(state_of("later"), BATCH_PAUSED);
	shell_advance(shell, 7200 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 0);
	shell_control(shell, "later", CONTROL_RUNNING);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 10);

	strcpy(settings.name, "never");
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 10);
	assert_int_equal(state_of("never"), BATCH_SCHEDULED);
	assert_int_equal(shell_control(shell, "never", CONTROL_CANCELLED), CONTROL_OK);
	assert_int_equal(shell_count(shell, "never", MAIL_CANCELLED), 10);
	assert_int_not_equal(shell_view(shell, "never").finished.us, 0);
	shell_crash(shell);
	assert_int_equal(state_of("never"), BATCH_CANCELLED);
	assert_int_equal(shell_count(shell, "never", MAIL_CANCELLED), 10);
}

static void a_batch_of_many_shards_is_cancelled_a_few_at_a_time(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	shell_open(shell, 9, &settings, "text");
	for (uint32_t i = 0; i < 50; i++)
		shell_add(shell, 9, 2, i);
	shell_commit(shell, 9);
	shell_run(shell);
	shell->hold_writes = true;
	shell_tell_control(shell, "news", CONTROL_CANCELLED);
	shell_answer_write(shell, 0);
	assert_in_range(shell_count(shell, "news", MAIL_CANCELLED), 1, 20);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_CANCELLED), 100);
	assert_int_not_equal(shell_view(shell, "news").finished.us, 0);
}

static void what_can_not_be_done_is_refused(void **state)
{
	(void)state;
	assert_int_equal(shell_control(shell, "none", CONTROL_PAUSED), CONTROL_NOT_FOUND);
	shell_submit_name(shell, "news", 1);
	tell(0, OUTCOME_SENT);
	assert_int_equal(state_of("news"), BATCH_DONE);
	assert_int_equal(shell_control(shell, "news", CONTROL_PAUSED), CONTROL_ALREADY);
	assert_int_equal(shell_control(shell, "news", CONTROL_CANCELLED), CONTROL_ALREADY);
	shell_submit_name(shell, "alert", 1);
	shell_control(shell, "alert", CONTROL_CANCELLED);
	assert_int_equal(shell_control(shell, "alert", CONTROL_RUNNING), CONTROL_ALREADY);
	assert_int_equal(shell_control(shell, "alert", CONTROL_PAUSED), CONTROL_ALREADY);
}

static void a_command_that_is_repeated_succeeds_and_writes_nothing(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	shell_control(shell, "news", CONTROL_PAUSED);
	shell->hold_writes = true;
	assert_int_equal(shell_control(shell, "news", CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(shell->write_count, 0);
	shell->hold_writes = false;
	shell_control(shell, "news", CONTROL_CANCELLED);
	assert_int_equal(shell_control(shell, "news", CONTROL_CANCELLED), CONTROL_OK);
}

static void a_command_during_the_start_is_put_off(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell->hold_loads = true;
	shell_crash(shell);
	assert_int_equal(shell_control(shell, "news", CONTROL_PAUSED), CONTROL_STARTING);
	assert_int_equal(shell_drain(shell, true), CONTROL_STARTING);
}

static void a_draining_node_feeds_nothing_also_after_a_restart(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 150);
	assert_false(core_numbers(shell->core).draining);
	assert_int_equal(shell_drain(shell, true), CONTROL_OK);
	assert_true(core_numbers(shell->core).draining);
	for (size_t i = 0; i < 100; i++)
		tell(i, OUTCOME_SENT);
	shell_submit_name(shell, "alert", 1);
	assert_int_equal(shell->fed_count, 100);
	shell_crash(shell);
	assert_true(core_numbers(shell->core).draining);
	assert_int_equal(shell->fed_count, 100);
	assert_int_equal(shell_drain(shell, false), CONTROL_OK);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 151);
	shell_crash(shell);
	assert_false(core_numbers(shell->core).draining);
}

static void a_draining_node_still_cancels(void **state)
{
	(void)state;
	shell_drain(shell, true);
	shell_submit_name(shell, "news", 10);
	assert_int_equal(shell_control(shell, "news", CONTROL_CANCELLED), CONTROL_OK);
	assert_int_equal(shell_count(shell, "news", MAIL_CANCELLED), 10);
}

/* All orders of the same commands merge to one. */
static void commands_merge_to_the_same_in_any_order(void **state)
{
	static const struct control commands[] = {
	    {1, CONTROL_PAUSED, {10}},
	    {2, CONTROL_RUNNING, {20}},
	    {2, CONTROL_PAUSED, {15}},
	    {2, CONTROL_PAUSED, {16}},
	    {1, CONTROL_CANCELLED, {5}},
	};

	(void)state;
	for (size_t count = 1; count <= 5; count++) {
		for (size_t code = 0; code < 120; code++) {
			struct control merged = {0}, reference = {0};
			size_t left = code, taken = 0;

			for (size_t i = 0; i < count; i++)
				control_merge(&reference, &commands[i]);
			for (size_t n = count; n > 0; n--, left /= 5) {
				size_t pick = left % n;

				for (size_t i = 0; i < count; i++) {
					if ((taken & (size_t)1 << i) != 0 || pick-- > 0)
						continue;
					taken |= (size_t)1 << i;
					control_merge(&merged, &commands[i]);
					control_merge(&merged, &commands[i]);
					break;
				}
			}
			assert_memory_equal(&merged, &reference, sizeof(merged));
		}
	}
}

static void cancel_wins_and_else_the_higher_version(void **state)
{
	struct control control = {0};

	(void)state;
	assert_true(control_merge(&control, &(struct control){1, CONTROL_PAUSED, {1}}));
	assert_true(control_merge(&control, &(struct control){2, CONTROL_RUNNING, {2}}));
	assert_false(control_merge(&control, &(struct control){1, CONTROL_PAUSED, {1}}));
	assert_int_equal(control.what, CONTROL_RUNNING);
	assert_true(control_merge(&control, &(struct control){1, CONTROL_CANCELLED, {3}}));
	assert_false(control_merge(&control, &(struct control){9, CONTROL_RUNNING, {4}}));
	assert_int_equal(control.what, CONTROL_CANCELLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(a_paused_batch_is_not_fed_and_what_postfix_has_goes_on),
	    CORE_TEST(a_paused_batch_lets_the_next_one_go_first),
	    CORE_TEST(a_retry_that_is_due_waits_for_the_end_of_the_pause),
	    CORE_TEST(a_paused_batch_expires),
	    CORE_TEST(a_claim_that_becomes_durable_after_the_pause_is_taken_back),
	    CORE_TEST(a_command_takes_effect_and_is_answered_when_it_is_durable),
	    CORE_TEST(the_last_of_two_commands_on_their_way_stands),
	    CORE_TEST(commands_survive_a_restart),
	    CORE_TEST(cancel_ends_ready_and_deferred_mails_and_waits_for_the_others),
	    CORE_TEST(in_doubt_mail_of_a_cancelled_batch_ends_unknown_and_is_not_resent),
	    CORE_TEST(mail_that_waits_to_be_resent_after_doubt_ends_unknown_by_a_cancel),
	    CORE_TEST(a_scheduled_batch_can_be_paused_and_cancelled),
	    CORE_TEST(a_batch_of_many_shards_is_cancelled_a_few_at_a_time),
	    CORE_TEST(what_can_not_be_done_is_refused),
	    CORE_TEST(a_command_that_is_repeated_succeeds_and_writes_nothing),
	    CORE_TEST(a_command_during_the_start_is_put_off),
	    CORE_TEST(a_draining_node_feeds_nothing_also_after_a_restart),
	    CORE_TEST(a_draining_node_still_cancels),
	    CORE_TEST(commands_merge_to_the_same_in_any_order),
	    CORE_TEST(cancel_wins_and_else_the_higher_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
