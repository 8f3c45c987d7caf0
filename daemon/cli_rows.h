/* SPDX-License-Identifier: MIT */
/*
 * The recipients file, row by row: CSV or NDJSON in, lines of NDJSON with the members that the template needs
 * out.
 */
#ifndef OPTIMUS_DAEMON_CLI_ROWS_H
#define OPTIMUS_DAEMON_CLI_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/cli_input.h"
#include "queue/message/buffer.h"

enum rows_format {
	ROWS_GUESS, /* NDJSON when the first character is '{', CSV otherwise */
	ROWS_CSV,
	ROWS_NDJSON,
};

enum {
	ROWS_COLUMNS_MAX = 1000,       /* as many as a node takes */
	ROWS_RECORD_MAX = 1024 * 1024, /* bytes of one record in the file */
	ROWS_OUTPUT_MAX = 64 * 1024,   /* bytes of one row as it is sent */
	ROWS_TEXT_MAX = 400,
};

struct row {
	uint64_t record; /* 1-based number of the row; a CSV header does not count */
	uint64_t line;   /* of the file, where the row begins */
	const char
	    *email; /* without white space around it; "" when there is none. Borrowed until the next call */
	const char *problem; /* NULL, or what is wrong with this row. Borrowed until the next call */
};

struct rows;

/*
 * Borrows the source's context until rows_free(). Reads as far as a CSV file's header. On failure
 * OPT_E_INVALID (the file as a whole is wrong) or OPT_E_IO, and `error` says why.
 */
int rows_open(const struct input_source *source, enum rows_format format, struct rows **ret_rows,
    char error[ROWS_TEXT_MAX]);
void rows_free(struct rows *rows);

/* The names of a CSV file's columns, as they are sent; 0 for NDJSON, where each row brings its own. */
size_t rows_column_count(const struct rows *rows);
const char *rows_column(const struct rows *rows, size_t i);

/* The members that rows_encode() writes, beside `email`. Copied. Without a call: all of them. */
void rows_want(struct rows *rows, const char *const *fields, size_t count);

/*
 * 1 and the next row, which may have a problem; 0 at the end; OPT_E_INVALID or OPT_E_IO when the rest can't
 * be read, and rows_error() says why.
 */
int rows_next(struct rows *rows, struct row *ret_row);
const char *rows_error(const struct rows *rows);

/*
 * Appends the row that rows_next() returned last, as a line of JSON. Only for a row without a problem.
 * OPT_E_LIMIT, and nothing appended, when it is over ROWS_OUTPUT_MAX.
 */
int rows_encode(const struct rows *rows, struct buffer *out);

/* Bytes of the file that were read so far. */
uint64_t rows_bytes(const struct rows *rows);

#endif
