/* SPDX-License-Identifier: MIT */
/*
 * A mail makes the moves that the design allows and no other; the key of an attempt survives its way through
 * Postfix as text, and no other text is taken for one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/error.h"
#include "queue/mail.h"

/*
 * Rows: from; columns: to. The open part is the list of the design, with two additions that facts in any
 * order need: a claim may follow a deferral at once (RETRY to CLAIMED), and a mail in doubt may turn out to
 * have been deferred (IN_DOUBT to RETRY). A final state moves only up the order of merging.
 */
static const char *const table[MAIL_STATES] = {
    /*                    S R C T D  s b e c p u */
    [MAIL_STAGED] = "     - x - - -  - - - - - -",
    [MAIL_READY] = "      - - x - -  x x x x x x",
    [MAIL_CLAIMED] = "    - x - x x  x x x x x x",
    [MAIL_RETRY] = "      - x x - -  x x x x x x",
    [MAIL_IN_DOUBT] = "   - x - x -  x x x x x x",
    [MAIL_SENT] = "       - - - - -  - - - - - -",
    [MAIL_BOUNCED] = "    - - - - -  x - - - - -",
    [MAIL_EXPIRED] = "    - - - - -  x x - - - -",
    [MAIL_CANCELLED] = "  - - - - -  x x x - - -",
    [MAIL_SUPPRESSED] = " - - - - -  x x x x - -",
    [MAIL_UNKNOWN] = "    - - - - -  x x x x x -",
};

static void only_the_moves_of_the_table_are_allowed(void **state)
{
	(void)state;
	for (int from = 0; from < MAIL_STATES; from++) {
		const char *row = table[from];

		for (int to = 0; to < MAIL_STATES; to++) {
			row += strspn(row, " ");
			if (mail_move_allowed((enum mail_state)from, (enum mail_state)to) != (*row == 'x'))
				fail_msg("%s to %s", mail_state_name((enum mail_state)from),
				    mail_state_name((enum mail_state)to));
			row++;
		}
	}
	assert_false(mail_move_allowed(MAIL_STATES, MAIL_SENT));
	assert_false(mail_move_allowed(MAIL_READY, MAIL_STATES));
}

static void no_final_state_leads_back_to_an_open_one(void **state)
{
	(void)state;
	for (int from = 0; from < MAIL_STATES; from++) {
		bool final = mail_state_final((enum mail_state)from);

		assert_int_equal(final, from >= MAIL_SENT);
		for (int to = 0; final && to < MAIL_STATES; to++) {
			if (mail_move_allowed((enum mail_state)from, (enum mail_state)to))
				assert_true(mail_state_final((enum mail_state)to));
		}
	}
	assert_false(mail_state_final(MAIL_STATES));
}

static void every_state_has_a_name_that_reads_back(void **state)
{
	static const char *const names[] = {"staged", "ready", "claimed", "retry", "in_doubt", "sent",
	    "bounced", "expired", "cancelled", "suppressed", "unknown"};
	enum mail_state parsed = MAIL_STATES;

	(void)state;
	for (int i = 0; i < MAIL_STATES; i++) {
		assert_string_equal(mail_state_name((enum mail_state)i), names[i]);
		assert_int_equal(mail_state_parse(names[i], &parsed), 0);
		assert_int_equal(parsed, i);
	}
	assert_string_equal(mail_state_name(MAIL_STATES), "invalid");
	parsed = MAIL_RETRY;
	assert_int_equal(mail_state_parse("", &parsed), OPT_E_INVALID);
	assert_int_equal(mail_state_parse("Sent", &parsed), OPT_E_INVALID);
	assert_int_equal(mail_state_parse("sent ", &parsed), OPT_E_INVALID);
	assert_int_equal(parsed, MAIL_RETRY);
}

#define SHARD "1111111111111111111111111111111111111111"
#define NODE  "abcdefabcdefabcdefabcdefabcdefabcdefabcd"

static void check_round_trip(uint32_t index, uint32_t epoch, uint32_t attempt)
{
	struct attempt_key key = {.index = index, .epoch = epoch, .attempt = attempt}, again;
	char text[ATTEMPT_TEXT_MAX], expected[256];

	assert_int_equal(id_from_hex(SHARD, &key.shard), 0);
	assert_int_equal(id_from_hex(NODE, &key.node), 0);
	snprintf(expected, sizeof(expected), SHARD ".%u.%u." NODE ".%u", index, epoch, attempt);
	assert_string_equal(attempt_to_text(&key, text), expected);
	assert_true(strlen(text) < ATTEMPT_TEXT_MAX);
	assert_int_equal(attempt_from_text(text, &again), 0);
	assert_true(id_equal(&again.shard, &key.shard));
	assert_true(id_equal(&again.node, &key.node));
	assert_int_equal(again.index, index);
	assert_int_equal(again.epoch, epoch);
	assert_int_equal(again.attempt, attempt);
}

static void the_key_of_an_attempt_comes_back_from_its_text(void **state)
{
	static const uint32_t numbers[] = {0, 1, 9, 10, 499, 65536, 2147483648u, UINT32_MAX};
	const size_t count = sizeof(numbers) / sizeof(numbers[0]);

	(void)state;
	for (size_t a = 0; a < count; a++) {
		for (size_t b = 0; b < count; b++)
			for (size_t c = 0; c < count; c++)
				check_round_trip(numbers[a], numbers[b], numbers[c]);
	}
}

static void refused(const char *text)
{
	struct attempt_key key = {.index = 42}, before = key;

	if (attempt_from_text(text, &key) != OPT_E_INVALID)
		fail_msg("taken for a key: '%s'", text);
	assert_memory_equal(&key, &before, sizeof(key));
}

static void no_other_text_is_taken_for_a_key(void **state)
{
	static const char *const bad[] = {
	    "",
	    "jane@example.com",
	    SHARD,
	    SHARD ".",
	    SHARD ".1.2." NODE,
	    SHARD ".1.2." NODE ".",
	    SHARD ".1.2." NODE ".3.",
	    SHARD ".1.2." NODE ".3 ",
	    " " SHARD ".1.2." NODE ".3",
	    SHARD ".1.2." NODE ".3\n",
	    SHARD ".1.2." NODE ".-3",
	    SHARD ".1.2." NODE ".+3",
	    SHARD ".1.2." NODE ".03",
	    SHARD ".1.2." NODE ".0x3",
	    SHARD ".01.2." NODE ".3",
	    SHARD ".00.2." NODE ".3",
	    SHARD ".1.02." NODE ".3",
	    SHARD "..2." NODE ".3",
	    SHARD ".1.." NODE ".3",
	    SHARD ".1." NODE ".3",
	    SHARD ".1.2.." NODE ".3",
	    SHARD ".4294967296.2." NODE ".3",
	    SHARD ".1.4294967296." NODE ".3",
	    SHARD ".1.2." NODE ".4294967296",
	    SHARD ".1.2." NODE ".99999999999999999999999999999999",
	    SHARD "1.1.2." NODE ".3",
	    SHARD ".1.2.a" NODE ".3",
	    SHARD ",1.2." NODE ".3",
	    SHARD ".1,2." NODE ".3",
	    SHARD ".1.2," NODE ".3",
	    SHARD ".1.2." NODE ",3",
	};
	static const char good[] = SHARD ".1.2." NODE ".3";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i]);
	for (size_t len = 0; len < sizeof(good) - 1; len++) {
		char text[sizeof(good)];

		/* Cut, and with a byte that belongs nowhere, at every place. */
		memcpy(text, good, sizeof(good));
		text[len] = '\0';
		refused(text);
		memcpy(text, good, sizeof(good));
		text[len] = '/';
		refused(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_the_moves_of_the_table_are_allowed),
	    cmocka_unit_test(no_final_state_leads_back_to_an_open_one),
	    cmocka_unit_test(every_state_has_a_name_that_reads_back),
	    cmocka_unit_test(the_key_of_an_attempt_comes_back_from_its_text),
	    cmocka_unit_test(no_other_text_is_taken_for_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
