/* SPDX-License-Identifier: MIT */
/* Which messages may skip cleanup's rewriting of header addresses: only those that it would leave as they
 * are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "postfix-glue/qualified.h"

static bool qualified(const char *text)
{
	return headers_are_qualified(text, strlen(text));
}

static void whole_addresses_need_no_rewriting(void **state)
{
	(void)state;
	assert_true(qualified("From: a@example.com\nTo: b@example.org\n\nbody: x\n"));
	assert_true(qualified(
	    "From: \"Doe, John (x) [y]\" <a@example.com>\nTo: J. Doe <b@example.org>,\n\tc@d.test\n\n"));
	assert_true(qualified("Subject: no address: here! [x]\nFROM: a@b.test\n\n"));
	assert_true(qualified("from : x@y.test\nTo: \"a \\\" @ b\" <a@b.test>\nto : c@d.test\n\n"));
	assert_true(qualified("From: a@b.test\n\nTo: bob\n"));
}

static void everything_else_goes_the_stock_way(void **state)
{
	static const char *const headers[] = {"To: bob\n\n", "To: a@b.test, bob\n\n",
	    "cc: a@b.test,\n bob\n\n", "To: \n\n", "To: a@b.test,\n\n", "To: a@b.test.\n\n",
	    "To: <a@b.test.>\n\n", "To: a%b@c.test\n\n", "To: x!a@b.test\n\n", "To: a@b.test (comment)\n\n",
	    "To: friends: a@b.test;\n\n", "To: a@[192.0.2.1]\n\n", "To: \"open <a@b.test>\n\n",
	    "To: a@b@c.test\n\n", "Reply-To: bob", "Resent-From: bob\n\n", "TO: bob\n\n",
	    "no header at all\n\n", "From a@b.test Mon Jan 1\nTo: a@b.test\n\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), "From: a@b.test\n%s", headers[i]);
		if (qualified(text))
			fail_msg("taken for qualified: %s", text);
	}
	/* No From: Postfix adds one to local mail. */
	assert_false(qualified("To: a@b.test\n\n"));
	assert_false(qualified("\nFrom: a@b.test\n"));
	assert_false(qualified(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_addresses_need_no_rewriting),
	    cmocka_unit_test(everything_else_goes_the_stock_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
