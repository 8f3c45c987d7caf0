/* SPDX-License-Identifier: MIT */
/*
 * The closest nodes are those that a plain search finds; a change of the members moves only what it must; the
 * shards of a batch spread evenly, within their bounds, whatever the cluster.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dht/presence.h"
#include "dht/ring.h"

enum { NODES_MAX = 2000, KEYS = 200, SHARDS = 200, CLUSTERS = 1000 };

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % below);
}

static struct opt_id draw_id(void)
{
	struct opt_id id;

	for (size_t i = 0; i < sizeof(id.bytes); i++)
		id.bytes[i] = (uint8_t)draw(256);
	return id;
}

static void draw_nodes(struct ring_node *nodes, size_t count, bool equal)
{
	static const uint32_t weights[] = {10, 50, 100, 100, 100, 150, 200, 300, 1000};

	for (size_t i = 0; i < count; i++) {
		nodes[i].node = draw_id();
		nodes[i].weight = equal ? WEIGHT_ONE : weights[draw(sizeof(weights) / sizeof(weights[0]))];
	}
}

static size_t index_of(const struct ring_node *nodes, size_t count, const struct opt_id *node)
{
	for (size_t i = 0; i < count; i++) {
		if (id_equal(&nodes[i].node, node))
			return i;
	}
	fail_msg("the ring made up a node");
	return 0;
}

static bool contains(const struct opt_id *ids, size_t count, const struct opt_id *id)
{
	for (size_t i = 0; i < count; i++) {
		if (id_equal(&ids[i], id))
			return true;
	}
	return false;
}

static uint32_t points_of(uint32_t weight)
{
	return weight * RING_POINTS / WEIGHT_ONE;
}

struct naive {
	struct opt_id distance;
	struct opt_id node;
};

static int compare_naive(const void *a, const void *b)
{
	return id_compare(&((const struct naive *)a)->distance, &((const struct naive *)b)->distance);
}

/* All nodes by the distance of the nearest of their virtual ids. */
static void scan(const struct ring_node *nodes, size_t count, const struct opt_id *points,
    const struct opt_id *key, struct naive *out)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t copies = points_of(nodes[i].weight);

		memset(&out[i].distance, 0xff, sizeof(out[i].distance));
		out[i].node = nodes[i].node;
		for (uint32_t k = 0; k < copies; k++) {
			struct opt_id distance;

			for (size_t byte = 0; byte < OPT_ID_SIZE; byte++)
				distance.bytes[byte] = points->bytes[byte] ^ key->bytes[byte];
			if (id_compare(&distance, &out[i].distance) < 0)
				out[i].distance = distance;
			points++;
		}
	}
	qsort(out, count, sizeof(*out), compare_naive);
}

static void check_against_scan(size_t count, bool equal, size_t wanted, size_t keys)
{
	struct ring_node *nodes = calloc(count, sizeof(*nodes));
	struct naive *expected = calloc(count, sizeof(*expected));
	struct opt_id *found = calloc(wanted, sizeof(*found));
	struct opt_id *points = calloc(count * 10 * RING_POINTS, sizeof(*points));
	struct ring *ring;
	size_t filled = 0;

	draw_nodes(nodes, count, equal);
	for (size_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < points_of(nodes[i].weight); k++)
			points[filled++] = ring_virtual_id(&nodes[i].node, k);
	}
	ring = ring_new(nodes, count, NULL);
	for (size_t i = 0; i < keys; i++) {
		/* Every other key is a virtual id itself. */
		struct opt_id key = i % 2 ? points[draw((uint32_t)filled)] : draw_id();

		scan(nodes, count, points, &key, expected);
		assert_int_equal(ring_closest(ring, &key, wanted, found), wanted < count ? wanted : count);
		for (size_t j = 0; j < wanted && j < count; j++)
			assert_true(id_equal(&found[j], &expected[j].node));
	}
	ring_free(ring);
	free(points);
	free(found);
	free(expected);
	free(nodes);
}

static void the_closest_are_those_that_a_scan_finds(void **state)
{
	(void)state;
	seed = 1;
	for (size_t count = 1; count <= 40; count++)
		check_against_scan(count, count % 2, count + 2, 20);
	check_against_scan(NODES_MAX, true, 10, 20);
}

static void a_ring_knows_few_nodes_and_none(void **state)
{
	struct ring_node node = {.weight = 0};
	struct ring_node twice[] = {{.weight = 5}, {.weight = 3}};
	struct opt_id found[3];
	struct ring *ring = ring_new(NULL, 0, NULL);

	(void)state;
	assert_int_equal(ring_closest(ring, &node.node, 3, found), 0);
	ring_free(ring);
	ring = ring_new(&node, 1, NULL);
	assert_int_equal(ring_closest(ring, &node.node, 3, found), 1);
	ring_free(ring);
	ring = ring_new(twice, 2, NULL);
	assert_int_equal(ring_count(ring), 1);
	ring_free(ring);
	ring_free(NULL);
	assert_null(ring_new(&node, RING_NODES_MAX + 1, NULL));
}

static void a_ring_from_the_one_before_is_the_same_ring(void **state)
{
	struct ring_node nodes[60];
	struct ring *before = NULL;

	(void)state;
	seed = 2;
	draw_nodes(nodes, 60, false);
	for (size_t round = 0; round < 100; round++) {
		struct ring_node now[60];
		struct opt_id left[5];
		struct opt_id right[5];
		struct ring *derived;
		struct ring *fresh;
		size_t count = 0;

		nodes[draw(60)].weight = 1 + draw(300);
		for (size_t i = 0; i < 60; i++) {
			if (draw(5) != 0)
				now[count++] = nodes[i];
		}
		derived = ring_new(now, count, before);
		fresh = ring_new(now, count, NULL);
		for (size_t i = 0; i < KEYS; i++) {
			struct opt_id key = draw_id();
			size_t found = ring_closest(fresh, &key, 5, left);

			assert_int_equal(ring_closest(derived, &key, 5, right), found);
			assert_memory_equal(left, right, found * sizeof(*left));
		}
		ring_free(fresh);
		ring_free(before);
		before = derived;
	}
	ring_free(before);
}

/* A joining node takes places of others and moves nothing between them; so does a leaving one, backwards. */
static void a_node_that_joins_moves_only_what_it_takes(void **state)
{
	struct ring_node nodes[21];
	struct ring *before;
	struct ring *after;
	size_t taken = 0;

	(void)state;
	seed = 3;
	draw_nodes(nodes, 21, true);
	before = ring_new(nodes, 20, NULL);
	after = ring_new(nodes, 21, before);
	for (size_t i = 0; i < 2000; i++) {
		struct opt_id key = draw_id();
		struct opt_id was[3];
		struct opt_id is[3];
		size_t next = 0;

		ring_closest(before, &key, 3, was);
		ring_closest(after, &key, 3, is);
		for (size_t j = 0; j < 3; j++) {
			if (id_equal(&is[j], &nodes[20].node))
				taken++;
			else
				assert_true(id_equal(&is[j], &was[next++]));
		}
		assert_true(next >= 2);
	}
	/* Its share is 6000 / 21 = 286 places. */
	assert_in_range(taken, 200, 380);
	ring_free(before);
	ring_free(after);
}

struct tally {
	uint32_t owned;
	uint32_t held;
};

/* Places shards and checks what holds after each of them. */
static void place(struct spread *spread, const struct ring_node *nodes, const bool *rests, size_t count,
    uint32_t replicas, uint32_t shards, struct tally *tally)
{
	struct opt_id batch = draw_id();
	uint64_t weight = 0;

	for (size_t i = 0; i < count; i++)
		weight += rests && rests[i] ? 0 : nodes[i].weight;
	memset(tally, 0, count * sizeof(*tally));
	for (uint32_t m = 1; m <= shards; m++) {
		struct opt_id shard = shard_id(&batch, m - 1);
		struct opt_id out[RING_REPLICAS_MAX];
		size_t owner;

		assert_int_equal(spread_next(spread, &shard, out), replicas < count ? replicas : count);
		owner = index_of(nodes, count, &out[0]);
		tally[owner].owned++;
		assert_false(rests && rests[owner]);
		assert_true(10 * weight * (tally[owner].owned - 1) < 11 * (uint64_t)m * nodes[owner].weight);
		for (size_t i = 0; i < replicas && i < count; i++) {
			assert_false(contains(out, i, &out[i]));
			tally[index_of(nodes, count, &out[i])].held++;
		}
	}
}

static void check_shares(const struct ring_node *nodes, const bool *rests, size_t count, uint32_t shards,
    const struct tally *tally)
{
	uint64_t weight = 0;

	for (size_t i = 0; i < count; i++)
		weight += rests && rests[i] ? 0 : nodes[i].weight;
	for (size_t i = 0; i < count; i++) {
		double due = rests && rests[i] ? 0 : (double)nodes[i].weight / (double)weight;
		double has = (double)tally[i].owned / shards;

		if (has - due > 0.03 || due - has > 0.03)
			fail_msg("node %zu of %zu owns %.3f, its share is %.3f", i, count, has, due);
	}
}

static void four_equal_nodes_own_a_quarter_each(void **state)
{
	(void)state;
	seed = 4;
	for (size_t round = 0; round < CLUSTERS; round++) {
		struct ring_node nodes[4];
		struct tally tally[4];
		uint32_t replicas = round % 2 ? 3 : 1;
		struct ring *ring;
		struct spread *spread;

		draw_nodes(nodes, 4, true);
		ring = ring_new(nodes, 4, NULL);
		spread = spread_new(ring, replicas);
		ring_free(ring);
		place(spread, nodes, NULL, 4, replicas, SHARDS, tally);
		check_shares(nodes, NULL, 4, SHARDS, tally);
		spread_free(spread);
	}
}

static void any_cluster_owns_by_weight(void **state)
{
	(void)state;
	seed = 5;
	for (size_t round = 0; round < CLUSTERS; round++) {
		struct ring_node nodes[30];
		struct tally tally[30];
		size_t count = 1 + draw(30);
		uint32_t replicas = 1 + draw(5);
		uint32_t shards = SHARDS + draw(300);
		struct ring *ring;
		struct spread *spread;

		draw_nodes(nodes, count, false);
		ring = ring_new(nodes, count, NULL);
		spread = spread_new(ring, replicas);
		place(spread, nodes, NULL, count, replicas, shards, tally);
		check_shares(nodes, NULL, count, shards, tally);
		spread_free(spread);
		ring_free(ring);
	}
}

/* One shard a batch: what one batch can't balance, many do. */
static void small_batches_go_by_weight_too(void **state)
{
	uint32_t owned[4] = {0};

	(void)state;
	seed = 11;
	for (size_t round = 0; round < 100; round++) {
		struct ring_node nodes[4];
		struct ring *ring;

		draw_nodes(nodes, 4, true);
		nodes[0].weight = 2 * WEIGHT_ONE;
		ring = ring_new(nodes, 4, NULL);
		for (size_t i = 0; i < 100; i++) {
			struct spread *spread = spread_new(ring, 3);
			struct opt_id out[RING_REPLICAS_MAX];
			struct opt_id shard = draw_id();

			assert_int_equal(spread_next(spread, &shard, out), 3);
			owned[index_of(nodes, 4, &out[0])]++;
			spread_free(spread);
		}
		ring_free(ring);
	}
	assert_in_range(owned[0], 3700, 4300);
	for (size_t i = 1; i < 4; i++)
		assert_in_range(owned[i], 1800, 2200);
}

/* Equal nodes hold at most 1.1 times their share of replicas, rounded up, and one more that ownership
 * brought. */
static void replicas_are_bounded_too(void **state)
{
	(void)state;
	seed = 6;
	for (size_t round = 0; round < CLUSTERS; round++) {
		struct ring_node nodes[30];
		struct tally tally[30];
		size_t count = 4 + draw(27);
		uint32_t replicas = 1 + draw(3);
		struct ring *ring;
		struct spread *spread;

		draw_nodes(nodes, count, true);
		ring = ring_new(nodes, count, NULL);
		spread = spread_new(ring, replicas);
		place(spread, nodes, NULL, count, replicas, SHARDS, tally);
		for (size_t i = 0; i < count; i++)
			assert_true(
			    tally[i].held <= (11 * replicas * SHARDS + 10 * count - 1) / (10 * count) + 1);
		spread_free(spread);
		ring_free(ring);
	}
}

static void most_replicas_are_the_closest_nodes(void **state)
{
	struct ring_node nodes[20];
	struct ring *ring;
	struct spread *spread;
	size_t close = 0;

	(void)state;
	seed = 7;
	draw_nodes(nodes, 20, true);
	ring = ring_new(nodes, 20, NULL);
	spread = spread_new(ring, 3);
	for (size_t i = 0; i < 1000; i++) {
		struct opt_id shard = draw_id();
		struct opt_id placed[RING_REPLICAS_MAX];
		struct opt_id closest[3];

		assert_int_equal(spread_next(spread, &shard, placed), 3);
		ring_closest(ring, &shard, 3, closest);
		for (size_t j = 0; j < 3; j++)
			close += contains(placed, 3, &closest[j]);
	}
	assert_true(close > 2400);
	spread_free(spread);
	ring_free(ring);
}

static void a_resting_node_replicates_and_does_not_own(void **state)
{
	(void)state;
	seed = 8;
	for (size_t round = 0; round < CLUSTERS; round++) {
		struct ring_node nodes[12];
		struct tally tally[12];
		bool rests[12] = {false};
		size_t count = 2 + draw(11);
		uint32_t replicas = 1 + draw(4);
		struct ring *ring;
		struct spread *spread;

		draw_nodes(nodes, count, round % 2);
		ring = ring_new(nodes, count, NULL);
		spread = spread_new(ring, replicas);
		for (size_t i = 1; i < count; i++) {
			rests[i] = draw(2);
			if (rests[i])
				assert_true(spread_rest(spread, &nodes[i].node));
		}
		place(spread, nodes, rests, count, replicas, SHARDS, tally);
		check_shares(nodes, rests, count, SHARDS, tally);
		for (size_t i = 0; i < count && round % 2 && replicas == 3; i++)
			assert_true(tally[i].held > 0);
		spread_free(spread);
		ring_free(ring);
	}
}

static void a_node_that_rests_midway_owns_nothing_more(void **state)
{
	struct ring_node nodes[4];
	struct opt_id out[RING_REPLICAS_MAX];
	struct opt_id stranger = {{1}};
	struct ring *ring;
	struct spread *spread;

	(void)state;
	seed = 9;
	draw_nodes(nodes, 4, true);
	ring = ring_new(nodes, 4, NULL);
	spread = spread_new(ring, 3);
	assert_false(spread_rest(spread, &stranger));
	for (size_t rests = 0; rests < 4; rests++) {
		for (size_t i = 0; i < 100; i++) {
			struct opt_id shard = draw_id();

			assert_int_equal(spread_next(spread, &shard, out), 3);
			assert_true(index_of(nodes, 4, &out[0]) >= rests);
		}
		assert_true(spread_rest(spread, &nodes[rests].node));
	}
	assert_int_equal(spread_next(spread, &stranger, out), 0);
	spread_free(spread);
	ring_free(ring);
}

static void a_large_cluster_spreads_a_large_batch(void **state)
{
	struct ring_node *nodes = calloc(NODES_MAX, sizeof(*nodes));
	uint32_t *owned = calloc(NODES_MAX, sizeof(*owned));
	struct opt_id out[RING_REPLICAS_MAX];
	struct ring *ring;
	struct spread *spread;

	(void)state;
	seed = 10;
	draw_nodes(nodes, NODES_MAX, true);
	ring = ring_new(nodes, NODES_MAX, NULL);
	spread = spread_new(ring, 3);
	for (size_t i = 0; i < 20000; i++) {
		struct opt_id shard = draw_id();

		assert_int_equal(spread_next(spread, &shard, out), 3);
		owned[index_of(nodes, NODES_MAX, &out[0])]++;
	}
	for (size_t i = 0; i < NODES_MAX; i++)
		assert_in_range(owned[i], 8, 11);
	spread_free(spread);
	ring_free(ring);
	free(owned);
	free(nodes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_closest_are_those_that_a_scan_finds),
	    cmocka_unit_test(a_ring_knows_few_nodes_and_none),
	    cmocka_unit_test(a_ring_from_the_one_before_is_the_same_ring),
	    cmocka_unit_test(a_node_that_joins_moves_only_what_it_takes),
	    cmocka_unit_test(four_equal_nodes_own_a_quarter_each),
	    cmocka_unit_test(any_cluster_owns_by_weight),
	    cmocka_unit_test(small_batches_go_by_weight_too),
	    cmocka_unit_test(replicas_are_bounded_too),
	    cmocka_unit_test(most_replicas_are_the_closest_nodes),
	    cmocka_unit_test(a_resting_node_replicates_and_does_not_own),
	    cmocka_unit_test(a_node_that_rests_midway_owns_nothing_more),
	    cmocka_unit_test(a_large_cluster_spreads_a_large_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
