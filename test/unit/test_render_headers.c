/* SPDX-License-Identifier: MIT */
/*
 * Values in headers come back from a reader exactly, whatever is in them, and can't become anything else.
 */
#include "merge.h"

#define FIELDS(...) ((const char *[]){__VA_ARGS__, NULL})

static const char SUBJECT[] = "Subject: Hello {{name}}!\nTo: x@example.org\n\n";

static void ascii_values_stay_readable(void **state)
{
	(void)state;
	merge_gives("Subject: Hello {{name}}!\n\n", FIELDS("Jane"), MERGE_OWN "Subject: Hello Jane!\n\n");
	merge_gives(
	    "Subject: Hello {{ name | you }}!\n\n", FIELDS(""), MERGE_OWN "Subject: Hello  you !\n\n");
	merge_gives("Subject: a {{\"{{\"}}b}} {{email}} {{verp}}\n\n", NULL,
	    MERGE_OWN "Subject: a {{b}} jane@example.com jane=example.com\n\n");
	merge_gives("Subject: {{{name}}}\n\n", FIELDS("<b>"), MERGE_OWN "Subject: <b>\n\n");
	merge_gives("Subject:{{name}}\n\n", FIELDS(""), MERGE_OWN "Subject:\n\n");
}

static void any_value_comes_back_from_an_unstructured_header(void **state)
{
	static const char *const values[] = {"Jos\xc3\xa9", "\xf0\x9f\x98\x80 and \xe6\x97\xa5\xe6\x9c\xac",
	    "two  spaces", "tab\there", "=?utf-8?q?not_encoded?=", "=?", "a=b", "?=", "\x01\x7f",
	    "ends with space ",
	    "Jos\xc3\xa9  Mar\xc3\xad"
	    "a",
	    "plain then \xc3\xa9", "\xc3\xa9 then plain", "_=_?",
	    "very-long-"
	    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *expected = g_strdup_printf("Hello %s!", values[i]);

		merge_header_is(SUBJECT, FIELDS(values[i]), "Subject", expected);
		g_free(expected);
	}
	merge_header_is("Subject: {{a}}\n\n", FIELDS(" edges "), "Subject", " edges ");
	merge_header_is("Subject: {{a}}\n\n", FIELDS(" "), "Subject", " ");
	merge_header_is(
	    "Subject: {{a}} {{b}}\n\n", FIELDS("\xc3\xa9", "\xc3\xbc"), "Subject", "\xc3\xa9 \xc3\xbc");
}

static void a_long_subject_is_folded_below_78(void **state)
{
	GString *value = g_string_new(NULL);
	char *got, *expected;

	(void)state;
	for (int i = 0; i < 60; i++)
		g_string_append(value, i % 3 == 0 ? "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" : " words and ");
	got = merge(SUBJECT, FIELDS(value->str));
	assert_in_range(merge_longest_line(got), 40, 77);
	free(got);
	expected = g_strdup_printf("Hello %s!", value->str);
	merge_header_is(SUBJECT, FIELDS(value->str), "Subject", expected);
	g_free(expected);
	g_string_assign(value, "");
	for (int i = 0; i < 60; i++)
		g_string_append(value, "plain words ");
	g_string_append(value, "end");
	got = merge(SUBJECT, FIELDS(value->str));
	assert_in_range(merge_longest_line(got), 40, 77);
	assert_null(strstr(got, "=?"));
	free(got);
	expected = g_strdup_printf("Hello %s!", value->str);
	merge_header_is(SUBJECT, FIELDS(value->str), "Subject", expected);
	g_free(expected);
	g_string_free(value, TRUE);
}

static void a_header_of_one_endless_word_stays_below_998(void **state)
{
	char value[4001];
	char *got;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	got = merge(SUBJECT, FIELDS(value));
	assert_in_range(merge_longest_line(got), 40, 998);
	free(got);
	merge_header_is("Subject: {{a}}\n\n", FIELDS(value), "Subject", value);
}

static void encoded_words_of_the_template_survive(void **state)
{
	(void)state;
	merge_header_is("Subject: =?iso-8859-1?q?Gr=FC=DFe,?= {{name}}\n\n", FIELDS("Jane"), "Subject",
	    "Gr\xc3\xbc\xc3\x9f"
	    "e, Jane");
	merge_header_is("Subject: =?utf-8?q?Hallo_{{name}},_sch=C3=B6n?=\n\n", FIELDS("Jos\xc3\xa9"),
	    "Subject", "Hallo Jos\xc3\xa9, sch\xc3\xb6n");
	/* "Hi {{name}}" in base64 */
	merge_header_is("Subject: =?utf-8?b?SGkge3tuYW1lfX0=?=\n\n", FIELDS("Jane"), "Subject", "Hi Jane");
	merge_gives("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-A: {{a}}\n\n", FIELDS("b"),
	    MERGE_OWN "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-A: b\n\n");
}

static void a_folded_header_is_unfolded_to_single_spaces(void **state)
{
	(void)state;
	merge_gives("Subject: a\n\t{{b}}\n   c\n\n", FIELDS("b"), MERGE_OWN "Subject: a b c\n\n");
}

static void check_name(const char *value)
{
	char *got = merge("From: {{name}} <news@example.org>\n\n", FIELDS(value));
	GMimeMessage *message = merge_read(got);
	InternetAddressList *list = g_mime_message_get_from(message);

	assert_int_equal(internet_address_list_length(list), 1);
	assert_string_equal(internet_address_get_name(internet_address_list_get_address(list, 0)), value);
	assert_string_equal(internet_address_mailbox_get_addr(
	                        INTERNET_ADDRESS_MAILBOX(internet_address_list_get_address(list, 0))),
	    "news@example.org");
	assert_in_range(merge_longest_line(got), 20, 77);
	g_object_unref(message);
	free(got);
}

static void any_value_is_a_display_name(void **state)
{
	static const char *const values[] = {"Jane Doe", "Doe, Jane \"JD\"", "Dr. Jane", "back\\slash",
	    "Jos\xc3\xa9 Mu\xc3\xb1oz", "<script@example.org>", "a@example.org, b@example.org", "(comment)",
	    "=?utf-8?q?x?=", "group: a;",
	    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac"
	    "\xe8\xaa\x9e"
	    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac"
	    "\xe8\xaa\x9e",
	    "two  spaces", "x"};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		check_name(values[i]);
	merge_gives("From: {{name}} <news@example.org>\n\n", FIELDS("Doe, Jane \"JD\""),
	    MERGE_OWN "From: \"Doe, Jane \\\"JD\\\"\" <news@example.org>\n\n");
	merge_gives("From: \"{{a}}, {{b|x}}\" <news@example.org>, Bob <bob@example.org>\n\n",
	    FIELDS("A", "B"), MERGE_OWN "From: \"A, B\" <news@example.org>,\n Bob <bob@example.org>\n\n");
	merge_gives(
	    "From: {{name}} <news@example.org>\n\n", FIELDS(""), MERGE_OWN "From: <news@example.org>\n\n");
}

static void random_values_come_back_from_headers(void **state)
{
	uint64_t seed = 1;
	char value[512];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		char *expected;

		merge_random(&seed, false, value);
		if (value[0] == '\0')
			continue;
		merge_header_is("Subject: {{a}}\n\n", FIELDS(value), "Subject", value);
		expected = g_strdup_printf("x %s y %s", value, value);
		merge_header_is("Subject: x {{a}} y {{a}}\n\n", FIELDS(value), "Subject", expected);
		g_free(expected);
		/* GMime strips the names that it has decoded. */
		g_strstrip(value);
		if (value[0] != '\0')
			check_name(value);
	}
}

static void an_address_takes_plain_characters_only(void **state)
{
	(void)state;
	merge_gives("From: News <news+{{id}}@example.org>\nReply-To: {{reply}}\n\n",
	    FIELDS("x=1", "bob@example.org"),
	    MERGE_OWN "From: News <news+x=1@example.org>\nReply-To: bob@example.org\n\n");
	merge_value_refused("From: <n+{{id}}@example.org>\n\n", FIELDS("a>, <b"), "id");
	merge_value_refused("From: <n+{{id}}@example.org>\n\n", FIELDS("a b"), "id");
	merge_value_refused("Reply-To: {{reply}}\n\n", FIELDS("a@example.org, b@example.org"), "reply");
	merge_value_refused("Reply-To: {{reply}}\n\n", FIELDS("Bob <b@example.org>"), "reply");
	merge_value_refused("Reply-To: {{reply}}\n\n", FIELDS(""), "reply");
	merge_value_refused("Cc: x@example.org, {{cc}}@example.org\n\n", FIELDS("a,b"), "cc");
	merge_invalid("To: {{first}} {{last}}\n\n");
	merge_invalid("To: <a@example.org> ({{name}})\n\n");
	merge_invalid("To: {{name|not an address}}\n\n");
	merge_invalid("To: {{name}} <a@example.org\n\n");
	merge_gives("To: {{name|Doe, J}} <{{email}}>\nDate: x\n\n", (const char *[]){NULL},
	    "Message-ID: <id@example.org>\nTo: \"Doe, J\" <jane@example.com>\nDate: x\n\n");
	merge_gives("To: {{team}}: a@example.org, {{email}};\nDate: x\n\n", FIELDS("Team \xc3\xbc"),
	    "Message-ID: <id@example.org>\nTo: =?utf-8?q?Team_=C3=BC?=:\n a@example.org,\n "
	    "jane@example.com;\nDate: x\n\n");
}

static void a_header_with_its_own_syntax_takes_plain_values(void **state)
{
	static const char source[] =
	    "List-Unsubscribe: <https://example.org/u?t={{t}}>,\n <mailto:l@example.org>\n\n";

	(void)state;
	merge_gives(source, FIELDS("abc"),
	    MERGE_OWN "List-Unsubscribe: <https://example.org/u?t=abc>,\n <mailto:l@example.org>\n\n");
	merge_value_refused(source, FIELDS("a>b"), "t");
	merge_value_refused(source, FIELDS("a b"), "t");
	merge_value_refused(source, FIELDS("\xc3\xa9"), "t");
	merge_gives("List-Unsubscribe: <mailto:leave-{{verp}}@example.org>\n\n", NULL,
	    MERGE_OWN "List-Unsubscribe: <mailto:leave-jane=example.com@example.org>\n\n");
	merge_gives("Date: {{when}}\n\n", FIELDS("Tue, 3 Jan 2023 10:00:00 +0000"),
	    "Message-ID: <id@example.org>\nTo: jane@example.com\nDate: Tue, 3 Jan 2023 10:00:00 +0000\n\n");
}

static void long_values_are_refused_in_headers(void **state)
{
	char value[8193];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	merge_value_refused(SUBJECT, FIELDS(value), "name");
	value[1000] = '\0';
	merge_value_refused("List-Id: <{{x}}>\n\n", FIELDS(value), "x");
	free(merge(SUBJECT, FIELDS(value)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ascii_values_stay_readable),
	    cmocka_unit_test(any_value_comes_back_from_an_unstructured_header),
	    cmocka_unit_test(a_long_subject_is_folded_below_78),
	    cmocka_unit_test(a_header_of_one_endless_word_stays_below_998),
	    cmocka_unit_test(encoded_words_of_the_template_survive),
	    cmocka_unit_test(a_folded_header_is_unfolded_to_single_spaces),
	    cmocka_unit_test(any_value_is_a_display_name),
	    cmocka_unit_test(random_values_come_back_from_headers),
	    cmocka_unit_test(an_address_takes_plain_characters_only),
	    cmocka_unit_test(a_header_with_its_own_syntax_takes_plain_values),
	    cmocka_unit_test(long_values_are_refused_in_headers),
	};

	return cmocka_run_group_tests(tests, merge_init, NULL);
}
