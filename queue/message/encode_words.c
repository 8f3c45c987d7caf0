/* SPDX-License-Identifier: MIT */
/*
 * Encodes text for headers: RFC 2047 encoded words, quoted strings, folding.
 *
 * A MIME library's encoder leaves a value that looks like an encoded word as it is, so that the reader
 * decodes what nobody encoded, and drops white space at the edges; a merged value must come back exactly. So
 * this one treats as "to be encoded" whatever would not come back as itself. The output depends on nothing
 * but the text: same values, same bytes, whatever libraries the machine has.
 *
 *   Subject: plain words =?utf-8?q?a_stretch_of_w=C3=B6rds?= plain again
 */
#include "queue/message/encode.h"

#include <string.h>

#include "queue/message/address.h"
#include "queue/message/utf8.h"

enum {
	WORD_MAX = 75,        /* RFC 2047, 2: of one encoded word */
	WORD_FRAME = 12,      /* =?utf-8?q?...?= */
	WORD_LEAST = 36,      /* start a new line rather than an encoded word shorter than this */
	PLAIN_WORD_MAX = 900, /* a longer one would break the limit of 998 octets a line */
	QUOTED_MAX = 72,      /* a longer display name is cut in encoded words, which can be folded */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Whether an octet may stand for itself in the "q" encoding, in a phrase too (RFC 2047, 5 (3)). */
static bool q_safe(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!*+-/", c) != NULL);
}

static size_t q_cost(const char *text, size_t len)
{
	size_t cost = 0;

	for (size_t i = 0; i < len; i++)
		cost += text[i] == ' ' || q_safe((unsigned char)text[i]) ? 1 : 3;
	return cost;
}

static size_t b_cost(size_t len)
{
	return (len + 2) / 3 * 4;
}

/*
 * How much of the text fits in `room` columns of content: whole characters, at least one. A base64 word that
 * is followed by another is cut where it needs no padding, because some readers join the words before they
 * decode them.
 */
static size_t word_length(const char *text, size_t len, bool q, size_t room)
{
	size_t taken = 0, unpadded = 0, cost = 0;

	while (taken < len) {
		size_t step = utf8_next(text + taken, len - taken, NULL);

		cost = q ? cost + q_cost(text + taken, step) : b_cost(taken + step);
		if (cost > room && taken > 0)
			return q || unpadded == 0 ? taken : unpadded;
		taken += step;
		if (taken % 3 == 0)
			unpadded = taken;
	}
	return taken;
}

static void add_word(struct buffer *out, const char *text, size_t len, bool q)
{
	static const char hex[] = "0123456789ABCDEF";

	buffer_add_text(out, q ? "=?utf-8?q?" : "=?utf-8?b?");
	for (size_t i = 0; q && i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == ' ') {
			buffer_add_char(out, '_');
		} else if (q_safe(c)) {
			buffer_add_char(out, (char)c);
		} else {
			buffer_add_char(out, '=');
			buffer_add_char(out, hex[c >> 4]);
			buffer_add_char(out, hex[c & 15]);
		}
	}
	if (!q)
		encode_base64(out, text, len, false);
	buffer_add_text(out, "?=");
}

/* Adds a stretch as encoded words, a line each but for the first; returns the column where it ends. */
static size_t add_words(struct buffer *out, const char *text, size_t len, size_t column)
{
	bool q = q_cost(text, len) <= b_cost(len);

	while (len > 0) {
		size_t room = column + WORD_LEAST < ENCODE_LINE ? ENCODE_LINE - column : WORD_LEAST;
		size_t before = out->len;
		size_t taken;

		if (room > WORD_MAX)
			room = WORD_MAX;
		taken = word_length(text, len, q, room - WORD_FRAME);
		add_word(out, text, taken, q);
		column += out->len - before;
		text += taken;
		len -= taken;
		if (len > 0) {
			buffer_add_text(out, "\n ");
			column = 1;
		}
	}
	return column;
}

/* One word of the text with the white space before it. */
struct word {
	size_t start; /* of its white space */
	size_t text;
	size_t end;
	bool encode;
};

static bool needs_encoding(const char *text, size_t len)
{
	if (len > PLAIN_WORD_MAX)
		return true;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '!' || text[i] > '~')
			return true;
		if (text[i] == '=' && i + 1 < len && text[i + 1] == '?')
			return true;
	}
	return false;
}

/*
 * Reads the word at `at`. White space at either edge of the whole text belongs to a word and makes it one
 * that is encoded, because readers strip it.
 */
static struct word next_word(const char *text, size_t len, size_t at)
{
	struct word word = {.start = at};
	size_t end;

	while (at < len && is_blank(text[at]))
		at++;
	word.text = word.start == 0 ? 0 : at;
	while (at < len && !is_blank(text[at]))
		at++;
	for (end = at; end < len && is_blank(text[end]); end++)
		;
	word.end = end == len ? len : at;
	word.encode = needs_encoding(text + word.text, word.end - word.text);
	return word;
}

/* `needed`: of what follows, 0 to stay on the line in any case (a first line with nothing in it is bad form).
 */
static size_t add_gap(struct buffer *out, const char *gap, size_t len, size_t column, size_t needed)
{
	/* A fold goes before white space that is there anyhow, so unfolding gives the text back. */
	if (needed > 0 && column + len + needed > ENCODE_LINE && column > 1) {
		buffer_add_char(out, '\n');
		column = 0;
	}
	buffer_add(out, gap, len);
	return column + len;
}

void encode_unstructured(struct buffer *out, const char *text, size_t len, size_t column)
{
	size_t at = 0;

	while (at < len) {
		struct word word = next_word(text, len, at);
		const char *gap = word.start == 0 ? " " : text + word.start;
		size_t gap_len = word.start == 0 ? 1 : word.text - word.start;
		size_t needed = word.end - word.text;

		at = word.end;
		if (!word.encode) {
			column = add_gap(out, gap, gap_len, column, word.start == 0 ? 0 : needed);
			buffer_add(out, text + word.text, needed);
			column += needed;
			continue;
		}
		/* White space between two encoded words is dropped by the reader, so it goes inside. */
		while (at < len) {
			struct word next = next_word(text, len, at);

			if (!next.encode)
				break;
			at = next.end;
		}
		column = add_gap(out, gap, gap_len, column, word.start == 0 ? 0 : WORD_LEAST);
		column = add_words(out, text + word.text, at - word.text, column);
	}
}

/* Whether the text is words of RFC 5322 atoms with a space between each two. */
static bool is_atoms(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ' ' && i > 0 && i + 1 < len && text[i - 1] != ' ')
			continue;
		if ((unsigned char)text[i] >= 0x80 || !address_is_atext((unsigned char)text[i]))
			return false;
	}
	return true;
}

/* The length of the text as a quoted string. */
static size_t quoted_cost(const char *text, size_t len)
{
	size_t cost = len + 2;

	for (size_t i = 0; i < len; i++)
		cost += text[i] == '"' || text[i] == '\\';
	return cost;
}

static bool is_quotable(const char *text, size_t len)
{
	if (quoted_cost(text, len) > QUOTED_MAX || is_blank(text[0]) || is_blank(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
		/* Many readers decode these within quotes too. */
		if (text[i] == '=' && i + 1 < len && text[i + 1] == '?')
			return false;
	}
	return true;
}

void encode_phrase(struct buffer *out, const char *text, size_t len, size_t column)
{
	bool encoded;

	if (len == 0)
		return;
	encoded = !is_quotable(text, len);
	column = add_gap(out, " ", 1, column, encoded ? WORD_LEAST : quoted_cost(text, len));
	if (encoded) {
		add_words(out, text, len, column);
		return;
	}
	if (is_atoms(text, len)) {
		buffer_add(out, text, len);
		return;
	}
	buffer_add_char(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			buffer_add_char(out, '\\');
		buffer_add_char(out, text[i]);
	}
	buffer_add_char(out, '"');
}
