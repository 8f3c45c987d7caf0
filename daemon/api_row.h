/* SPDX-License-Identifier: MIT */
/*
 * One line of an upload: a flat JSON object, {"email": "a@example.com", "name": "Ann"}.
 */
#ifndef OPTIMUS_DAEMON_API_ROW_H
#define OPTIMUS_DAEMON_API_ROW_H

#include <stddef.h>

#include "daemon/api_error.h"
#include "queue/message/template.h"

/* Reads rows for the fields of one template. */
struct row_parser;

struct row {
	const char *email;
	const char *const *values; /* one a field of the template, NULL where the row has none */
};

/* Borrows the template for as long as it lives. */
struct row_parser *row_parser_new(const struct template *template);
void row_parser_free(struct row_parser *parser);

/*
 * Parses the `len` bytes of a line, without its line feed; any bytes may come. *ret_row is borrowed until the
 * next call. OPT_E_INVALID or OPT_E_LIMIT when it is no such object, with the error filled in but for its
 * row. Whether the address and the values are good is not looked at.
 */
int row_parse(struct row_parser *parser, const char *line, size_t len, struct row *ret_row,
    struct api_error *ret_error);

#endif
