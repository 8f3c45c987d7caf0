/* SPDX-License-Identifier: MIT */
/*
 * What a template promises: untouched bytes stay, errors name line and field, limits hold.
 */
#include "merge.h"

#define FIELDS(...) ((const char *[]){__VA_ARGS__, NULL})

static void a_message_without_fields_passes_byte_for_byte(void **state)
{
	static const char body[] = "From: a@example.org\nSubject:   odd   spaces \nX-Raw: \xfc\xe9 =?x?q?=\n"
	                           "Content-Type: text/plain; charset=iso-8859-1\n\n"
	                           "8-bit \xfc, bare \r CR, a }} and no newline at the end";

	(void)state;
	merge_gives(body, NULL,
	    "Message-ID: <id@example.org>\nDate: Mon, 2 Jan 2023 10:00:00 +0000\nTo: jane@example.com\n"
	    "From: a@example.org\nSubject:   odd   spaces \nX-Raw: \xfc\xe9 =?x?q?=\n"
	    "Content-Type: text/plain; charset=iso-8859-1\n\n"
	    "8-bit \xfc, bare \r CR, a }} and no newline at the end");
}

static void nul_bytes_outside_fields_pass(void **state)
{
	static const char source[] = "From: a@example.org\nX-Nul: a\0b\n\nbody\0body\n";
	size_t len, own = strlen(MERGE_OWN);
	char *got = merge_bytes(source, sizeof(source) - 1, NULL, &len);

	(void)state;
	assert_int_equal(len, own + sizeof(source) - 1);
	assert_memory_equal(got + own, source, sizeof(source) - 1);
	free(got);
}

static void to_and_date_of_the_template_stay(void **state)
{
	(void)state;
	merge_gives("Date: yesterday\nto :  everybody:;\n\n", NULL,
	    "Message-ID: <id@example.org>\nDate: yesterday\nto :  everybody:;\n\n");
}

static void message_id_of_the_template_is_replaced(void **state)
{
	(void)state;
	merge_gives(
	    "Subject: a\nMessage-Id: <old@example.org>\nX-B: b\nmessage-id:\n <twice@example.org>\n\nx\n",
	    NULL, MERGE_OWN "Subject: a\nX-B: b\n\nx\n");
	merge_gives("Message-ID: <old@example.org>\n\nx\n", NULL, MERGE_OWN "\nx\n");
}

static void crlf_becomes_lf_when_the_first_line_has_it(void **state)
{
	(void)state;
	merge_gives("A: b\r\nC: d\r\r\n\r\nx\ry\r\nz\r\n", NULL, MERGE_OWN "A: b\nC: d\n\nx\ry\nz\n");
	merge_gives("A: b\n\nx\r\n", NULL, MERGE_OWN "A: b\n\nx\r\n");
}

static void mbox_lines_at_the_start_go(void **state)
{
	(void)state;
	merge_gives("From me Mon\n>From you\nA: b\n\nFrom here\n", NULL, MERGE_OWN "A: b\n\nFrom here\n");
	assert_int_equal(merge_invalid("From me\nA: b\n\n{{1}}\n").line, 4);
}

static void a_header_block_without_end_gets_one(void **state)
{
	(void)state;
	merge_gives("A: b\nno header\nC: d\n", NULL, MERGE_OWN "A: b\n\nno header\nC: d\n");
	merge_gives("  leading space\nA: b\n\n", NULL, MERGE_OWN "\n  leading space\nA: b\n\n");
	assert_int_equal(merge_invalid("A: b\nno header\n{{1}}\n").line, 3);
}

static void headers_only_and_empty_bodies_pass(void **state)
{
	(void)state;
	merge_gives("A: b\n", NULL, MERGE_OWN "A: b\n");
	merge_gives("A: b", NULL, MERGE_OWN "A: b");
	merge_gives("A: b\n\n", NULL, MERGE_OWN "A: b\n\n");
	merge_gives("", NULL, MERGE_OWN);
	merge_gives("\nbody\n", NULL, MERGE_OWN "\nbody\n");
}

static void an_attachment_is_not_searched_for_fields(void **state)
{
	static const char source[] =
	    "To: x@example.org\nDate: x\nContent-Type: multipart/mixed; boundary=BB\n\npreamble {{x}}\n--BB\n"
	    "Content-Type: application/x-tex\n\n{{nothing at all\n--BB\nContent-Type: message/rfc822\n\n"
	    "Subject: {{inner}}\n\n{{inner}}\n--BB--\nepilogue {{y}}\n";
	char *expected = g_strconcat("Message-ID: <id@example.org>\n", source, NULL);

	(void)state;
	merge_gives(source, NULL, expected);
	g_free(expected);
}

static void an_error_names_line_and_field(void **state)
{
	struct template_error error;

	(void)state;
	error = merge_invalid("A: b\nSubject: x {{name\n\nbody\n");
	assert_int_equal(error.line, 2);
	assert_string_equal(error.field, "name");
	error = merge_invalid("A: b\n\nline 3\n{{good}} {{ bad name }}\n");
	assert_int_equal(error.line, 4);
	assert_string_equal(error.field, "bad");
	error = merge_invalid("A: b\n\n{{x|never closed\n");
	assert_int_equal(error.line, 3);
	assert_string_equal(error.field, "x");
	error = merge_invalid("A: b\n\nbad {{{a}} triple\n");
	assert_string_equal(error.field, "a");
	error = merge_invalid("A: b\n\n{{a|{{b}}}}\n");
	assert_string_equal(error.field, "a");
	error = merge_invalid("A: b\n\nfunction() {{ return 1; }}\n");
	assert_string_equal(error.field, "return");
	assert_int_equal(merge_invalid("A: b\n\n{{}}\n").line, 3);
	assert_int_equal(merge_invalid("A: b\n\n{{").line, 3);
	assert_int_equal(merge_invalid("A: b\n{{x}}: c\n\n").line, 2);
}

static void a_header_that_describes_the_message_takes_no_field(void **state)
{
	static const char *const headers[] = {"Message-ID: <{{a}}@b>", "Content-Type: text/{{a}}",
	    "Content-Type: multipart/mixed; boundary=\"{{a}}\"", "Content-Transfer-Encoding: {{a}}",
	    "MIME-Version: {{a}}", "Content-Disposition: attachment; filename=\"{{a}}.txt\""};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		char *source = g_strconcat("A: b\n", headers[i], "\n\nbody\n", NULL);

		assert_int_equal(merge_invalid(source).line, 2);
		g_free(source);
	}
	assert_int_equal(merge_invalid("Content-Type: multipart/mixed; boundary=B\n\n--B\n"
	                               "Content-Type: text/plain; name={{a}}\n\nx\n--B--\n")
	                     .line,
	    4);
}

static void a_signed_part_takes_no_field(void **state)
{
	static const char source[] =
	    "Content-Type: multipart/signed; boundary=B; protocol=\"application/pgp-signature\"\n\n--B\n"
	    "Content-Type: text/plain\n\nHello %s\n--B\nContent-Type: "
	    "application/pgp-signature\n\nsig\n--B--\n";
	char *with = g_strdup_printf(source, "{{name}}"), *without = g_strdup_printf(source, "all");
	char *expected = g_strconcat(MERGE_OWN, without, NULL);

	(void)state;
	assert_non_null(strstr(merge_invalid(with).text, "signed"));
	merge_gives(without, NULL, expected);
	g_free(expected);
	g_free(with);
	g_free(without);
}

static void limits_hold(void **state)
{
	char *large = calloc(1, TEMPLATE_SIZE_MAX + 1);
	GString *many = g_string_new("A: b\n\n");
	char name[FIELD_NAME_MAX + 2];

	(void)state;
	merge_refused(large, TEMPLATE_SIZE_MAX + 1, OPT_E_LIMIT);
	free(large);
	for (int i = 0; i <= TEMPLATE_FIELDS_MAX; i++)
		g_string_append_printf(many, "{{f%d}}\n", i);
	assert_int_equal(merge_refused(many->str, many->len, OPT_E_LIMIT).line, 3 + TEMPLATE_FIELDS_MAX);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	g_string_printf(many, "A: b\n\n{{%s}}", name);
	merge_refused(many->str, many->len, OPT_E_LIMIT);
	g_string_printf(many, "A: b\n\n{{%s}}", name + 1);
	template_free(merge_compile(many->str, many->len));
	g_string_free(many, TRUE);
}

static void headers_without_end_are_refused(void **state)
{
	GString *source = g_string_new(NULL);

	(void)state;
	while (source->len < 1024 * 1024)
		g_string_append(source, "a:\n");
	merge_refused(source->str, source->len, OPT_E_LIMIT);
	g_string_assign(source, "Content-Type: multipart/mixed; boundary=B\n\n");
	while (source->len < 1024 * 1024)
		g_string_append(source, "--B\n\n");
	merge_refused(source->str, source->len, OPT_E_LIMIT);
	g_string_assign(source, "Content-Type: message/rfc822\n\nTo: a@b");
	while (source->len < 4 * 1024 * 1024)
		g_string_append(source, ", a@b");
	merge_refused(source->str, source->len, OPT_E_LIMIT);
	g_string_assign(source, "A: b\n\n");
	while (source->len < 4 * 1024 * 1024)
		g_string_append(source, "--\na: b\n");
	free(merge(source->str, NULL));
	g_string_free(source, TRUE);
}

static void parts_nested_without_end_are_refused(void **state)
{
	GString *source = g_string_new(NULL);

	(void)state;
	for (int i = 0; i < 200; i++)
		g_string_append_printf(
		    source, "Content-Type: multipart/mixed; boundary=B%d\n\n--B%d\n", i, i);
	merge_refused(source->str, source->len, OPT_E_LIMIT);
	g_string_free(source, TRUE);
}

static void fields_never_go_out_unread(void **state)
{
	(void)state;
	merge_invalid("Content-Type: multipart/mixed\n\n{{a}}\n");
	merge_invalid("Content-Type: multipart/mixed; boundary=X\n\n--Y\n\n{{a}}\n");
	merge_invalid("Content-Transfer-Encoding: x-unknown\n\n{{a}}\n");
	merge_invalid("Content-Transfer-Encoding: x-uuencode\n\n{{a}}\n");
	merge_gives("Content-Type: multipart/mixed\n\n{a}\n", NULL,
	    MERGE_OWN "Content-Type: multipart/mixed\n\n{a}\n");
	merge_gives("(x)<>@: odd name\n\nbody\n", NULL, MERGE_OWN "(x)<>@: odd name\n\nbody\n");
}

static void an_error_in_an_encoded_part_says_near(void **state)
{
	/* "a\n{{ 1" */
	struct template_error error = merge_invalid("Content-Transfer-Encoding: base64\n\nYQp7eyAx\n");

	(void)state;
	assert_non_null(strstr(error.text, "near"));
	assert_in_range(error.line, 3, 4);
}

static void ten_megabytes_are_merged(void **state)
{
	GString *source = g_string_new("A: b\nContent-Transfer-Encoding: 8bit\n\n{{x}}\n");
	size_t len;
	char *got;

	(void)state;
	while (source->len < 10 * 1024 * 1024)
		g_string_append(source, "a line of a very large template, one of many of them, and so on\n");
	got = merge_bytes(source->str, source->len, FIELDS("value"), &len);
	assert_true(len > source->len);
	assert_non_null(strstr(got, "\nvalue\na line"));
	free(got);
	g_string_free(source, TRUE);
}

static void fields_are_listed_in_order_of_first_use(void **state)
{
	static const char source[] = "Subject: {{b|x}} {{email}}\n\n{{a}} {{b}}\n{{c|}} {{verp}}\n";
	struct template *template = merge_compile(source, strlen(source));

	(void)state;
	assert_int_equal(template_field_count(template), 3);
	assert_string_equal(template_field(template, 0), "b");
	assert_string_equal(template_field(template, 1), "a");
	assert_string_equal(template_field(template, 2), "c");
	assert_int_equal(template_field_line(template, 0), 1);
	assert_int_equal(template_field_line(template, 1), 3);
	assert_int_equal(template_field_line(template, 2), 4);
	assert_true(template_field_required(template, 0));
	assert_true(template_field_required(template, 1));
	assert_false(template_field_required(template, 2));
	assert_true(template_field_in_header(template, 0));
	assert_false(template_field_in_header(template, 1));
	template_free(template);
}

static void values_that_can_not_be_merged_are_refused(void **state)
{
	static const char source[] = "Subject: {{s|x}}\n\n{{b|x}}\n";
	static const char required[] = "A: b\n\n{{b}}\n";

	(void)state;
	merge_value_refused(source, FIELDS("a\nBcc: x@example.org", "y"), "s");
	merge_value_refused(source, FIELDS("a\rb", "y"), "s");
	merge_value_refused(source, FIELDS("a", "\xff"), "b");
	merge_value_refused(source, FIELDS("\xed\xa0\x80", "x"), "s");
	merge_value_refused(required, (const char *[]){NULL}, "b");
	free(merge(source, (const char *[]){NULL, NULL}));
	free(merge(source, FIELDS("a", "b\r\nc")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_message_without_fields_passes_byte_for_byte),
	    cmocka_unit_test(nul_bytes_outside_fields_pass),
	    cmocka_unit_test(to_and_date_of_the_template_stay),
	    cmocka_unit_test(message_id_of_the_template_is_replaced),
	    cmocka_unit_test(crlf_becomes_lf_when_the_first_line_has_it),
	    cmocka_unit_test(mbox_lines_at_the_start_go),
	    cmocka_unit_test(a_header_block_without_end_gets_one),
	    cmocka_unit_test(headers_only_and_empty_bodies_pass),
	    cmocka_unit_test(an_attachment_is_not_searched_for_fields),
	    cmocka_unit_test(an_error_names_line_and_field),
	    cmocka_unit_test(a_header_that_describes_the_message_takes_no_field),
	    cmocka_unit_test(a_signed_part_takes_no_field),
	    cmocka_unit_test(limits_hold),
	    cmocka_unit_test(headers_without_end_are_refused),
	    cmocka_unit_test(parts_nested_without_end_are_refused),
	    cmocka_unit_test(fields_never_go_out_unread),
	    cmocka_unit_test(an_error_in_an_encoded_part_says_near),
	    cmocka_unit_test(ten_megabytes_are_merged),
	    cmocka_unit_test(fields_are_listed_in_order_of_first_use),
	    cmocka_unit_test(values_that_can_not_be_merged_are_refused),
	};

	return cmocka_run_group_tests(tests, merge_init, NULL);
}
