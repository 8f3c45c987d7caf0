/* SPDX-License-Identifier: MIT */
/* Duplicates and what was resent in doubt are counted from the facts alone, whichever way these came. */
#include "core_fixture.h"

/* The mail leaves Postfix without a word, and is fed again. */
static void resend(size_t fed, uint64_t reply)
{
	const size_t before = shell->fed_count;

	shell_tell_left(shell, &shell->fed[fed], reply);
	shell_run(shell);
	assert_int_equal(shell->fed_count, before + 1);
}

static void check_counts(uint64_t resent, uint64_t duplicates)
{
	assert_int_equal(shell_view(shell, "news").in_doubt_resent, resent);
	assert_int_equal(shell_view(shell, "news").duplicates, duplicates);
}

/* Two mails; one was resent twice, and all three attempts at it had been sent. */
static void finish_a_batch(void)
{
	shell_submit_name(shell, "news", 2);
	resend(0, 1);
	resend(2, 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 3);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 4);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_SENT, 5);
	shell_run(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	check_counts(2, 1);
}

static void a_late_word_adds_to_the_counts_of_a_summary(void **state)
{
	(void)state;
	finish_a_batch();
	shell_crash(shell);
	check_counts(2, 1);
	shell_tell_outcome(shell, &shell->fed[3], OUTCOME_SENT, 6);
	shell_run(shell);
	check_counts(2, 2);
	shell_crash(shell);
	check_counts(2, 2);
}

static void an_outcome_tells_of_the_doubt_before_its_claim(void **state)
{
	size_t kept = 0;

	(void)state;
	finish_a_batch();
	shell_tell_outcome(shell, &shell->fed[3], OUTCOME_SENT, 6);
	shell_run(shell);
	/* The node had no claim, and no end of the batch. */
	for (size_t i = 0; i < shell->entry_count; i++) {
		struct shell_blob *entry = &shell->entries[i];

		if (((const uint8_t *)entry->data)[1] == JOURNAL_OUTCOMES)
			shell->entries[kept++] = *entry;
		else
			free(entry->data);
	}
	shell->entry_count = kept;
	shell_crash(shell);
	assert_int_equal(shell_view(shell, "news").state, BATCH_DONE);
	check_counts(2, 2);
}

static void a_resend_that_was_never_tried_is_none(void **state)
{
	const struct attempt_key *second;

	(void)state;
	shell_submit_name(shell, "news", 1);
	resend(0, 1);
	second = &shell->fed[1];
	check_counts(1, 0);
	shell_tell_fed(shell, second, FED_NOT_NOW);
	shell_run(shell);
	check_counts(0, 0);
	shell->hold_engine = true;
	shell_crash(shell);
	check_counts(0, 0);
	shell->hold_engine = false;
	/* The next one is. */
	shell_advance(shell, 2 * USEC_PER_SEC);
	assert_int_equal(shell->fed_count, 3);
	check_counts(1, 0);
	shell_tell_outcome(shell, &shell->fed[2], OUTCOME_SENT, 2);
	shell_run(shell);
	check_counts(1, 0);
	shell_crash(shell);
	check_counts(1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CORE_TEST(a_late_word_adds_to_the_counts_of_a_summary),
	    CORE_TEST(an_outcome_tells_of_the_doubt_before_its_claim),
	    CORE_TEST(a_resend_that_was_never_tried_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
