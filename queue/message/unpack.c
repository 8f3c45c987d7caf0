/* SPDX-License-Identifier: MIT */
/*
 * Reads msgpack that may come from anybody. The caller asks for what its format has at this place, so nesting
 * is as deep as the caller's code and no deeper. After the first error every call returns an empty result.
 */
#include "queue/message/unpack.h"

#include <string.h>

#include "queue/error.h"

enum {
	NIL = 0xc0,
	BIN8 = 0xc4,
	UINT8 = 0xcc,
	UINT64 = 0xcf,
	STR8 = 0xd9,
	STR32 = 0xdb,
	ARRAY16 = 0xdc,
	ARRAY32 = 0xdd,
	FIXARRAY = 0x90,
	FIXSTR = 0xa0,
};

void unpack_init(struct unpack *unpack, void *data, size_t len)
{
	*unpack = (struct unpack){.at = data, .end = (uint8_t *)data + len};
}

static void fail(struct unpack *unpack, int error)
{
	if (unpack->error == 0)
		unpack->error = error;
	unpack->at = unpack->end;
}

/* A big-endian number of `len` bytes. */
static uint64_t number(struct unpack *unpack, size_t len)
{
	uint64_t value = 0;

	if ((size_t)(unpack->end - unpack->at) < len) {
		fail(unpack, OPT_E_INVALID);
		return 0;
	}
	while (len-- > 0)
		value = value << 8 | *unpack->at++;
	return value;
}

size_t unpack_array(struct unpack *unpack, size_t max)
{
	uint8_t type = (uint8_t)number(unpack, 1);
	uint64_t count = 0;

	if ((type & 0xf0) == FIXARRAY)
		count = type & 0x0f;
	else if (type == ARRAY16 || type == ARRAY32)
		count = number(unpack, type == ARRAY16 ? 2 : 4);
	else
		fail(unpack, OPT_E_INVALID);
	if (count > max)
		fail(unpack, OPT_E_LIMIT);
	return unpack->error == 0 ? (size_t)count : 0;
}

uint64_t unpack_unsigned(struct unpack *unpack, uint64_t max)
{
	uint8_t type = (uint8_t)number(unpack, 1);
	uint64_t value = type;

	if (type >= UINT8 && type <= UINT64)
		value = number(unpack, (size_t)1 << (type - UINT8));
	else if (type >= 0x80)
		fail(unpack, OPT_E_INVALID);
	if (value > max)
		fail(unpack, OPT_E_INVALID);
	return unpack->error == 0 ? value : 0;
}

const char *unpack_text(struct unpack *unpack, size_t max)
{
	uint8_t type = (uint8_t)number(unpack, 1);
	uint64_t len = 0;
	uint8_t *text;

	if ((type & 0xe0) == FIXSTR)
		len = type & 0x1f;
	else if (type >= STR8 && type <= STR32)
		len = number(unpack, (size_t)1 << (type - STR8));
	else
		fail(unpack, OPT_E_INVALID);
	if (len > max)
		fail(unpack, OPT_E_LIMIT);
	if (unpack->error == 0 && len > (uint64_t)(unpack->end - unpack->at))
		fail(unpack, OPT_E_INVALID);
	if (unpack->error != 0)
		return "";
	if (len > 0 && memchr(unpack->at, '\0', (size_t)len) != NULL) {
		fail(unpack, OPT_E_INVALID);
		return "";
	}
	/* At least one byte of type and length stands before the text and has been read. */
	text = unpack->at - 1;
	memmove(text, unpack->at, (size_t)len);
	text[len] = '\0';
	unpack->at += len;
	return (const char *)text;
}

const char *unpack_text_or_nil(struct unpack *unpack, size_t max)
{
	if (unpack->at < unpack->end && *unpack->at == NIL) {
		unpack->at++;
		return NULL;
	}
	return unpack_text(unpack, max);
}

void unpack_bytes(struct unpack *unpack, void *bytes, size_t len)
{
	memset(bytes, 0, len);
	if (number(unpack, 1) != BIN8 || number(unpack, 1) != len ||
	    (size_t)(unpack->end - unpack->at) < len) {
		fail(unpack, OPT_E_INVALID);
		return;
	}
	memcpy(bytes, unpack->at, len);
	unpack->at += len;
}

int unpack_done(const struct unpack *unpack)
{
	if (unpack->error != 0)
		return unpack->error;
	return unpack->at == unpack->end ? 0 : OPT_E_INVALID;
}
