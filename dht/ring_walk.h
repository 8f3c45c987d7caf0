/* SPDX-License-Identifier: MIT */
/*
 * What a ring is made of, for ring.c and ring_spread.c. Nobody else includes this.
 *
 * The ring is one sorted array of points (virtual id, node). Keys with a common prefix stand side by side in
 * it, so the points in order of their XOR distance to a key come out of a descent through the bits: at each
 * bit the half that agrees with the key is nearer than all of the other half. The descent keeps the halves
 * that it left behind on a stack of at most one per bit, and splits by binary search: no tree is built or
 * kept.
 */
#ifndef OPTIMUS_DHT_RING_WALK_H
#define OPTIMUS_DHT_RING_WALK_H

#include "dht/ring.h"
#include "queue/error.h"

#include <stdlib.h>

enum { ID_BITS = OPT_ID_SIZE * 8 };

#define NO_NODE UINT32_MAX

struct point {
	struct opt_id id;
	uint32_t node; /* index into nodes */
};

struct ring {
	struct ring_node *nodes; /* sorted by id */
	struct point *points;    /* sorted by id, then node */
	size_t node_count;
	size_t point_count;
	size_t references;
};

/* Points low to high-1, which all agree in the bits before `bit`. */
struct span {
	size_t low;
	size_t high;
	unsigned bit;
};

/* The points in order of their distance to a key. Borrows the ring. */
struct ring_walk {
	const struct ring *ring;
	struct opt_id key;
	struct span left[ID_BITS + 1]; /* what is further away, the nearest of it last */
	unsigned depth;
};

void ring_walk(struct ring_walk *walk, const struct ring *ring, const struct opt_id *key);
/* The node of the next point, NO_NODE after the last one. A node comes as often as it has points. */
uint32_t ring_walk_next(struct ring_walk *walk);
/* The number of a node, NO_NODE when the ring does not have it. */
uint32_t ring_find(const struct ring *ring, const struct opt_id *node);

/* Zeroed memory, of at least one element. Aborts when there is none. */
static inline void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count > 0 ? count : 1, size);

	if (!memory)
		opt_abort("out of memory");
	return memory;
}

#endif
