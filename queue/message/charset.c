/* SPDX-License-Identifier: MIT */
/*
 * Charsets of body parts, through iconv(3), with GMime's table of the names that mail uses for them.
 *
 * A converter has state, so a template that holds one is used by one thread at a time. Decoding is strict,
 * because it happens once, while somebody reads the error; encoding never fails, because it happens a million
 * times at night.
 */
#include "queue/message/charset.h"

#include <errno.h>
#include <gmime/gmime.h>
#include <string.h>
#include <strings.h>

#include "queue/message/utf8.h"

/* The octets that a field's syntax and HTML need to find as themselves. */
static const char PROBE[] = "{{name_1|fall-back.}} <&\"'=+~\\> \t\n";

iconv_t charset_open(const char *name)
{
	return g_mime_iconv_open(name, "utf-8");
}

bool charset_decode(const char *name, const char *text, size_t len, struct buffer *out)
{
	iconv_t charset = g_mime_iconv_open("utf-8", name);
	char *in = (char *)text;
	bool valid;

	if (charset == CHARSET_UTF8)
		return false;
	for (;;) {
		size_t size = len * 2 + 64;
		char *start = buffer_reserve(out, size), *to = start;
		size_t result = iconv(charset, &in, &len, &to, &size);

		out->len += (size_t)(to - start);
		valid = result != (size_t)-1;
		if (valid || errno != E2BIG)
			break;
	}
	iconv_close(charset);
	return valid;
}

enum charset_kind charset_kind(const char *name)
{
	struct buffer text;
	enum charset_kind kind = CHARSET_IS_FOREIGN;
	iconv_t charset;

	if (strcasecmp(name, "utf-8") == 0 || strcasecmp(name, "utf8") == 0)
		return CHARSET_IS_UTF8;
	if (strcasecmp(name, "us-ascii") == 0 || strcasecmp(name, "ascii") == 0)
		return CHARSET_IS_ASCII;
	charset = charset_open(name);
	if (charset == CHARSET_UTF8)
		return CHARSET_IS_UNKNOWN;
	iconv_close(charset);
	buffer_init(&text);
	if (charset_decode(name, PROBE, strlen(PROBE), &text) && strcmp(buffer_text(&text), PROBE) == 0)
		kind = CHARSET_IS_OTHER;
	buffer_done(&text);
	return kind;
}

void charset_encode(iconv_t charset, const char *text, size_t len, bool html, struct buffer *out)
{
	iconv(charset, NULL, NULL, NULL, NULL);
	for (bool flushed = false; !flushed;) {
		size_t size = len * 2 + 64;
		char *start = buffer_reserve(out, size), *to = start;
		char *in = (char *)text;
		size_t left = len, result;

		flushed = len == 0;
		result = iconv(charset, flushed ? NULL : &in, flushed ? NULL : &left, &to, &size);
		out->len += (size_t)(to - start);
		text = in;
		len = left;
		if (result != (size_t)-1 || len == 0 || (errno != EILSEQ && errno != EINVAL))
			continue;
		/* ASCII goes through the converter as well: it may have to shift back to it. */
		char instead[16];
		uint32_t point;
		size_t step = utf8_next(text, len, &point);
		char *from = instead;
		size_t instead_len =
		    (size_t)g_snprintf(instead, sizeof(instead), html ? "&#%u;" : "?", (unsigned int)point);

		size = sizeof(instead) * 2;
		start = to = buffer_reserve(out, size);
		iconv(charset, &from, &instead_len, &to, &size);
		out->len += (size_t)(to - start);
		text += step;
		len -= step;
	}
}
