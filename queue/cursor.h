/* SPDX-License-Identifier: MIT */
/*
 * Reading msgpack from bytes that anybody may have written: a cursor that never reads past its end, allocates
 * nothing, and whose first error sticks, so that one check at the end of a decoder is enough. Writing goes
 * through msgpack-c's packer, over pack_to().
 */
#ifndef OPTIMUS_QUEUE_CURSOR_H
#define OPTIMUS_QUEUE_CURSOR_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/id.h"
#include "queue/message/buffer.h"

struct cursor {
	const uint8_t *next;
	const uint8_t *end;
	bool failed;
};

struct cursor cursor_over(const void *data, size_t len);
/* The number of elements of an array, at most `max`; 0 on error. */
uint32_t cursor_array(struct cursor *cursor, uint32_t max);
/* An array of exactly `count` elements. */
void cursor_array_of(struct cursor *cursor, uint32_t count);
/* An unsigned number up to `max`; 0 on error. */
uint64_t cursor_uint(struct cursor *cursor, uint64_t max);
int64_t cursor_int(struct cursor *cursor, int64_t min, int64_t max);
/* A text of at most `max` bytes without NUL. Borrowed, not terminated; "" and 0 on error. */
const char *cursor_text(struct cursor *cursor, size_t max, size_t *ret_len);
/*
 * The same, NUL-terminated where it lies: it is moved over its own length to make room, so the bytes under
 * the cursor have to be the caller's to write to.
 */
const char *cursor_text_in_place(struct cursor *cursor, size_t max);
/* The same, but NULL for nil. */
const char *cursor_text_or_nil(struct cursor *cursor, size_t max);
/* The same, copied with a NUL into `text` of max + 1 bytes. */
void cursor_text_into(struct cursor *cursor, char *text, size_t max);
struct opt_id cursor_id(struct cursor *cursor);
const void *cursor_bytes(struct cursor *cursor, size_t max, size_t *ret_len);
/* 0 when all was well and nothing is left over, else OPT_E_INVALID. */
int cursor_end(const struct cursor *cursor);

/* A msgpack-c packer that appends to `out`. */
void pack_to(msgpack_packer *packer, struct buffer *out);
void pack_id(msgpack_packer *packer, const struct opt_id *id);
void pack_text(msgpack_packer *packer, const char *text, size_t max);

#endif
