/* SPDX-License-Identifier: MIT */
/*
 * The list of effects: grows, owns copies, is emptied by the shell after each round. Out of memory aborts.
 */
#include "queue/effect.h"

#include <stdlib.h>
#include <string.h>

void effects_init(struct effects *effects)
{
	memset(effects, 0, sizeof(*effects));
}

void effects_clear(struct effects *effects)
{
	for (size_t i = 0; i < effects->owned_count; i++)
		free(effects->owned[i]);
	effects->owned_count = 0;
	effects->count = 0;
}

void effects_done(struct effects *effects)
{
	effects_clear(effects);
	free(effects->owned);
	free(effects->items);
	effects_init(effects);
}

/* Doubles an array of `count` items of `item` bytes when it is full. */
static void *grow(void *array, size_t count, size_t *size, size_t item)
{
	if (count < *size)
		return array;
	*size = *size == 0 ? 16 : *size * 2;
	array = reallocarray(array, *size, item);
	if (array == NULL)
		abort();
	return array;
}

struct effect *effects_add(struct effects *effects, enum effect_type type)
{
	struct effect *effect;

	effects->items = grow(effects->items, effects->count, &effects->size, sizeof(*effects->items));
	effect = &effects->items[effects->count++];
	memset(effect, 0, sizeof(*effect));
	effect->type = type;
	return effect;
}

void *effects_copy(struct effects *effects, const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	effects->owned =
	    grow(effects->owned, effects->owned_count, &effects->owned_size, sizeof(*effects->owned));
	effects->owned[effects->owned_count++] = copy;
	return copy;
}

char *effects_copy_text(struct effects *effects, const char *text)
{
	return effects_copy(effects, text, strlen(text) + 1);
}
