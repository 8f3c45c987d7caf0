/* SPDX-License-Identifier: MIT */
/*
 * Recipients from NDJSON: a JSON object on each line, read by jansson.
 *
 * A wrong line is a row with a problem, and the next line is the next row: unlike in CSV, there is never a
 * doubt where a row ends. Lines of nothing but blanks are no rows. A line over ROWS_RECORD_MAX is read to its
 * end, not kept, and is a problem.
 *
 * Values may be strings, numbers and booleans; null is the same as a member that isn't there. Numbers are
 * written with the 15 digits that survive a double, so 19.9 stays 19.9; what must keep its zeros belongs in a
 * string.
 *
 * The reader owns the current line, its object, and the text of its problem.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_json.h"
#include "daemon/cli_ndjson.h"
#include "daemon/cli_say.h"
#include "queue/error.h"

enum { NUMBER_MAX = 64, NUMBER_DIGITS = 15 };

static const char BLANKS[] = " \t\r\n";

struct ndjson_rows {
	struct input *input;
	struct buffer line;
	json_t *object; /* of the current row, NULL when it has a problem */
	struct buffer email;
	char **fields; /* wanted; NULL: all */
	size_t field_count;
	uint64_t record;
	char problem[240];
};

struct ndjson_rows *ndjson_rows_new(struct input *input)
{
	struct ndjson_rows *ndjson = calloc(1, sizeof *ndjson);

	if (ndjson == NULL)
		abort();
	ndjson->input = input;
	buffer_init(&ndjson->line);
	buffer_init(&ndjson->email);
	return ndjson;
}

static void forget_fields(struct ndjson_rows *ndjson)
{
	for (size_t i = 0; i < ndjson->field_count; i++)
		free(ndjson->fields[i]);
	free(ndjson->fields);
	ndjson->fields = NULL;
	ndjson->field_count = 0;
}

void ndjson_rows_free(struct ndjson_rows *ndjson)
{
	if (ndjson == NULL)
		return;
	forget_fields(ndjson);
	json_decref(ndjson->object);
	buffer_done(&ndjson->line);
	buffer_done(&ndjson->email);
	free(ndjson);
}

void ndjson_rows_want(struct ndjson_rows *ndjson, const char *const *fields, size_t count)
{
	forget_fields(ndjson);
	ndjson->fields = calloc(count + 1, sizeof *ndjson->fields);
	if (ndjson->fields == NULL)
		abort();
	for (size_t i = 0; i < count; i++) {
		/* It is always sent; naming it twice would make the row invalid. */
		if (strcmp(fields[i], "email") == 0)
			continue;
		char *name = strdup(fields[i]);
		if (name == NULL)
			abort();
		ndjson->fields[ndjson->field_count++] = name;
	}
}

/* The next line that is not blank, without its end. 1, 0 at the end of the file, OPT_E_IO. */
static int read_line(struct ndjson_rows *ndjson, uint64_t *ret_line, bool *ret_too_long)
{
	const char *data;
	size_t len;

	*ret_too_long = false;
	buffer_clear(&ndjson->line);
	*ret_line = input_line(ndjson->input);
	for (;;) {
		int rc = input_piece(ndjson->input, &data, &len);
		if (rc < 0)
			return rc;
		bool ended = rc == 0 || data[len - 1] == '\n' || data[len - 1] == '\r';
		if (rc == 1 && ndjson->line.len + len <= ROWS_RECORD_MAX)
			buffer_add(&ndjson->line, data, len);
		else if (rc == 1)
			*ret_too_long = true;
		if (!ended)
			continue;
		const char *text = buffer_text(&ndjson->line);
		if (*ret_too_long || strspn(text, BLANKS) != ndjson->line.len)
			return 1;
		if (rc == 0)
			return 0;
		buffer_clear(&ndjson->line);
		*ret_line = input_line(ndjson->input);
	}
}

/* Whether the value may be sent; otherwise the problem says what is wrong with it. */
static bool value_check(struct ndjson_rows *ndjson, const char *name, const json_t *value)
{
	char clean[80];

	if (json_is_string(value) || json_is_number(value) || json_is_boolean(value) || json_is_null(value))
		return true;
	snprintf(ndjson->problem, sizeof ndjson->problem,
	    "\"%s\" is neither a string nor a number nor true, false or null",
	    say_clean(name, clean, sizeof clean));
	return false;
}

static bool row_check(struct ndjson_rows *ndjson)
{
	const char *name;
	json_t *value;

	if (ndjson->fields == NULL) {
		json_object_foreach (ndjson->object, name, value) {
			if (!value_check(ndjson, name, value))
				return false;
		}
	}
	for (size_t i = 0; i < ndjson->field_count; i++) {
		value = json_object_get(ndjson->object, ndjson->fields[i]);
		if (value != NULL && !value_check(ndjson, ndjson->fields[i], value))
			return false;
	}
	value = json_object_get(ndjson->object, "email");
	if (!json_is_string(value)) {
		snprintf(ndjson->problem, sizeof ndjson->problem, "%s",
		    value == NULL ? "it has no member \"email\"" : "\"email\" is not a string");
		return false;
	}
	return true;
}

static void set_email(struct ndjson_rows *ndjson)
{
	const json_t *value = json_object_get(ndjson->object, "email");
	const char *text = json_is_string(value) ? json_string_value(value) : "";
	size_t len;

	text += strspn(text, BLANKS);
	len = strlen(text);
	while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL)
		len--;
	buffer_clear(&ndjson->email);
	buffer_add(&ndjson->email, text, len);
}

int ndjson_rows_next(struct ndjson_rows *ndjson, struct row *ret_row, char error[ROWS_TEXT_MAX])
{
	json_error_t parse_error;
	bool too_long, good = false;
	uint64_t line;
	int rc = read_line(ndjson, &line, &too_long);

	if (rc < 0)
		snprintf(error, ROWS_TEXT_MAX, "can't be read: %s", strerror(errno));
	if (rc <= 0)
		return rc;
	json_decref(ndjson->object);
	ndjson->object = NULL;
	ndjson->record++;
	buffer_clear(&ndjson->email);
	if (too_long) {
		snprintf(ndjson->problem, sizeof ndjson->problem, "the line is over %d bytes long",
		    (int)ROWS_RECORD_MAX);
	} else {
		ndjson->object =
		    json_loadb(ndjson->line.data, ndjson->line.len, JSON_REJECT_DUPLICATES, &parse_error);
		if (ndjson->object == NULL) {
			char clean[JSON_ERROR_TEXT_LENGTH];

			snprintf(ndjson->problem, sizeof ndjson->problem, "it is no JSON: %s (column %d)",
			    say_clean(parse_error.text, clean, sizeof clean), parse_error.column);
		} else if (!json_is_object(ndjson->object)) {
			snprintf(ndjson->problem, sizeof ndjson->problem, "it is no JSON object");
		} else {
			good = row_check(ndjson);
			set_email(ndjson);
		}
	}
	*ret_row = (struct row){
	    .record = ndjson->record,
	    .line = line,
	    .email = buffer_text(&ndjson->email),
	    .problem = good ? NULL : ndjson->problem,
	};
	return 1;
}

static void encode_value(const char *name, const json_t *value, struct buffer *out)
{
	if (value == NULL || json_is_null(value))
		return;
	buffer_add_char(out, ',');
	json_add_string(out, name, strlen(name));
	buffer_add_char(out, ':');
	if (json_is_string(value)) {
		json_add_string(out, json_string_value(value), json_string_length(value));
	} else {
		char *text = buffer_reserve(out, NUMBER_MAX);
		size_t len =
		    json_dumpb(value, text, NUMBER_MAX, JSON_ENCODE_ANY | JSON_REAL_PRECISION(NUMBER_DIGITS));

		out->len += len;
	}
}

void ndjson_rows_encode(const struct ndjson_rows *ndjson, struct buffer *out)
{
	const char *name;
	json_t *value;

	buffer_add_text(out, "{\"email\":");
	json_add_string(out, ndjson->email.data, ndjson->email.len);
	if (ndjson->fields == NULL) {
		json_object_foreach (ndjson->object, name, value) {
			if (strcmp(name, "email") != 0)
				encode_value(name, value, out);
		}
	}
	for (size_t i = 0; i < ndjson->field_count; i++)
		encode_value(ndjson->fields[i], json_object_get(ndjson->object, ndjson->fields[i]), out);
	buffer_add(out, "}\n", 2);
}
