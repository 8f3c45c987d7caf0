/* SPDX-License-Identifier: MIT */
/*
 * Nodes for tests of the rendezvous. An identity is made of the node's number, so that the DHT looks alike in
 * every run.
 */
#include "rendezvous_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

enum { LIMIT_MS = 60000, LOOK_MS = 20 };

uv_loop_t fixture_loop;
struct node fixture_nodes[NODES_MAX];
struct cluster_key fixture_key = {"the key of this cluster"};

static void make_identity(struct identity *identity, int number)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = {(uint8_t)(number + 1)};
	struct id_hash hash;

	crypto_sign_seed_keypair(identity->public_key, identity->secret_key, seed);
	id_hash_init(&hash);
	id_hash_add(&hash, identity->public_key, sizeof(identity->public_key));
	identity->node = id_hash_done(&hash);
}

static void on_presence(void *context, const struct presence *presence)
{
	struct node *node = context;

	node->calls++;
	for (int i = 0; i < NODES_MAX; i++) {
		struct presence *seen = &node->seen[i];

		if (id_equal(&fixture_nodes[i].identity.node, &presence->node) &&
		    (seen->weight == 0 || presence->sequence > seen->sequence))
			*seen = *presence;
	}
}

static void on_joined(void *context, bool joined)
{
	struct node *node = context;

	assert_true(node->joined != joined);
	node->joined = joined;
}

void fixture_begin(void)
{
	assert_true(sodium_init() >= 0);
	assert_int_equal(uv_loop_init(&fixture_loop), 0);
	memset(fixture_nodes, 0, sizeof(fixture_nodes));
	for (int i = 0; i < NODES_MAX; i++)
		make_identity(&fixture_nodes[i].identity, i);
}

void fixture_end(void)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (fixture_nodes[i].rendezvous != NULL)
			rendezvous_close(fixture_nodes[i].rendezvous, NULL, NULL);
	}
	uv_run(&fixture_loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture_loop), 0);
}

void fixture_start_with_key(int number, uint16_t port, const struct cluster_key *key)
{
	struct node *node = &fixture_nodes[number];
	const struct rendezvous_callbacks callbacks = {node, on_presence, on_joined};
	char error[200] = "";

	if (rendezvous_new(&fixture_loop, &node->identity, key, port, &callbacks, &node->rendezvous, error,
	        sizeof(error)) != 0)
		fail_msg("node %d: %s", number, error);
	snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", rendezvous_port(node->rendezvous));
	node->presence = (struct presence){
	    .node = node->identity.node, .incarnation = 1, .sequence = 0, .version = "0.1.0"};
	memcpy(node->presence.address, node->address, sizeof(node->address));
	fixture_change(number, WEIGHT_ONE, 0);
}

void fixture_start(int number, uint16_t port)
{
	fixture_start_with_key(number, port, &fixture_key);
}

void fixture_bootstrap(int number, int seed)
{
	rendezvous_bootstrap(fixture_nodes[number].rendezvous, fixture_nodes[seed].address);
}

void fixture_change(int number, uint32_t weight, uint32_t flags)
{
	struct node *node = &fixture_nodes[number];

	node->presence.sequence++;
	node->presence.weight = weight;
	node->presence.flags = flags;
	assert_int_equal(rendezvous_publish(node->rendezvous, &node->presence), 0);
}

static void on_closed(void *context)
{
	*(bool *)context = true;
}

static bool is_true(void *context)
{
	return *(bool *)context;
}

void fixture_close(int number)
{
	bool closed = false;

	rendezvous_close(fixture_nodes[number].rendezvous, on_closed, &closed);
	fixture_until(is_true, &closed);
	fixture_nodes[number].rendezvous = NULL;
}

static void on_look(uv_timer_t *timer)
{
	(void)timer; /* the loop turns */
}

void fixture_until(bool (*condition)(void *), void *context)
{
	uv_timer_t timer;
	uint64_t begin = uv_hrtime();
	bool held;

	uv_timer_init(&fixture_loop, &timer);
	uv_timer_start(&timer, on_look, LOOK_MS, LOOK_MS);
	while (!(held = condition(context)) && uv_hrtime() - begin < LIMIT_MS * UINT64_C(1000000))
		uv_run(&fixture_loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&fixture_loop, UV_RUN_NOWAIT);
	assert_true(held);
}

bool fixture_sees(int number, int other)
{
	const struct presence *seen = &fixture_nodes[number].seen[other];
	const struct presence *now = &fixture_nodes[other].presence;

	return seen->weight != 0 && seen->sequence == now->sequence && seen->weight == now->weight &&
	       seen->flags == now->flags && strcmp(seen->address, now->address) == 0;
}

struct range {
	int first, last;
};

static bool all_see_all(void *context)
{
	const struct range *range = context;

	for (int i = range->first; i <= range->last; i++) {
		for (int j = range->first; j <= range->last; j++) {
			if (fixture_nodes[i].rendezvous != NULL && !fixture_sees(i, j))
				return false;
		}
	}
	return true;
}

void fixture_until_all_see_all(int first, int last)
{
	struct range range = {first, last};

	fixture_until(all_see_all, &range);
}

static void on_homes(void *context, int status, const struct opt_id *homes, size_t count)
{
	struct found *found = context;

	assert_false(found->answered);
	found->answered = true;
	found->status = status;
	found->count = count;
	if (count > 0)
		memcpy(found->homes, homes, count * sizeof(*homes));
}

static bool is_answered(void *context)
{
	return ((struct found *)context)->answered;
}

struct found fixture_get(int number, const struct opt_id *batch)
{
	struct found found = {.answered = false};

	rendezvous_get_batch(fixture_nodes[number].rendezvous, batch, on_homes, &found);
	fixture_until(is_answered, &found);
	return found;
}

struct found fixture_until_homes(int number, const struct opt_id *batch, size_t count)
{
	uint64_t begin = uv_hrtime();
	struct found found;

	do {
		found = fixture_get(number, batch);
		assert_true(uv_hrtime() - begin < LIMIT_MS * UINT64_C(1000000));
	} while (found.status != 0 || found.count != count);
	return found;
}
