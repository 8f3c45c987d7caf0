/* SPDX-License-Identifier: MIT */
/*
 * The recipients file: finds out what it is and hands the work to the reader of that format.
 *
 * Owns the input and the reader. A byte order mark is dropped; UTF-16, which spreadsheets like to save, is
 * named as such instead of being reported as a million broken rows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_csv.h"
#include "daemon/cli_ndjson.h"
#include "daemon/cli_rows.h"
#include "queue/error.h"

enum { SNIFF_MAX = 4096 };

struct rows {
	struct input *input;
	struct csv_rows *csv; /* one of these two */
	struct ndjson_rows *ndjson;
	char error[ROWS_TEXT_MAX];
};

static int sniff(struct input *input, enum rows_format *format, char error[ROWS_TEXT_MAX])
{
	const char *data;
	size_t len;
	/* Three bytes first: a pipe may bring no more for a long time. */
	int rc = input_peek(input, 3, &data, &len);

	if (rc < 0) {
		snprintf(error, ROWS_TEXT_MAX, "can't be read: %s", strerror(errno));
		return rc;
	}
	if (len >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0)) {
		snprintf(error, ROWS_TEXT_MAX, "it is in UTF-16; save it as UTF-8");
		return OPT_E_INVALID;
	}
	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
		input_skip(input, 3);
		if (*format == ROWS_GUESS && input_peek(input, 1, &data, &len) < 0) {
			snprintf(error, ROWS_TEXT_MAX, "can't be read: %s", strerror(errno));
			return OPT_E_IO;
		}
	}
	if (*format != ROWS_GUESS)
		return 0;
	*format = ROWS_CSV;
	for (size_t i = 0; i < len && i < SNIFF_MAX; i++) {
		if (strchr(" \t\r\n", data[i]) != NULL && data[i] != '\0')
			continue;
		if (data[i] == '{')
			*format = ROWS_NDJSON;
		break;
	}
	return 0;
}

int rows_open(const struct input_source *source, enum rows_format format, struct rows **ret_rows,
    char error[ROWS_TEXT_MAX])
{
	struct rows *rows = calloc(1, sizeof *rows);
	int rc;

	if (rows == NULL)
		abort();
	rows->input = input_new(source);
	rc = sniff(rows->input, &format, error);
	if (rc < 0)
		goto fail_input;
	if (format == ROWS_NDJSON) {
		rows->ndjson = ndjson_rows_new(rows->input);
	} else {
		rc = csv_rows_open(rows->input, &rows->csv, error);
		if (rc < 0)
			goto fail_input;
	}
	*ret_rows = rows;
	return 0;

fail_input:
	input_free(rows->input);
	free(rows);
	return rc;
}

void rows_free(struct rows *rows)
{
	if (rows == NULL)
		return;
	csv_rows_free(rows->csv);
	ndjson_rows_free(rows->ndjson);
	input_free(rows->input);
	free(rows);
}

size_t rows_column_count(const struct rows *rows)
{
	return rows->csv != NULL ? csv_rows_column_count(rows->csv) : 0;
}

const char *rows_column(const struct rows *rows, size_t i)
{
	return csv_rows_column(rows->csv, i);
}

void rows_want(struct rows *rows, const char *const *fields, size_t count)
{
	if (rows->csv != NULL)
		csv_rows_want(rows->csv, fields, count);
	else
		ndjson_rows_want(rows->ndjson, fields, count);
}

int rows_next(struct rows *rows, struct row *ret_row)
{
	if (rows->csv != NULL)
		return csv_rows_next(rows->csv, ret_row, rows->error);
	return ndjson_rows_next(rows->ndjson, ret_row, rows->error);
}

const char *rows_error(const struct rows *rows)
{
	return rows->error;
}

int rows_encode(const struct rows *rows, struct buffer *out)
{
	size_t before = out->len;

	if (rows->csv != NULL)
		csv_rows_encode(rows->csv, out);
	else
		ndjson_rows_encode(rows->ndjson, out);
	if (out->len - before > ROWS_OUTPUT_MAX) {
		out->len = before;
		return OPT_E_LIMIT;
	}
	return 0;
}

uint64_t rows_bytes(const struct rows *rows)
{
	return input_bytes(rows->input);
}
