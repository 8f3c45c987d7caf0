/* SPDX-License-Identifier: MIT */
/*
 * Which addresses are taken, and what VERP makes of them.
 */
#include "merge.h"

#include "queue/message/address.h"

static void good_addresses_are_taken(void **state)
{
	static const char *const good[] = {"a@b", "jane.doe+x=y@example.com", "\"a b\"@example.com",
	    "\"a\\\"@b\"@example.com", "o'hara@sub.example.com", "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]",
	    "j\xc3\xb6rg@b\xc3\xbc"
	    "cher.example",
	    "a@xn--bcher-kva.example", "a@1.2.example",
	    "1234567890123456789012345678901234567890123456789012345678901234@example.com"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (address_problem(good[i]) != NULL)
			fail_msg("%s: %s", good[i], address_problem(good[i]));
	}
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"", "a", "@", "a@", "@b", "a@b@c", " a@b", "a@b ", "a b@c", "<a@b>",
	    "Jane <a@b>", "@relay:a@b", "a@b\n", "a@b\r\nRCPT TO:<c@d>", "a\x01@b", "a@b\x7f", "a..b@c",
	    ".a@c", "a.@c", "a@b..c", "a@.b", "a@b.", "a@-b", "a@b-", "a@b_c", "\"a@b", "\"a\"b@c",
	    "\"a\\\"@b", "a@[1.2.3.4", "a@[]", "a@[1 2]", "\xff@b", "a@b\xc3", "a,b@c", "a;b@c", "(x)a@b",
	    "12345678901234567890123456789012345678901234567890123456789012345@example.com",
	    "a@1234567890123456789012345678901234567890123456789012345678901234.example"};
	char domain[300] = "a@";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (address_problem(bad[i]) == NULL)
			fail_msg("%s is taken", bad[i]);
	}
	for (size_t i = 2; i < 2 + 256; i++)
		domain[i] = i % 2 == 0 ? 'a' : '.';
	assert_non_null(address_problem(domain));
}

static void the_domain_is_what_follows_the_last_at(void **state)
{
	char domain[ADDRESS_MAX + 1];
	char longest[2000];

	(void)state;
	assert_string_equal(address_domain("a@Example.COM", domain), "example.com");
	assert_string_equal(address_domain("\"a@b\"@C", domain), "c");
	assert_string_equal(address_domain("nothing", domain), "");
	memset(longest, '@', sizeof(longest));
	memset(longest + 1, 'x', sizeof(longest) - 2);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(strlen(address_domain(longest, domain)), ADDRESS_MAX);
}

static void check_sender(const char *pattern, const char *email, const char *expected)
{
	struct buffer out;

	buffer_init(&out);
	if (expected == NULL) {
		assert_int_equal(sender_expand(pattern, email, &out), OPT_E_INVALID);
		assert_int_equal(out.len, 0);
	} else {
		assert_int_equal(sender_expand(pattern, email, &out), 0);
		assert_string_equal(buffer_text(&out), expected);
	}
	buffer_done(&out);
}

static void verp_names_the_recipient_in_the_sender(void **state)
{
	(void)state;
	check_sender(
	    "bounce+{{verp}}@lists.example", "jane@example.com", "bounce+jane=example.com@lists.example");
	check_sender(
	    "bounce+{{ verp }}@lists.example", "jane@example.com", "bounce+jane=example.com@lists.example");
	check_sender("news@lists.example", "jane@example.com", "news@lists.example");
	check_sender("", "jane@example.com", "");
	check_sender("b+{{verp}}@l.example", "\"a b\"@example.com", "\"b+a b=example.com\"@l.example");
	check_sender(
	    "b+{{verp}}@l.example", "\"a\\\"@b\"@example.com", "\"b+a\\\"@b=example.com\"@l.example");
	check_sender("b+{{verp}}@l.example",
	    "1234567890123456789012345678901234567890123456789012345678901234@example.com",
	    "b+1234567890123456789012345678901234567890123456789012345678901234=example.com@l.example");
}

static void a_sender_that_is_no_address_is_refused(void **state)
{
	(void)state;
	check_sender("bounce", "jane@example.com", NULL);
	check_sender("a b@example.org", "jane@example.com", NULL);
	check_sender("{{name}}@example.org", "jane@example.com", NULL);
	check_sender("{{verp}}+{{name}}@example.org", "jane@example.com", NULL);
	check_sender("x@{{verp}}", "jane@example.com", NULL);
	check_sender("b+{{verp}}@example.org", "a\nb@example.com", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_addresses_are_taken),
	    cmocka_unit_test(bad_addresses_are_refused),
	    cmocka_unit_test(the_domain_is_what_follows_the_last_at),
	    cmocka_unit_test(verp_names_the_recipient_in_the_sender),
	    cmocka_unit_test(a_sender_that_is_no_address_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
