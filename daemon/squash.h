/* SPDX-License-Identifier: MIT */
/*
 * A journal as one compressed entry, and back.
 *
 *   squashed entry = msgpack [ 9, raw length, bin of zstd of raw ]
 *   raw            = entry, entry, ...   each preceded by its length as a big-endian u32
 */
#ifndef OPTIMUS_DAEMON_SQUASH_H
#define OPTIMUS_DAEMON_SQUASH_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/event.h"
#include "queue/message/buffer.h"

enum {
	SQUASH_RAW_MAX = 64 * 1024 * 1024, /* a journal with more in it stays as it is */
	SQUASH_ENTRIES_MAX = 1000000,
};

/* Whether these bytes claim to be a squashed entry. No other entry starts like one (queue/journal.h). */
bool squash_is(const void *data, size_t len);

/* Appends to `out` one entry that holds `count` unsquashed entries. OPT_E_LIMIT when they are too much. */
int squash_pack(const struct span *entries, size_t count, struct buffer *out);

/* The entries of a journal after unpacking. Owns its memory. */
struct squash_list {
	struct span *entries;
	size_t count;
	size_t size;
	void **blocks; /* what the entries of squashed ones point into */
	size_t block_count;
	size_t raw;
};

void squash_list_init(struct squash_list *list);
void squash_list_done(struct squash_list *list);
/*
 * Adds an entry of the journal as it was stored, which is unpacked if it is squashed. Borrows data of others:
 * it must outlive the list. Any bytes may come: OPT_E_INVALID, OPT_E_LIMIT.
 */
int squash_list_add(struct squash_list *list, const void *data, size_t len);

#endif
