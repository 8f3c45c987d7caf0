/* SPDX-License-Identifier: MIT */
/*
 * The CSV half of the recipients reader; see cli_rows.h for what the functions promise.
 */
#ifndef OPTIMUS_DAEMON_CLI_CSV_H
#define OPTIMUS_DAEMON_CLI_CSV_H

#include "daemon/cli_rows.h"

struct csv_rows;

/* Borrows input. Reads the header. */
int csv_rows_open(struct input *input, struct csv_rows **ret_csv, char error[ROWS_TEXT_MAX]);
void csv_rows_free(struct csv_rows *csv);
size_t csv_rows_column_count(const struct csv_rows *csv);
const char *csv_rows_column(const struct csv_rows *csv, size_t i);
void csv_rows_want(struct csv_rows *csv, const char *const *fields, size_t count);
int csv_rows_next(struct csv_rows *csv, struct row *ret_row, char error[ROWS_TEXT_MAX]);
void csv_rows_encode(const struct csv_rows *csv, struct buffer *out);

#endif
