/* SPDX-License-Identifier: MIT */
/*
 * What is read from optimus-spool's lines, and what a file without an attempt means. Its processes are tried
 * in test/system.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/spool_list.h"

/* A key, as text: shard, index, epoch, node, attempt. */
#define HEX40 "0123456789abcdef0123456789abcdef01234567"
#define KEY   HEX40 ".7.1." HEX40 ".3"

static struct spool_list parse(const char *text)
{
	static char copy[1024];
	struct spool_list list;

	snprintf(copy, sizeof(copy), "%s", text);
	spool_list_parse(copy, &list);
	return list;
}

static void a_file_is_known_by_its_attempt(void **state)
{
	struct spool_list list = parse("active 4gB1 " KEY "\nhold 4gB2 " KEY "\n");

	(void)state;
	assert_int_equal(list.count, 2);
	assert_int_equal(list.entries[0].place, SPOOL_ACTIVE);
	assert_string_equal(list.entries[0].file, "active/4gB1");
	assert_int_equal(list.entries[0].key.attempt, 3);
	assert_int_equal(list.entries[1].place, SPOOL_ASIDE);
	assert_false(list.nameless_tried);
	assert_false(list.nameless_writing);
	free(list.entries);
}

static void a_file_without_an_attempt_that_may_have_been_sent_is_noticed(void **state)
{
	static const struct {
		const char *line;
		bool tried, writing;
	} rows[] = {{"active 4gB1 -\n", true, false}, {"deferred 4gB1 -\n", true, false},
	    {"corrupt 4gB1 -\n", true, false}, {"incoming 4gB1 -\n", false, false},
	    {"maildrop 4gB1 -\n", false, false}, {"writing 4gB1 -\n", false, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spool_list list = parse(rows[i].line);

		assert_int_equal(list.count, 0);
		assert_int_equal(list.nameless_tried, rows[i].tried);
		assert_int_equal(list.nameless_writing, rows[i].writing);
		free(list.entries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_file_is_known_by_its_attempt),
	    cmocka_unit_test(a_file_without_an_attempt_that_may_have_been_sent_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
