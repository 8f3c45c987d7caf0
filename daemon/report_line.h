/* SPDX-License-Identifier: MIT */
/*
 * The lines of a report, as CSV (RFC 4180, but with LF at the end of a line) or as JSON, one object a line.
 */
#ifndef OPTIMUS_DAEMON_REPORT_LINE_H
#define OPTIMUS_DAEMON_REPORT_LINE_H

#include "queue/message/buffer.h"
#include "queue/replay.h"

enum report_format { REPORT_CSV, REPORT_JSONL };

/* The header line; nothing for JSON. */
void report_header(enum report_format format, struct buffer *out);
/* Appends the line of one mail. Texts may hold any bytes. */
void report_line(enum report_format format, const char *email, const char *message_id,
    const struct replay_mail *mail, struct buffer *out);

#endif
