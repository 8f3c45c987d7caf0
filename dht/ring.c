/* SPDX-License-Identifier: MIT */
/*
 * The ring: made of nodes and of the ring before, asked for the closest nodes. What it looks like inside is
 * in ring_walk.h. It never changes once made, and is freed with its last reference.
 */
#include "dht/ring_walk.h"
#include "dht/presence.h"

#include <string.h>

struct opt_id ring_virtual_id(const struct opt_id *node, uint32_t k)
{
	const uint8_t big_endian[4] = {(uint8_t)(k >> 24), (uint8_t)(k >> 16), (uint8_t)(k >> 8), (uint8_t)k};
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus point", 13);
	id_hash_add(&hash, node->bytes, OPT_ID_SIZE);
	id_hash_add(&hash, big_endian, sizeof(big_endian));
	return id_hash_done(&hash);
}

static uint32_t points_of(uint32_t weight)
{
	uint32_t points = weight * RING_POINTS / WEIGHT_ONE;

	return points > 0 ? points : 1;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct ring_node *left = a;
	const struct ring_node *right = b;
	int order = id_compare(&left->node, &right->node);

	return order != 0 ? order : (left->weight > right->weight) - (left->weight < right->weight);
}

static int compare_points(const void *a, const void *b)
{
	const struct point *left = a;
	const struct point *right = b;
	int order = id_compare(&left->id, &right->id);

	return order != 0 ? order : (left->node > right->node) - (left->node < right->node);
}

static void take_nodes(struct ring *ring, const struct ring_node *nodes, size_t count)
{
	size_t kept = 0;

	ring->nodes = zeroed(count, sizeof(*ring->nodes));
	for (size_t i = 0; i < count; i++) {
		ring->nodes[i] = nodes[i];
		if (nodes[i].weight < 1)
			ring->nodes[i].weight = 1;
		if (nodes[i].weight > WEIGHT_MAX)
			ring->nodes[i].weight = WEIGHT_MAX;
	}
	qsort(ring->nodes, count, sizeof(*ring->nodes), compare_nodes);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || !id_equal(&ring->nodes[kept - 1].node, &ring->nodes[i].node))
			ring->nodes[kept++] = ring->nodes[i];
	}
	ring->node_count = kept;
}

uint32_t ring_find(const struct ring *ring, const struct opt_id *node)
{
	size_t low = 0;
	size_t high = ring->node_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = id_compare(&ring->nodes[middle].node, node);

		if (order == 0)
			return (uint32_t)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NO_NODE;
}

/* The points of the nodes that `before` does not have, or not with as many points; sorted. */
static struct point *fresh_points(const struct ring *ring, const bool *known, size_t *ret_count)
{
	struct point *points;
	size_t count = 0;
	size_t filled = 0;

	for (uint32_t i = 0; i < ring->node_count; i++)
		count += known[i] ? 0 : points_of(ring->nodes[i].weight);
	points = zeroed(count, sizeof(*points));
	for (uint32_t i = 0; i < ring->node_count; i++) {
		for (uint32_t k = 0; !known[i] && k < points_of(ring->nodes[i].weight); k++)
			points[filled++] = (struct point){ring_virtual_id(&ring->nodes[i].node, k), i};
	}
	qsort(points, count, sizeof(*points), compare_points);
	*ret_count = count;
	return points;
}

/* Merges the points of `before` that stay, renumbered, with the fresh ones. */
static void merge_points(struct ring *ring, const struct ring *before, const uint32_t *numbers,
    const struct point *fresh, size_t fresh_count)
{
	size_t before_count = before ? before->point_count : 0;
	size_t next = 0;

	ring->points = zeroed(before_count + fresh_count, sizeof(*ring->points));
	for (size_t i = 0; i < before_count; i++) {
		struct point point = before->points[i];

		point.node = numbers[point.node];
		if (point.node == NO_NODE)
			continue;
		while (next < fresh_count && compare_points(&fresh[next], &point) < 0)
			ring->points[ring->point_count++] = fresh[next++];
		ring->points[ring->point_count++] = point;
	}
	while (next < fresh_count)
		ring->points[ring->point_count++] = fresh[next++];
}

struct ring *ring_new(const struct ring_node *nodes, size_t count, const struct ring *before)
{
	struct ring *ring;
	struct point *fresh;
	uint32_t *numbers;
	bool *known;
	size_t fresh_count = 0;

	if (count > RING_NODES_MAX)
		return NULL;
	ring = zeroed(1, sizeof(*ring));
	ring->references = 1;
	take_nodes(ring, nodes, count);
	known = zeroed(ring->node_count, sizeof(*known));
	numbers = zeroed(before ? before->node_count : 0, sizeof(*numbers));
	for (size_t i = 0; before && i < before->node_count; i++) {
		uint32_t number = ring_find(ring, &before->nodes[i].node);

		if (number != NO_NODE &&
		    points_of(ring->nodes[number].weight) == points_of(before->nodes[i].weight))
			known[number] = true;
		else
			number = NO_NODE;
		numbers[i] = number;
	}
	fresh = fresh_points(ring, known, &fresh_count);
	merge_points(ring, before, numbers, fresh, fresh_count);
	free(fresh);
	free(numbers);
	free(known);
	return ring;
}

struct ring *ring_ref(struct ring *ring)
{
	ring->references++;
	return ring;
}

void ring_free(struct ring *ring)
{
	if (!ring || --ring->references > 0)
		return;
	free(ring->points);
	free(ring->nodes);
	free(ring);
}

size_t ring_count(const struct ring *ring)
{
	return ring->node_count;
}

static bool bit_of(const struct opt_id *id, unsigned bit)
{
	return id->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

void ring_walk(struct ring_walk *walk, const struct ring *ring, const struct opt_id *key)
{
	walk->ring = ring;
	walk->key = *key;
	walk->depth = 0;
	if (ring->point_count > 0)
		walk->left[walk->depth++] = (struct span){0, ring->point_count, 0};
}

/* The first point of the span that has the bit set. */
static size_t split(const struct ring *ring, const struct span *span)
{
	size_t low = span->low;
	size_t high = span->high;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bit_of(&ring->points[middle].id, span->bit))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

uint32_t ring_walk_next(struct ring_walk *walk)
{
	struct span span;

	if (walk->depth == 0)
		return NO_NODE;
	span = walk->left[--walk->depth];
	while (span.high - span.low > 1 && span.bit < ID_BITS) {
		size_t middle = split(walk->ring, &span);
		struct span zeros = {span.low, middle, span.bit + 1};
		struct span ones = {middle, span.high, span.bit + 1};
		bool one = bit_of(&walk->key, span.bit);
		struct span near = one ? ones : zeros;
		struct span far = one ? zeros : ones;

		if (near.low == near.high) {
			span = far;
			continue;
		}
		if (far.low < far.high)
			walk->left[walk->depth++] = far;
		span = near;
	}
	if (span.high - span.low > 1)
		walk->left[walk->depth++] = (struct span){span.low + 1, span.high, ID_BITS};
	return walk->ring->points[span.low].node;
}

size_t ring_closest(const struct ring *ring, const struct opt_id *key, size_t count, struct opt_id *ret_nodes)
{
	struct ring_walk walk;
	bool *seen;
	size_t found = 0;

	if (count > ring->node_count)
		count = ring->node_count;
	seen = zeroed(ring->node_count, sizeof(*seen));
	ring_walk(&walk, ring, key);
	while (found < count) {
		uint32_t node = ring_walk_next(&walk);

		if (seen[node])
			continue;
		seen[node] = true;
		ret_nodes[found++] = ring->nodes[node].node;
	}
	free(seen);
	return found;
}
