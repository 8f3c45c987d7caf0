/* SPDX-License-Identifier: MIT */
/*
 * Finding duplicate addresses in files of millions of rows.
 *
 * Open addressing with linear probing over 16-byte slots. A slot is the SipHash-2-4-128 of the normalised
 * address under a random key: nobody can prepare addresses that collide, and for 10 million honest ones the
 * chance that any two do is about 10^-25, so the answer is treated as exact. Addresses themselves are not
 * kept.
 *
 * Memory: 16 bytes a slot, at most three quarters of the slots in use; doubling holds the old and the new
 * table for a moment. 5 million addresses end with 128 MiB after a peak of 192 MiB.
 *
 * All zero marks a free slot; a hash that is all zero is stored as one. Out of memory aborts.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_dedup.h"
#include "queue/error.h"
#include "queue/message/address.h"

enum { FIRST_SLOTS = 4096 };

struct slot {
	uint64_t low, high;
};

struct dedup {
	struct slot *slots;
	size_t size; /* a power of two */
	size_t count;
	size_t limit;
	unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
};

static struct slot *slots_new(size_t size)
{
	struct slot *slots = calloc(size, sizeof *slots);

	if (slots == NULL)
		abort();
	return slots;
}

struct dedup *dedup_new(size_t limit)
{
	struct dedup *dedup = calloc(1, sizeof *dedup);

	if (dedup == NULL || sodium_init() < 0)
		abort();
	dedup->size = FIRST_SLOTS;
	dedup->slots = slots_new(dedup->size);
	dedup->limit = limit;
	randombytes_buf(dedup->key, sizeof dedup->key);
	return dedup;
}

void dedup_free(struct dedup *dedup)
{
	if (dedup == NULL)
		return;
	free(dedup->slots);
	free(dedup);
}

size_t dedup_count(const struct dedup *dedup)
{
	return dedup->count;
}

static struct slot hash_address(const struct dedup *dedup, const char *address)
{
	unsigned char text[ADDRESS_MAX + 1];
	size_t len = strnlen(address, sizeof text);
	const unsigned char *hashed = text;
	struct slot slot;

	if (len < sizeof text) {
		const char *at = memrchr(address, '@', len);
		size_t local = at != NULL ? (size_t)(at - address) : len;

		memcpy(text, address, len);
		for (size_t i = local; i < len; i++)
			if (text[i] >= 'A' && text[i] <= 'Z')
				text[i] = (unsigned char)(text[i] | 0x20);
	} else {
		/* Too long to be an address: compared as it is. */
		hashed = (const unsigned char *)address;
		len = strlen(address);
	}
	crypto_shorthash_siphashx24((unsigned char *)&slot, hashed, len, dedup->key);
	if (slot.low == 0 && slot.high == 0)
		slot.low = 1;
	return slot;
}

/* The slot that holds the hash, or the free one where it belongs. */
static struct slot *find(struct slot *slots, size_t size, struct slot hash)
{
	size_t i = (size_t)hash.low & (size - 1);

	while ((slots[i].low != 0 || slots[i].high != 0) &&
	       (slots[i].low != hash.low || slots[i].high != hash.high))
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static void grow(struct dedup *dedup)
{
	size_t size = dedup->size * 2;
	struct slot *slots = slots_new(size);

	for (size_t i = 0; i < dedup->size; i++)
		if (dedup->slots[i].low != 0 || dedup->slots[i].high != 0)
			*find(slots, size, dedup->slots[i]) = dedup->slots[i];
	free(dedup->slots);
	dedup->slots = slots;
	dedup->size = size;
}

int dedup_add(struct dedup *dedup, const char *address)
{
	struct slot hash = hash_address(dedup, address);
	struct slot *slot = find(dedup->slots, dedup->size, hash);

	if (slot->low != 0 || slot->high != 0)
		return 1;
	if (dedup->count >= dedup->limit)
		return OPT_E_LIMIT;
	*slot = hash;
	if (++dedup->count > dedup->size / 4 * 3)
		grow(dedup);
	return 0;
}
