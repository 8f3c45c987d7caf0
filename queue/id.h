/* SPDX-License-Identifier: MIT */
/*
 * 160-bit ids: the key space of the DHT. Batches, shards, nodes and uploads are all named by one.
 *
 *   batch key = BLAKE2b-160("optimus batch" | batch id as the user wrote it)
 *   shard id  = BLAKE2b-160("optimus shard" | batch key | index as big-endian u32)
 *
 * so that every node computes them alike from what the user chose.
 */
#ifndef OPTIMUS_QUEUE_ID_H
#define OPTIMUS_QUEUE_ID_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OPT_ID_SIZE = 20, OPT_ID_HEX = 41 /* with the final NUL */, BATCH_NAME_MAX = 64 };

struct opt_id {
	uint8_t bytes[OPT_ID_SIZE];
};

/* Order of the bytes, as memcmp(3). Trees of ids do little else, and the first eight bytes mostly decide. */
static inline int id_compare(const struct opt_id *a, const struct opt_id *b)
{
	uint64_t x, y;

	memcpy(&x, a->bytes, sizeof(x));
	memcpy(&y, b->bytes, sizeof(y));
	if (x != y)
		return be64toh(x) < be64toh(y) ? -1 : 1;
	return memcmp(a->bytes + sizeof(x), b->bytes + sizeof(y), OPT_ID_SIZE - sizeof(x));
}

static inline bool id_equal(const struct opt_id *a, const struct opt_id *b)
{
	return id_compare(a, b) == 0;
}

bool id_is_zero(const struct opt_id *id);

/* Writes 40 lower-case hex digits and a NUL. Returns hex. */
char *id_to_hex(const struct opt_id *id, char hex[OPT_ID_HEX]);
/* Reads exactly 40 hex digits followed by anything that is not one. OPT_E_INVALID otherwise. */
int id_from_hex(const char *hex, struct opt_id *ret_id);

/* A batch id that a user may choose: 1 to 64 of A-Z a-z 0-9 . _ - and not starting with '.' or '-'. */
bool batch_name_valid(const char *name);
struct opt_id batch_key(const char *name);
struct opt_id shard_id(const struct opt_id *batch, uint32_t index);

/* Incremental BLAKE2b-160, for content hashes. */
struct id_hash {
	_Alignas(64) unsigned char opaque[384]; /* crypto_generichash_state of libsodium */
};
void id_hash_init(struct id_hash *hash);
void id_hash_add(struct id_hash *hash, const void *data, size_t len);
struct opt_id id_hash_done(struct id_hash *hash);

#endif
