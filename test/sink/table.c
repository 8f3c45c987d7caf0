/* SPDX-License-Identifier: MIT */
/*
 * Open addressing over an array of record numbers; records and keys lie in arrays of their own, in the order
 * in which they came. Nothing is ever removed. Keys are named by their place in the array of bytes, because
 * that array moves when it grows.
 */
#include "test/sink/table.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t hash;
	size_t key;
	size_t len;
};

struct table {
	unsigned char secret[crypto_shorthash_KEYBYTES];
	size_t size;
	uint32_t *slots; /* 0: free, otherwise the record's number + 1 */
	size_t slot_count;
	struct entry *entries;
	unsigned char *records;
	size_t count;
	size_t room;
	char *keys;
	size_t keys_len;
	size_t keys_room;
};

static void *resize(void *memory, size_t count, size_t size)
{
	void *moved = reallocarray(memory, count, size);
	if (moved == NULL)
		abort();
	return moved;
}

struct table *table_new(size_t size)
{
	struct table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		abort();
	crypto_shorthash_keygen(table->secret);
	table->size = size;
	table->slot_count = 4096;
	table->slots = calloc(table->slot_count, sizeof(*table->slots));
	if (table->slots == NULL)
		abort();
	return table;
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	free(table->slots);
	free(table->entries);
	free(table->records);
	free(table->keys);
	free(table);
}

static uint64_t hash_of(const struct table *table, const char *key, size_t len)
{
	uint64_t hash;
	unsigned char bytes[crypto_shorthash_BYTES];
	crypto_shorthash(bytes, (const unsigned char *)key, len, table->secret);
	memcpy(&hash, bytes, sizeof(hash));
	return hash;
}

/* The slot of the key, or the free one where it belongs. */
static size_t slot_of(const struct table *table, uint64_t hash, const char *key, size_t len)
{
	size_t i = (size_t)hash & (table->slot_count - 1);
	for (; table->slots[i] != 0; i = (i + 1) & (table->slot_count - 1)) {
		const struct entry *entry = &table->entries[table->slots[i] - 1];
		if (entry->hash == hash && entry->len == len &&
		    memcmp(table->keys + entry->key, key, len) == 0)
			break;
	}
	return i;
}

static void grow_slots(struct table *table)
{
	free(table->slots);
	table->slot_count *= 2;
	table->slots = calloc(table->slot_count, sizeof(*table->slots));
	if (table->slots == NULL)
		abort();
	for (size_t n = 0; n < table->count; n++) {
		size_t i = (size_t)table->entries[n].hash & (table->slot_count - 1);
		while (table->slots[i] != 0)
			i = (i + 1) & (table->slot_count - 1);
		table->slots[i] = (uint32_t)(n + 1);
	}
}

static void grow_records(struct table *table, size_t key_len)
{
	if (table->count == table->room) {
		table->room = table->room == 0 ? 1024 : table->room * 2;
		table->entries = resize(table->entries, table->room, sizeof(*table->entries));
		table->records = resize(table->records, table->room, table->size);
	}
	if (key_len > table->keys_room - table->keys_len) {
		table->keys_room = (table->keys_room + key_len + 4096) * 2;
		table->keys = resize(table->keys, table->keys_room, 1);
	}
}

void *table_get(struct table *table, const char *key, size_t len)
{
	uint64_t hash = hash_of(table, key, len);
	size_t slot = slot_of(table, hash, key, len);
	if (table->slots[slot] != 0)
		return table->records + (table->slots[slot] - 1) * table->size;
	if (table->count * 2 >= table->slot_count) {
		grow_slots(table);
		slot = slot_of(table, hash, key, len);
	}
	grow_records(table, len);
	table->entries[table->count] = (struct entry){.hash = hash, .key = table->keys_len, .len = len};
	if (len > 0)
		memcpy(table->keys + table->keys_len, key, len);
	table->keys_len += len;
	unsigned char *record = table->records + table->count * table->size;
	memset(record, 0, table->size);
	table->slots[slot] = (uint32_t)++table->count;
	return record;
}

void *table_find(const struct table *table, const char *key, size_t len)
{
	size_t slot = slot_of(table, hash_of(table, key, len), key, len);
	if (table->slots[slot] == 0)
		return NULL;
	return table->records + (table->slots[slot] - 1) * table->size;
}

size_t table_count(const struct table *table)
{
	return table->count;
}

void *table_at(const struct table *table, size_t index, const char **ret_key, size_t *ret_len)
{
	*ret_key = table->keys + table->entries[index].key;
	*ret_len = table->entries[index].len;
	return table->records + index * table->size;
}
