/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a claimed mail without an outcome, row by row of the table at the head of queue/settle.c,
 * and that Postfix starts only over a spool whose story is durable.
 */
#include "core_fixture.h"

/* One mail, fed. */
static int set_up(void **state)
{
	core_set_up(state);
	shell_submit_name(shell, "news", 1);
	assert_int_equal(shell->fed_count, 1);
	return 0;
}

static void die_with(enum spool_place place)
{
	shell->hold_engine = true;
	shell_tell_engine_down(shell);
	shell_put_in_spool(shell, &shell->fed[0], place, "somewhere/1");
	shell->hold_engine = false;
	shell_run(shell);
	assert_true(core_numbers(shell->core).engine_up);
}

/* Fed again, without doubt about the attempt before. */
static void check_ready_again(void)
{
	assert_int_equal(shell->fed_count, 2);
	assert_int_equal(shell->fed[1].attempt, 2);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
}

static void check_in_doubt(void)
{
	assert_int_equal(shell->fed_count, 2);
	assert_int_equal(shell->fed[1].attempt, 2);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 1);
}

static void check_waits(void)
{
	assert_int_equal(shell->fed_count, 1);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
}

static void a_file_in_a_spool_that_is_alive_is_waited_for(void **state)
{
	static const enum spool_place places[] = {SPOOL_INCOMING, SPOOL_ACTIVE};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		shell->spool_count = 0;
		shell_put_in_spool(shell, &shell->fed[0], places[i], "somewhere/1");
		shell_crash(shell);
		assert_int_equal(shell->restarts, 1);
		shell_advance(shell, 600 * USEC_PER_SEC);
		check_waits();
		assert_int_equal(shell->removed_count, 0);
	}
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_file_that_is_being_written_is_looked_at_again(void **state)
{
	size_t settles;

	(void)state;
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_WRITING, "incoming/1");
	shell_crash(shell);
	settles = shell->settles;
	shell_advance(shell, 10 * USEC_PER_SEC);
	assert_int_equal(shell->settles, settles + 5);
	check_waits();
	/* It vanishes. */
	shell->spool_count = 0;
	shell_advance(shell, 10 * USEC_PER_SEC);
	check_ready_again();
}

static void a_file_that_was_being_written_and_may_be_a_damaged_one_by_now_is_in_doubt(void **state)
{
	(void)state;
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_WRITING, "incoming/1");
	shell_crash(shell);
	check_waits();
	shell->spool_count = 0;
	shell->spool_nameless = true;
	shell_advance(shell, 10 * USEC_PER_SEC);
	check_in_doubt();
}

static void a_file_that_was_being_written_and_got_queued_is_waited_for(void **state)
{
	size_t settles;

	(void)state;
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_WRITING, "incoming/1");
	shell_crash(shell);
	shell->spool[0].place = SPOOL_ACTIVE;
	shell_advance(shell, 10 * USEC_PER_SEC);
	settles = shell->settles;
	shell_advance(shell, 100 * USEC_PER_SEC);
	check_waits();
	assert_int_equal(shell->settles, settles); /* and no more looks */
}

static void no_file_in_the_spool_that_it_was_meant_for_means_never_fed(void **state)
{
	(void)state;
	shell_crash(shell);
	assert_int_equal(shell->restarts, 1); /* the same Postfix runs on */
	check_ready_again();
}

static void no_file_and_another_spool_means_in_doubt(void **state)
{
	(void)state;
	shell->generation++;
	shell_crash(shell);
	check_in_doubt();
}

/* A spool on disk, after a failure of the power: what qmgr did last with the file may not have got there. */
static void a_file_in_a_spool_that_another_boot_left_may_have_been_sent(void **state)
{
	(void)state;
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_INCOMING, "incoming/1");
	shell->generation = 0;
	shell->spool_alive = false;
	shell_crash(shell);
	check_in_doubt();
}

static void no_file_in_the_spool_of_a_postfix_that_died_means_never_fed(void **state)
{
	(void)state;
	shell_tell_engine_down(shell);
	shell_run(shell);
	assert_int_equal(shell->restarts, 2);
	check_ready_again();
}

/* It may be the damaged one, which may have been on the wire. */
static void no_file_beside_a_damaged_one_of_a_postfix_that_died_means_in_doubt(void **state)
{
	(void)state;
	shell->spool_nameless = true;
	shell_tell_engine_down(shell);
	shell_run(shell);
	assert_int_equal(shell->restarts, 2);
	check_in_doubt();
}

static void a_file_that_a_dead_postfix_was_writing_was_never_sent(void **state)
{
	(void)state;
	die_with(SPOOL_WRITING);
	check_ready_again();
}

static void a_file_in_the_incoming_queue_of_a_dead_postfix_was_never_sent(void **state)
{
	(void)state;
	die_with(SPOOL_INCOMING);
	check_ready_again();
}

static void a_file_in_the_active_queue_of_a_dead_postfix_may_have_been_sent(void **state)
{
	(void)state;
	die_with(SPOOL_ACTIVE);
	check_in_doubt();
}

static void a_file_that_a_dead_postfix_had_put_aside_may_have_been_sent(void **state)
{
	(void)state;
	die_with(SPOOL_ASIDE);
	check_in_doubt();
}

static void a_file_that_postfix_put_aside_is_in_doubt_and_goes_once_that_is_durable(void **state)
{
	(void)state;
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_ASIDE, "deferred/1");
	shell->hold_writes = true;
	shell_tell_spool(shell);
	assert_int_equal(shell->removed_count, 0);
	shell_tell_spool(shell); /* a second look meanwhile changes nothing */
	assert_int_equal(shell->removed_count, 0);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->removed_count, 1);
	assert_string_equal(shell->removed[0], "deferred/1");
	shell->spool_count = 0;
	shell->hold_writes = false;
	shell_run(shell);
	check_in_doubt();
}

static void postfix_is_started_only_when_what_was_found_is_durable(void **state)
{
	(void)state;
	shell->hold_engine = shell->hold_writes = true;
	shell_tell_engine_down(shell);
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_ACTIVE, "active/1");
	assert_true(shell->settle);
	shell_tell_spool(shell);
	assert_false(shell->restart);
	assert_int_equal(shell->write_count, 1);
	shell_answer_write(shell, OPT_E_FULL);
	assert_false(shell->restart);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_false(shell->restart);
	shell_answer_write(shell, 0);
	assert_true(shell->restart);
	assert_false(core_numbers(shell->core).engine_up);
	assert_int_equal(shell->fed_count, 1);
}

static void an_outcome_that_came_before_the_look_is_what_counts(void **state)
{
	(void)state;
	shell->hold_engine = true;
	shell_tell_engine_down(shell);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_ACTIVE, "active/1");
	shell->hold_engine = false;
	shell_run(shell);
	assert_int_equal(shell->fed_count, 1);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
}

static void a_file_whose_mail_does_not_wait_for_it_is_stopped_before_it_is_sent(void **state)
{
	struct attempt_key unknown = shell->fed[0], old;

	(void)state;
	memset(unknown.shard.bytes, 0xee, OPT_ID_SIZE);
	/* Its first attempt left, a second one is on its way: the first file must not go out too. */
	shell_tell_left(shell, &shell->fed[0], 1);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
	old = shell->fed[0];
	shell_put_in_spool(shell, &old, SPOOL_INCOMING, "incoming/old");
	shell_put_in_spool(shell, &old, SPOOL_ACTIVE, "active/old"); /* too late for this one */
	shell_put_in_spool(shell, &shell->fed[1], SPOOL_INCOMING, "incoming/new");
	shell_put_in_spool(shell, &unknown, SPOOL_ASIDE, "hold/unknown");
	shell_tell_spool(shell);
	shell_run(shell);
	assert_int_equal(shell->removed_count, 2);
	assert_string_equal(shell->removed[0], "incoming/old");
	assert_string_equal(shell->removed[1], "hold/unknown");
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
}

/* The facts that are being written may be about it, or not: nobody else looks for it later. */
static void a_file_put_aside_while_facts_are_written_goes_with_the_next_look(void **state)
{
	struct attempt_key old = shell->fed[0];

	(void)state;
	shell_tell_left(shell, &shell->fed[0], 1);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
	shell_put_in_spool(shell, &old, SPOOL_ASIDE, "deferred/old");
	shell->hold_writes = true;
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 2);
	shell_tell_spool(shell);
	assert_int_equal(shell->removed_count, 0);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell->removed_count, 0);
	shell_advance(shell, 3 * USEC_PER_SEC);
	assert_int_equal(shell->removed_count, 1);
	assert_string_equal(shell->removed[0], "deferred/old");
}

static void a_postfix_that_dies_while_it_is_settled_is_settled_again(void **state)
{
	(void)state;
	shell->hold_engine = true;
	shell_tell_engine_down(shell);
	shell_tell_spool(shell);
	shell_run(shell);
	assert_true(shell->restart);
	shell->restart = false;
	shell_tell_engine_down(shell);
	assert_true(shell->settle);
	assert_false(core_numbers(shell->core).engine_up);
	shell->hold_engine = false;
	shell_run(shell);
	assert_true(core_numbers(shell->core).engine_up);
	check_ready_again();
}

/* The batch is over before the mail in doubt could be sent again. */
static void a_mail_in_doubt_whose_time_is_over_is_unknown(void **state)
{
	struct batch_settings settings = shell_settings("late");

	(void)state;
	settings.expire = 600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 1);
	shell->generation += 7;
	shell->spool_alive = false;
	shell->now.us += 700 * USEC_PER_SEC;
	shell->utc.us += 700 * USEC_PER_SEC;
	shell_crash(shell);
	shell_advance(shell, 60 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "late", MAIL_UNKNOWN), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, core_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_file_in_a_spool_that_is_alive_is_waited_for),
	    TEST(a_file_that_is_being_written_is_looked_at_again),
	    TEST(a_file_that_was_being_written_and_may_be_a_damaged_one_by_now_is_in_doubt),
	    TEST(a_file_that_was_being_written_and_got_queued_is_waited_for),
	    TEST(no_file_in_the_spool_that_it_was_meant_for_means_never_fed),
	    TEST(no_file_and_another_spool_means_in_doubt),
	    TEST(a_file_in_a_spool_that_another_boot_left_may_have_been_sent),
	    TEST(no_file_in_the_spool_of_a_postfix_that_died_means_never_fed),
	    TEST(no_file_beside_a_damaged_one_of_a_postfix_that_died_means_in_doubt),
	    TEST(a_file_that_a_dead_postfix_was_writing_was_never_sent),
	    TEST(a_file_in_the_incoming_queue_of_a_dead_postfix_was_never_sent),
	    TEST(a_file_in_the_active_queue_of_a_dead_postfix_may_have_been_sent),
	    TEST(a_file_that_a_dead_postfix_had_put_aside_may_have_been_sent),
	    TEST(a_file_that_postfix_put_aside_is_in_doubt_and_goes_once_that_is_durable),
	    TEST(postfix_is_started_only_when_what_was_found_is_durable),
	    TEST(an_outcome_that_came_before_the_look_is_what_counts),
	    TEST(a_file_whose_mail_does_not_wait_for_it_is_stopped_before_it_is_sent),
	    TEST(a_file_put_aside_while_facts_are_written_goes_with_the_next_look),
	    TEST(a_postfix_that_dies_while_it_is_settled_is_settled_again),
	    CORE_TEST(a_mail_in_doubt_whose_time_is_over_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
