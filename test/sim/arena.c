/* SPDX-License-Identifier: MIT */
/*
 * A chain of blocks with a moving end. Out of memory aborts.
 */
#include "test/sim/arena.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 1 << 20 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(16) char data[];
};

void arena_init(struct arena *arena)
{
	arena->first = NULL;
	arena->current = NULL;
}

void arena_done(struct arena *arena)
{
	struct arena_block *next;

	for (struct arena_block *block = arena->first; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	arena_init(arena);
}

void arena_reset(struct arena *arena)
{
	arena->current = arena->first;
	if (arena->current != NULL)
		arena->current->used = 0;
}

/* The next block with room: one from an earlier seed or a new one. */
static struct arena_block *next_block(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->current != NULL ? arena->current->next : NULL;

	if (block == NULL || block->size < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		block = malloc(sizeof(*block) + room);
		if (block == NULL)
			abort();
		block->size = room;
		block->next = arena->current != NULL ? arena->current->next : NULL;
		if (arena->current != NULL)
			arena->current->next = block;
		else
			arena->first = block;
	}
	block->used = 0;
	arena->current = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->current;
	void *memory;

	size = (size + 15) & ~(size_t)15;
	if (block == NULL || block->size - block->used < size)
		block = next_block(arena, size);
	memory = block->data + block->used;
	block->used += size;
	memset(memory, 0, size);
	return memory;
}

void *arena_copy(struct arena *arena, const void *data, size_t len)
{
	void *copy = arena_alloc(arena, len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

void *arena_grow(struct arena *arena, void *array, size_t count, size_t *size, size_t item)
{
	void *larger;

	if (count < *size)
		return array;
	*size = *size == 0 ? 8 : *size * 2;
	larger = arena_alloc(arena, *size * item);
	if (count > 0)
		memcpy(larger, array, count * item);
	return larger;
}
