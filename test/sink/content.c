/* SPDX-License-Identifier: MIT */
/*
 * Reads the content of one message from the wire.
 *
 * A small automaton over the bytes, which stops at any place and goes on with the next read, so a line may be
 * of any length. The message is kept whole, up to the limit, because the hash leaves fields out and --save
 * wants it; what comes after the limit is read and dropped, and the caller refuses the message.
 *
 *   START --'.'--> DOT --CR--> DOT_CR --LF--> end
 *   START --other--> TEXT        DOT --other--> TEXT (the dot is taken off)
 *   TEXT --CR--> CR --LF--> START
 */
#include "test/sink/content.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { START, TEXT, CR, DOT, DOT_CR };

enum { KEEP_CAP = 64 * 1024 };

void content_init(struct content *content, size_t limit)
{
	memset(content, 0, sizeof(*content));
	content->limit = limit;
	content->state = START;
}

void content_done(struct content *content)
{
	free(content->data);
}

void content_reset(struct content *content)
{
	size_t limit = content->limit;
	if (content->cap > KEEP_CAP) {
		free(content->data);
		content_init(content, limit);
		return;
	}
	content->len = 0;
	content->too_large = false;
	content->state = START;
}

static void append(struct content *content, const unsigned char *bytes, size_t len)
{
	if (len > content->limit - content->len) {
		content->too_large = true;
		return;
	}
	if (len > content->cap - content->len) {
		size_t cap = content->cap < 4096 ? 4096 : content->cap;
		while (cap - content->len < len)
			cap *= 2;
		content->data = realloc(content->data, cap);
		if (content->data == NULL)
			abort();
		content->cap = cap;
	}
	memcpy(content->data + content->len, bytes, len);
	content->len += len;
}

/* The byte after a line's start, a dot or a CR decides; the rest of a line goes by in one piece. */
static void text_state(struct content *content, unsigned char byte)
{
	append(content, &byte, 1);
	if (byte == '\r')
		content->state = CR;
	else if (byte == '\n' && content->state == CR)
		content->state = START;
	else
		content->state = TEXT;
}

size_t content_feed(struct content *content, const unsigned char *bytes, size_t len, bool *ret_end)
{
	*ret_end = false;
	size_t i = 0;
	while (i < len) {
		unsigned char byte = bytes[i];
		if (content->state == TEXT && byte != '\r') {
			const unsigned char *cr = memchr(bytes + i, '\r', len - i);
			size_t run = cr == NULL ? len - i : (size_t)(cr - (bytes + i));
			append(content, bytes + i, run);
			i += run;
			continue;
		}
		i++;
		if (content->state == START && byte == '.') {
			content->state = DOT;
		} else if (content->state == DOT && byte == '\r') {
			content->state = DOT_CR;
		} else if (content->state == DOT_CR && byte == '\n') {
			*ret_end = true;
			return i;
		} else {
			/* A line ".\rx": its dot goes, its CR stays. */
			if (content->state == DOT_CR)
				text_state(content, '\r');
			text_state(content, byte);
		}
	}
	return i;
}

/* The end of the header field that starts at `pos`: behind its last continuation line. */
static size_t field_end(const struct content *content, size_t pos)
{
	for (;;) {
		const unsigned char *lf = memchr(content->data + pos, '\n', content->len - pos);
		if (lf == NULL)
			return content->len;
		pos = (size_t)(lf - content->data) + 1;
		if (pos == content->len || (content->data[pos] != ' ' && content->data[pos] != '\t'))
			return pos;
	}
}

static bool field_is(const struct content *content, size_t pos, size_t end, const char *name)
{
	size_t len = strlen(name);
	return end - pos > len && strncasecmp((const char *)content->data + pos, name, len) == 0;
}

static bool header_ends(const struct content *content, size_t pos)
{
	return pos >= content->len || content->data[pos] == '\r' || content->data[pos] == '\n';
}

void content_hash(const struct content *content, char hex[CONTENT_HASH_HEX])
{
	crypto_generichash_state state;
	unsigned char hash[32];
	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	size_t pos = 0;
	size_t kept = 0; /* from here on not hashed yet */
	while (!header_ends(content, pos)) {
		size_t end = field_end(content, pos);
		if (field_is(content, pos, end, "Received:")) {
			crypto_generichash_update(&state, content->data + kept, pos - kept);
			kept = end;
		}
		pos = end;
	}
	if (content->len > kept)
		crypto_generichash_update(&state, content->data + kept, content->len - kept);
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_bin2hex(hex, CONTENT_HASH_HEX, hash, sizeof(hash));
}

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void content_message_id(const struct content *content, char id[CONTENT_MESSAGE_ID_MAX])
{
	id[0] = '\0';
	size_t pos = 0;
	while (!header_ends(content, pos)) {
		size_t end = field_end(content, pos);
		if (!field_is(content, pos, end, "Message-ID:")) {
			pos = end;
			continue;
		}
		pos += strlen("Message-ID:");
		while (pos < end && blank(content->data[pos]))
			pos++;
		while (end > pos && blank(content->data[end - 1]))
			end--;
		size_t len = end - pos;
		if (len >= CONTENT_MESSAGE_ID_MAX)
			len = CONTENT_MESSAGE_ID_MAX - 1;
		memcpy(id, content->data + pos, len);
		id[len] = '\0';
		return;
	}
}
