/* SPDX-License-Identifier: MIT */
/* Rows of an upload and the settings before them: what is taken, what is refused, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/api_row.h"
#include "daemon/api_settings.h"
#include "daemon/api_time.h"
#include "queue/error.h"
#include "queue/message/recipients.h"

static const char source[] = "From: a@example.com\nSubject: x\n\n{{name}} {{city|nowhere}}\n";

struct rows {
	struct template *template;
	struct row_parser *parser;
};

static int setup(void **state)
{
	struct rows *rows = calloc(1, sizeof *rows);
	struct template_error error;

	assert_int_equal(template_compile(source, sizeof source - 1, &rows->template, &error), 0);
	rows->parser = row_parser_new(rows->template);
	*state = rows;
	return 0;
}

static int teardown(void **state)
{
	struct rows *rows = *state;

	row_parser_free(rows->parser);
	template_free(rows->template);
	free(rows);
	return 0;
}

static void good_rows_are_read(void **state)
{
	struct rows *rows = *state;
	static const struct {
		const char *line, *email, *name, *city;
	} cases[] = {
	    {"{\"email\":\"a@b.c\",\"name\":\"Ann\",\"city\":\"Rome\"}", "a@b.c", "Ann", "Rome"},
	    {" { \"email\" : \"a@b.c\" , \"name\" : \"Ann\" } \r", "a@b.c", "Ann", NULL},
	    {"{\"city\":\"\",\"x\":1,\"email\":\"a@b.c\",\"name\":1.50}", "a@b.c", "1.50", ""},
	    {"{\"name\":-0.5e+10,\"email\":\"a@b.c\",\"city\":false}", "a@b.c", "-0.5e+10", "false"},
	    {"{\"na\\u006de\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"email\":\"a@b.c\"}", "a@b.c",
	        "\"\\/\b\f\n\r\t", NULL},
	    {"{\"name\":\"\\u00e9\\u20AC\\ud83d\\ude00\",\"email\":\"a@b.c\"}", "a@b.c", "é€😀", NULL},
	    {"{\"name\":\"é€😀\",\"email\":\"ü@b.c\"}", "ü@b.c", "é€😀", NULL},
	    {"{\"\":\"x\",\"email\":\"a@b.c\",\"Name\":\"x\"}", "a@b.c", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct api_error error;
		struct row row;

		if (row_parse(rows->parser, cases[i].line, strlen(cases[i].line), &row, &error) < 0)
			fail_msg("%s: %s", cases[i].line, error.text);
		assert_string_equal(row.email, cases[i].email);
		assert_string_equal(row.values[0] ? row.values[0] : "-", cases[i].name ? cases[i].name : "-");
		assert_string_equal(row.values[1] ? row.values[1] : "-", cases[i].city ? cases[i].city : "-");
	}
}

static void bad_rows_are_refused(void **state)
{
	struct rows *rows = *state;
	static const char *const lines[] = {"", "x", "{", "{}", "[]", "null", "{\"email\"}", "{\"email\":}",
	    "{\"email\":\"a@b.c\"", "{\"email\":\"a@b.c\",}", "{\"email\":\"a@b.c\"}}",
	    "{\"email\":\"a@b.c\"} x", "{\"email\":\"a@b.c\" \"x\":1}", "{email:1}", "{'email':1}",
	    "{\"email\":null}", "{\"email\":{}}", "{\"x\":[1],\"email\":\"a\"}", "{\"x\":01,\"email\":\"a\"}",
	    "{\"x\":1.,\"email\":\"a\"}", "{\"x\":.5,\"email\":\"a\"}", "{\"x\":-,\"email\":\"a\"}",
	    "{\"x\":1e,\"email\":\"a\"}", "{\"x\":+1,\"email\":\"a\"}", "{\"x\":tru,\"email\":\"a\"}",
	    "{\"x\":NaN,\"email\":\"a\"}", "{\"email\":\"a\",\"email\":\"a\"}",
	    "{\"name\":\"a\",\"name\":\"b\",\"email\":\"a\"}", "{\"email\":\"\\u0000\"}",
	    "{\"email\":\"\\ud800\"}", "{\"email\":\"\\ud800\\u0041\"}", "{\"email\":\"\\udc00\"}",
	    "{\"email\":\"\\u12\"}", "{\"email\":\"\\x\"}", "{\"email\":\"\\", "{\"email\":\"\xff\"}",
	    "{\"email\":\"\xc3\"}", "{\"email\":\"\xed\xa0\x80\"}", "{\"email\":\"\xc0\x80\"}",
	    "{\"email\":\"\t\"}", "{\"\xff\":1,\"email\":\"a\"}"};

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct api_error error = {0};
		struct row row;

		if (row_parse(rows->parser, lines[i], strlen(lines[i]), &row, &error) != OPT_E_INVALID)
			fail_msg("taken: %s", lines[i]);
		assert_int_equal(error.code, API_RECIPIENT);
		assert_true(strlen(error.text) > 20);
	}
}

static void a_row_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
	struct rows *rows = *state;
	static const char begin[] = "{\"email\":\"a@b.c\",\"name\":\"";
	char *line = malloc(RECIPIENT_BYTES_MAX + 1);
	struct api_error error;
	struct row row;

	assert_non_null(line);
	memset(line, 'x', RECIPIENT_BYTES_MAX + 1);
	memcpy(line, begin, sizeof begin - 1);
	memcpy(line + RECIPIENT_BYTES_MAX - 2, "\"}", 2);
	assert_int_equal(row_parse(rows->parser, line, RECIPIENT_BYTES_MAX, &row, &error), 0);
	assert_int_equal(strlen(row.values[0]), RECIPIENT_BYTES_MAX - (sizeof begin - 1) - 2);
	assert_int_equal(row_parse(rows->parser, line, RECIPIENT_BYTES_MAX + 1, &row, &error), OPT_E_LIMIT);
	free(line);
}

static void rows_with_other_names_at_the_same_place_are_not_mixed_up(void **state)
{
	struct rows *rows = *state;
	struct api_error error;
	struct row row;

	for (int i = 0; i < 10; i++) {
		const char *line = i % 2 ? "{\"email\":\"a@b.c\",\"name\":\"N\",\"city\":\"C\"}"
		                         : "{\"city\":\"C\",\"name\":\"N\",\"email\":\"a@b.c\"}";

		assert_int_equal(row_parse(rows->parser, line, strlen(line), &row, &error), 0);
		assert_string_equal(row.email, "a@b.c");
		assert_string_equal(row.values[0], "N");
		assert_string_equal(row.values[1], "C");
	}
}

#define BODY "\"template\":\"From: a@b.example\\nSubject: x\\n\\nHi {{name}}, {{city|you}}\""

static const struct utc_time now = {1700000000 * USEC_PER_SEC};

static int parse(const char *text, struct api_settings *settings, struct api_error *error)
{
	return api_settings_parse("batch", text, strlen(text), now, settings, error);
}

static void good_settings_are_read(void **state)
{
	struct api_settings settings;
	struct api_error error = {0};

	(void)state;
	assert_int_equal(parse("{\"from\":\"\"," BODY "}", &settings, &error), 0);
	assert_string_equal(settings.batch.name, "batch");
	assert_string_equal(settings.batch.sender, "");
	assert_int_equal(settings.batch.expire, 5 * 86400 * USEC_PER_SEC);
	assert_int_equal(settings.batch.replicas, 3);
	assert_int_equal(settings.batch.start.us, 0);
	assert_int_equal(template_field_count(settings.template), 2);
	api_settings_done(&settings);

	assert_int_equal(
	    parse("{\"from\":\"n+{{verp}}@b.example\",\"expire\":1,\"priority\":-100,\"replicas\":7,"
	          "\"at\":\"2023-11-14T22:13:21.5+00:00\",\"columns\":[\"name\",\"email\"]," BODY "}",
	        &settings, &error),
	    0);
	assert_int_equal(settings.batch.start.us, now.us + 1500000);
	assert_int_equal(settings.batch.priority, -100);
	assert_int_equal(settings.batch.replicas, 7);
	api_settings_done(&settings);

	assert_int_equal(
	    parse("{\"from\":\"\",\"template_base64\":\"U3ViamVjdDogeAoK6Q==\"}", &settings, &error), 0);
	assert_int_equal(settings.source_len, 13);
	assert_int_equal((unsigned char)settings.source[12], 0xe9);
	api_settings_done(&settings);
}

static void bad_settings_name_the_field(void **state)
{
	static const struct {
		const char *text, *field;
		enum api_code code;
	} cases[] = {
	    {"{" BODY "}", "from", API_INVALID},
	    {"{\"from\":7," BODY "}", "from", API_INVALID},
	    {"{\"from\":\"Ann <a@b.example>\"," BODY "}", "from", API_INVALID},
	    {"{\"from\":\"a\\u0000@b.example\"," BODY "}", "from", API_INVALID},
	    {"{\"from\":\"{{name}}@b.example\"," BODY "}", "from", API_INVALID},
	    {"{\"from\":\"\",\"expire\":0," BODY "}", "expire", API_INVALID},
	    {"{\"from\":\"\",\"expire\":2592001," BODY "}", "expire", API_INVALID},
	    {"{\"from\":\"\",\"expire\":1.5," BODY "}", "expire", API_INVALID},
	    {"{\"from\":\"\",\"expire\":\"5d\"," BODY "}", "expire", API_INVALID},
	    {"{\"from\":\"\",\"priority\":101," BODY "}", "priority", API_INVALID},
	    {"{\"from\":\"\",\"replicas\":0," BODY "}", "replicas", API_INVALID},
	    {"{\"from\":\"\",\"replicas\":8," BODY "}", "replicas", API_INVALID},
	    {"{\"from\":\"\",\"at\":\"tomorrow\"," BODY "}", "at", API_INVALID},
	    {"{\"from\":\"\",\"at\":\"2025-01-01T00:00:00Z\"," BODY "}", "at", API_INVALID},
	    {"{\"from\":\"\",\"expires\":1," BODY "}", "expires", API_INVALID},
	    {"{\"from\":\"\"}", "template", API_INVALID},
	    {"{\"from\":\"\",\"template\":7}", "template", API_INVALID},
	    {"{\"from\":\"\",\"template_base64\":\"eA\"," BODY "}", "template", API_INVALID},
	    {"{\"from\":\"\",\"template_base64\":\"*\"}", "template_base64", API_INVALID},
	    {"{\"from\":\"\",\"columns\":7," BODY "}", "columns", API_INVALID},
	    {"{\"from\":\"\",\"columns\":[7]," BODY "}", "columns", API_INVALID},
	    {"{\"from\":\"\",\"columns\":[\"name\"]," BODY "}", "email", API_INVALID},
	    {"{\"from\":\"\",\"columns\":[\"email\",\"city\"]," BODY "}", "name", API_TEMPLATE},
	    {"{\"from\":\"\",\"from\":\"\"," BODY "}", "", API_INVALID},
	    {"[]", "", API_INVALID},
	    {"", "", API_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct api_settings settings;
		struct api_error error = {0};

		if (parse(cases[i].text, &settings, &error) == 0)
			fail_msg("taken: %s", cases[i].text);
		assert_int_equal(error.code, cases[i].code);
		assert_string_equal(error.field, cases[i].field);
		assert_true(strlen(error.text) > 20);
	}
}

static void a_missing_column_is_told_with_its_line(void **state)
{
	struct api_settings settings;
	struct api_error error = {0};

	(void)state;
	assert_true(parse("{\"from\":\"\",\"columns\":[\"email\"]," BODY "}", &settings, &error) < 0);
	assert_int_equal(error.line, 4);
	assert_string_equal(error.field, "name");
}

static void times_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {
	    {"1970-01-01T00:00:00Z", 0},
	    {"2000-02-29T23:59:59Z", 951868799000000},
	    {"2023-11-14T22:13:20Z", 1700000000000000},
	    {"2023-11-15T00:13:20.25+02:00", 1700000000250000},
	    {"2023-11-14 20:13:20-02:00", 1700000000000000},
	    {"9999-12-31T23:59:59Z", 253402300799000000},
	};
	static const char *const bad[] = {"", "2023", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z",
	    "2023-00-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", "2023-01-01T00:00:00+2",
	    "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00Zx", "1969-12-31T23:59:59Z",
	    "1970-01-01T00:00:00+01:00"};
	struct utc_time time;
	char text[API_TIME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(api_time_parse(good[i].text, &time), 0);
		assert_int_equal(time.us, good[i].us);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(api_time_parse(bad[i], &time), OPT_E_INVALID);
	for (uint64_t day = 0; day < 60000; day += 13) {
		struct utc_time again, at = {(day * 86400 + day % 86400) * USEC_PER_SEC};

		assert_int_equal(api_time_parse(api_time_format(at, text), &again), 0);
		assert_int_equal(again.us, at.us);
	}
	assert_string_equal(
	    api_time_format((struct utc_time){1700000000999999}, text), "2023-11-14T22:13:20Z");
	assert_string_equal(api_time_format((struct utc_time){UINT64_MAX}, text), "9999-12-31T23:59:59Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(good_rows_are_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_rows_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_row_may_be_as_long_as_the_limit_and_no_longer, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        rows_with_other_names_at_the_same_place_are_not_mixed_up, setup, teardown),
	    cmocka_unit_test(good_settings_are_read),
	    cmocka_unit_test(bad_settings_name_the_field),
	    cmocka_unit_test(a_missing_column_is_told_with_its_line),
	    cmocka_unit_test(times_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
