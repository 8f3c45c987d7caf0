/* SPDX-License-Identifier: MIT */
/*
 * A bounded reader of msgpack whose error sticks: read everything, then ask once.
 *
 * msgpack-c's own unpacker allocates what a length in the input claims before it has seen the bytes. This one
 * allocates nothing and reads only the types that our formats use; any other is an error.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_UNPACK_H
#define OPTIMUS_QUEUE_MESSAGE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unpack {
	uint8_t *at;
	uint8_t *end;
	int error; /* 0, or the first OPT_E_INVALID or OPT_E_LIMIT */
};

/* Borrows the bytes, and writes to them: see unpack_text(). */
void unpack_init(struct unpack *unpack, void *data, size_t len);
/* The number of elements of an array; OPT_E_LIMIT when it is over `max`. 0 after an error. */
size_t unpack_array(struct unpack *unpack, size_t max);
uint64_t unpack_unsigned(struct unpack *unpack, uint64_t max);
/*
 * A string of at most `max` octets without NUL, itself NUL-terminated: it is moved over its own length field
 * to make room. "" after an error.
 */
const char *unpack_text(struct unpack *unpack, size_t max);
/* The same, but NULL for nil. */
const char *unpack_text_or_nil(struct unpack *unpack, size_t max);
/* A bin of exactly `len` bytes into `bytes`; zeros after an error. */
void unpack_bytes(struct unpack *unpack, void *bytes, size_t len);
/* The error, or OPT_E_INVALID when bytes are left over, or 0. */
int unpack_done(const struct unpack *unpack);

#endif
