/* SPDX-License-Identifier: MIT */
/*
 * What Postfix reports is answered only when it is durable, counts once, and decides what happens next.
 */
#include "core_fixture.h"

static void an_outcome_is_answered_only_when_it_is_durable(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell->hold_writes = true;
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 11);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 12);
	assert_int_equal(shell->outcome_answer_count, 0);
	shell_answer_write(shell, 0);
	/* The second came while the first was on its way, and is in the next group. */
	assert_true(shell_answered(shell, 11));
	assert_false(shell_answered(shell, 12));
	shell_answer_write(shell, 0);
	assert_true(shell_answered(shell, 12));
}

static void an_outcome_that_the_store_refuses_is_written_until_it_is_durable(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell->hold_writes = true;
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 11);
	for (int refusals = 0; refusals < 5; refusals++) {
		shell_answer_write(shell, refusals % 2 == 0 ? OPT_E_STORE : OPT_E_FULL);
		assert_int_equal(shell->write_count, 0);
		assert_false(shell_answered(shell, 11));
		assert_int_equal(shell_view(shell, "news").state, BATCH_SENDING);
		shell_advance(shell, USEC_PER_SEC);
		assert_int_equal(shell->write_count, 1);
	}
	shell->hold_writes = false;
	shell_run(shell);
	assert_true(shell_answered(shell, 11));
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_repeated_fact_is_answered_and_counts_once(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	for (uint64_t i = 0; i < 5; i++) {
		shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 11 + i);
		shell_run(shell);
		assert_true(shell_answered(shell, 11 + i));
	}
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").duplicates, 0);
	assert_int_equal(core_numbers(shell->core).sent, 1);
}

/* The mail's first attempt ends in doubt and it is fed again. */
static void resend(struct attempt_key *first, struct attempt_key *second)
{
	*first = shell->fed[0];
	shell_tell_left(shell, first, 1);
	shell_run(shell);
	*second = shell->fed[shell->fed_count - 1];
	assert_int_equal(second->attempt, 2);
}

static void a_second_sent_is_a_duplicate_counted_once_for_each_further_attempt(void **state)
{
	struct attempt_key first, second;

	(void)state;
	shell_submit_name(shell, "news", 2);
	resend(&first, &second);
	for (uint64_t i = 0; i < 3; i++) {
		shell_tell_outcome(shell, &second, OUTCOME_SENT, 20 + i);
		shell_tell_outcome(shell, &first, OUTCOME_SENT, 30 + i);
	}
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").duplicates, 1);
	/* Neither does a restart count it anew. */
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "news").duplicates, 1);
	first.attempt = 3; /* one that nobody remembers */
	shell_tell_outcome(shell, &first, OUTCOME_SENT, 40);
	shell_tell_outcome(shell, &first, OUTCOME_SENT, 41);
	assert_int_equal(shell_view(shell, "news").duplicates, 2);
}

static void a_late_final_outcome_of_an_older_attempt_decides(void **state)
{
	struct attempt_key first, second;

	(void)state;
	shell_submit_name(shell, "news", 1);
	resend(&first, &second);
	shell_tell_outcome(shell, &first, OUTCOME_SENT, 11);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	/* The second one's fate changes nothing any more, except when it was sent too. */
	shell_tell_outcome(shell, &second, OUTCOME_DEFERRED, 12);
	shell_tell_outcome(shell, &second, OUTCOME_BOUNCED, 13);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").duplicates, 0);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 1);
}

static void a_late_deferral_of_an_older_attempt_changes_nothing(void **state)
{
	struct attempt_key first, second;

	(void)state;
	shell_submit_name(shell, "news", 1);
	resend(&first, &second);
	shell_tell_outcome(shell, &first, OUTCOME_DEFERRED, 11);
	shell_tell_outcome(shell, &first, OUTCOME_RETURNED, 12);
	shell_tell_left(shell, &first, 13);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	assert_true(shell_answered(shell, 11) && shell_answered(shell, 12) && shell_answered(shell, 13));
	shell_tell_outcome(shell, &second, OUTCOME_SENT, 14);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_late_outcome_of_a_finished_batch_is_counted(void **state)
{
	struct attempt_key first, second;

	(void)state;
	shell_submit_name(shell, "news", 3);
	resend(&first, &second);
	shell_tell_outcome(shell, &second, OUTCOME_BOUNCED, 11);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 12);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_SENT, 13);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(core_numbers(shell->core).sent, 2);
	shell_tell_outcome(shell, &first, OUTCOME_SENT, 14);
	assert_false(shell_answered(shell, 14));
	shell_run(shell);
	assert_true(shell_answered(shell, 14));
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 3);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 3);
	assert_int_equal(shell_view(shell, "news").duplicates, 0);
}

static void reading_a_finished_journal_again_does_not_count_its_mails_as_sent_now(void **state)
{
	struct attempt_key key;

	(void)state;
	shell_submit_name(shell, "news", 3);
	for (size_t i = 0; i < 3; i++)
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 11 + i);
	shell_run(shell);
	assert_int_equal(core_numbers(shell->core).sent, 3);
	key = shell->fed[0];
	shell_tell_outcome(shell, &key, OUTCOME_SENT, 20);
	shell_run(shell);
	assert_int_equal(core_numbers(shell->core).sent, 3);
}

static void an_outcome_of_no_known_mail_is_answered_at_once(void **state)
{
	struct attempt_key key = {.index = 7, .epoch = 1, .attempt = 1};

	(void)state;
	shell_submit_name(shell, "news", 2);
	shell->hold_writes = true;
	shell_tell_outcome(shell, &key, OUTCOME_SENT, 11);
	shell_tell_left(shell, &key, 12);
	key = shell->fed[0];
	key.index = 2;
	shell_tell_outcome(shell, &key, OUTCOME_SENT, 13);
	shell_tell_left(shell, &key, 14);
	for (uint64_t reply = 11; reply <= 14; reply++)
		assert_true(shell_answered(shell, reply));
	assert_int_equal(shell->write_count, 0);
}

/* Seconds from the deferral of the last fed mail to its next attempt. */
static uint64_t defer_and_wait(void)
{
	const size_t before = shell->fed_count;
	const uint64_t from = shell->utc.us;

	shell_tell_outcome(shell, &shell->fed[before - 1], OUTCOME_DEFERRED, 0);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
	while (shell->fed_count == before) {
		shell_advance(shell, USEC_PER_SEC);
		assert_true(shell->utc.us < from + 10000 * USEC_PER_SEC);
	}
	assert_int_equal(shell->fed_count, before + 1);
	return (shell->utc.us - from) / USEC_PER_SEC;
}

static void retries_follow_minimal_and_maximal_backoff_time(void **state)
{
	(void)state;
	/* postconf(5): the time since its first attempt, within the two bounds. */
	shell_submit_name(shell, "news", 1);
	assert_int_equal(defer_and_wait(), 300);
	assert_int_equal(defer_and_wait(), 300);
	assert_int_equal(defer_and_wait(), 600);
	assert_int_equal(defer_and_wait(), 1200);
	assert_int_equal(defer_and_wait(), 2400);
	assert_int_equal(defer_and_wait(), 4000);
	assert_int_equal(defer_and_wait(), 4000);
	assert_int_equal(shell->fed[shell->fed_count - 1].attempt, 8);
}

static void a_retry_survives_a_restart_at_the_same_time(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 11);
	shell_run(shell);
	shell_advance(shell, 200 * USEC_PER_SEC);
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
	shell_advance(shell, 99 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
	assert_int_equal(shell->fed[1].attempt, 2);
}

static void a_returned_mail_is_ready_again_and_its_domain_rests(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_RETURNED, 11);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 1);
	shell_advance(shell, 29 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
}

static void a_mail_that_is_not_delivered_in_time_expires(void **state)
{
	struct batch_settings settings = shell_settings("news");
	struct journal_reader *reader = journal_reader_new();
	struct journal_entry entry;

	(void)state;
	settings.expire = 400 * USEC_PER_SEC;
	shell_submit(shell, &settings, 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_DEFERRED, 11);
	shell_run(shell);
	shell_advance(shell, 301 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 3); /* its one retry */
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_DEFERRED, 12);
	shell_run(shell);
	shell_advance(shell, 98 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 1);
	assert_int_equal(shell->fed_count, 3);
	assert_int_equal(
	    journal_read(reader, &shell->fed[0].shard, shell->entries[shell->entry_count - 1].data,
	        shell->entries[shell->entry_count - 1].len, &entry),
	    0);
	assert_int_equal(entry.outcomes[0].kind, OUTCOME_EXPIRED);
	assert_string_equal(entry.outcomes[0].dsn, "4.4.7");
	/* The other one is in Postfix: its word counts. */
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 13);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	journal_reader_free(reader);
}

/* What had expired was looked for while Postfix had it; and by the clock of then its time is not over. */
static void a_mail_that_comes_back_while_the_clock_is_behind_expires_all_the_same(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.expire = 400 * USEC_PER_SEC;
	shell_submit(shell, &settings, 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_advance(shell, 401 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	shell->utc.us -= 100 * USEC_PER_SEC;
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_RETURNED, 2);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 1);
	shell->utc.us += 100 * USEC_PER_SEC;
	shell_advance(shell, 120 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 1);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(shell->fed_count, 2);
}

static void a_batch_of_many_shards_expires_whole(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.expire = 400 * USEC_PER_SEC;
	shell->hold_loads = true;
	shell_open(shell, 1, &settings, "template");
	for (uint32_t i = 0; i < 50; i++)
		shell_add(shell, 1, 2, i);
	shell_commit(shell, 1);
	shell_run(shell);
	shell_advance(shell, 401 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 100);
	shell->hold_loads = false;
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(shell->fed_count, 0);
}

static void a_mail_in_doubt_is_sent_again_and_counted(void **state)
{
	struct attempt_key first, second;
	struct batch_view view;

	(void)state;
	shell_submit_name(shell, "news", 1);
	resend(&first, &second);
	assert_true(shell_answered(shell, 1));
	view = shell_view(shell, "news");
	assert_int_equal(view.in_doubt_resent, 1);
	assert_int_equal(view.duplicates, 0);
	shell_tell_outcome(shell, &second, OUTCOME_SENT, 2);
	shell_run(shell);
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 1);
}

static void a_mail_in_doubt_ends_unknown_where_that_is_wanted(void **state)
{
	struct core_config config = shell_config();

	(void)state;
	config.resend_in_doubt = false;
	shell_free(shell);
	shell = shell_new(&config);
	shell_submit_name(shell, "news", 1);
	shell_tell_left(shell, &shell->fed[0], 11);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_UNKNOWN), 1);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
	assert_int_equal(shell->fed_count, 1);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	/* A word that comes after all says more than unknown. */
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 12);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").duplicates, 0);
}

static void leaving_the_spool_after_an_outcome_says_nothing_new(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 11);
	shell_tell_left(shell, &shell->fed[0], 12);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_DEFERRED, 13);
	shell_tell_left(shell, &shell->fed[1], 14);
	shell_run(shell);
	assert_true(shell_answered(shell, 12) && shell_answered(shell, 14));
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(an_outcome_is_answered_only_when_it_is_durable),
	    CORE_TEST(an_outcome_that_the_store_refuses_is_written_until_it_is_durable),
	    CORE_TEST(a_repeated_fact_is_answered_and_counts_once),
	    CORE_TEST(a_second_sent_is_a_duplicate_counted_once_for_each_further_attempt),
	    CORE_TEST(a_late_final_outcome_of_an_older_attempt_decides),
	    CORE_TEST(a_late_deferral_of_an_older_attempt_changes_nothing),
	    CORE_TEST(a_late_outcome_of_a_finished_batch_is_counted),
	    CORE_TEST(reading_a_finished_journal_again_does_not_count_its_mails_as_sent_now),
	    CORE_TEST(an_outcome_of_no_known_mail_is_answered_at_once),
	    CORE_TEST(retries_follow_minimal_and_maximal_backoff_time),
	    CORE_TEST(a_retry_survives_a_restart_at_the_same_time),
	    CORE_TEST(a_returned_mail_is_ready_again_and_its_domain_rests),
	    CORE_TEST(a_mail_that_is_not_delivered_in_time_expires),
	    CORE_TEST(a_mail_that_comes_back_while_the_clock_is_behind_expires_all_the_same),
	    CORE_TEST(a_batch_of_many_shards_expires_whole),
	    CORE_TEST(a_mail_in_doubt_is_sent_again_and_counted),
	    CORE_TEST(a_mail_in_doubt_ends_unknown_where_that_is_wanted),
	    CORE_TEST(leaving_the_spool_after_an_outcome_says_nothing_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
