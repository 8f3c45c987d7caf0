/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON strings.
 *
 * Nothing is owned or kept. The caller checks the encoding once a row and then writes its values; bytes that
 * are no UTF-8 would be copied as they are.
 */
#include <string.h>

#include "daemon/cli_json.h"

static size_t escape(unsigned char c, char *out)
{
	static const char digits[] = "0123456789abcdef";

	out[0] = '\\';
	switch (c) {
	case '"':
	case '\\':
		out[1] = (char)c;
		return 2;
	case '\n':
		out[1] = 'n';
		return 2;
	case '\r':
		out[1] = 'r';
		return 2;
	case '\t':
		out[1] = 't';
		return 2;
	default:
		memcpy(out + 1, "u00", 3);
		out[4] = digits[c >> 4];
		out[5] = digits[c & 15];
		return 6;
	}
}

void json_add_string(struct buffer *out, const char *data, size_t len)
{
	/* Six bytes are the longest escape of one. */
	char *to = buffer_reserve(out, 6 * len + 2);
	char *start = to;

	*to++ = '"';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			*to++ = (char)c;
		else
			to += escape(c, to);
	}
	*to++ = '"';
	out->len += (size_t)(to - start);
}
