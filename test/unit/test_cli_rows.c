/* SPDX-License-Identifier: MIT */
/*
 * Recipients files: what is read, what is a problem of a row, and what is the end of reading.
 *
 * Every case is read twice, in one piece and byte by byte, because a file arrives in blocks that end
 * anywhere. The result is compared as text: a line for each row (its JSON, or "! record line problem") and "E
 * error".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/api_settings.h"
#include "daemon/cli_rows.h"
#include "queue/error.h"

struct memory {
	const char *data;
	size_t len, step;
};

static ssize_t read_memory(void *context, void *data, size_t size)
{
	struct memory *memory = context;
	size_t len = memory->len < memory->step ? memory->len : memory->step;

	if (len > size)
		len = size;
	memcpy(data, memory->data, len);
	memory->data += len;
	memory->len -= len;
	return (ssize_t)len;
}

static void read_all(const char *data, size_t len, size_t step, enum rows_format format, struct buffer *out)
{
	struct memory memory = {data, len, step};
	struct input_source source = {read_memory, &memory};
	char error[ROWS_TEXT_MAX];
	struct rows *rows;
	struct row row;
	int rc;

	if (rows_open(&source, format, &rows, error) < 0) {
		buffer_printf(out, "E %s\n", error);
		return;
	}
	while ((rc = rows_next(rows, &row)) == 1) {
		if (row.problem != NULL)
			buffer_printf(out, "! %d %d %s\n", (int)row.record, (int)row.line, row.problem);
		else if (rows_encode(rows, out) < 0)
			buffer_printf(out, "! %d %d too long\n", (int)row.record, (int)row.line);
	}
	if (rc < 0)
		buffer_printf(out, "E %s\n", rows_error(rows));
	assert_int_equal(rows_bytes(rows), len - memory.len);
	rows_free(rows);
}

static void expect_bytes(const char *data, size_t len, enum rows_format format, const char *expected)
{
	static const size_t steps[] = {SIZE_MAX, 1, 7};

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct buffer out;

		buffer_init(&out);
		read_all(data, len, steps[i], format, &out);
		assert_string_equal(buffer_text(&out), expected);
		buffer_done(&out);
	}
}

static void expect(const char *data, const char *expected)
{
	expect_bytes(data, strlen(data), ROWS_GUESS, expected);
}

#define A "{\"email\":\"a@x.org\",\"name\":\"Ann\"}\n"
#define B "{\"email\":\"b@x.org\",\"name\":\"Bob\"}\n"

static void line_ends_and_marks_make_no_difference(void **state)
{
	(void)state;
	expect("email,name\na@x.org,Ann\nb@x.org,Bob\n", A B);
	expect("email,name\na@x.org,Ann\nb@x.org,Bob", A B);
	expect("email,name\r\na@x.org,Ann\r\nb@x.org,Bob\r\n", A B);
	expect("email,name\ra@x.org,Ann\rb@x.org,Bob\r", A B);
	expect("\xef\xbb\xbf"
	       "email,name\na@x.org,Ann\nb@x.org,Bob\n",
	    A B);
	expect("\xef\xbb\xbf\"email\",\"name\"\na@x.org,Ann\n", A);
	expect("\n\r\nemail,name\n\n  \na@x.org,Ann\n\r\n\n\nb@x.org,Bob\n\n", A B);
	expect("  email , name\n a@x.org ,  Ann \n", A);
	expect("name,E-Mail\n", "E the header on line 1 has no column \"email\"\n");
	expect("name,EMail\nAnn,a@x.org\n", A);
}

static void quotes_hold_commas_quotes_and_lines(void **state)
{
	(void)state;
	expect("email,name\n\"a@x.org\",\"Ann\"\n", A);
	expect("email,name\n\"  a@x.org \",\"Ann\"\n", A);
	expect("email,name\na@x.org,\"O\"\"Hara, \n Ann\r\n\"\n",
	    "{\"email\":\"a@x.org\",\"name\":\"O\\\"Hara, \\n Ann\\r\\n\"}\n");
	expect("email,name\na@x.org,\"\t\x01\\\"\n", "{\"email\":\"a@x.org\",\"name\":\"\\t\\u0001\\\\\"}\n");
	expect("email,name\na@x.org,\n", "{\"email\":\"a@x.org\",\"name\":\"\"}\n");
	expect("email,name\na@x.org,\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n",
	    "{\"email\":\"a@x.org\",\"name\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}\n");
	/* Columns without a name are read over. */
	expect("email,,name,\na@x.org,1,Ann,2\n", A);
}

static void a_wrong_row_is_told_with_its_record_and_line(void **state)
{
	static const char nul[] = "email,name\na@x.org,A\0n\na@x.org,Ann\n";

	(void)state;
	expect("email,name\n\n\"a@x.org\",\"An\nn\"\nb@x.org\nb@x.org,1,2\na@x.org,Ann\n",
	    "{\"email\":\"a@x.org\",\"name\":\"An\\nn\"}\n! 2 5 it has 1 cell, the header has 2\n"
	    "! 3 6 it has 3 cells, the header has 2\n" A);
	expect("email,name\na@x.org,\xe9\nc@x.org,\xc0\xaf\nd@x.org,\xed\xa0\x80\na@x.org,Ann\n",
	    "! 1 2 it is not in UTF-8\n! 2 3 it is not in UTF-8\n! 3 4 it is not in UTF-8\n" A);
	expect_bytes(nul, sizeof nul - 1, ROWS_CSV, "! 1 2 it holds a NUL byte\n" A);
	expect("email,name\nb@x.org,5\" pipe\na@x.org,Ann\n",
	    "! 1 2 a quote stands where none may; a cell that holds quotes needs \"...\" around it and its "
	    "own doubled\n" A);
	expect("email,name\r\nb@x.org,\"B\"ob\r\na@x.org,Ann\r\n",
	    "! 1 2 a quote stands where none may; a cell that holds quotes needs \"...\" around it and its "
	    "own doubled\n" A);
	/* An empty address is for the caller to refuse. */
	expect("email,name\n,Ann\n", "{\"email\":\"\",\"name\":\"Ann\"}\n");
}

static void reading_ends_where_a_row_has_no_clear_end(void **state)
{
	(void)state;
	expect("email,name\na@x.org,Ann\nb@x.org,\"Bob\nc@x.org,C\n",
	    A "E the file ends inside a quote, in the row that begins on line 3\n");
	expect("email,name\na@x.org,Ann\nb@x.org,\"Bob\nc@x.org,\"C\"\nd@x.org,D\n",
	    A "E the quotes of the row that begins on line 3 don't match: text stands behind a closing quote "
	      "on line 4\n");
	expect("email,\"name\n", "E the file ends inside a quote, in the row that begins on line 1\n");
}

static void a_header_must_make_sense(void **state)
{
	(void)state;
	expect("", "E it is empty; the first line must name the columns, one of them \"email\"\n");
	expect("\n\r\n", "E it is empty; the first line must name the columns, one of them \"email\"\n");
	expect("email\n", "");
	expect("email;name\n",
	    "E the header on line 1 has no column \"email\"; columns must be separated by commas\n");
	expect("email,name,name\n", "E the header has the column \"name\" twice\n");
	expect("email,name,EMAIL\n", "E the header has the column \"email\" twice\n");
	expect("email,\xe9\n", "E the header on line 1 is no CSV in UTF-8\n");
	expect("\xff\xfe"
	       "e",
	    "E it is in UTF-16; save it as UTF-8\n");
}

static void huge_cells_are_refused_not_kept(void **state)
{
	static char text[ROWS_RECORD_MAX + 100 * 1000 + 100];
	size_t len = sizeof text - 100, head;
	char expected[200];

	(void)state;
	/* One row over what may be sent: a problem of that row. */
	head = (size_t)sprintf(text, "email,name\nb@x.org,");
	memset(text + head, 'x', ROWS_OUTPUT_MAX);
	strcpy(text + head + ROWS_OUTPUT_MAX, "\na@x.org,Ann\n");
	expect(text, "! 1 2 too long\n" A);

	/* A quote that swallows the file: the end. */
	head = (size_t)sprintf(text, "email,name\nb@x.org,\"");
	for (size_t i = head; i < len; i++)
		text[i] = i % 50 == 0 ? '\n' : 'x';
	text[len] = '\0';
	snprintf(expected, sizeof expected,
	    "E the row that begins on line 2 is over %d bytes long: is a quote not closed?\n",
	    (int)ROWS_RECORD_MAX);
	expect(text, expected);

	/* In NDJSON the next line is the next row. */
	head = (size_t)sprintf(text, "{\"email\":\"");
	memset(text + head, 'x', len - head);
	strcpy(text + len, "\"}\n" A);
	snprintf(expected, sizeof expected, "! 1 1 the line is over %d bytes long\n" A, (int)ROWS_RECORD_MAX);
	expect(text, expected);
}

static void ndjson_takes_flat_objects(void **state)
{
	static const char nul[] = "{\"email\":\"a\0@x.org\"}\n" A;

	(void)state;
	expect(A B, A B);
	expect("\xef\xbb\xbf" A "\n \r\n" B, A B);
	expect("{\"email\":\" a@x.org "
	       "\",\"n\":19.9,\"i\":12345678901,\"b\":true,\"z\":null,\"s\":\"\\u00e9\\n\"}\r\n",
	    "{\"email\":\"a@x.org\",\"n\":19.9,\"i\":12345678901,\"b\":true,\"s\":\"\xc3\xa9\\n\"}\n");
	expect(A "\n{}\n{\"email\":7}\n[1]\n{\"email\":\"b@x.org\",\"name\":[1]}\n" B, A
	    "! 2 3 it has no member \"email\"\n! 3 4 \"email\" is not a string\n! 4 5 it is no JSON object\n"
	    "! 5 6 \"name\" is neither a string nor a number nor true, false or null\n" B);
	expect_bytes("", 0, ROWS_NDJSON, "");
	expect_bytes(A, sizeof A - 2, ROWS_NDJSON, A);

	/* Broken lines: the words are the parser's, the place is ours. */
	static const char *const broken[] = {"{\"email\":\"a@x.org\"", "{\"email\":\"\xe9\"}",
	    "{\"email\":\"a\",\"email\":\"b\"}", "{\"email\":\"a\\u0000\"}", "{\"email\":\"a@x.org\"} x",
	    "{\"email\":\"\\ud800\"}"};
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		struct buffer out, text;

		buffer_init(&out);
		buffer_init(&text);
		buffer_printf(&text, "%s%s\n%s", A, broken[i], B);
		read_all(text.data, text.len, 1, ROWS_NDJSON, &out);
		assert_int_equal(strncmp(buffer_text(&out), A "! 2 2 it is no JSON: ", strlen(A) + 21), 0);
		assert_non_null(strstr(buffer_text(&out), B));
		buffer_done(&text);
		buffer_done(&out);
	}
	struct buffer out;
	buffer_init(&out);
	read_all(nul, sizeof nul - 1, SIZE_MAX, ROWS_NDJSON, &out);
	assert_int_equal(strncmp(buffer_text(&out), "! 1 1 it is no JSON: ", 21), 0);
	buffer_done(&out);
}

static void only_what_is_wanted_is_sent(void **state)
{
	static const char *const fields[] = {"city", "email", "missing"};
	static const char *const texts[] = {
	    "email,name,city\na@x.org,Ann,Rome\n",
	    "{\"name\":[1],\"city\":\"Rome\",\"email\":\"a@x.org\"}\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct memory memory = {texts[i], strlen(texts[i]), SIZE_MAX};
		struct input_source source = {read_memory, &memory};
		char error[ROWS_TEXT_MAX];
		struct buffer out;
		struct rows *rows;
		struct row row;

		assert_int_equal(rows_open(&source, ROWS_GUESS, &rows, error), 0);
		rows_want(rows, fields, 3);
		assert_int_equal(rows_next(rows, &row), 1);
		assert_null(row.problem);
		assert_string_equal(row.email, "a@x.org");
		buffer_init(&out);
		assert_int_equal(rows_encode(rows, &out), 0);
		assert_string_equal(buffer_text(&out), "{\"email\":\"a@x.org\",\"city\":\"Rome\"}\n");
		assert_int_equal(rows_next(rows, &row), 0);
		assert_int_equal(rows_next(rows, &row), 0);
		buffer_done(&out);
		rows_free(rows);
	}
}

static void many_columns_are_a_limit_not_a_crash(void **state)
{
	struct buffer text;

	(void)state;
	assert_int_equal(ROWS_COLUMNS_MAX, SETTINGS_COLUMNS_MAX);
	buffer_init(&text);
	buffer_add_text(&text, "email");
	for (int i = 1; i < ROWS_COLUMNS_MAX; i++)
		buffer_printf(&text, ",c%d", i);
	buffer_add_text(&text, "\na@x.org");
	for (int i = 1; i < 2 * ROWS_COLUMNS_MAX; i++)
		buffer_add_text(&text, ",");
	buffer_add_text(&text, "\n");
	expect(buffer_text(&text), "! 1 2 it has 2000 cells, the header has 1000\n");
	buffer_clear(&text);
	buffer_add_text(&text, "email");
	for (int i = 0; i < ROWS_COLUMNS_MAX; i++)
		buffer_printf(&text, ",c%d", i);
	expect(buffer_text(&text), "E the header has 1001 columns; a node takes at most 1000\n");
	buffer_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(line_ends_and_marks_make_no_difference),
	    cmocka_unit_test(quotes_hold_commas_quotes_and_lines),
	    cmocka_unit_test(a_wrong_row_is_told_with_its_record_and_line),
	    cmocka_unit_test(reading_ends_where_a_row_has_no_clear_end),
	    cmocka_unit_test(a_header_must_make_sense),
	    cmocka_unit_test(huge_cells_are_refused_not_kept),
	    cmocka_unit_test(ndjson_takes_flat_objects),
	    cmocka_unit_test(only_what_is_wanted_is_sent),
	    cmocka_unit_test(many_columns_are_a_limit_not_a_crash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
