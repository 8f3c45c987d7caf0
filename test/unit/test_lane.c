/* SPDX-License-Identifier: MIT */
/*
 * One slow or dead destination holds nobody else up: domains take turns, each within its share of the window,
 * and the batch with the higher priority goes first.
 */
#include "core_fixture.h"

static void start(uint32_t window, uint32_t share, const char *(*domain)(uint32_t))
{
	struct core_config config = shell_config();

	config.window = window;
	config.domain_share = share;
	shell = shell_new(&config);
	shell->domain = domain;
}

static const char *three_blocks(uint32_t index)
{
	return index < 4 ? "a.example" : index < 8 ? "b.example" : "c.example";
}

static const char *slow_first(uint32_t index)
{
	return index < 10 ? "slow.example" : "quick.example";
}

static bool fed_is_of(size_t i, const char *batch)
{
	const struct opt_id key = batch_key(batch), shard = shard_id(&key, 0);

	return id_equal(&shell->fed[i].shard, &shard);
}

/* All mails of the domain that are in flight are delivered, also those that follow at once. */
static void deliver_from(size_t first, bool (*which)(uint32_t))
{
	for (size_t i = first; i < shell->fed_count; i++) {
		if (which == NULL || which(shell->fed[i].index)) {
			shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 1000 + i);
			shell_run(shell);
		}
	}
}

static bool is_quick(uint32_t index)
{
	return index >= 10;
}

static void domains_take_turns(void **state)
{
	static const uint32_t order[] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};

	(void)state;
	start(12, 100, three_blocks);
	shell_submit_name(shell, "news", 12);
	assert_int_equal(shell->fed_count, 12);
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(shell->fed[i].index, order[i]);
}

static void a_domain_has_at_most_its_share_of_the_window(void **state)
{
	(void)state;
	start(20, 20, slow_first);
	shell_submit_name(shell, "news", 30);
	assert_int_equal(shell->fed_count, 8); /* four of each */
	/* The slow one answers nothing; all others get through, four at a time. */
	deliver_from(0, is_quick);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 20);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 4);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 6);
	for (size_t i = 0; i < shell->fed_count; i++) {
		if (!is_quick(shell->fed[i].index)) {
			size_t before = shell->fed_count;

			/* Each that leaves makes room for one. */
			shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 5000 + i);
			shell_run(shell);
			assert_true(shell->fed_count <= before + 1);
		}
	}
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void the_share_of_a_domain_is_over_all_batches(void **state)
{
	(void)state;
	start(20, 20, NULL);
	shell_submit_name(shell, "one", 10);
	shell_submit_name(shell, "two", 10);
	assert_int_equal(shell->fed_count, 4);
	deliver_from(0, NULL);
	assert_int_equal(shell->fed_count, 20);
	assert_int_equal(shell_view(shell, "two").state, BATCH_DONE);
}

static void a_share_is_never_less_than_one_mail(void **state)
{
	(void)state;
	start(3, 1, slow_first);
	shell_submit_name(shell, "news", 30);
	assert_int_equal(shell->fed_count, 2);
	deliver_from(0, NULL);
	assert_int_equal(shell->fed_count, 30);
}

static void a_suspended_domain_rests_while_others_go_on(void **state)
{
	size_t fed;

	(void)state;
	start(20, 20, slow_first);
	shell_submit_name(shell, "news", 30);
	for (size_t i = 0; i < 8; i++) {
		if (!is_quick(shell->fed[i].index))
			shell_tell_outcome(shell, &shell->fed[i], OUTCOME_RETURNED, 100 + i);
	}
	shell_run(shell);
	deliver_from(0, is_quick);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 20);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 10);
	fed = shell->fed_count;
	shell_advance(shell, shell->config.domain_hold - 1);
	assert_int_equal(shell->fed_count, fed);
	shell_advance(shell, 1);
	assert_int_equal(shell->fed_count, fed + 1); /* the others when this one got through */
	deliver_from(fed, NULL);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_rest_holds_for_batches_that_come_later_too(void **state)
{
	(void)state;
	start(10, 100, NULL);
	shell_submit_name(shell, "one", 1);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_RETURNED, 1);
	shell_run(shell);
	/* Nobody refers to the domain any more. */
	shell_control(shell, "one", CONTROL_CANCELLED);
	assert_int_equal(shell_view(shell, "one").state, BATCH_CANCELLED);
	shell_submit_name(shell, "two", 3);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, shell->config.domain_hold - 1);
	assert_int_equal(shell->fed_count, 1);
	shell_advance(shell, 1);
	assert_int_equal(shell->fed_count, 2);
}

static void a_mail_that_was_settled_while_it_waited_is_not_fed(void **state)
{
	(void)state;
	start(10, 100, NULL);
	shell_submit_name(shell, "news", 3);
	for (size_t i = 0; i < 3; i++)
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_RETURNED, 1 + i);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 3);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 4);
	shell_run(shell);
	shell_advance(shell, shell->config.domain_hold);
	assert_int_equal(shell->fed_count, 5);
	assert_int_equal(shell->fed[3].index, 0);
	assert_int_equal(shell->fed[4].index, 2);
}

static void a_shard_that_was_read_anew_leaves_nothing_behind_in_its_lanes(void **state)
{
	(void)state;
	start(10, 100, NULL);
	shell_submit_name(shell, "other", 1); /* keeps the domain known */
	shell_submit_name(shell, "news", 2);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_BOUNCED, 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_RETURNED, 2);
	shell_run(shell);
	/* Finished while a slot of it is in a resting lane; then late words make its journal be read. */
	shell_control(shell, "news", CONTROL_CANCELLED);
	assert_int_equal(shell_count(shell, "news", MAIL_CANCELLED), 1);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_SENT, 3);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 4);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 2);
	shell_advance(shell, 2 * shell->config.domain_hold);
	assert_int_equal(shell->fed_count, 3);
	assert_int_equal(shell_view(shell, "news").state, BATCH_CANCELLED);
}

static void the_higher_priority_goes_first_then_the_older_batch(void **state)
{
	static const struct {
		const char *name;
		int32_t priority;
	} batches[] = {{"low", -5}, {"older", 0}, {"newer", 0}, {"high", 5}};
	static const char *const order[] = {"high", "older", "newer", "low"};

	(void)state;
	start(2, 100, NULL);
	shell_submit_name(shell, "first", 2); /* fills the window */
	for (size_t i = 0; i < 4; i++) {
		struct batch_settings settings = shell_settings(batches[i].name);

		settings.priority = batches[i].priority;
		shell_submit(shell, &settings, 3);
		shell->utc.us += USEC_PER_SEC;
	}
	assert_int_equal(shell->fed_count, 2);
	/* Lets all shards be opened before there is room for two. */
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 2);
	shell_run(shell);
	deliver_from(2, NULL);
	assert_int_equal(shell->fed_count, 14);
	/* What was asked for before a higher one came may be on its way; from the third on it is in order. */
	for (size_t i = 4; i + 1 < 14; i++) {
		size_t place = 0, next = 0;

		while (!fed_is_of(i, order[place]))
			place++;
		while (!fed_is_of(i + 1, order[next]))
			next++;
		assert_true(place <= next);
	}
}

static void a_batch_of_higher_priority_overtakes_one_that_is_being_sent(void **state)
{
	struct batch_settings settings = shell_settings("urgent");

	(void)state;
	start(2, 100, NULL);
	shell_submit_name(shell, "bulk", 100);
	settings.priority = 10;
	shell_submit(shell, &settings, 4);
	deliver_from(0, NULL);
	assert_int_equal(shell->fed_count, 104);
	for (size_t i = 0, urgent = 0; i < 16; i++) {
		urgent += fed_is_of(i, "urgent");
		if (i == 15)
			assert_int_equal(urgent, 4);
	}
}

static const char *mixed(uint32_t index)
{
	static const char *const names[] = {"a.example", "b.example", "c.example", "d.example"};

	return names[index * index % 7 % 4];
}

static void no_mail_is_lost_or_fed_twice_however_its_domains_are_mixed(void **state)
{
	uint32_t seen[500] = {0};

	(void)state;
	start(50, 10, mixed);
	shell_submit_name(shell, "news", 500);
	deliver_from(0, NULL);
	assert_int_equal(shell->fed_count, 500);
	for (size_t i = 0; i < 500; i++)
		seen[shell->fed[i].index]++;
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(seen[i], 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, core_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(domains_take_turns),
	    TEST(a_domain_has_at_most_its_share_of_the_window),
	    TEST(the_share_of_a_domain_is_over_all_batches),
	    TEST(a_share_is_never_less_than_one_mail),
	    TEST(a_suspended_domain_rests_while_others_go_on),
	    TEST(a_rest_holds_for_batches_that_come_later_too),
	    TEST(a_mail_that_was_settled_while_it_waited_is_not_fed),
	    TEST(a_shard_that_was_read_anew_leaves_nothing_behind_in_its_lanes),
	    TEST(the_higher_priority_goes_first_then_the_older_batch),
	    TEST(a_batch_of_higher_priority_overtakes_one_that_is_being_sent),
	    TEST(no_mail_is_lost_or_fed_twice_however_its_domains_are_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
