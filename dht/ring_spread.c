/* SPDX-License-Identifier: MIT */
/*
 * The spread of one batch: counts what each node owns and holds, and passes over who has its share. Shares
 * are fractions of integers, compared by multiplying out, so that every machine decides alike. The limits on
 * what these products reach are RING_NODES_MAX, WEIGHT_MAX and SHARDS_MAX.
 */
#include "dht/presence.h"
#include "dht/ring_walk.h"

#include <assert.h>

#define SHARDS_MAX UINT32_MAX
/* Shares of replicas are fractions of this. 11 x PLACE_ONE x SHARDS_MAX fits in 64 bits. */
#define PLACE_ONE ((uint64_t)1 << 28)

static_assert(
    (uint64_t)RING_NODES_MAX * WEIGHT_MAX < (uint64_t)1 << 30, "owned x total weight fits in 62 bits");

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
	uint32_t number = ring_find(spread->ring, node);

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
	struct ring_walk walk;
	size_t had = count;

	spread->walks++;
	ring_walk(&walk, spread->ring, key);
	while (count < wanted) {
		uint32_t node = ring_walk_next(&walk);

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
