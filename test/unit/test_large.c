/* SPDX-License-Identifier: MIT */
/*
 * Cores of a cluster that is too large for a full mesh: eight, and members of which nothing is heard any
 * more.
 */
#include "core_net.h"

#include <stdio.h>

#include "dht/ring.h"

enum { CORES = 8, SILENT = 60, MEMBERS = CORES + SILENT, REPLICAS = 3 };

static struct net *net;
static struct opt_id ids[MEMBERS];
static char name[24];
static bool lost[CORES];

static void tell_of_silent_ones(uint32_t number)
{
	for (uint32_t i = CORES; i < MEMBERS; i++) {
		struct presence presence = {.node = ids[i], .weight = WEIGHT_ONE, .incarnation = 1};
		struct event event = {.type = EVENT_PRESENCE, .presence.presence = &presence};

		snprintf(presence.address, sizeof(presence.address), "127.0.0.1:%u", 5000 + i);
		shell_step(net->shells[number], &event);
	}
}

static int set_up(void **state)
{
	(void)state;
	net = net_new(CORES, REPLICAS);
	memset(lost, 0, sizeof(lost));
	for (uint32_t i = 0; i < MEMBERS; i++) {
		const uint32_t number = 200 + i; /* with few others has choose_batch() anything to find */
		struct id_hash hash;

		id_hash_init(&hash);
		id_hash_add(&hash, &number, sizeof(number));
		ids[i] = i < CORES ? net_node(i) : id_hash_done(&hash);
	}
	net_start(net);
	for (uint32_t i = 0; i < CORES; i++)
		tell_of_silent_ones(i);
	net_advance(net, 20 * USEC_PER_SEC);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

static struct ring *ring_without_lost(void)
{
	struct ring_node nodes[MEMBERS];
	size_t count = 0;

	for (uint32_t i = 0; i < MEMBERS; i++) {
		if (i >= CORES || !lost[i])
			nodes[count++] = (struct ring_node){.node = ids[i], .weight = WEIGHT_ONE};
	}
	return ring_new(nodes, count, NULL);
}

/* How many of the batch's homes are cores. These are found[] then. */
static uint32_t cores_among_homes(const struct opt_id *batch, const struct ring *ring, bool found[CORES])
{
	struct opt_id homes[REPLICAS];
	uint32_t count = 0;

	memset(found, 0, CORES * sizeof(*found));
	assert_int_equal(ring_closest(ring, batch, REPLICAS, homes), REPLICAS);
	for (uint32_t i = 0; i < REPLICAS * CORES; i++) {
		if (!id_equal(&homes[i / CORES], &ids[i % CORES]))
			continue;
		found[i % CORES] = true;
		count++;
	}
	return count;
}

/* A batch most of whose homes are cores, which are `lost` then; and so are most of its homes without these.
 */
static void choose_batch(void)
{
	struct ring *whole = ring_without_lost();
	uint32_t left = 0;

	for (uint32_t i = 0; i < 20000 && left < 2; i++) {
		bool others[CORES];
		struct opt_id batch;
		struct ring *rest;

		snprintf(name, sizeof(name), "news-%u", i);
		batch = batch_key(name);
		if (cores_among_homes(&batch, whole, lost) < 2)
			continue;
		rest = ring_without_lost();
		left = cores_among_homes(&batch, rest, others);
		ring_free(rest);
	}
	ring_free(whole);
	assert_true(left >= 2);
}

static uint32_t first_core(bool of_lost)
{
	uint32_t i = 0;

	while (lost[i] != of_lost)
		i++;
	return i;
}

static void submit(uint32_t node, uint32_t number, uint32_t content)
{
	net_submit(net, node, number, name, content);
	net_advance(net, 20 * USEC_PER_SEC);
}

static void a_batch_is_decided_once_though_most_members_are_silent(void **state)
{
	(void)state;
	choose_batch();
	submit(0, 1, 1);
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
	submit(7, 2, 9); /* it has nothing of the batch, and learns of it by this */
	assert_false(net_said(net, 7, 2, UPLOAD_ACCEPTED));
	submit(7, 3, 9);
	assert_true(net_said(net, 7, 3, UPLOAD_CONFLICT));
}

static void start_again(bool those_lost)
{
	for (uint32_t i = 0; i < CORES; i++) {
		if (lost[i] != those_lost)
			continue;
		net_restart(net, i);
		tell_of_silent_ones(i);
	}
	net_advance(net, 30 * USEC_PER_SEC);
}

/* The power fails. Some come back, and see more members than a full mesh has, but not the batch's homes. */
static void a_part_that_is_back_does_not_decide_again(void **state)
{
	uint32_t one, other;

	(void)state;
	choose_batch();
	one = first_core(true);
	other = first_core(false);
	for (uint32_t i = 0; i < CORES * CORES; i++) {
		if (lost[i / CORES] && !lost[i % CORES])
			net_cut(net, i / CORES, i % CORES);
	}
	net_advance(net, 20 * USEC_PER_SEC);
	submit(one, 1, 1);
	assert_true(net_said(net, one, 1, UPLOAD_ACCEPTED));
	for (uint32_t i = 0; i < CORES; i++)
		net_kill(net, i);
	start_again(false);
	submit(other, 2, 9);
	assert_true(net_said(net, other, 2, UPLOAD_AGAIN));
	for (uint32_t i = 0; i < CORES * CORES; i++)
		net->cut[i / CORES][i % CORES] = false;
	start_again(true);
	submit(other, 3, 9);
	submit(other, 4, 9);
	assert_true(net_said(net, other, 4, UPLOAD_CONFLICT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_batch_is_decided_once_though_most_members_are_silent, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_part_that_is_back_does_not_decide_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
