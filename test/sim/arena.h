/* SPDX-License-Identifier: MIT */
/*
 * Memory of one world: handed out zeroed, never given back one by one, all of it reused for the next seed.
 * The models keep pointers as long as they like, which is what makes them short.
 */
#ifndef OPTIMUS_TEST_SIM_ARENA_H
#define OPTIMUS_TEST_SIM_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_block *first;
	struct arena_block *current;
};

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);
/* Forgets everything and keeps the blocks. */
void arena_reset(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t size);
void *arena_copy(struct arena *arena, const void *data, size_t len);
/* For growing arrays: a larger copy when `count` has reached *size. */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t *size, size_t item);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

#endif
