/* SPDX-License-Identifier: MIT */
/*
 * Encodes values for the bodies of a message: quoted-printable, base64, HTML escapes.
 *
 * These are our own and not the MIME library's because a mail that is sent again, perhaps from another
 * machine with another version of that library, has to come out with the same bytes, and because they run for
 * every mail. They take any bytes, never fail, and keep no state between calls.
 */
#include "queue/message/encode.h"

#include <string.h>

static const char HEX[] = "0123456789ABCDEF";

void encode_text(struct buffer *out, const char *text, size_t len, bool html, bool crlf)
{
	size_t start = 0;

	for (size_t i = 0; i < len; i++) {
		const char *instead;
		size_t taken = 1;

		switch (text[i]) {
		case '&':
			instead = html ? "&amp;" : NULL;
			break;
		case '<':
			instead = html ? "&lt;" : NULL;
			break;
		case '>':
			instead = html ? "&gt;" : NULL;
			break;
		case '"':
			instead = html ? "&quot;" : NULL;
			break;
		case '\'':
			instead = html ? "&#39;" : NULL;
			break;
		case '\r':
			taken = i + 1 < len && text[i + 1] == '\n' ? 2 : 1;
			instead = crlf ? "\r\n" : "\n";
			break;
		case '\n':
			instead = crlf ? "\r\n" : NULL;
			break;
		default:
			instead = NULL;
		}
		if (instead == NULL)
			continue;
		buffer_add(out, text + start, i - start);
		buffer_add_text(out, instead);
		i += taken - 1;
		start = i + 1;
	}
	buffer_add(out, text + start, len - start);
}

static bool line_ends(const char *text, size_t len, size_t i)
{
	return i == len || text[i] == '\n' || (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n');
}

void encode_quoted_printable(struct buffer *out, const char *text, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = (c > ' ' && c < 0x7f && c != '=') ||
		             ((c == ' ' || c == '\t') && !line_ends(text, len, i + 1));
		/* Room for an octet, its escape, and the '=' of a soft line break. */
		char *at = buffer_reserve(out, 6);

		if (c == '\n' || (c == '\r' && i + 1 < len && text[i + 1] == '\n')) {
			i += c == '\r';
			*at = '\n';
			out->len++;
			column = 0;
			continue;
		}
		if (column + (plain ? 1 : 3) > ENCODE_LINE - (line_ends(text, len, i + 1) ? 0 : 1)) {
			*at++ = '=';
			*at++ = '\n';
			out->len += 2;
			column = 0;
		}
		if (plain) {
			*at = (char)c;
			out->len++;
			column++;
			continue;
		}
		at[0] = '=';
		at[1] = HEX[c >> 4];
		at[2] = HEX[c & 15];
		out->len += 3;
		column += 3;
	}
}

void encode_base64(struct buffer *out, const char *data, size_t len, bool final_newline)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)data;
	size_t column = 0;
	char *at = buffer_reserve(out, len / 3 * 4 + 4 + len / 3 * 4 / ENCODE_LINE + 3);
	char *start = at;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)(left > 1 ? in[i + 1] : 0) << 8 |
		                (left > 2 ? in[i + 2] : 0);

		if (column == ENCODE_LINE) {
			*at++ = '\n';
			column = 0;
		}
		*at++ = digits[bits >> 18];
		*at++ = digits[bits >> 12 & 63];
		*at++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*at++ = left > 2 ? digits[bits & 63] : '=';
		column += 4;
	}
	if (final_newline && column > 0)
		*at++ = '\n';
	out->len += (size_t)(at - start);
}
