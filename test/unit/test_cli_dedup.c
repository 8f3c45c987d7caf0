/* SPDX-License-Identifier: MIT */
/*
 * The set of addresses that a recipients file has brought.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/cli_dedup.h"
#include "queue/error.h"

static void case_matters_in_the_local_part_only(void **state)
{
	struct dedup *dedup = dedup_new(100);

	(void)state;
	assert_int_equal(dedup_add(dedup, "ann@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "ann@example.com"), 1);
	assert_int_equal(dedup_add(dedup, "ann@EXAMPLE.com"), 1);
	assert_int_equal(dedup_add(dedup, "Ann@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "ann@example.co"), 0);
	/* The last @ divides. */
	assert_int_equal(dedup_add(dedup, "\"A@B\"@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "\"A@b\"@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "\"A@b\"@Example.com"), 1);
	/* Only ASCII letters have a case here. */
	assert_int_equal(dedup_add(dedup, "a@\xc3\xa4.example"), 0);
	assert_int_equal(dedup_add(dedup, "a@\xc3\x84.example"), 0);
	assert_int_equal(dedup_count(dedup), 7);
	dedup_free(dedup);
}

static void hundred_thousand_addresses_are_told_apart(void **state)
{
	enum { COUNT = 100000 };
	struct dedup *dedup = dedup_new(COUNT);
	char address[64];

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < COUNT; i++) {
			snprintf(address, sizeof address, "user%d@example.com", i);
			assert_int_equal(dedup_add(dedup, address), round);
		}
	assert_int_equal(dedup_count(dedup), COUNT);
	dedup_free(dedup);
}

static void a_full_set_says_so_and_still_knows_its_members(void **state)
{
	struct dedup *dedup = dedup_new(2);

	(void)state;
	assert_int_equal(dedup_add(dedup, "a@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "b@example.com"), 0);
	assert_int_equal(dedup_add(dedup, "c@example.com"), OPT_E_LIMIT);
	assert_int_equal(dedup_add(dedup, "a@example.com"), 1);
	dedup_free(dedup);
}

static void any_text_is_taken(void **state)
{
	struct dedup *dedup = dedup_new(10);
	char text[5001];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(dedup_add(dedup, text), 0);
	assert_int_equal(dedup_add(dedup, text), 1);
	text[4999] = 'y';
	assert_int_equal(dedup_add(dedup, text), 0);
	assert_int_equal(dedup_add(dedup, ""), 0);
	assert_int_equal(dedup_add(dedup, "@"), 0);
	dedup_free(dedup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(case_matters_in_the_local_part_only),
	    cmocka_unit_test(hundred_thousand_addresses_are_told_apart),
	    cmocka_unit_test(a_full_set_says_so_and_still_knows_its_members),
	    cmocka_unit_test(any_text_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
