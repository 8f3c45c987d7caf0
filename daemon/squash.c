/* SPDX-License-Identifier: MIT */
/*
 * Packs the journal of a finished shard: hundreds of small entries that look alike become one of a tenth of
 * the size, and Redis keeps one element in the place of hundreds.
 *
 * The head has a fixed form, so that it is written and checked without a msgpack library:
 *
 *   +------+------+------+----------------+------+----------------+----------
 *   | 0x93 | 0x09 | 0xce | raw length u32 | 0xc6 | bin length u32 | zstd ...
 *   +------+------+------+----------------+------+----------------+----------
 *
 * What is read may be any bytes: the length in the head, the one in zstd's frame and the limit are compared
 * before memory is taken. A squashed entry never holds another one.
 */
#include "daemon/squash.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "queue/error.h"

enum { HEAD_SIZE = 12, LEVEL = 3 };

static void put_u32(char *at, size_t value)
{
	at[0] = (char)(value >> 24 & 0xff);
	at[1] = (char)(value >> 16 & 0xff);
	at[2] = (char)(value >> 8 & 0xff);
	at[3] = (char)(value & 0xff);
}

static size_t get_u32(const unsigned char *at)
{
	return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | (size_t)at[3];
}

bool squash_is(const void *data, size_t len)
{
	const unsigned char *bytes = data;

	return len >= 2 && bytes[0] == 0x93 && bytes[1] == 0x09;
}

int squash_pack(const struct span *entries, size_t count, struct buffer *out)
{
	struct buffer raw;
	size_t bound, len;
	char *at;
	int r = OPT_E_LIMIT;

	buffer_init(&raw);
	if (count > SQUASH_ENTRIES_MAX)
		goto fail_raw;
	for (size_t i = 0; i < count; i++) {
		char head[4];

		if (entries[i].len > SQUASH_RAW_MAX || raw.len + entries[i].len + 4 > SQUASH_RAW_MAX)
			goto fail_raw;
		put_u32(head, entries[i].len);
		buffer_add(&raw, head, sizeof(head));
		buffer_add(&raw, entries[i].data, entries[i].len);
	}
	bound = ZSTD_compressBound(raw.len);
	at = buffer_reserve(out, HEAD_SIZE + bound);
	len = ZSTD_compress(at + HEAD_SIZE, bound, raw.len > 0 ? raw.data : "", raw.len, LEVEL);
	if (ZSTD_isError(len))
		abort(); /* only out of memory can be the cause */
	at[0] = (char)0x93;
	at[1] = 0x09;
	at[2] = (char)0xce;
	put_u32(at + 3, raw.len);
	at[7] = (char)0xc6;
	put_u32(at + 8, len);
	out->len += HEAD_SIZE + len;
	r = 0;

fail_raw:
	buffer_done(&raw);
	return r;
}

void squash_list_init(struct squash_list *list)
{
	*list = (struct squash_list){0};
}

void squash_list_done(struct squash_list *list)
{
	for (size_t i = 0; i < list->block_count; i++)
		free(list->blocks[i]);
	free(list->blocks);
	free(list->entries);
	*list = (struct squash_list){0};
}

static int list_push(struct squash_list *list, const void *data, size_t len)
{
	if (list->count >= SQUASH_ENTRIES_MAX)
		return OPT_E_LIMIT;
	if (list->count == list->size) {
		list->size = list->size == 0 ? 64 : list->size * 2;
		list->entries = realloc(list->entries, list->size * sizeof(*list->entries));
		if (list->entries == NULL)
			abort();
	}
	list->entries[list->count++] = (struct span){.data = data, .len = len};
	return 0;
}

/* The raw bytes of a squashed entry, in a block that the list owns. */
static int list_inflate(struct squash_list *list, const unsigned char *bytes, size_t len, size_t *ret_raw)
{
	size_t raw;

	if (len < HEAD_SIZE || bytes[2] != 0xce || bytes[7] != 0xc6 || get_u32(bytes + 8) != len - HEAD_SIZE)
		return OPT_E_INVALID;
	raw = get_u32(bytes + 3);
	if (raw > SQUASH_RAW_MAX || list->raw + raw > SQUASH_RAW_MAX)
		return OPT_E_LIMIT;
	if (ZSTD_getFrameContentSize(bytes + HEAD_SIZE, len - HEAD_SIZE) != raw)
		return OPT_E_INVALID;
	list->blocks = realloc(list->blocks, (list->block_count + 1) * sizeof(*list->blocks));
	if (list->blocks == NULL || (list->blocks[list->block_count] = malloc(raw + 1)) == NULL)
		abort();
	list->block_count++;
	if (ZSTD_decompress(list->blocks[list->block_count - 1], raw, bytes + HEAD_SIZE, len - HEAD_SIZE) !=
	    raw)
		return OPT_E_INVALID;
	list->raw += raw;
	*ret_raw = raw;
	return 0;
}

int squash_list_add(struct squash_list *list, const void *data, size_t len)
{
	const unsigned char *at;
	size_t left = 0, before = list->count;
	int r;

	if (!squash_is(data, len))
		return list_push(list, data, len);
	r = list_inflate(list, data, len, &left);
	if (r != 0)
		return r;
	at = list->blocks[list->block_count - 1];
	while (left > 0) {
		size_t entry;

		r = OPT_E_INVALID;
		if (left < 4 || (entry = get_u32(at)) > left - 4 || squash_is(at + 4, entry))
			goto fail_count;
		r = list_push(list, at + 4, entry);
		if (r != 0)
			goto fail_count;
		at += 4 + entry;
		left -= 4 + entry;
	}
	return 0;

fail_count:
	list->count = before;
	return r;
}
