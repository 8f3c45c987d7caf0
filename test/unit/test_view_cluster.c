/* SPDX-License-Identifier: MIT */
/* Clusters of views that hear one another through their digests alone, on a network of the test's making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "view_clock.h"

enum { START_MS = 1000000 };

static int set_up(void **state)
{
	(void)state;
	now_ms = START_MS;
	return 0;
}

struct cluster {
	struct view **views;
	struct opt_id *cursors; /* one a direction */
	bool *dead;
	bool *cut; /* cut[from * size + to]: what `from` sends does not arrive */
	size_t size;
	size_t degree; /* how many links each node has, roughly; 0 is all */
	size_t digest;
	uint64_t delay_ms; /* what a digest is on its way for */
};

static bool has_link(const struct cluster *cluster, size_t a, size_t b)
{
	size_t distance = a > b ? a - b : b - a;

	if (distance > cluster->size / 2)
		distance = cluster->size - distance;
	/* Half of the links lead to the neighbours, half across. */
	return distance > 0 &&
	       (cluster->degree == 0 || distance <= cluster->degree / 4 ||
	           (distance % (cluster->size / cluster->degree) == 0 && distance > cluster->degree / 4));
}

static struct cluster *cluster_new(size_t size, size_t degree, size_t digest)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));

	cluster->size = size;
	cluster->degree = degree;
	cluster->digest = digest;
	cluster->views = calloc(size, sizeof(struct view *));
	cluster->cursors = calloc(size * size, sizeof(*cluster->cursors));
	cluster->dead = calloc(size, sizeof(bool));
	cluster->cut = calloc(size * size, sizeof(bool));
	for (size_t i = 0; i < size; i++) {
		struct presence self = record((uint32_t)i * 7919 % 65536, 1, 1);

		cluster->views[i] = view_new(&self);
	}
	for (size_t i = 0; i < size * size; i++) {
		cluster->cursors[i] = view_self(cluster->views[i % size])->node;
		if (has_link(cluster, i / size, i % size)) {
			view_presence(cluster->views[i / size], view_self(cluster->views[i % size]), now());
			view_link(cluster->views[i / size], &view_self(cluster->views[i % size])->node,
			    LINK_UP, now());
		}
	}
	return cluster;
}

static void cluster_free(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->size; i++)
		view_free(cluster->views[i]);
	free(cluster->views);
	free(cluster->cursors);
	free(cluster->dead);
	free(cluster->cut);
	free(cluster);
}

static void cluster_judge(struct cluster *cluster)
{
	const struct member *const *changed;

	for (size_t i = 0; i < cluster->size; i++) {
		if (!cluster->dead[i])
			view_judge(cluster->views[i], now(), &changed);
	}
}

/* A second: each node sends on each link at its own phase of it, in an order that hands on as fast as it can.
 */
static void cluster_second(struct cluster *cluster)
{
	uint64_t start = now_ms;

	for (size_t from = 0; from < cluster->size; from++) {
		now_ms = start + from * 1000 / cluster->size;
		for (size_t to = 0; to < cluster->size && !cluster->dead[from]; to++) {
			struct digest_entry out[VIEW_DIGEST_MAX];
			size_t link = from * cluster->size + to;
			uint64_t sent = now_ms;
			size_t count;

			if (!has_link(cluster, from, to) || cluster->dead[to] || cluster->cut[link])
				continue;
			count = view_digest(
			    cluster->views[from], now(), out, cluster->digest, &cluster->cursors[link]);
			now_ms += cluster->delay_ms;
			view_take_digest(
			    cluster->views[to], &view_self(cluster->views[from])->node, out, count, now());
			now_ms = sent;
		}
	}
	now_ms = start + 1000;
	cluster_judge(cluster);
}

/* How many of the living see `whom` in that state. */
static size_t seen_as(const struct cluster *cluster, size_t whom, enum member_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < cluster->size; i++) {
		const struct member *member =
		    view_find(cluster->views[i], &view_self(cluster->views[whom])->node);

		count += i != whom && !cluster->dead[i] && member && member->state == state;
	}
	return count;
}

static void a_mesh_agrees_in_a_second(void **state)
{
	struct cluster *cluster = cluster_new(20, 0, VIEW_DIGEST_MAX);
	struct opt_id first;

	(void)state;
	cluster_second(cluster);
	first = view_hash(cluster->views[0]);
	for (size_t i = 0; i < 20; i++) {
		struct opt_id other = view_hash(cluster->views[i]);

		assert_true(id_equal(&first, &other));
		assert_int_equal(view_live(cluster->views[i]), 20);
	}
	view_self_changed(cluster->views[3], PRESENCE_DRAINING, 50, "192.0.2.5:1");
	cluster_second(cluster);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
		    view_find(cluster->views[i], &view_self(cluster->views[3])->node)->presence.weight, 50);
	cluster_free(cluster);
}

/* Each transit makes what is handed on look younger, for ever: the dead must die nevertheless. */
static void the_last_words_of_the_dead_do_not_go_round(void **state)
{
	struct cluster *cluster = cluster_new(20, 0, VIEW_DIGEST_MAX);

	(void)state;
	cluster->delay_ms = 300;
	for (size_t i = 0; i < 5; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_UP), 19);
	cluster->dead[7] = true;
	for (size_t i = 0; i < 4; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_GONE), 0);
	for (size_t i = 0; i < 3; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_GONE), 19);
	cluster->dead[7] = false;
	cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 7, MEMBER_UP), 19);
	cluster_free(cluster);
}

static void one_way_cuts_make_suspects_only(void **state)
{
	struct cluster *cluster = cluster_new(5, 0, VIEW_DIGEST_MAX);

	(void)state;
	cluster_second(cluster);
	/* 0 does not hear 1; 1 hears 0. Nobody but 4 hears 3. */
	cluster->cut[1 * 5 + 0] = true;
	for (size_t to = 0; to < 4; to++)
		cluster->cut[3 * 5 + to] = true;
	for (size_t i = 0; i < 60; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 0, MEMBER_UP), 4);
	assert_int_equal(seen_as(cluster, 1, MEMBER_SUSPECT), 1);
	assert_int_equal(seen_as(cluster, 1, MEMBER_UP), 3);
	assert_int_equal(seen_as(cluster, 3, MEMBER_SUSPECT), 3);
	assert_int_equal(seen_as(cluster, 3, MEMBER_UP), 1);
	/* Now nobody hears 3, which hears all. */
	cluster->cut[3 * 5 + 4] = true;
	for (size_t i = 0; i < 7; i++)
		cluster_second(cluster);
	assert_int_equal(seen_as(cluster, 3, MEMBER_GONE), 4);
	assert_int_equal(view_live(cluster->views[3]), 5);
	memset(cluster->cut, 0, 25 * sizeof(bool));
	cluster_second(cluster);
	cluster_second(cluster);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(seen_as(cluster, i, MEMBER_UP), 4);
	cluster_free(cluster);
}

/* 300 nodes with 17 links each, whose digests carry a fifteenth of the members. */
static void digests_keep_a_large_cluster_alive(void **state)
{
	struct cluster *cluster = cluster_new(300, 12, 20);
	uint64_t limit;
	size_t seconds = 0;

	(void)state;
	for (size_t i = 0; i < 40; i++)
		cluster_second(cluster);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(view_members(cluster->views[i]), 300);
	for (size_t i = 0; i < 40; i++) {
		cluster_second(cluster);
		for (size_t j = 0; j < 300; j += 7)
			assert_int_equal(seen_as(cluster, j, MEMBER_UP), 299);
	}
	/* Node 150 goes silent for node 151 alone, which asks around before it gives it up. */
	cluster->cut[150 * 300 + 151] = true;
	for (size_t i = 0; i < 20; i++) {
		cluster_second(cluster);
		assert_int_equal(seen_as(cluster, 150, MEMBER_GONE), 0);
	}
	assert_int_equal(seen_as(cluster, 150, MEMBER_SUSPECT), 1);
	cluster->dead[150] = true;
	limit = (VIEW_GONE + view_rotation(cluster->views[0])) / USEC_PER_SEC;
	while (seen_as(cluster, 150, MEMBER_GONE) < 299 && seconds < 2 * limit) {
		cluster_second(cluster);
		seconds++;
	}
	assert_true(seconds <= limit + 5);
	cluster_free(cluster);
}

/* 10 of 999 others have links with us, and one each with the rest. */
static void a_thousand_members_live_by_rotating_digests(void **state)
{
	enum { PEERS = 10, ALL = 1000 };
	struct presence self = record(0, 1, 1);
	struct view *view = view_new(&self);
	struct view *peers[PEERS];
	struct opt_id cursors[PEERS];
	struct presence dead = record(500, 1, 1);

	(void)state;
	for (uint32_t p = 0; p < PEERS; p++) {
		struct presence peer = record(1 + p, 1, 1);

		peers[p] = view_new(&peer);
		cursors[p] = peer.node;
	}
	for (uint64_t second = 1; second <= 120; second++) {
		const struct member *const *changed;

		for (uint32_t i = PEERS + 1; i < ALL; i++) {
			struct digest_entry own = {.presence = record(i, 1, 1), .beat = second * 1000};

			if (i != 500 || second <= 60)
				view_take_digest(peers[i % PEERS], &own.presence.node, &own, 1, now());
		}
		for (size_t p = 0; p < PEERS; p++) {
			struct digest_entry out[VIEW_DIGEST_MAX];
			size_t count = view_digest(peers[p], now(), out, VIEW_DIGEST_MAX, &cursors[p]);

			view_take_digest(view, &view_self(peers[p])->node, out, count, now());
			view_judge(peers[p], now(), &changed);
		}
		now_ms += 1000;
		view_judge(view, now(), &changed);
		if (second >= 30 && second <= 60) {
			assert_int_equal(view_members(view), ALL);
			for (const struct member *m = view_first(view); m; m = view_next(view, m))
				assert_int_equal(m->state, MEMBER_UP);
		}
	}
	assert_int_equal(view_find(view, &dead.node)->state, MEMBER_GONE);
	assert_int_equal(view_live(view), ALL - 1);
	for (size_t p = 0; p < PEERS; p++)
		view_free(peers[p]);
	view_free(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_mesh_agrees_in_a_second, set_up),
	    cmocka_unit_test_setup(the_last_words_of_the_dead_do_not_go_round, set_up),
	    cmocka_unit_test_setup(one_way_cuts_make_suspects_only, set_up),
	    cmocka_unit_test_setup(digests_keep_a_large_cluster_alive, set_up),
	    cmocka_unit_test_setup(a_thousand_members_live_by_rotating_digests, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
