/* SPDX-License-Identifier: MIT */
/*
 * Parses the rows of an upload: JSON by RFC 8259, but only one flat object a line with strings, numbers and
 * booleans in it. A general parser builds a tree for each row, which is most of the cost of an upload of
 * millions; this one copies each value once, into an arena of the size of a line, where it stays
 * NUL-terminated.
 *
 * The arena can't overflow: every decoded string is shorter than its source, whose two quotes pay for the
 * NUL, and a number's NUL is paid for by the comma or brace after it.
 *
 * Numbers keep the digits that the client wrote, so 1.50 stays 1.50. Rows mostly have the same names in the
 * same places, so each place remembers the name that it saw last and what it meant.
 *
 * A cursor whose error sticks: helpers return false once, and the first text stays.
 */
#include "daemon/api_row.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"
#include "queue/message/recipients.h"
#include "queue/message/utf8.h"

enum { PLACES = 300, NAME_IGNORED = -1, NAME_EMAIL = -2 };

struct place {
	char name[FIELD_NAME_MAX + 1];
	size_t len;
	int meaning; /* index of a field, or NAME_ */
};

struct row_parser {
	const struct template *template;
	size_t fields;
	const char *email;
	const char **values;
	size_t used; /* of the arena */
	/* The cursor. */
	const char *start;
	const char *at;
	const char *end;
	struct api_error *error;
	struct place places[PLACES];
	char arena[RECIPIENT_BYTES_MAX + 8];
};

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct row_parser *row_parser_new(const struct template *template)
{
	struct row_parser *parser = must(calloc(1, sizeof *parser));

	parser->template = template;
	parser->fields = template_field_count(template);
	parser->values = must(calloc(parser->fields + 1, sizeof parser->values[0]));
	for (int i = 0; i < PLACES; i++)
		parser->places[i].meaning = NAME_IGNORED;
	return parser;
}

void row_parser_free(struct row_parser *parser)
{
	if (!parser)
		return;
	free(parser->values);
	free(parser);
}

static bool wrong(struct row_parser *parser, const char *what)
{
	api_error_set(parser->error, API_RECIPIENT,
	    "the row is not a JSON object of strings, numbers and booleans on one line: %s at byte %zu; "
	    "correct it",
	    what, (size_t)(parser->at - parser->start) + 1);
	return false;
}

static void skip_space(struct row_parser *parser)
{
	while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\r'))
		parser->at++;
}

static bool next_is(struct row_parser *parser, char c)
{
	return parser->at < parser->end && *parser->at == c;
}

static bool hex4(struct row_parser *parser, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (parser->end - parser->at < 4)
		return wrong(parser, "a \\u escape that is cut off");
	for (int i = 0; i < 4; i++) {
		char c = parser->at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return wrong(parser, "a \\u escape without four hexadecimal digits");
	}
	parser->at += 4;
	*ret_value = value;
	return true;
}

static char *put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xC0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*out++ = (char)(0xE0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	} else {
		*out++ = (char)(0xF0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3F));
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	}
	return out;
}

/* After "\u": one escape, or two that make a surrogate pair. */
static char *unicode_escape(struct row_parser *parser, char *out)
{
	uint32_t c, second;

	if (!hex4(parser, &c))
		return NULL;
	if (c == 0) {
		wrong(parser, "a NUL character, which mail can't carry,");
		return NULL;
	}
	if (c >= 0xD800 && c <= 0xDBFF) {
		if (parser->end - parser->at < 2 || parser->at[0] != '\\' || parser->at[1] != 'u') {
			wrong(parser, "half of a surrogate pair");
			return NULL;
		}
		parser->at += 2;
		if (!hex4(parser, &second))
			return NULL;
		if (second < 0xDC00 || second > 0xDFFF) {
			wrong(parser, "half of a surrogate pair");
			return NULL;
		}
		c = 0x10000 + ((c - 0xD800) << 10) + (second - 0xDC00);
	} else if (c >= 0xDC00 && c <= 0xDFFF) {
		wrong(parser, "half of a surrogate pair");
		return NULL;
	}
	return put_utf8(out, c);
}

/* At a backslash. Returns where the output goes on, NULL on an error. */
static char *escape(struct row_parser *parser, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *known;

	if (parser->end - parser->at < 2) {
		wrong(parser, "a string without its closing quote");
		return NULL;
	}
	if (parser->at[1] == 'u') {
		parser->at += 2;
		return unicode_escape(parser, out);
	}
	known = parser->at[1] ? strchr(from, parser->at[1]) : NULL;
	if (!known) {
		wrong(parser, "an unknown escape");
		return NULL;
	}
	parser->at += 2;
	*out++ = to[known - from];
	return out;
}

/* A string, decoded into the arena. */
static bool string(struct row_parser *parser, char **ret_text, size_t *ret_len)
{
	char *text = parser->arena + parser->used;
	char *out = text;

	if (!next_is(parser, '"'))
		return wrong(parser, "something else where a name in quotes belongs");
	parser->at++;
	while (parser->at < parser->end && *parser->at != '"') {
		unsigned char c = (unsigned char)*parser->at;

		if (c == '\\') {
			out = escape(parser, out);
			if (!out)
				return false;
		} else if (c < 0x20) {
			return wrong(parser, c ? "a control character" : "a NUL byte");
		} else if (c < 0x80) {
			*out++ = (char)c;
			parser->at++;
		} else {
			size_t len = utf8_next(parser->at, (size_t)(parser->end - parser->at), NULL);

			if (len == 1)
				return wrong(parser, "text that is not UTF-8");
			memcpy(out, parser->at, len);
			out += len;
			parser->at += len;
		}
	}
	if (parser->at == parser->end)
		return wrong(parser, "a string without its closing quote");
	parser->at++;
	*out++ = '\0';
	parser->used += (size_t)(out - text);
	*ret_text = text;
	*ret_len = (size_t)(out - text) - 1;
	return true;
}

static size_t digits(struct row_parser *parser)
{
	const char *from = parser->at;

	while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
		parser->at++;
	return (size_t)(parser->at - from);
}

static void keep(struct row_parser *parser, const char *from, size_t len, char **ret_text)
{
	*ret_text = parser->arena + parser->used;
	memcpy(*ret_text, from, len);
	(*ret_text)[len] = '\0';
	parser->used += len + 1;
}

static bool number(struct row_parser *parser, char **ret_text)
{
	const char *from = parser->at;
	bool zero;

	if (next_is(parser, '-'))
		parser->at++;
	zero = next_is(parser, '0');
	switch (digits(parser)) {
	case 0:
		return wrong(parser, "something else where a value belongs");
	case 1:
		break;
	default:
		if (zero)
			return wrong(parser, "a number with a leading zero");
	}
	if (next_is(parser, '.')) {
		parser->at++;
		if (digits(parser) == 0)
			return wrong(parser, "a number without digits");
	}
	if (next_is(parser, 'e') || next_is(parser, 'E')) {
		parser->at++;
		if (next_is(parser, '+') || next_is(parser, '-'))
			parser->at++;
		if (digits(parser) == 0)
			return wrong(parser, "a number without digits");
	}
	keep(parser, from, (size_t)(parser->at - from), ret_text);
	return true;
}

static bool word(struct row_parser *parser, const char *expected)
{
	size_t len = strlen(expected);

	if ((size_t)(parser->end - parser->at) < len || memcmp(parser->at, expected, len) != 0)
		return false;
	parser->at += len;
	return true;
}

static bool value(struct row_parser *parser, char **ret_text)
{
	const char *from = parser->at;
	size_t len;

	if (parser->at == parser->end)
		return wrong(parser, "no value");
	switch (*parser->at) {
	case '"':
		return string(parser, ret_text, &len);
	case 't':
	case 'f':
		if (!word(parser, "true") && !word(parser, "false"))
			return wrong(parser, "something else where a value belongs");
		keep(parser, from, (size_t)(parser->at - from), ret_text);
		return true;
	case 'n':
		return wrong(parser, "null, which is no value (leave the member out instead),");
	case '{':
		return wrong(parser, "an object inside the object");
	case '[':
		return wrong(parser, "a list inside the object");
	default:
		return number(parser, ret_text);
	}
}

/* What the name of the member at this place means. */
static int meaning(struct row_parser *parser, size_t index, const char *name, size_t len)
{
	struct place *place = index < PLACES ? &parser->places[index] : NULL;
	int result = NAME_IGNORED;

	if (len > FIELD_NAME_MAX)
		return NAME_IGNORED;
	if (place && place->len == len && memcmp(place->name, name, len) == 0)
		return place->meaning;
	if (strcmp(name, "email") == 0)
		result = NAME_EMAIL;
	for (size_t i = 0; result == NAME_IGNORED && i < parser->fields; i++)
		if (strcmp(name, template_field(parser->template, i)) == 0)
			result = (int)i;
	if (place) {
		memcpy(place->name, name, len + 1);
		place->len = len;
		place->meaning = result;
	}
	return result;
}

static bool member(struct row_parser *parser, size_t index)
{
	size_t before = parser->used, len;
	char *name, *text;
	const char **where;
	int means;

	if (!string(parser, &name, &len))
		return false;
	means = meaning(parser, index, name, len);
	parser->used = before;
	skip_space(parser);
	if (!next_is(parser, ':'))
		return wrong(parser, "no colon after a name");
	parser->at++;
	skip_space(parser);
	if (!value(parser, &text))
		return false;
	if (means == NAME_IGNORED) {
		parser->used = before;
		return true;
	}
	where = means == NAME_EMAIL ? &parser->email : &parser->values[means];
	if (*where) {
		wrong(parser, "a name that comes twice");
		api_error_field(parser->error,
		    means == NAME_EMAIL ? "email" : template_field(parser->template, (size_t)means));
		return false;
	}
	*where = text;
	return true;
}

static bool object(struct row_parser *parser)
{
	skip_space(parser);
	if (!next_is(parser, '{'))
		return wrong(parser, "something else where { belongs");
	parser->at++;
	skip_space(parser);
	if (next_is(parser, '}')) {
		parser->at++;
	} else {
		for (size_t index = 0;; index++) {
			if (!member(parser, index))
				return false;
			skip_space(parser);
			if (next_is(parser, '}')) {
				parser->at++;
				break;
			}
			if (!next_is(parser, ','))
				return wrong(parser, "no comma or } after a value");
			parser->at++;
			skip_space(parser);
		}
	}
	skip_space(parser);
	return parser->at == parser->end || wrong(parser, "more after the object");
}

int row_parse(
    struct row_parser *parser, const char *line, size_t len, struct row *ret_row, struct api_error *ret_error)
{
	if (len > RECIPIENT_BYTES_MAX) {
		api_error_set(ret_error, API_RECIPIENT, "the row is longer than %d bytes; shorten its values",
		    RECIPIENT_BYTES_MAX);
		return OPT_E_LIMIT;
	}
	parser->email = NULL;
	if (parser->fields > 0)
		memset(parser->values, 0, parser->fields * sizeof parser->values[0]);
	parser->used = 0;
	parser->start = line;
	parser->at = line;
	parser->end = line + len;
	parser->error = ret_error;
	if (!object(parser))
		return OPT_E_INVALID;
	if (!parser->email) {
		api_error_set(
		    ret_error, API_RECIPIENT, "the row has no \"email\"; every recipient needs one");
		api_error_field(ret_error, "email");
		return OPT_E_INVALID;
	}
	*ret_row = (struct row){.email = parser->email, .values = parser->values};
	return 0;
}
