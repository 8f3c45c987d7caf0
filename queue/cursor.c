/* SPDX-License-Identifier: MIT */
/*
 * A bounded reader of msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) for the types that we
 * write: unsigned and signed integers, str, bin, array, nil. Anything else, anything too long, and anything
 * that runs past the end is an error, and after an error every read gives zero or "".
 *
 * msgpack-c's own unpacker is not used for this: it allocates what a count promises before it has seen the
 * bytes.
 */
#include "queue/cursor.h"

#include <string.h>

#include "queue/error.h"

struct cursor cursor_over(const void *data, size_t len)
{
	return (struct cursor){.next = data, .end = len == 0 ? data : (const uint8_t *)data + len};
}

static size_t left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->next);
}

/* The next `len` bytes, or NULL and failure. */
static const uint8_t *take(struct cursor *cursor, size_t len)
{
	const uint8_t *at = cursor->next;

	if (cursor->failed || len > left(cursor)) {
		cursor->failed = true;
		return NULL;
	}
	cursor->next += len;
	return at;
}

static uint64_t take_number(struct cursor *cursor, size_t len)
{
	const uint8_t *at = take(cursor, len);
	uint64_t number = 0;

	for (size_t i = 0; at != NULL && i < len; i++)
		number = number << 8 | at[i];
	return number;
}

static uint8_t take_tag(struct cursor *cursor)
{
	const uint8_t *at = take(cursor, 1);

	return at == NULL ? 0xc1 /* never used by msgpack */ : *at;
}

uint32_t cursor_array(struct cursor *cursor, uint32_t max)
{
	uint8_t tag = take_tag(cursor);
	uint64_t count = 0;

	if ((tag & 0xf0) == 0x90)
		count = tag & 0x0f;
	else if (tag == 0xdc)
		count = take_number(cursor, 2);
	else if (tag == 0xdd)
		count = take_number(cursor, 4);
	else
		cursor->failed = true;
	/* Every element takes a byte at least: a count over that is a lie. */
	if (cursor->failed || count > max || count > left(cursor)) {
		cursor->failed = true;
		return 0;
	}
	return (uint32_t)count;
}

void cursor_array_of(struct cursor *cursor, uint32_t count)
{
	if (cursor_array(cursor, count) != count)
		cursor->failed = true;
}

uint64_t cursor_uint(struct cursor *cursor, uint64_t max)
{
	uint8_t tag = take_tag(cursor);
	uint64_t number = 0;

	if (tag < 0x80)
		number = tag;
	else if (tag >= 0xcc && tag <= 0xcf)
		number = take_number(cursor, (size_t)1 << (tag - 0xcc));
	else
		cursor->failed = true;
	if (cursor->failed || number > max) {
		cursor->failed = true;
		return 0;
	}
	return number;
}

int64_t cursor_int(struct cursor *cursor, int64_t min, int64_t max)
{
	uint8_t tag = !cursor->failed && left(cursor) > 0 ? *cursor->next : 0xc1;
	int64_t number = 0;

	if (tag >= 0xe0) {
		number = (int64_t)take_tag(cursor) - 256;
	} else if (tag >= 0xd0 && tag <= 0xd3) {
		size_t len = (size_t)1 << (take_tag(cursor) - 0xd0);
		uint64_t raw = take_number(cursor, len);

		if (len < 8 && (raw >> (8 * len - 1)) != 0)
			raw |= UINT64_MAX << (8 * len);
		number = (int64_t)raw;
	} else {
		number = (int64_t)cursor_uint(cursor, INT64_MAX);
	}
	if (cursor->failed || number < min || number > max) {
		cursor->failed = true;
		return 0;
	}
	return number;
}

const char *cursor_text(struct cursor *cursor, size_t max, size_t *ret_len)
{
	uint8_t tag = take_tag(cursor);
	uint64_t len = 0;
	const uint8_t *at;

	if ((tag & 0xe0) == 0xa0)
		len = tag & 0x1f;
	else if (tag >= 0xd9 && tag <= 0xdb)
		len = take_number(cursor, (size_t)1 << (tag - 0xd9));
	else
		cursor->failed = true;
	*ret_len = 0;
	if (len > max)
		cursor->failed = true;
	at = take(cursor, (size_t)len);
	if (at == NULL || memchr(at, '\0', (size_t)len) != NULL) {
		cursor->failed = true;
		return "";
	}
	*ret_len = (size_t)len;
	return (const char *)at;
}

const char *cursor_text_in_place(struct cursor *cursor, size_t max)
{
	size_t len;
	const char *at = cursor_text(cursor, max, &len);
	char *text;

	if (cursor->failed)
		return at;
	/* At least one byte of type and length stands before the text and has been read. */
	text = (char *)cursor->next - len - 1;
	memmove(text, at, len);
	text[len] = '\0';
	return text;
}

const char *cursor_text_or_nil(struct cursor *cursor, size_t max)
{
	if (!cursor->failed && left(cursor) > 0 && *cursor->next == 0xc0) {
		cursor->next++;
		return NULL;
	}
	return cursor_text_in_place(cursor, max);
}

void cursor_text_into(struct cursor *cursor, char *text, size_t max)
{
	size_t len;
	const char *at = cursor_text(cursor, max, &len);

	memcpy(text, at, len);
	text[len] = '\0';
}

const void *cursor_bytes(struct cursor *cursor, size_t max, size_t *ret_len)
{
	uint8_t tag = take_tag(cursor);
	uint64_t len = 0;
	const uint8_t *at;

	if (tag >= 0xc4 && tag <= 0xc6)
		len = take_number(cursor, (size_t)1 << (tag - 0xc4));
	else
		cursor->failed = true;
	if (len > max)
		cursor->failed = true;
	at = take(cursor, (size_t)len);
	*ret_len = at == NULL ? 0 : (size_t)len;
	return at;
}

struct opt_id cursor_id(struct cursor *cursor)
{
	struct opt_id id = {{0}};
	size_t len;
	const void *at = cursor_bytes(cursor, OPT_ID_SIZE, &len);

	if (len == OPT_ID_SIZE)
		memcpy(id.bytes, at, OPT_ID_SIZE);
	else
		cursor->failed = true;
	return id;
}

int cursor_end(const struct cursor *cursor)
{
	return cursor->failed || cursor->next != cursor->end ? OPT_E_INVALID : 0;
}

static int append(void *out, const char *data, size_t len)
{
	buffer_add(out, data, len);
	return 0;
}

void pack_to(msgpack_packer *packer, struct buffer *out)
{
	msgpack_packer_init(packer, out, append);
}

void pack_id(msgpack_packer *packer, const struct opt_id *id)
{
	msgpack_pack_bin(packer, OPT_ID_SIZE);
	msgpack_pack_bin_body(packer, id->bytes, OPT_ID_SIZE);
}

void pack_text(msgpack_packer *packer, const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	msgpack_pack_str(packer, len);
	msgpack_pack_str_body(packer, text, len);
}
