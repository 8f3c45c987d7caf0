/* SPDX-License-Identifier: MIT */
/*
 * JSON text by hand, for the millions of rows where building objects first would cost more than all the rest.
 */
#ifndef OPTIMUS_DAEMON_CLI_JSON_H
#define OPTIMUS_DAEMON_CLI_JSON_H

#include <stddef.h>

#include "queue/message/buffer.h"

/* Appends the bytes, which must be UTF-8, as a JSON string with its quotes. */
void json_add_string(struct buffer *out, const char *data, size_t len);

#endif
