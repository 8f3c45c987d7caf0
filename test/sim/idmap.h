/* SPDX-License-Identifier: MIT */
/*
 * A map from one or two ids to a pointer, walked in the order of insertion so that seeds reproduce.
 */
#ifndef OPTIMUS_TEST_SIM_IDMAP_H
#define OPTIMUS_TEST_SIM_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/id.h"
#include "test/sim/arena.h"

struct idmap_item {
	struct opt_id a, b;
	void *value; /* NULL: removed */
};

struct idmap {
	struct arena *arena;
	struct idmap_item *items;
	size_t count;
	size_t size;
	uint32_t *slots; /* index into items + 1 */
	size_t slot_count;
};

void idmap_init(struct idmap *map, struct arena *arena);
/* b may be NULL. NULL when there is none. */
void *idmap_get(const struct idmap *map, const struct opt_id *a, const struct opt_id *b);
/* Sets, replaces, or removes with value = NULL. */
void idmap_set(struct idmap *map, const struct opt_id *a, const struct opt_id *b, void *value);

#endif
