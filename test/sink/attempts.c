/* SPDX-License-Identifier: MIT */
/*
 * A hash table of counters that only grows. Keys are kept as 64-bit keyed hashes: with a million of them two
 * texts share a counter about once in 40 million runs, which a test server can live with; so a million
 * greylisted recipients cost 16 to 32 MB.
 */
#include "test/sink/attempts.h"

#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 512, FIRST_SLOTS = 1024 };

struct slot {
	uint64_t key; /* 0: free */
	uint32_t count;
};

struct attempts {
	unsigned char secret[crypto_shorthash_KEYBYTES];
	struct slot *slots;
	size_t size; /* a power of two */
	size_t used;
};

struct attempts *attempts_new(void)
{
	struct attempts *attempts = calloc(1, sizeof(*attempts));
	if (attempts == NULL)
		abort();
	crypto_shorthash_keygen(attempts->secret);
	attempts->size = FIRST_SLOTS;
	attempts->slots = calloc(attempts->size, sizeof(*attempts->slots));
	if (attempts->slots == NULL)
		abort();
	return attempts;
}

void attempts_free(struct attempts *attempts)
{
	if (attempts == NULL)
		return;
	free(attempts->slots);
	free(attempts);
}

static struct slot *find(struct slot *slots, size_t size, uint64_t key)
{
	size_t i = (size_t)key & (size - 1);
	while (slots[i].key != 0 && slots[i].key != key)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static void grow(struct attempts *attempts)
{
	size_t size = attempts->size * 2;
	struct slot *slots = calloc(size, sizeof(*slots));
	if (slots == NULL)
		abort();
	for (size_t i = 0; i < attempts->size; i++) {
		if (attempts->slots[i].key != 0)
			*find(slots, size, attempts->slots[i].key) = attempts->slots[i];
	}
	free(attempts->slots);
	attempts->slots = slots;
	attempts->size = size;
}

uint32_t attempts_count(struct attempts *attempts, int kind, const char *text)
{
	unsigned char folded[TEXT_MAX + 1];
	size_t len = 0;
	folded[len++] = (unsigned char)kind;
	for (; *text != '\0' && len < sizeof(folded); text++)
		folded[len++] = (unsigned char)tolower((unsigned char)*text);
	unsigned char hash[crypto_shorthash_BYTES];
	crypto_shorthash(hash, folded, len, attempts->secret);
	uint64_t key;
	memcpy(&key, hash, sizeof(key));
	if (key == 0)
		key = 1;
	if (attempts->used * 2 >= attempts->size)
		grow(attempts);
	struct slot *slot = find(attempts->slots, attempts->size, key);
	if (slot->key == 0) {
		slot->key = key;
		attempts->used++;
	}
	return ++slot->count;
}
