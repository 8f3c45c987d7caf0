/* SPDX-License-Identifier: MIT */
/*
 * A submission becomes exactly one batch, once it is durable, or leaves no trace.
 */
#include "core_fixture.h"

static void upload(uint32_t number, const char *name, uint32_t content)
{
	const struct batch_settings settings = shell_settings(name);

	shell_open(shell, number, &settings, "template");
	shell_add(shell, number, 3, content);
	shell_commit(shell, number);
}

static void nothing_is_accepted_before_every_part_is_durable(void **state)
{
	const struct batch_settings settings = shell_settings("news");

	(void)state;
	shell->hold_writes = true;
	shell_open(shell, 1, &settings, "template");
	assert_int_equal(shell_last_answer(shell), UPLOAD_OPENED);
	shell_add(shell, 1, 500, 1);
	shell_add(shell, 1, 2, 2);
	assert_int_equal(core_upload_pending(shell->core, &shell->writes[0].upload), 3);
	shell_commit(shell, 1);
	for (int staged = 0; staged < 3; staged++) {
		assert_false(shell_waits(shell, EFFECT_STORE_COMMIT));
		assert_int_equal(shell_view(shell, "news").state, BATCH_UPLOADING);
		assert_int_equal(shell_count(shell, "news", MAIL_STAGED), 502);
		shell_answer_write(shell, 0);
	}
	/* All parts are there, the record is on its way. */
	assert_int_equal(shell->write_count, 1);
	assert_int_equal(shell->writes[0].type, EFFECT_STORE_COMMIT);
	assert_int_equal(shell->upload_answer_count, 1);
	assert_int_equal(shell->accepted, 0);
	assert_int_equal(shell->load_count, 0);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->upload_answer_count, 2);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
	assert_int_equal(shell->upload_answers[1].reply, 2001);
	assert_int_equal(shell->accepted, 1);
	assert_int_equal(shell_view(shell, "news").state, BATCH_SENDING);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 502);
}

static void a_record_says_all_that_was_submitted(void **state)
{
	struct batch_settings settings = shell_settings("news");
	struct batch_record record;

	(void)state;
	settings.priority = 7;
	settings.uid = 1000;
	settings.start.us = shell->utc.us + 60 * USEC_PER_SEC;
	shell_submit(shell, &settings, 501);
	assert_int_equal(record_decode(shell->records[0].data, shell->records[0].len, &record), 0);
	assert_string_equal(record.settings.name, "news");
	assert_string_equal(record.settings.sender, "bounces@example.org");
	assert_int_equal(record.settings.priority, 7);
	assert_int_equal(record.settings.uid, 1000);
	assert_int_equal(record.created.us, shell->utc.us);
	assert_int_equal(record.expires.us, settings.start.us + settings.expire);
	assert_int_equal(record.node_count, 1);
	assert_memory_equal(record.nodes[0].bytes, shell->config.node.bytes, OPT_ID_SIZE);
	assert_int_equal(record.shard_count, 2);
	assert_int_equal(record.shards[0].count, 500);
	assert_int_equal(record.shards[1].count, 1);
	record_done(&record);
}

static void the_same_id_with_the_same_content_is_the_same_batch(void **state)
{
	(void)state;
	upload(1, "news", 1);
	shell_run(shell);
	upload(2, "news", 1);
	assert_int_equal(shell->upload_answers[2].answer, UPLOAD_COMPARES);
	assert_int_equal(shell_last_answer(shell), UPLOAD_SAME);
	assert_int_equal(shell->accepted, 1);
	assert_int_equal(shell->write_count, 0);
	assert_int_equal(shell->record_count, 1);
}

static void the_same_id_with_other_content_is_refused(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	upload(1, "news", 1);
	shell_run(shell);
	upload(2, "news", 2);
	assert_int_equal(shell_last_answer(shell), UPLOAD_CONFLICT);
	/* Another sender or another template is other content too. */
	strcpy(settings.sender, "others@example.org");
	shell_open(shell, 3, &settings, "template");
	shell_add(shell, 3, 3, 1);
	shell_commit(shell, 3);
	assert_int_equal(shell_last_answer(shell), UPLOAD_CONFLICT);
	settings = shell_settings("news");
	shell_open(shell, 4, &settings, "another template");
	shell_add(shell, 4, 3, 1);
	shell_commit(shell, 4);
	assert_int_equal(shell_last_answer(shell), UPLOAD_CONFLICT);
	/* Who submits it is not. */
	settings.uid = 77;
	shell_open(shell, 5, &settings, "template");
	shell_add(shell, 5, 3, 1);
	shell_commit(shell, 5);
	assert_int_equal(shell_last_answer(shell), UPLOAD_SAME);
	assert_int_equal(shell->record_count, 1);
	assert_int_equal(shell->dropped_count, 0);
}

static void of_two_uploads_side_by_side_the_first_to_commit_makes_the_batch(void **state)
{
	(void)state;
	shell->hold_writes = true;
	upload(1, "news", 1);
	upload(2, "news", 2);
	upload(3, "news", 1);
	shell_answer_writes(shell, 0);
	/* The record is written once at a time. */
	assert_int_equal(shell->write_count, 1);
	assert_int_equal(shell->writes[0].type, EFFECT_STORE_COMMIT);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell->record_count, 1);
	assert_int_equal(shell->accepted, 1);
	assert_int_equal(shell->upload_answer_count, 6);
	for (size_t i = 3; i < 6; i++) {
		uint64_t reply = shell->upload_answers[i].reply;

		assert_int_equal(shell->upload_answers[i].answer, reply == 2001   ? UPLOAD_ACCEPTED
		                                                  : reply == 2002 ? UPLOAD_CONFLICT
		                                                                  : UPLOAD_SAME);
	}
	/* What the losers had staged goes. */
	assert_int_equal(shell->dropped_count, 2);
	assert_int_equal(shell->upload_count, 0);
}

static void when_the_first_record_fails_the_next_upload_gets_its_turn(void **state)
{
	(void)state;
	shell->hold_writes = true;
	upload(1, "news", 1);
	upload(2, "news", 2);
	shell_answer_writes(shell, 0);
	shell_answer_write(shell, OPT_E_FULL);
	assert_int_equal(shell_last_answer(shell), UPLOAD_FAILED);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
	assert_int_equal(shell->record_count, 1);
	assert_int_equal(shell->dropped_count, 1);
}

static void an_aborted_upload_leaves_nothing(void **state)
{
	const struct batch_settings settings = shell_settings("news");
	const struct opt_id id = shell_upload_id(1);
	struct batch_view view;

	(void)state;
	shell_open(shell, 1, &settings, "template");
	shell_add(shell, 1, 3, 1);
	shell_run(shell);
	assert_int_equal(shell->upload_count, 1);
	shell_abort(shell, 1);
	shell_run(shell);
	assert_int_equal(shell->dropped_count, 1);
	assert_true(id_equal(&shell->dropped[0], &id));
	assert_int_equal(shell->upload_count, 0);
	assert_int_equal(core_batch(shell->core, "news", &view), OPT_E_NOT_FOUND);
	shell_commit(shell, 1);
	assert_int_equal(shell_last_answer(shell), UPLOAD_GONE);
	/* And the id is free. */
	shell_submit(shell, &settings, 3);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
}

static void an_abort_comes_too_late_once_commit_was_asked_for(void **state)
{
	(void)state;
	shell->hold_writes = true;
	upload(1, "news", 1);
	shell_abort(shell, 1);
	shell_answer_writes(shell, 0);
	shell_abort(shell, 1);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
	assert_int_equal(shell->dropped_count, 0);
}

static void an_upload_that_the_store_refuses_fails_as_a_whole(void **state)
{
	struct batch_view view;

	(void)state;
	shell->hold_writes = true;
	/* The template, a shard, the record: whichever it is. */
	for (uint32_t bad = 0; bad < 3; bad++) {
		upload(1 + bad, "news", 1);
		for (uint32_t i = 0; i < 2 && i < bad; i++)
			shell_answer_write(shell, 0);
		shell_answer_write(shell, OPT_E_STORE);
		while (shell->write_count > 0)
			shell_answer_write(shell, 0);
		assert_int_equal(shell_last_answer(shell), UPLOAD_FAILED);
		assert_int_equal(core_batch(shell->core, "news", &view), OPT_E_NOT_FOUND);
		assert_int_equal(shell->dropped_count, bad + 1);
		assert_int_equal(shell->accepted, 0);
	}
}

static void an_empty_batch_is_accepted_and_done(void **state)
{
	(void)state;
	shell_submit_name(shell, "nobody", 0);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
	assert_int_equal(shell_view(shell, "nobody").state, BATCH_DONE);
	assert_int_equal(shell_view(shell, "nobody").total, 0);
	assert_int_equal(shell->done, 1);
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "nobody").state, BATCH_DONE);
}

static void an_upload_id_is_used_once_and_committed_once(void **state)
{
	const struct batch_settings settings = shell_settings("news"), other = shell_settings("other");

	(void)state;
	shell->hold_writes = true;
	shell_open(shell, 1, &settings, "template");
	shell_open(shell, 1, &other, "template");
	assert_int_equal(shell_last_answer(shell), UPLOAD_BUSY);
	shell_commit(shell, 1);
	shell_commit(shell, 1);
	assert_int_equal(shell_last_answer(shell), UPLOAD_BUSY);
	shell_commit(shell, 99);
	assert_int_equal(shell_last_answer(shell), UPLOAD_GONE);
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
}

static void shards_that_come_after_the_commit_are_not_taken(void **state)
{
	(void)state;
	shell->hold_writes = true;
	upload(1, "news", 1);
	shell_add(shell, 1, 5, 2);
	shell_answer_writes(shell, 0);
	shell_add(shell, 1, 5, 3); /* its record is on its way now */
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_last_answer(shell), UPLOAD_ACCEPTED);
	assert_int_equal(shell_view(shell, "news").total, 3);
}

static void an_upload_that_a_crash_left_open_is_dropped_at_the_start(void **state)
{
	const struct batch_settings settings = shell_settings("news");
	struct batch_view view;

	(void)state;
	shell_open(shell, 1, &settings, "template");
	shell_add(shell, 1, 3, 1);
	shell_run(shell);
	shell_crash(shell);
	assert_int_equal(shell->dropped_count, 1);
	assert_int_equal(shell->upload_count, 0);
	assert_int_equal(core_batch(shell->core, "news", &view), OPT_E_NOT_FOUND);
	assert_int_equal(shell->fed_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(nothing_is_accepted_before_every_part_is_durable),
	    CORE_TEST(a_record_says_all_that_was_submitted),
	    CORE_TEST(the_same_id_with_the_same_content_is_the_same_batch),
	    CORE_TEST(the_same_id_with_other_content_is_refused),
	    CORE_TEST(of_two_uploads_side_by_side_the_first_to_commit_makes_the_batch),
	    CORE_TEST(when_the_first_record_fails_the_next_upload_gets_its_turn),
	    CORE_TEST(an_aborted_upload_leaves_nothing),
	    CORE_TEST(an_abort_comes_too_late_once_commit_was_asked_for),
	    CORE_TEST(an_upload_that_the_store_refuses_fails_as_a_whole),
	    CORE_TEST(an_empty_batch_is_accepted_and_done),
	    CORE_TEST(an_upload_id_is_used_once_and_committed_once),
	    CORE_TEST(shards_that_come_after_the_commit_are_not_taken),
	    CORE_TEST(an_upload_that_a_crash_left_open_is_dropped_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
