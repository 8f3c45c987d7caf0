/* SPDX-License-Identifier: MIT */
/*
 * Open addressing over an array that only grows. Ids are hashes or random, so their first bytes will do.
 */
#include "test/sim/idmap.h"

#include <string.h>

static const struct opt_id zero;

void idmap_init(struct idmap *map, struct arena *arena)
{
	memset(map, 0, sizeof(*map));
	map->arena = arena;
}

/* The slot of the key, or the free one where it would go. */
static size_t find(const struct idmap *map, const struct opt_id *a, const struct opt_id *b)
{
	uint64_t x, y;
	size_t slot;

	memcpy(&x, a->bytes, sizeof(x));
	memcpy(&y, b->bytes, sizeof(y));
	slot = (size_t)(x ^ (y * 31)) & (map->slot_count - 1);
	while (map->slots[slot] != 0) {
		const struct idmap_item *item = &map->items[map->slots[slot] - 1];

		if (id_equal(&item->a, a) && id_equal(&item->b, b))
			break;
		slot = (slot + 1) & (map->slot_count - 1);
	}
	return slot;
}

void *idmap_get(const struct idmap *map, const struct opt_id *a, const struct opt_id *b)
{
	size_t slot;

	if (map->slot_count == 0)
		return NULL;
	slot = find(map, a, b != NULL ? b : &zero);
	return map->slots[slot] != 0 ? map->items[map->slots[slot] - 1].value : NULL;
}

static void rehash(struct idmap *map)
{
	map->slot_count = map->slot_count == 0 ? 64 : map->slot_count * 4;
	map->slots = arena_alloc(map->arena, map->slot_count * sizeof(*map->slots));
	for (size_t i = 0; i < map->count; i++)
		map->slots[find(map, &map->items[i].a, &map->items[i].b)] = (uint32_t)i + 1;
}

void idmap_set(struct idmap *map, const struct opt_id *a, const struct opt_id *b, void *value)
{
	size_t slot;

	if (2 * (map->count + 1) > map->slot_count)
		rehash(map);
	slot = find(map, a, b != NULL ? b : &zero);
	if (map->slots[slot] == 0) {
		map->items = arena_grow(map->arena, map->items, map->count, &map->size, sizeof(*map->items));
		map->items[map->count].a = *a;
		map->items[map->count].b = b != NULL ? *b : zero;
		map->slots[slot] = (uint32_t)++map->count;
	}
	map->items[map->slots[slot] - 1].value = value;
}
