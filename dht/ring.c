/* SPDX-License-Identifier: MIT */
/*
 * The ring is one sorted array of points (virtual id, node). Keys with a common prefix stand side by side in
 * it, so the points in order of their XOR distance to a key come out of a descent through the bits: at each
 * bit the half that agrees with the key is nearer than all of the other half. The descent keeps the halves
 * that it left behind on a stack of at most one per bit, and splits by binary search: no tree is built or
 * kept.
 *
 * A spread counts what each node owns and holds. Shares are fractions of integers, compared by multiplying
 * out, so that every machine decides alike. The limits on what these products reach are RING_NODES_MAX,
 * WEIGHT_MAX and SHARDS_MAX.
 */
#include "dht/ring.h"
#include "dht/presence.h"
#include "queue/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BITS = OPT_ID_SIZE * 8 };

#define NO_NODE    UINT32_MAX
#define SHARDS_MAX UINT32_MAX
/* Shares of replicas are fractions of this. 11 x PLACE_ONE x SHARDS_MAX fits in 64 bits. */
#define PLACE_ONE ((uint64_t)1 << 28)

static_assert(
    (uint64_t)RING_NODES_MAX * WEIGHT_MAX < (uint64_t)1 << 30, "owned x total weight fits in 62 bits");

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

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count > 0 ? count : 1, size);

	if (!memory)
		opt_abort("out of memory");
	return memory;
}

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

static uint32_t find_node(const struct ring *ring, const struct opt_id *node)
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
		uint32_t number = find_node(ring, &before->nodes[i].node);

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

/* Points low to high-1, which all agree in the bits before `bit`. */
struct span {
	size_t low;
	size_t high;
	unsigned bit;
};

/* The points in order of their distance to a key. */
struct walk {
	const struct ring *ring;
	struct opt_id key;
	struct span left[ID_BITS + 1]; /* what is further away, the nearest of it last */
	unsigned depth;
};

static bool bit_of(const struct opt_id *id, unsigned bit)
{
	return id->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static void walk_init(struct walk *walk, const struct ring *ring, const struct opt_id *key)
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

/* The node of the next point, NO_NODE after the last one. A node comes as often as it has points. */
static uint32_t walk_next(struct walk *walk)
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
	struct walk walk;
	bool *seen;
	size_t found = 0;

	if (count > ring->node_count)
		count = ring->node_count;
	seen = zeroed(ring->node_count, sizeof(*seen));
	walk_init(&walk, ring, key);
	while (found < count) {
		uint32_t node = walk_next(&walk);

		if (seen[node])
			continue;
		seen[node] = true;
		ret_nodes[found++] = ring->nodes[node].node;
	}
	free(seen);
	return found;
}

struct load {
	uint64_t owned;
	uint64_t held;   /* replicas, those that it owns included */
	uint64_t share;  /* of the shards, how many it should hold: of PLACE_ONE */
	uint64_t looked; /* the last walk that came by, by number */
	bool rests;      /* may not own */
};

struct spread {
	struct ring *ring;
	struct load *loads; /* by the ring's node numbers */
	uint64_t shards;
	uint64_t weight; /* of all nodes that may own */
	uint64_t walks;
	uint32_t replicas;
};

/* The node's share of the places when one unit of weight gets `rate` of 2^-16 places. */
static uint64_t share_at(const struct spread *spread, uint32_t node, uint64_t rate)
{
	uint64_t weight = spread->ring->nodes[node].weight;
	uint64_t share = rate * weight >> 16;
	uint64_t least = 0;

	if (!spread->loads[node].rests)
		least = (weight * PLACE_ONE + spread->weight - 1) / spread->weight;
	if (share < least)
		share = least;
	return share < PLACE_ONE ? share : PLACE_ONE;
}

/*
 * Shares of the replicas: by weight, but no node can hold more than one place of a shard, and none less than
 * it owns. The rate is the lowest at which all places are given away.
 */
static void set_shares(struct spread *spread)
{
	uint32_t count = (uint32_t)spread->ring->node_count;
	uint64_t low = 0;
	uint64_t high = PLACE_ONE << 16;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		uint64_t sum = 0;

		for (uint32_t i = 0; i < count; i++)
			sum += share_at(spread, i, middle);
		if (sum >= spread->replicas * PLACE_ONE)
			high = middle;
		else
			low = middle + 1;
	}
	for (uint32_t i = 0; i < count; i++)
		spread->loads[i].share = share_at(spread, i, low);
}

struct spread *spread_new(struct ring *ring, uint32_t replicas)
{
	struct spread *spread = zeroed(1, sizeof(*spread));

	if (replicas > RING_REPLICAS_MAX)
		replicas = RING_REPLICAS_MAX;
	if (replicas > ring->node_count)
		replicas = (uint32_t)ring->node_count;
	spread->ring = ring_ref(ring);
	spread->replicas = replicas;
	spread->loads = zeroed(ring->node_count, sizeof(*spread->loads));
	for (size_t i = 0; i < ring->node_count; i++)
		spread->weight += ring->nodes[i].weight;
	set_shares(spread);
	return spread;
}

void spread_free(struct spread *spread)
{
	if (!spread)
		return;
	ring_free(spread->ring);
	free(spread->loads);
	free(spread);
}

bool spread_rest(struct spread *spread, const struct opt_id *node)
{
	uint32_t number = find_node(spread->ring, node);

	if (number == NO_NODE)
		return false;
	if (!spread->loads[number].rests) {
		spread->loads[number].rests = true;
		spread->weight -= spread->ring->nodes[number].weight;
		set_shares(spread);
	}
	return true;
}

/* The node's share of ownership, in shards, rounded up. */
static uint64_t due(const struct spread *spread, uint32_t node)
{
	return (spread->shards * spread->ring->nodes[node].weight + spread->weight - 1) / spread->weight;
}

/*
 * How many whole shards the node is below its share. Not to the fraction: of a batch with few shards the
 * heaviest replica would own all, where ring order alone is fair already.
 */
static int64_t lag(const struct spread *spread, uint32_t node)
{
	return (int64_t)due(spread, node) - (int64_t)spread->loads[node].owned;
}

static bool may_own(const struct spread *spread, uint32_t node)
{
	uint64_t parts = 11 * spread->shards * spread->ring->nodes[node].weight;
	uint64_t bound = (parts + 10 * spread->weight - 1) / (10 * spread->weight);
	uint64_t near = due(spread, node) + spread->shards / 50;

	return !spread->loads[node].rests && spread->loads[node].owned < (near < bound ? near : bound);
}

static bool may_hold(const struct spread *spread, uint32_t node)
{
	const struct load *load = &spread->loads[node];

	return load->held < (11 * load->share * spread->shards + 10 * PLACE_ONE - 1) / (10 * PLACE_ONE);
}

static bool is_among(const uint32_t *nodes, size_t count, uint32_t node)
{
	for (size_t i = 0; i < count; i++) {
		if (nodes[i] == node)
			return true;
	}
	return false;
}

/*
 * Adds the closest nodes that `fits` lets in, up to `wanted` in all. Returns how many there are then. A NULL
 * `fits` lets every node in.
 */
static size_t add_closest(struct spread *spread, const struct opt_id *key, size_t count, size_t wanted,
    bool (*fits)(const struct spread *, uint32_t), uint32_t *nodes)
{
	struct walk walk;
	size_t had = count;

	spread->walks++;
	walk_init(&walk, spread->ring, key);
	while (count < wanted) {
		uint32_t node = walk_next(&walk);

		if (node == NO_NODE)
			break;
		if (spread->loads[node].looked == spread->walks)
			continue;
		spread->loads[node].looked = spread->walks;
		if (!is_among(nodes, had, node) && (!fits || fits(spread, node)))
			nodes[count++] = node;
	}
	return count;
}

/* The node that is furthest behind, by more than a shard; NO_NODE when none is. */
static uint32_t furthest_behind(const struct spread *spread)
{
	int64_t most = 1; /* which may be a fraction, rounded up */
	uint32_t found = NO_NODE;

	for (uint32_t i = 0; i < spread->ring->node_count; i++) {
		if (!spread->loads[i].rests && lag(spread, i) > most) {
			most = lag(spread, i);
			found = i;
		}
	}
	return found;
}

/* Which of the replicas owns: puts another in the place of the last one where it must. Returns its position.
 */
static size_t choose_owner(struct spread *spread, const struct opt_id *shard, uint32_t *nodes, size_t count)
{
	uint32_t behind = furthest_behind(spread);
	uint32_t other;
	size_t best = count;

	for (size_t i = 0; i < count; i++) {
		if (may_own(spread, nodes[i]) &&
		    (best == count || lag(spread, nodes[i]) > lag(spread, nodes[best])))
			best = i;
	}
	if (behind != NO_NODE && (best == count || lag(spread, behind) > lag(spread, nodes[best]))) {
		nodes[count - 1] = behind;
		return count - 1;
	}
	if (best == count) {
		/* There is one: the bounds add up to more than the shards that are placed. */
		nodes[count] = NO_NODE;
		add_closest(spread, shard, count, count + 1, may_own, nodes);
		other = nodes[count];
		if (other == NO_NODE)
			opt_abort("a spread has no room for an owner");
		nodes[count - 1] = other;
		return count - 1;
	}
	return best;
}

size_t spread_next(struct spread *spread, const struct opt_id *shard, struct opt_id *ret_nodes)
{
	uint32_t nodes[RING_REPLICAS_MAX + 1];
	size_t written = 0;
	size_t count;
	size_t owner;

	if (spread->weight == 0 || spread->replicas == 0 || spread->shards == SHARDS_MAX)
		return 0;
	spread->shards++;
	count = add_closest(spread, shard, 0, spread->replicas, may_hold, nodes);
	count = add_closest(spread, shard, count, spread->replicas, NULL, nodes);
	owner = choose_owner(spread, shard, nodes, count);
	spread->loads[nodes[owner]].owned++;
	ret_nodes[written++] = spread->ring->nodes[nodes[owner]].node;
	for (size_t i = 0; i < count; i++) {
		spread->loads[nodes[i]].held++;
		if (i != owner)
			ret_nodes[written++] = spread->ring->nodes[nodes[i]].node;
	}
	return written;
}
