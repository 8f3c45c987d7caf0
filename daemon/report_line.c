/* SPDX-License-Identifier: MIT */
/*
 * Writes report lines. By hand, since a report has millions of them and each is a few copies.
 *
 * CSV keeps every byte as it is: cells with a comma, a quote or a line break are quoted, nothing else is
 * touched. JSON must be UTF-8, and what a remote server said need not be; what is not becomes U+FFFD.
 */
#include "daemon/report_line.h"

#include <string.h>

#include "daemon/api_time.h"
#include "queue/message/utf8.h"

static const char *const columns[] = {"email", "state", "dsn", "reason", "relay", "node", "attempts",
    "first_attempt", "last_attempt", "message_id"};

enum { COLUMNS = sizeof columns / sizeof columns[0], NUMBER_MAX = 11, COLUMN_ATTEMPTS = 6 };

void report_header(enum report_format format, struct buffer *out)
{
	if (format != REPORT_CSV)
		return;
	for (int i = 0; i < COLUMNS; i++) {
		if (i > 0)
			buffer_add_char(out, ',');
		buffer_add_text(out, columns[i]);
	}
	buffer_add_char(out, '\n');
}

static void add_csv(const char *text, struct buffer *out)
{
	size_t len = strlen(text);

	if (strcspn(text, ",\"\r\n") == len) {
		buffer_add(out, text, len);
		return;
	}
	buffer_add_char(out, '"');
	while (len > 0) {
		const char *quote = memchr(text, '"', len);
		size_t piece = quote ? (size_t)(quote - text) + 1 : len;

		buffer_add(out, text, piece);
		if (quote)
			buffer_add_char(out, '"');
		text += piece;
		len -= piece;
	}
	buffer_add_char(out, '"');
}

static void add_escaped(unsigned char c, struct buffer *out)
{
	static const char hex[] = "0123456789abcdef";
	char text[] = "\\u0000";

	switch (c) {
	case '"':
		buffer_add_text(out, "\\\"");
		return;
	case '\\':
		buffer_add_text(out, "\\\\");
		return;
	case '\n':
		buffer_add_text(out, "\\n");
		return;
	}
	text[4] = hex[c >> 4];
	text[5] = hex[c & 15];
	buffer_add(out, text, 6);
}

static void add_json(const char *text, struct buffer *out)
{
	const char *at = text, *from = text, *end = text + strlen(text);

	buffer_add_char(out, '"');
	while (at < end) {
		unsigned char c = (unsigned char)*at;
		size_t len = c < 0x80 ? 1 : utf8_next(at, (size_t)(end - at), NULL);

		if (len > 1 || (c >= 0x20 && c < 0x80 && c != '"' && c != '\\')) {
			at += len;
			continue;
		}
		buffer_add(out, from, (size_t)(at - from));
		if (c >= 0x80)
			buffer_add_text(out, "\xEF\xBF\xBD");
		else
			add_escaped(c, out);
		from = ++at;
	}
	buffer_add(out, from, (size_t)(at - from));
	buffer_add_char(out, '"');
}

static const char *number(uint32_t value, char text[NUMBER_MAX])
{
	char *at = text + NUMBER_MAX - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return at;
}

void report_line(enum report_format format, const char *email, const char *message_id,
    const struct replay_mail *mail, struct buffer *out)
{
	char node[OPT_ID_HEX] = "", attempts[NUMBER_MAX], first[API_TIME_MAX] = "", last[API_TIME_MAX] = "";
	const char *cells[COLUMNS];

	if (!id_is_zero(&mail->node))
		id_to_hex(&mail->node, node);
	if (mail->first_attempt.us)
		api_time_format(mail->first_attempt, first);
	if (mail->last_attempt.us)
		api_time_format(mail->last_attempt, last);
	memcpy(cells,
	    (const char *[COLUMNS]){email, mail_state_name(mail->state), mail->dsn, mail->reason, mail->relay,
	        node, number(mail->attempts, attempts), first, last, message_id},
	    sizeof cells);
	if (format == REPORT_JSONL)
		buffer_add_char(out, '{');
	for (int i = 0; i < COLUMNS; i++) {
		if (i > 0)
			buffer_add_char(out, ',');
		if (format == REPORT_CSV) {
			add_csv(cells[i], out);
			continue;
		}
		buffer_add_char(out, '"');
		buffer_add_text(out, columns[i]);
		buffer_add(out, "\":", 2);
		if (i == COLUMN_ATTEMPTS)
			buffer_add_text(out, cells[i]);
		else if (cells[i] == first || cells[i] == last)
			cells[i][0] ? add_json(cells[i], out) : buffer_add_text(out, "null");
		else
			add_json(cells[i], out);
	}
	buffer_add_text(out, format == REPORT_JSONL ? "}\n" : "\n");
}
