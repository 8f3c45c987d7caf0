/* SPDX-License-Identifier: MIT */
/*
 * No mail reaches Postfix before its claim is durable, never more than the window at once, and what pickup
 * says is understood.
 */
#include "core_fixture.h"

/* The batch is accepted and open; its first claims wait for the store. */
static void submit_until_claims(uint32_t mails)
{
	shell->hold_loads = true;
	shell_submit_name(shell, "news", mails);
	shell->hold_writes = true;
	shell->hold_loads = false;
	shell_run(shell);
}

static struct journal_entry read_write(struct journal_reader *reader, const struct shell_write *write)
{
	struct journal_entry entry;

	assert_int_equal(journal_read(reader, &write->id, write->data, write->len, &entry), 0);
	return entry;
}

static void no_mail_is_fed_before_its_claim_is_durable(void **state)
{
	struct journal_reader *reader = journal_reader_new();
	struct journal_entry entry;

	(void)state;
	submit_until_claims(3);
	assert_int_equal(shell->write_count, 1);
	assert_int_equal(shell->fed_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 3);
	entry = read_write(reader, &shell->writes[0]);
	assert_int_equal(entry.type, JOURNAL_CLAIMS);
	assert_int_equal(entry.count, 3);
	assert_int_equal(entry.generation, shell->generation);
	assert_memory_equal(entry.node.bytes, shell->config.node.bytes, OPT_ID_SIZE);
	shell_tick(shell);
	assert_int_equal(shell->fed_count, 0);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(shell->fed[i].index, i);
		assert_int_equal(shell->fed[i].attempt, 1);
		assert_int_equal(shell->fed[i].attempt, entry.claims[i].attempt);
		assert_int_equal(shell->fed[i].epoch, entry.epoch);
	}
	journal_reader_free(reader);
}

static void nothing_is_fed_while_postfix_is_down(void **state)
{
	(void)state;
	shell->hold_engine = true;
	shell_tell_engine_down(shell);
	shell_submit_name(shell, "news", 3);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 3);
	assert_int_equal(shell->fed_count, 0);
	shell->hold_engine = false;
	shell_run(shell);
	assert_int_equal(shell->fed_count, 3);
}

static void a_claim_whose_postfix_died_meanwhile_is_not_fed(void **state)
{
	(void)state;
	submit_until_claims(3);
	shell->hold_engine = true;
	shell_tell_engine_down(shell);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 3);
	shell->hold_engine = shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell->fed_count, 3);
	assert_int_equal(shell->fed[0].attempt, 2);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
}

static void the_window_is_never_exceeded(void **state)
{
	size_t settled = 0;

	(void)state;
	shell_submit_name(shell, "news", 1200);
	while (settled < 1200) {
		struct attempt_key key;

		assert_int_equal(shell->fed_count - settled, settled + 100 < 1200 ? 100 : 1200 - settled);
		assert_int_equal(core_numbers(shell->core).in_flight, shell->fed_count - settled);
		/* One or many leave: their room is used again. */
		for (size_t n = settled % 7 + 1; n > 0 && settled < 1200; n--) {
			key = shell->fed[settled++];
			shell_tell_outcome(shell, &key, OUTCOME_SENT, settled);
			assert_true(core_numbers(shell->core).in_flight <= 100);
		}
		shell_run(shell);
	}
	assert_int_equal(shell->fed_count, 1200);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1200);
	assert_int_equal(core_numbers(shell->core).sent, 1200);
}

static void a_claim_group_is_not_larger_than_configured(void **state)
{
	struct core_config config = shell_config();
	struct journal_reader *reader = journal_reader_new();

	(void)state;
	config.claim_group = 8;
	shell_free(shell);
	shell = shell_new(&config);
	submit_until_claims(20);
	for (size_t left = 20; left > 0; left -= left < 8 ? left : 8) {
		assert_int_equal(shell->write_count, 1);
		assert_int_equal(read_write(reader, &shell->writes[0]).count, left < 8 ? left : 8);
		shell_answer_write(shell, 0);
	}
	assert_int_equal(shell->fed_count, 20);
	journal_reader_free(reader);
}

static void a_claim_older_than_5_seconds_is_made_again(void **state)
{
	(void)state;
	submit_until_claims(2);
	shell->now.us += 5 * USEC_PER_SEC;
	shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 2); /* just in time */

	shell_submit_name(shell, "more", 2);
	while (!shell_waits(shell, EFFECT_STORE_APPEND)) {
		if (shell->write_count > 0)
			shell_answer_write(shell, 0);
		shell_run(shell);
	}
	shell->now.us += 5 * USEC_PER_SEC + 1;
	shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 2);
	assert_int_equal(shell->write_count, 2); /* that the first was never fed, and the new claim */
	shell_answer_write(shell, 0);
	shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 4);
	assert_int_equal(shell->fed[2].attempt, 2);
}

static void a_claim_that_the_store_refused_is_made_again_after_a_rest(void **state)
{
	(void)state;
	submit_until_claims(2);
	shell_answer_write(shell, OPT_E_FULL);
	assert_int_equal(shell->fed_count, 0);
	assert_int_equal(shell->write_count, 0);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 2);
	assert_int_equal(core_numbers(shell->core).in_flight, 0);
	shell->hold_writes = false;
	shell_advance(shell, USEC_PER_SEC - 1);
	assert_int_equal(shell->fed_count, 0);
	shell_advance(shell, 1);
	assert_int_equal(shell->fed_count, 2);
}

static void a_mail_that_pickup_could_not_take_now_is_fed_again_after_a_rest(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_tell_fed(shell, &shell->fed[0], FED_NOT_NOW);
	shell_tell_fed(shell, &shell->fed[1], FED_QUEUED);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	shell_advance(shell, USEC_PER_SEC - 1);
	assert_int_equal(shell->fed_count, 2);
	shell_advance(shell, 1);
	assert_int_equal(shell->fed_count, 3);
	assert_int_equal(shell->fed[2].index, 0);
	assert_int_equal(shell->fed[2].attempt, 2);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
}

/* Of `batch`, since the first `from` feeds. */
static size_t fed_of(const char *batch, size_t from)
{
	const struct opt_id key = batch_key(batch), shard = shard_id(&key, 0);
	size_t count = 0;

	for (size_t i = from; i < shell->fed_count; i++)
		count += id_equal(&shell->fed[i].shard, &shard);
	return count;
}

static void tell_each(const char *broken, size_t from)
{
	const struct opt_id key = batch_key(broken), shard = shard_id(&key, 0);
	const size_t count = shell->fed_count;

	for (size_t i = from; i < count; i++) {
		if (id_equal(&shell->fed[i].shard, &shard)) {
			shell_tell_fed(shell, &shell->fed[i], FED_NOT_NOW);
			continue;
		}
		shell_tell_fed(shell, &shell->fed[i], FED_QUEUED);
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, i + 1);
	}
}

static void a_batch_that_pickup_can_not_take_holds_up_no_other(void **state)
{
	size_t from = 0;

	(void)state;
	shell_submit_name(shell, "broken", 300);
	shell_advance(shell, 1); /* the older batch is fed first */
	shell_submit_name(shell, "news", 300);
	for (int tenths = 0; tenths < 50; tenths++) {
		const size_t before = from;

		from = shell->fed_count;
		tell_each("broken", before);
		shell_run(shell);
		shell_advance(shell, USEC_PER_SEC / 10);
	}
	assert_int_equal(fed_of("news", 0), 300);
	assert_true(fed_of("broken", 0) > 0);
}

static void a_mail_that_pickup_refuses_bounces(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_fed(shell, &shell->fed[0], FED_REFUSED);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_BOUNCED), 1);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	shell_crash(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_BOUNCED), 1);
}

static void an_uncertain_mail_is_fed_again_only_when_two_looks_did_not_find_it(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell->hold_engine = true;
	shell_tell_fed(shell, &shell->fed[0], FED_UNCERTAIN);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	for (int look = 1; look <= 2; look++) {
		shell_advance(shell, 2 * USEC_PER_SEC);
		assert_true(shell->settle);
		assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
		shell_tell_spool(shell);
		shell_run(shell);
		assert_int_equal(shell->fed_count, look);
	}
	assert_int_equal(shell->fed[1].attempt, 2);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
}

static void an_uncertain_mail_that_is_in_the_spool_waits_for_its_outcome(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 1);
	shell_tell_fed(shell, &shell->fed[0], FED_UNCERTAIN);
	shell_put_in_spool(shell, &shell->fed[0], SPOOL_INCOMING, "incoming/1");
	shell_advance(shell, 60 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 1);
	assert_int_equal(shell->removed_count, 0);
	assert_int_equal(shell->settles, 2); /* the start's, and one look */
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
}

static void a_late_word_of_pickup_about_a_settled_attempt_changes_nothing(void **state)
{
	static const enum fed_status all[] = {FED_QUEUED, FED_NOT_NOW, FED_REFUSED, FED_UNCERTAIN};
	struct attempt_key other;

	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	for (size_t i = 0; i < 4; i++) {
		shell_tell_fed(shell, &shell->fed[0], all[i]);
		other = shell->fed[1];
		other.attempt = 2;
		shell_tell_fed(shell, &other, all[i]);
		other = shell->fed[1];
		other.index = 500;
		shell_tell_fed(shell, &other, all[i]);
		other = shell->fed[1];
		memset(other.shard.bytes, 0xee, OPT_ID_SIZE);
		shell_tell_fed(shell, &other, all[i]);
		shell_run(shell);
		assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
		assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	}
}

static void a_shard_that_cannot_be_read_is_asked_for_again_and_holds_up_nobody_else(void **state)
{
	(void)state;
	shell->hold_loads = true;
	shell_submit_name(shell, "news", 3);
	assert_int_equal(shell->load_count, 1);
	shell_answer_load(shell, OPT_E_STORE);
	assert_int_equal(shell->load_count, 0);
	shell->hold_loads = false;
	shell_submit_name(shell, "other", 2);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
	shell_advance(shell, 9 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 2);
	shell_advance(shell, 2 * USEC_PER_SEC);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 5);
}

/* A milter's "not now" concerns this mail: it waits as a deferred one, and the others go on. */
static void a_mail_that_is_put_off_on_its_way_into_postfix_waits_by_itself(void **state)
{
	(void)state;
	shell_submit_name(shell, "news", 2);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 2);
	shell_tell_fed(shell, &shell->fed[0], FED_DEFERRED);
	shell_tell_fed(shell, &shell->fed[1], FED_QUEUED);
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 1);
	assert_int_equal(shell_count(shell, "news", MAIL_CLAIMED), 1);
	shell_submit_name(shell, "other", 2);
	shell_run(shell);
	assert_int_equal(shell->fed_count, 4);
}

static void a_shard_whose_time_runs_out_while_it_is_read_is_finished_even_if_that_fails(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.expire = 60 * USEC_PER_SEC;
	shell->hold_loads = true;
	shell_submit(shell, &settings, 3);
	shell_advance(shell, 61 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "news", MAIL_EXPIRED), 3);
	shell_answer_load(shell, OPT_E_STORE);
	shell_advance(shell, 10 * USEC_PER_SEC);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
}

static void a_refused_claim_of_a_mail_that_is_settled_meanwhile_leaves_the_counts_right(void **state)
{
	struct attempt_key first;

	(void)state;
	shell_submit_name(shell, "news", 1);
	first = shell->fed[0];
	shell_tell_left(shell, &first, 1);
	shell->hold_writes = true;
	/* In doubt, and claimed again. */
	while (shell_view(shell, "news").in_doubt_resent == 0)
		shell_answer_write(shell, 0);
	assert_int_equal(shell->fed_count, 1);
	/* Before the second claim is durable, the first attempt's outcome comes after all. */
	shell_tell_outcome(shell, &first, OUTCOME_SENT, 2);
	while (shell->write_count > 0) {
		struct journal_reader *reader = journal_reader_new();
		bool claims = shell->writes[0].type == EFFECT_STORE_APPEND &&
		              read_write(reader, &shell->writes[0]).type == JOURNAL_CLAIMS;

		journal_reader_free(reader);
		/* The store is slow with the claim: the outcome is durable first. */
		if (claims && shell->write_count > 1) {
			struct shell_write claim = shell->writes[0];

			memmove(shell->writes, shell->writes + 1, --shell->write_count * sizeof(claim));
			shell_answer_write(shell, 0);
			shell->writes[shell->write_count++] = claim;
			if (shell->write_count == 1)
				shell_answer_write(shell, OPT_E_FULL);
			continue;
		}
		shell_answer_write(shell, claims ? OPT_E_FULL : 0);
	}
	shell->hold_writes = false;
	shell_run(shell);
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 1);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, 0);
	assert_int_equal(shell->fed_count, 1);
}

/* Mails that wait for a retry, for days it may be, must not keep the other shards closed. */
static void deferred_mails_leave_room_for_the_others(uint32_t most)
{
	struct core_config config = core_config_default();
	struct batch_settings settings = shell_settings("news");
	size_t from = 0;

	shell_free(shell);
	config.open_mails_max = most;
	config.domain_share = 100;
	shell = shell_new(&config);
	shell_open(shell, 1, &settings, "template");
	for (uint32_t i = 0; i < 20; i++)
		shell_add(shell, 1, 10, i);
	shell_commit(shell, 1);
	shell_run(shell);
	for (size_t i = 0; i < 120; i++) {
		for (; from < shell->fed_count; from++)
			shell_tell_outcome(shell, &shell->fed[from],
			    shell->fed[from].index == 0 ? OUTCOME_DEFERRED : OUTCOME_SENT, 1);
		shell_advance(shell, USEC_PER_SEC);
	}
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 180);
	assert_int_equal(shell_count(shell, "news", MAIL_RETRY), 20);
}

static void shards_with_few_open_mails_count_for_these(void **state)
{
	(void)state;
	deferred_mails_leave_room_for_the_others(50);
}

static void what_waits_for_retries_may_take_more_room_than_there_is(void **state)
{
	(void)state;
	deferred_mails_leave_room_for_the_others(10);
}

/* Room for one shard of 10; the window has room for all that is tried. */
static void little_room(uint32_t window)
{
	struct core_config config = shell_config();

	shell_free(shell);
	config.window = window;
	config.open_mails_max = 10;
	shell = shell_new(&config);
}

static void submit_shards(const char *name, uint32_t shards)
{
	struct batch_settings settings = shell_settings(name);
	const uint32_t upload = 100 + (uint32_t)shell->accepted;

	shell_open(shell, upload, &settings, "template");
	for (uint32_t i = 0; i < shards; i++)
		shell_add(shell, upload, 10, i);
	shell_commit(shell, upload);
	shell_run(shell);
}

/* All that is fed from `from` on, until nothing more is, ends so. Returns the end. */
static size_t all_end(size_t from, enum outcome_kind kind)
{
	for (; from < shell->fed_count; from++) {
		shell_tell_fed(shell, &shell->fed[from], FED_QUEUED);
		shell_tell_outcome(shell, &shell->fed[from], kind, 1);
		if (from + 1 == shell->fed_count)
			shell_run(shell);
	}
	return from;
}

static void a_paused_batch_leaves_room_for_the_others(void **state)
{
	size_t from;

	(void)state;
	little_room(5);
	shell_submit_name(shell, "paused", 20);
	assert_int_equal(shell->fed_count, 5);
	assert_int_equal(shell_control(shell, "paused", CONTROL_PAUSED), CONTROL_OK);
	from = all_end(0, OUTCOME_SENT);
	submit_shards("urgent", 4);
	from = all_end(from, OUTCOME_SENT);
	assert_int_equal(shell_count(shell, "urgent", MAIL_SENT), 40);
	assert_int_equal(shell_count(shell, "paused", MAIL_SENT), 5);
	assert_int_equal(shell_control(shell, "paused", CONTROL_RUNNING), CONTROL_OK);
	all_end(from, OUTCOME_SENT);
	assert_int_equal(shell_count(shell, "paused", MAIL_SENT), 20);
}

static size_t dead_loads;

/* Called for each mail of a shard that is opened. */
static const char *dead_domain(uint32_t index)
{
	dead_loads += index == 0;
	return "dead.example";
}

static void a_domain_that_rests_leaves_room_for_the_others(void **state)
{
	size_t from;

	(void)state;
	little_room(30);
	shell->domain = dead_domain;
	shell_submit_name(shell, "dead", 20);
	from = all_end(0, OUTCOME_RETURNED);
	assert_int_equal(from, 20);
	shell->domain = NULL;
	submit_shards("urgent", 4);
	all_end(from, OUTCOME_SENT);
	assert_int_equal(shell_count(shell, "urgent", MAIL_SENT), 40);
}

static void what_waits_for_a_domain_that_rests_takes_no_more_room_than_a_window(void **state)
{
	size_t from = 0;

	(void)state;
	little_room(30);
	dead_loads = 0;
	shell->domain = dead_domain;
	submit_shards("dead", 40);
	for (int seconds = 0; seconds < 20; seconds++) {
		from = all_end(from, OUTCOME_RETURNED);
		shell_advance(shell, USEC_PER_SEC);
	}
	assert_in_range(dead_loads, 1, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(no_mail_is_fed_before_its_claim_is_durable),
	    CORE_TEST(nothing_is_fed_while_postfix_is_down),
	    CORE_TEST(a_claim_whose_postfix_died_meanwhile_is_not_fed),
	    CORE_TEST(the_window_is_never_exceeded),
	    CORE_TEST(a_claim_group_is_not_larger_than_configured),
	    CORE_TEST(a_claim_older_than_5_seconds_is_made_again),
	    CORE_TEST(a_claim_that_the_store_refused_is_made_again_after_a_rest),
	    CORE_TEST(a_mail_that_pickup_could_not_take_now_is_fed_again_after_a_rest),
	    CORE_TEST(a_batch_that_pickup_can_not_take_holds_up_no_other),
	    CORE_TEST(a_mail_that_pickup_refuses_bounces),
	    CORE_TEST(an_uncertain_mail_is_fed_again_only_when_two_looks_did_not_find_it),
	    CORE_TEST(an_uncertain_mail_that_is_in_the_spool_waits_for_its_outcome),
	    CORE_TEST(a_late_word_of_pickup_about_a_settled_attempt_changes_nothing),
	    CORE_TEST(a_shard_that_cannot_be_read_is_asked_for_again_and_holds_up_nobody_else),
	    CORE_TEST(a_mail_that_is_put_off_on_its_way_into_postfix_waits_by_itself),
	    CORE_TEST(a_shard_whose_time_runs_out_while_it_is_read_is_finished_even_if_that_fails),
	    CORE_TEST(a_refused_claim_of_a_mail_that_is_settled_meanwhile_leaves_the_counts_right),
	    CORE_TEST(shards_with_few_open_mails_count_for_these),
	    CORE_TEST(what_waits_for_retries_may_take_more_room_than_there_is),
	    CORE_TEST(a_paused_batch_leaves_room_for_the_others),
	    CORE_TEST(a_domain_that_rests_leaves_room_for_the_others),
	    CORE_TEST(what_waits_for_a_domain_that_rests_takes_no_more_room_than_a_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
