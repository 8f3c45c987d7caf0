/* SPDX-License-Identifier: MIT */
/*
 * Values in bodies come back from a reader exactly, in every transfer encoding and charset.
 */
#include "merge.h"

#define FIELDS(...) ((const char *[]){__VA_ARGS__, NULL})

#define E_ACUTE "\xc3\xa9"
#define JAPAN   "\xe6\x97\xa5\xe6\x9c\xac"

static const char *const VALUES[] = {"", "Jane", "Jos" E_ACUTE, JAPAN " \xf0\x9f\x98\x80",
    "a=b =3D =", "trailing space ", "line one\nline two\n", "--BB", "--BB--", "\n--BB\n", ".", "\n.\n",
    "From x", "\nFrom x", "{{name}}", "&<>\"'", "tab\t",
    "0123456789012345678901234567890123456789012345678901234567890123456789 and more than one line",
    JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN JAPAN
        JAPAN};

/* Every value comes back from the nth part, between these texts. */
static void check_all(const char *source, int n, const char *before, const char *after)
{
	for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
		char *expected = g_strconcat(before, VALUES[i], after, NULL);

		merge_part_is(source, FIELDS(VALUES[i]), n, expected);
		g_free(expected);
	}
}

static void a_plain_body_becomes_quoted_printable_utf8(void **state)
{
	static const char source[] = "Subject: a\n\nHello {{name}}, welcome\n";

	(void)state;
	merge_gives(source, FIELDS("Jos" E_ACUTE),
	    MERGE_OWN "Subject: a\nContent-Type: text/plain; charset=utf-8\n"
	              "Content-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n\n"
	              "Hello Jos=C3=A9, welcome\n");
	check_all(source, 0, "Hello ", ", welcome\n");
	check_all("A: b\n\n{{name}}", 0, "", "");
}

static void headers_are_the_same_for_every_value(void **state)
{
	static const char source[] = "A: b\nContent-Type: text/plain\n\n{{name}}\n";
	char *one = merge(source, FIELDS("Jane")), *two = merge(source, FIELDS("Jos" E_ACUTE));
	size_t head = (size_t)(strstr(one, "\n\n") - one);

	(void)state;
	assert_int_equal(strncmp(one, two, head + 2), 0);
	free(one);
	free(two);
}

static void seven_bit_becomes_quoted_printable_in_place(void **state)
{
	(void)state;
	merge_gives(
	    "Content-Transfer-Encoding: 7bit\nMIME-Version: 1.0\n"
	    "Content-Type: text/plain; format=flowed;\n charset=\"US-ASCII\"\nX-Last: 1\n\n{{a}} = \n",
	    FIELDS("x"),
	    MERGE_OWN "Content-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n"
	              "Content-Type: text/plain; format=flowed; charset=utf-8\nX-Last: 1\n\nx =3D=20\n");
}

static void eight_bit_stays(void **state)
{
	static const char source[] = "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
	                             "Content-Transfer-Encoding: 8bit\n\n\xc3\xbc {{name}}, welcome\n";

	(void)state;
	check_all(source, 0, "\xc3\xbc ", ", welcome\n");
	merge_gives(source, FIELDS("a\r\nb\rc"),
	    MERGE_OWN "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
	              "Content-Transfer-Encoding: 8bit\n\n\xc3\xbc a\nb\nc, welcome\n");
}

static void quoted_printable_stays(void **state)
{
	static const char source[] =
	    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n"
	    "\nGr=C3=BC=C3=9Fe =\nund {{name}}, welcome\nlast =20\n";

	(void)state;
	check_all(source, 0,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e und ",
	    ", welcome\nlast  \n");
}

static void a_field_in_a_soft_line_break_is_found(void **state)
{
	(void)state;
	merge_part_is(
	    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
	    "Hello {=\n{na=\nme=7C=\nyou}=\n}!\n",
	    FIELDS("Jane"), 0, "Hello Jane!\n");
}

static void base64_html_is_found_and_stays_base64(void **state)
{
	/* <p>Hello {{name}}, welcome</p>\n */
	static const char source[] =
	    "Content-Type: multipart/alternative; boundary=BB\nMIME-Version: 1.0\n\n--BB\n\nplain\n--BB\n"
	    "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
	    "PHA+SGVsbG8ge3tuYW1lfX0sIHdl\nbGNvbWU8L3A+Cg==\n--BB--\n";
	char *got = merge(source, FIELDS("<b>"));

	(void)state;
	merge_part_is(source, FIELDS("R&D <\"'>"), 1, "<p>Hello R&amp;D &lt;&quot;&#39;&gt;, welcome</p>\n");
	assert_non_null(strstr(got, "\n\nplain\n--BB\n"));
	assert_non_null(strstr(got, "base64\n\nPHA+SGVsbG8g"));
	assert_in_range(merge_longest_line(got), 40, 76);
	free(got);
}

static void html_is_escaped_unless_raw(void **state)
{
	static const char source[] =
	    "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n<p>{{a}} {{{a}}} {{b|<i>you</i>}}</p>\n";

	(void)state;
	merge_part_is(
	    source, FIELDS("<b>&'\"", ""), 0, "<p>&lt;b&gt;&amp;&#39;&quot; <b>&'\" <i>you</i></p>\n");
	merge_part_is("A: b\n\n{{a}} {{{a}}}\n", FIELDS("<b>"), 0, "<b> <b>\n");
}

static void latin1_parts_stay_latin1(void **state)
{
	static const char plain[] =
	    "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
	    "Gr\xfc\xdf"
	    "e {{a}} {{b|Jos\xe9}}\n";
	static const char html[] =
	    "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
	    "Gr=FC=DFe {{a}}\n";
	char *got = merge(plain, FIELDS(E_ACUTE, NULL));

	(void)state;
	assert_non_null(strstr(got, "\n\nGr\xfc\xdf"
	                            "e \xe9 Jos\xe9\n"));
	free(got);
	merge_part_is(plain, FIELDS(E_ACUTE JAPAN, "x"), 0,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e " E_ACUTE "?? x\n");
	merge_part_is(html, FIELDS(E_ACUTE JAPAN "&"), 0,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e " E_ACUTE "&#26085;&#26412;&amp;\n");
}

static void shifting_charsets_work(void **state)
{
	/* "日本 {{a}}" */
	static const char source[] =
	    "Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: base64\n\n"
	    "GyRCRnxLXBsoQiB7e2F9fQo=\n";

	(void)state;
	merge_part_is(source, FIELDS(JAPAN "x"), 0, JAPAN " " JAPAN "x\n");
}

static void a_charset_that_takes_no_fields_is_an_error(void **state)
{
	(void)state;
	assert_non_null(
	    strstr(merge_invalid("Content-Type: text/plain; charset=x-klingon\n\n{{a}}\n").text, "unknown"));
	/* "{{a}}" in UTF-16LE */
	merge_invalid("Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: "
	              "base64\n\newB7AGEAfQB9AA==\n");
	merge_invalid("A: b\n\n\xfc {{a}}\n");
	merge_gives("Content-Type: text/plain; charset=x-klingon\n\n{a}\n", NULL,
	    MERGE_OWN "Content-Type: text/plain; charset=x-klingon\n\n{a}\n");
}

static void other_parts_and_boundaries_stay(void **state)
{
	static const char source[] =
	    "Content-Type: multipart/mixed;\n boundary=\"BB\"\n\npreamble\n--BB  \nX-Part: 1\n\n{{a}}\n--BB\n"
	    "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAAA\n\n--BB\n\n"
	    "no header {{a}}\n\n--BB--\nepilogue\n";

	(void)state;
	merge_gives(source, FIELDS("x"),
	    MERGE_OWN
	    "Content-Type: multipart/mixed;\n boundary=\"BB\"\n\npreamble\n--BB  \nX-Part: 1\n"
	    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
	    "quoted-printable\n\nx\n--BB\n"
	    "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAAA\n\n--BB\n"
	    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
	    "no header x\n\n--BB--\nepilogue\n");
}

static void a_value_can_not_end_its_part(void **state)
{
	static const char source[] =
	    "Content-Type: multipart/mixed; boundary=BB\n\n--BB\n\n{{a}}\n--BB\n\nsecond\n--BB--\n";
	char *got = merge(source, FIELDS("x\n--BB\n\ninjected\n--BB--\n"));
	GMimeMessage *message = merge_read(got);
	GMimeMultipart *multipart = GMIME_MULTIPART(g_mime_message_get_mime_part(message));

	(void)state;
	assert_int_equal(g_mime_multipart_get_count(multipart), 2);
	g_object_unref(message);
	free(got);
}

static void long_lines_of_quoted_printable_are_broken(void **state)
{
	GString *source = g_string_new("Content-Type: text/plain; charset=utf-8\n\n");
	char *got;

	(void)state;
	for (int i = 0; i < 500; i++)
		g_string_append(source, "words and ");
	g_string_append(source, "{{a}} end\n");
	got = merge(source->str, FIELDS("value"));
	assert_in_range(merge_longest_line(strstr(got, "\n\n")), 70, 76);
	free(got);
	g_string_free(source, TRUE);
}

static void random_values_come_back_from_bodies(void **state)
{
	static const char *const encodings[] = {"7bit", "8bit", "quoted-printable"};
	uint64_t seed = 2;
	char value[512];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		char *source = g_strdup_printf(
		    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: %s\n\n"
		    "before\nx {{a}} y {{a}}\nafter\n",
		    encodings[i % 3]);
		char *expected;

		merge_random(&seed, true, value);
		expected = g_strdup_printf("before\nx %s y %s\nafter\n", value, value);
		merge_part_is(source, FIELDS(value), 0, expected);
		g_free(expected);
		g_free(source);
		/* "{{a}}-{{a}}" */
		expected = g_strdup_printf("%s-%s", value, value);
		merge_part_is("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
		              "e3thfX0te3thfX0=\n",
		    FIELDS(value), 0, expected);
		g_free(expected);
	}
}

static void the_same_values_give_the_same_bytes(void **state)
{
	static const char source[] = "Subject: {{a}}\n\n{{a}} {{b|x}}\n";
	char *one = merge(source, FIELDS("Jos" E_ACUTE, NULL)),
	     *two = merge(source, FIELDS("Jos" E_ACUTE, NULL));

	(void)state;
	assert_string_equal(one, two);
	free(one);
	free(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_plain_body_becomes_quoted_printable_utf8),
	    cmocka_unit_test(headers_are_the_same_for_every_value),
	    cmocka_unit_test(seven_bit_becomes_quoted_printable_in_place),
	    cmocka_unit_test(eight_bit_stays),
	    cmocka_unit_test(quoted_printable_stays),
	    cmocka_unit_test(a_field_in_a_soft_line_break_is_found),
	    cmocka_unit_test(base64_html_is_found_and_stays_base64),
	    cmocka_unit_test(html_is_escaped_unless_raw),
	    cmocka_unit_test(latin1_parts_stay_latin1),
	    cmocka_unit_test(shifting_charsets_work),
	    cmocka_unit_test(a_charset_that_takes_no_fields_is_an_error),
	    cmocka_unit_test(other_parts_and_boundaries_stay),
	    cmocka_unit_test(a_value_can_not_end_its_part),
	    cmocka_unit_test(long_lines_of_quoted_printable_are_broken),
	    cmocka_unit_test(random_values_come_back_from_bodies),
	    cmocka_unit_test(the_same_values_give_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, merge_init, NULL);
}
