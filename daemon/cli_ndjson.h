/* SPDX-License-Identifier: MIT */
/*
 * The NDJSON half of the recipients reader; see cli_rows.h for what the functions promise.
 */
#ifndef OPTIMUS_DAEMON_CLI_NDJSON_H
#define OPTIMUS_DAEMON_CLI_NDJSON_H

#include "daemon/cli_rows.h"

struct ndjson_rows;

/* Borrows input. */
struct ndjson_rows *ndjson_rows_new(struct input *input);
void ndjson_rows_free(struct ndjson_rows *ndjson);
void ndjson_rows_want(struct ndjson_rows *ndjson, const char *const *fields, size_t count);
int ndjson_rows_next(struct ndjson_rows *ndjson, struct row *ret_row, char error[ROWS_TEXT_MAX]);
void ndjson_rows_encode(const struct ndjson_rows *ndjson, struct buffer *out);

#endif
