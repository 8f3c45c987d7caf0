/* SPDX-License-Identifier: MIT */
/*
 * After a crash a node knows again all that was durable, feeds nothing before it does, and goes on where it
 * was.
 */
#include "core_fixture.h"

/* A batch with mails in every state that a node of its own can bring about. */
static void run_script(void)
{
	struct attempt_key second;

	shell_submit_name(shell, "news", 10);
	assert_int_equal(shell->fed_count, 10);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_BOUNCED, 2);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_DEFERRED, 3);
	shell_run(shell);
	/* In doubt and resent, twice sent. */
	shell_tell_left(shell, &shell->fed[3], 4);
	shell_run(shell);
	second = shell->fed[10];
	assert_int_equal(second.index, 3);
	shell_tell_outcome(shell, &second, OUTCOME_SENT, 5);
	shell_tell_outcome(shell, &shell->fed[3], OUTCOME_SENT, 6);
	/* In doubt and on its way again. */
	shell_tell_left(shell, &shell->fed[4], 7);
	shell_run(shell);
	/* Returned: ready, as its domain rests. */
	shell_tell_outcome(shell, &shell->fed[5], OUTCOME_RETURNED, 8);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 2);
	assert_int_equal(shell_count(shell, "news", MAIL_BOUNCED), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 5);
	assert_int_equal(shell_view(shell, "news").duplicates, 1);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 2);
}

static void check_same(const struct batch_view *before)
{
	struct batch_view after = shell_view(shell, "news");

	assert_memory_equal(after.states, before->states, sizeof(after.states));
	assert_int_equal(after.state, before->state);
	assert_int_equal(after.total, before->total);
	assert_int_equal(after.shards, before->shards);
	assert_int_equal(after.duplicates, before->duplicates);
	assert_int_equal(after.in_doubt_resent, before->in_doubt_resent);
	assert_int_equal(after.created.us, before->created.us);
	assert_int_equal(after.finished.us, before->finished.us);
	assert_memory_equal(after.upload.bytes, before->upload.bytes, OPT_ID_SIZE);
}

static void the_state_after_a_crash_is_the_state_before(void **state)
{
	struct batch_view before;

	(void)state;
	run_script();
	before = shell_view(shell, "news");
	shell->hold_engine = true; /* nothing happens after the start */
	shell_crash(shell);
	assert_true(core_numbers(shell->core).recovered);
	check_same(&before);
	assert_int_equal(core_numbers(shell->core).in_flight, 5);
	assert_int_equal(core_numbers(shell->core).owned, 1);
}

static void entries_that_were_written_twice_change_nothing(void **state)
{
	struct batch_view before;
	size_t count;

	(void)state;
	run_script();
	before = shell_view(shell, "news");
	count = shell->entry_count;
	for (size_t i = 0; i < count; i++) {
		struct shell_blob *copy = &shell->entries[shell->entry_count++];

		*copy = shell->entries[i];
		copy->data = malloc(copy->len);
		memcpy(copy->data, shell->entries[i].data, copy->len);
	}
	shell->hold_engine = true;
	shell_crash(shell);
	check_same(&before);
}

static void states_and_counts_do_not_depend_on_the_order_of_entries(void **state)
{
	struct batch_view before, after;

	(void)state;
	run_script();
	before = shell_view(shell, "news");
	for (size_t low = 0, high = shell->entry_count - 1; low < high; low++, high--) {
		struct shell_blob entry = shell->entries[low];

		shell->entries[low] = shell->entries[high];
		shell->entries[high] = entry;
	}
	shell->hold_engine = true;
	shell_crash(shell);
	after = shell_view(shell, "news");
	assert_memory_equal(after.states, before.states, sizeof(after.states));
	assert_int_equal(after.duplicates, before.duplicates);
	assert_int_equal(after.in_doubt_resent, before.in_doubt_resent);
}

static void what_was_not_durable_did_not_happen(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell->hold_writes = true;
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell->hold_engine = true;
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 0);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 2);
	/* Postfix still waits for its answer, and says it again. */
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 2);
	shell->hold_writes = false;
	shell_run(shell);
	assert_true(shell_answered(shell, 2));
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
}

static void nothing_is_fed_before_every_journal_is_read(void **state)
{
	(void)state;
	run_script();
	shell_submit_name(shell, "more", 3);
	shell->hold_loads = true;
	shell_crash(shell);
	while (shell->journal_load_count > 0) {
		assert_false(core_numbers(shell->core).recovered);
		assert_int_equal(shell->settle, false);
		assert_int_equal(shell->load_count, 0);
		shell_answer_journal(shell);
	}
	assert_true(core_numbers(shell->core).recovered);
	assert_true(shell->settle);
}

static void a_finished_batch_is_known_by_its_summary_alone(void **state)
{
	struct batch_view before;
	size_t done;

	(void)state;
	run_script();
	while (shell_view(shell, "news").state != BATCH_DONE) {
		for (size_t i = 0; i < shell->fed_count; i++) {
			shell_tell_outcome(shell, &shell->fed[i], OUTCOME_BOUNCED, 100 + i);
			shell_run(shell);
		}
		shell_advance(shell, 30 * USEC_PER_SEC);
	}
	done = shell->done;
	before = shell_view(shell, "news");
	assert_true(before.finished.us > 0);
	shell->hold_loads = true;
	shell_crash(shell);
	assert_int_equal(shell->journal_load_count, 2); /* and the node's own */
	assert_true(id_equal(&shell->journal_loads[0], &before.key));
	shell_answer_journal(shell);
	shell_answer_journal(shell);
	assert_int_equal(shell->journal_load_count, 0);
	check_same(&before);
	shell->hold_loads = false;
	shell_run(shell);
	assert_int_equal(core_numbers(shell->core).owned, 0);
	assert_int_equal(shell->load_count, 0);
	assert_int_equal(shell->done, done);
}

static void a_batch_whose_end_was_not_durable_ends_again(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell->hold_writes = true;
	shell_answer_write(shell, 0); /* the outcome */
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	shell_crash(shell);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(shell->done, 2);
	shell_crash(shell);
	assert_int_equal(shell->done, 2);
}

static void a_late_word_that_comes_during_the_start_opens_a_finished_batch_again(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_BOUNCED, 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 2);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	shell->hold_loads = true;
	shell_crash(shell);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 3);
	assert_false(shell_answered(shell, 3));
	shell->hold_loads = false;
	shell_run(shell);
	assert_true(shell_answered(shell, 3));
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 2);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 2);
}

static void a_mail_that_left_postfix_during_the_start_is_in_doubt(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 1);
	shell_run(shell);
	shell->hold_loads = true;
	shell_crash(shell);
	/* Not even the batch's own journal is read. */
	shell_tell_left(shell, &shell->fed[0], 2);
	shell_tell_left(shell, &shell->fed[1], 3);
	assert_false(shell_answered(shell, 2));
	shell->hold_loads = false;
	shell_run(shell);
	assert_true(shell_answered(shell, 2) && shell_answered(shell, 3));
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 1);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
}

static void a_scheduled_batch_waits_for_its_time_over_a_restart(void **state)
{
	struct batch_settings settings = shell_settings("later");

	(void)state;
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 3);
	assert_int_equal(shell_view(shell, "later").state, BATCH_SCHEDULED);
	shell_advance(shell, 1800 * USEC_PER_SEC);
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "later").state, BATCH_SCHEDULED);
	assert_int_equal(shell->load_count, 0);
	shell_advance(shell, 1799 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 0);
	shell_advance(shell, USEC_PER_SEC);
	assert_int_equal(shell_view(shell, "later").state, BATCH_SENDING);
	assert_int_equal(shell->fed_count, 3);
}

static void a_batch_whose_start_came_while_the_node_was_down_starts_at_once(void **state)
{
	struct batch_settings settings = shell_settings("later");

	(void)state;
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	shell_submit(shell, &settings, 3);
	shell->utc.us += 7200 * USEC_PER_SEC;
	shell_crash(shell);
	assert_int_equal(shell->fed_count, 3);
}

static void a_batch_whose_time_ran_out_while_the_node_was_down_expires(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.expire = 3600 * USEC_PER_SEC;
	shell->hold_loads = true;
	shell_submit(shell, &settings, 3);
	shell->utc.us += 7200 * USEC_PER_SEC;
	shell->hold_loads = false;
	shell_crash(shell);
	shell_advance(shell, USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 3);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void damaged_entries_are_passed_over(void **state)
{
	struct opt_id key, shard;
	struct batch_view before;

	(void)state;
	run_script();
	before = shell_view(shell, "news");
	key = batch_key("news");
	shard = shard_id(&key, 0);
	for (int i = 0; i < 3; i++) {
		struct shell_blob *bad = &shell->entries[shell->entry_count++];

		*bad =
		    (struct shell_blob){.id = i == 0 ? key : shard, .data = malloc(4), .len = i == 2 ? 0 : 4};
		memcpy(bad->data, "\x95\x03\xff\xff", 4);
	}
	shell->hold_engine = true;
	shell_crash(shell);
	check_same(&before);
}

static void facts_about_mails_that_are_not_there_are_passed_over(void **state)
{
	const struct claim claims[] = {{.index = 2, .attempt = 1}, {.index = UINT32_MAX, .attempt = 1}};
	struct journal_entry entry = {.type = JOURNAL_CLAIMS, .epoch = 1, .claims = claims, .count = 2};
	struct outcome outcomes[] = {{.key = {.index = 2, .epoch = 1, .attempt = 1},
	    .kind = OUTCOME_SENT,
	    .dsn = "",
	    .relay = "",
	    .reason = ""}};
	struct opt_id key = batch_key("news"), shard = shard_id(&key, 0);

	(void)state;
	shell_submit_name(shell, "news", 2);
	for (int i = 0; i < 2; i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		journal_encode(&entry, &bytes);
		shell->entries[shell->entry_count++] =
		    (struct shell_blob){.id = shard, .data = bytes.data, .len = bytes.len};
		entry = (struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = outcomes, .count = 1};
	}
	shell->hold_engine = true;
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 2);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 0);
}

static void a_record_that_is_told_twice_is_one_batch(void **state)
{
	struct event event = {.type = EVENT_RECOVER_BATCH};

	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_free(shell);
	shell = shell_new_stopped(NULL);
	shell_step(shell, &event); /* no bytes at all */
	shell_start(shell);
	shell_submit_name(shell, "news", 2);
	event.recover_batch.data = shell->records[0].data;
	event.recover_batch.len = shell->records[0].len;
	shell_step(shell, &event); /* too late: the start is over */
	assert_int_equal(shell_view(shell, "news").total, 2);
	shell->records[1] = shell->records[0];
	shell->record_count = 2;
	shell_crash(shell);
	shell->record_count = 1;
	assert_int_equal(core_numbers(shell->core).owned, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(the_state_after_a_crash_is_the_state_before),
	    CORE_TEST(entries_that_were_written_twice_change_nothing),
	    CORE_TEST(states_and_counts_do_not_depend_on_the_order_of_entries),
	    CORE_TEST(what_was_not_durable_did_not_happen),
	    CORE_TEST(nothing_is_fed_before_every_journal_is_read),
	    CORE_TEST(a_finished_batch_is_known_by_its_summary_alone),
	    CORE_TEST(a_batch_whose_end_was_not_durable_ends_again),
	    CORE_TEST(a_late_word_that_comes_during_the_start_opens_a_finished_batch_again),
	    CORE_TEST(a_mail_that_left_postfix_during_the_start_is_in_doubt),
	    CORE_TEST(a_scheduled_batch_waits_for_its_time_over_a_restart),
	    CORE_TEST(a_batch_whose_start_came_while_the_node_was_down_starts_at_once),
	    CORE_TEST(a_batch_whose_time_ran_out_while_the_node_was_down_expires),
	    CORE_TEST(damaged_entries_are_passed_over),
	    CORE_TEST(facts_about_mails_that_are_not_there_are_passed_over),
	    CORE_TEST(a_record_that_is_told_twice_is_one_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
