/* SPDX-License-Identifier: MIT */
/* What a journal says about a mail: the same in whatever order, and however often, its entries come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/message/message_id.h"
#include "queue/replay.h"

enum { MAILS = 8, ENTRIES_MAX = 24 };

static const struct opt_id node_a = {{1}}, node_b = {{2}};

/* A journal, one claim or outcome an entry, so that every order can be tried. */
struct script {
	struct journal_entry entries[ENTRIES_MAX];
	struct claim claims[ENTRIES_MAX];
	struct outcome outcomes[ENTRIES_MAX];
	size_t count;
};

static void claim(struct script *script, uint32_t index, uint32_t attempt, uint64_t at)
{
	size_t i = script->count++;

	script->claims[i] = (struct claim){index, attempt, 0};
	script->entries[i] = (struct journal_entry){.type = JOURNAL_CLAIMS,
	    .node = node_a,
	    .epoch = 1,
	    .at = {at * USEC_PER_SEC},
	    .claims = &script->claims[i],
	    .count = 1};
}

static void fact(struct script *script, uint32_t index, uint32_t attempt, uint64_t at, enum outcome_kind kind,
    const char *dsn, const char *reason)
{
	size_t i = script->count++;

	script->outcomes[i] = (struct outcome){
	    .key = {.index = index, .epoch = 1, .node = node_a, .attempt = attempt},
	    .kind = kind,
	    .at = {at * USEC_PER_SEC},
	    .dsn = dsn,
	    .relay = "mx.example.com[192.0.2.1]:25",
	    .reason = reason,
	};
	script->entries[i] =
	    (struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = &script->outcomes[i], .count = 1};
}

static struct replay *play(const struct script *script)
{
	struct replay *replay = replay_new(MAILS);

	for (size_t i = 0; i < script->count; i++)
		replay_entry(replay, &script->entries[i]);
	return replay;
}

static struct replay_mail look(struct script *script, uint32_t index)
{
	static struct replay *replay;
	struct replay_mail mail;

	replay_free(replay);
	replay = NULL;
	if (!script)
		return (struct replay_mail){0};
	replay = play(script);
	replay_mail(replay, index, &mail);
	return mail;
}

static void a_mail_without_a_word_is_ready(void **state)
{
	struct script script = {0};
	struct replay_mail mail = look(&script, 0);

	(void)state;
	assert_int_equal(mail.state, MAIL_READY);
	assert_int_equal(mail.attempts, 0);
	assert_int_equal(mail.first_attempt.us, 0);
	assert_int_equal(mail.last_attempt.us, 0);
	assert_string_equal(mail.dsn, "");
	assert_true(id_is_zero(&mail.node));
}

static void a_claim_without_an_outcome_is_claimed(void **state)
{
	struct script script = {0};
	struct replay_mail mail;

	(void)state;
	claim(&script, 0, 1, 100);
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_CLAIMED);
	assert_int_equal(mail.attempts, 1);
	assert_int_equal(mail.first_attempt.us, 100 * USEC_PER_SEC);
	assert_true(id_equal(&mail.node, &node_a));
	assert_int_equal(look(&script, 1).state, MAIL_READY);
}

static void a_sent_mail_shows_what_the_other_side_said(void **state)
{
	struct script script = {0};
	struct replay_mail mail;

	(void)state;
	claim(&script, 0, 1, 100);
	fact(&script, 0, 1, 101, OUTCOME_DEFERRED, "4.2.0", "busy");
	claim(&script, 0, 2, 200);
	fact(&script, 0, 2, 202, OUTCOME_SENT, "2.0.0", "250 ok");
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_SENT);
	assert_int_equal(mail.attempts, 2);
	assert_string_equal(mail.dsn, "2.0.0");
	assert_string_equal(mail.reason, "250 ok");
	assert_int_equal(mail.first_attempt.us, 100 * USEC_PER_SEC);
	assert_int_equal(mail.last_attempt.us, 202 * USEC_PER_SEC);
}

static void a_deferred_mail_waits_for_its_retry(void **state)
{
	struct script script = {0};
	struct replay_mail mail;

	(void)state;
	claim(&script, 0, 1, 100);
	fact(&script, 0, 1, 101, OUTCOME_DEFERRED, "4.2.0", "busy");
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_RETRY);
	assert_string_equal(mail.reason, "busy");
	assert_int_equal(mail.attempts, 1);
	claim(&script, 0, 2, 200);
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_CLAIMED);
	assert_int_equal(mail.attempts, 2);
	assert_string_equal(mail.reason, "busy");
	fact(&script, 0, 2, 201, OUTCOME_RETURNED, "", "");
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_READY);
	assert_int_equal(mail.attempts, 1);
}

static void a_mail_in_doubt_is_claimed_until_something_is_known(void **state)
{
	struct script script = {0};

	(void)state;
	claim(&script, 0, 1, 100);
	fact(&script, 0, 1, 110, OUTCOME_IN_DOUBT, "", "");
	assert_int_equal(look(&script, 0).state, MAIL_CLAIMED);
	assert_int_equal(look(&script, 0).attempts, 1);
	fact(&script, 0, 1, 120, OUTCOME_DEFERRED, "4.0.0", "later");
	assert_int_equal(look(&script, 0).state, MAIL_RETRY);
	fact(&script, 0, 1, 121, OUTCOME_UNKNOWN, "", "");
	assert_int_equal(look(&script, 0).state, MAIL_UNKNOWN);
	fact(&script, 0, 1, 122, OUTCOME_SENT, "2.0.0", "ok");
	assert_int_equal(look(&script, 0).state, MAIL_SENT);
}

static void an_expired_mail_keeps_the_reason_of_its_last_attempt(void **state)
{
	struct script script = {0};
	struct replay_mail mail;

	(void)state;
	claim(&script, 0, 1, 100);
	fact(&script, 0, 1, 101, OUTCOME_DEFERRED, "4.2.0", "busy");
	fact(&script, 0, 1, 900, OUTCOME_EXPIRED, "", "");
	mail = look(&script, 0);
	assert_int_equal(mail.state, MAIL_EXPIRED);
	assert_string_equal(mail.reason, "busy");
	assert_int_equal(mail.last_attempt.us, 101 * USEC_PER_SEC);
	assert_int_equal(mail.attempts, 1);

	fact(&script, 1, 0, 900, OUTCOME_CANCELLED, "", "");
	mail = look(&script, 1);
	assert_int_equal(mail.state, MAIL_CANCELLED);
	assert_int_equal(mail.attempts, 0);
	assert_int_equal(mail.first_attempt.us, 0);
}

static void facts_about_mails_that_are_not_there_are_ignored(void **state)
{
	struct script script = {0};

	(void)state;
	claim(&script, MAILS, 1, 100);
	claim(&script, UINT32_MAX, 1, 100);
	fact(&script, MAILS, 1, 101, OUTCOME_SENT, "2.0.0", "ok");
	assert_int_equal(look(&script, MAILS - 1).state, MAIL_READY);
}

static void assert_same(const struct replay *a, const struct replay *b)
{
	for (uint32_t i = 0; i < MAILS; i++) {
		struct replay_mail one, two;

		replay_mail(a, i, &one);
		replay_mail(b, i, &two);
		assert_int_equal(one.state, two.state);
		assert_int_equal(one.attempts, two.attempts);
		assert_int_equal(one.first_attempt.us, two.first_attempt.us);
		assert_int_equal(one.last_attempt.us, two.last_attempt.us);
		assert_string_equal(one.dsn, two.dsn);
		assert_string_equal(one.relay, two.relay);
		assert_string_equal(one.reason, two.reason);
		assert_true(id_equal(&one.node, &two.node));
	}
}

/* A journal with all that can contradict itself: two nodes, two facts of one attempt, late words. */
static void fill(struct script *script)
{
	claim(script, 0, 1, 100);
	fact(script, 0, 1, 101, OUTCOME_DEFERRED, "4.2.0", "busy");
	claim(script, 0, 2, 150);
	fact(script, 0, 2, 151, OUTCOME_IN_DOUBT, "", "");
	claim(script, 0, 3, 160);
	script->entries[script->count - 1].node = node_b;
	script->entries[script->count - 1].epoch = 2;
	fact(script, 0, 2, 161, OUTCOME_SENT, "2.0.0", "first");
	fact(script, 0, 3, 162, OUTCOME_SENT, "2.0.0", "second");
	fact(script, 1, 1, 101, OUTCOME_DEFERRED, "4.2.0", "b");
	fact(script, 1, 1, 101, OUTCOME_DEFERRED, "4.2.0", "a");
	fact(script, 1, 1, 100, OUTCOME_DEFERRED, "4.2.0", "c");
	fact(script, 2, 1, 99, OUTCOME_BOUNCED, "5.1.1", "no such user");
	fact(script, 2, 1, 98, OUTCOME_UNKNOWN, "", "");
	fact(script, 2, 2, 90, OUTCOME_EXPIRED, "", "old");
	fact(script, 3, 2, 90, OUTCOME_RETURNED, "", "");
	claim(script, 3, 1, 80);
	fact(script, 4, 1, 80, OUTCOME_DEFERRED, "4.0.0", "x");
	fact(script, 4, 2, 70, OUTCOME_DEFERRED, "4.0.0", "y");
}

static void any_order_and_any_repetition_give_the_same(void **state)
{
	struct script script = {0}, mixed;
	struct replay *expected, *got;
	uint32_t seed = 1;

	(void)state;
	fill(&script);
	expected = play(&script);
	for (int round = 0; round < 2000; round++) {
		mixed = script;
		for (size_t i = mixed.count - 1; i > 0; i--) {
			struct journal_entry swap = mixed.entries[i];
			size_t with;

			seed = seed * 1664525u + 1013904223u;
			with = (seed >> 8) % (i + 1);
			mixed.entries[i] = mixed.entries[with];
			mixed.entries[with] = swap;
		}
		for (size_t i = 0; i < 5; i++)
			mixed.entries[mixed.count++] = mixed.entries[(seed >> 4) % script.count];
		got = play(&mixed);
		assert_same(expected, got);
		replay_free(got);
	}
	replay_free(expected);
}

static void a_message_id_is_made_of_shard_index_and_domain(void **state)
{
	const struct opt_id shard = {{0xab}};
	struct buffer out;

	(void)state;
	buffer_init(&out);
	message_id_make(&shard, 7, "news+a=b@Example.COM", "node.example", &out);
	assert_string_equal(buffer_text(&out), "ab00000000000000000000000000000000000000.7@example.com");
	buffer_clear(&out);
	message_id_make(&shard, 499, "", "node.example", &out);
	assert_string_equal(buffer_text(&out), "ab00000000000000000000000000000000000000.499@node.example");
	buffer_done(&out);
}

static int forget(void **state)
{
	(void)state;
	look(NULL, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_mail_without_a_word_is_ready),
	    cmocka_unit_test(a_claim_without_an_outcome_is_claimed),
	    cmocka_unit_test(a_sent_mail_shows_what_the_other_side_said),
	    cmocka_unit_test(a_deferred_mail_waits_for_its_retry),
	    cmocka_unit_test(a_mail_in_doubt_is_claimed_until_something_is_known),
	    cmocka_unit_test(an_expired_mail_keeps_the_reason_of_its_last_attempt),
	    cmocka_unit_test(facts_about_mails_that_are_not_there_are_ignored),
	    cmocka_unit_test(any_order_and_any_repetition_give_the_same),
	    cmocka_unit_test(a_message_id_is_made_of_shard_index_and_domain),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
