/* SPDX-License-Identifier: MIT */
/*
 * Short words for the tests of the mail merge: compile, render, and read the result again with GMime.
 */
#ifndef OPTIMUS_TEST_UNIT_MERGE_H
#define OPTIMUS_TEST_UNIT_MERGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gmime/gmime.h>

#include "queue/error.h"
#include "queue/message/template.h"

#define MERGE_OWN "Message-ID: <id@example.org>\nDate: Mon, 2 Jan 2023 10:00:00 +0000\nTo: jane@example.com\n"

static inline struct template *merge_compile(const char *source, size_t len)
{
	struct template_error error = {0};
	struct template *template = NULL;

	if (template_compile(source, len, &template, &error) != 0)
		fail_msg("line %d, field '%s': %s", error.line, error.field, error.text);
	return template;
}

static inline struct template_values merge_values(const char *const *fields)
{
	return (struct template_values){.email = "jane@example.com",
	    .fields = fields,
	    .message_id = "id@example.org",
	    .date = "Mon, 2 Jan 2023 10:00:00 +0000"};
}

/* Renders with these fields, in the order of their first use. The result is freed with free(). */
static inline char *merge_bytes(const char *source, size_t len, const char *const *fields, size_t *ret_len)
{
	struct template *template = merge_compile(source, len);
	struct template_values values = merge_values(fields);
	struct template_error error;
	struct buffer out;

	if (template_check_values(template, &values, &error) != 0)
		fail_msg("field '%s': %s", error.field, error.text);
	buffer_init(&out);
	assert_int_equal(template_render(template, &values, &out), 0);
	template_free(template);
	buffer_text(&out);
	if (ret_len != NULL)
		*ret_len = out.len;
	return out.data;
}

static inline char *merge(const char *source, const char *const *fields)
{
	return merge_bytes(source, strlen(source), fields, NULL);
}

static inline void merge_gives(const char *source, const char *const *fields, const char *expected)
{
	char *got = merge(source, fields);

	assert_string_equal(got, expected);
	free(got);
}

static inline struct template_error merge_refused(const char *source, size_t len, int code)
{
	struct template_error error = {0};
	struct template *template = NULL;

	assert_int_equal(template_compile(source, len, &template, &error), code);
	assert_null(template);
	assert_true(error.text[0] != '\0');
	return error;
}

static inline struct template_error merge_invalid(const char *source)
{
	return merge_refused(source, strlen(source), OPT_E_INVALID);
}

/* Whether the values are refused, for this field. */
static inline void merge_value_refused(const char *source, const char *const *fields, const char *field)
{
	struct template *template = merge_compile(source, strlen(source));
	struct template_values values = merge_values(fields);
	struct template_error error = {0};

	assert_int_equal(template_check_values(template, &values, &error), OPT_E_INVALID);
	assert_string_equal(error.field, field);
	assert_true(error.text[0] != '\0');
	template_free(template);
}

static inline GMimeMessage *merge_read(const char *text)
{
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(text, strlen(text));
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);

	g_object_unref(parser);
	g_object_unref(stream);
	assert_non_null(message);
	return message;
}

/* The nth leaf's text in UTF-8; free with g_free(). */
static inline char *merge_part(GMimeMessage *message, int n)
{
	GMimeObject *object = g_mime_message_get_mime_part(message);

	if (GMIME_IS_MULTIPART(object))
		object = g_mime_multipart_get_part(GMIME_MULTIPART(object), n);
	assert_true(GMIME_IS_TEXT_PART(object));
	return g_mime_text_part_get_text(GMIME_TEXT_PART(object));
}

/* Merges, reads again, and compares the text of a part. */
static inline void merge_part_is(const char *source, const char *const *fields, int n, const char *expected)
{
	char *got = merge(source, fields), *text;
	GMimeMessage *message = merge_read(got);

	text = merge_part(message, n);
	assert_string_equal(text, expected);
	g_free(text);
	g_object_unref(message);
	free(got);
}

/* Merges, reads again, and compares a decoded header. */
static inline void merge_header_is(
    const char *source, const char *const *fields, const char *name, const char *expected)
{
	char *got = merge(source, fields);
	GMimeMessage *message = merge_read(got);
	const char *value = g_mime_object_get_header(GMIME_OBJECT(message), name);

	assert_non_null(value);
	assert_string_equal(value, expected);
	g_object_unref(message);
	free(got);
}

static inline int merge_longest_line(const char *text)
{
	size_t longest = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		longest = len > longest ? len : longest;
		text += len + (text[len] == '\n');
	}
	return (int)longest;
}

/*
 * A random value of up to 60 characters, the kinds that encoders stumble over among them; the same ones in
 * every run. No CR; LF where `lines`.
 */
static inline void merge_random(uint64_t *seed, bool lines, char value[512])
{
	static const char *const pieces[] = {" ", "  ", "\t", "=", "=?", "?=", "=?utf-8?q?x?=", "_", ".", ",",
	    "\"", "\\", "<", ">", "@", "(", ")", ";", ":", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80",
	    "word", "Another", "-", "--", "{{", "}}", "&", "'", "a", "B", "7", "averyveryverylongword", "=20",
	    "From ", "\n", "\n.\n", "\n--BB\n"};
	size_t count = sizeof(pieces) / sizeof(pieces[0]) - (lines ? 0 : 3);
	size_t len;

	value[0] = '\0';
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	len = (*seed >> 33) % 25;
	for (size_t i = 0; i < len; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		strcat(value, pieces[(*seed >> 33) % count]);
	}
}

static inline int merge_init(void **state)
{
	(void)state;
	g_mime_init();
	return 0;
}

#endif
