/* SPDX-License-Identifier: MIT */
/*
 * Nodes find each other, keep a common view of who is a member and who lives, and place homes and shards by
 * it. Some cores with one clock; links carry everything at once, in order, unless they are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dht/ring.h"
#include "queue/call.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/mesh.h"

enum { NODES_MAX = 8, START = 1000000000 };

static const uint64_t utc_start = UINT64_C(1700000000000000);

struct node {
	struct core *core;
	struct opt_id id;
	bool running;
	uint64_t wake;
	int64_t clock_off; /* of its UTC, in microseconds */
	bool wanted[NODES_MAX];
	size_t sends, publishes, timers, notices;
	size_t ended[NODES_MAX]; /* links, for what the other one said */
	struct presence published;
	char notice[32]; /* the last one */
	int status;      /* of the last command */
	uint64_t reply;
};

struct flight {
	struct flight *next;
	uint32_t from, to;
	void *data;
	size_t len;
};

static struct node nodes[NODES_MAX];
static bool links[NODES_MAX][NODES_MAX];
static bool cut[NODES_MAX]; /* what it says and what is said to it is lost, without a word */
static struct flight *first;
static uint64_t now;

static struct core_config config_of(uint32_t number, const char *address)
{
	struct core_config config = core_config_default();

	config.node = (struct opt_id){{(uint8_t)(number * 31 + 1), (uint8_t)number}};
	config.presence.incarnation = utc_start + number;
	strcpy(config.presence.address, address);
	strcpy(config.presence.version, "1.0");
	config.seed = number;
	return config;
}

static uint32_t number_of(const struct opt_id *id)
{
	return id->bytes[1];
}

static void send_frame(uint32_t from, const struct effect *effect)
{
	struct flight *frame = calloc(1, sizeof(*frame));
	struct flight **last = &first;

	assert_non_null(frame);
	frame->from = from;
	frame->to = number_of(&effect->id);
	frame->len = effect->len;
	frame->data = malloc(effect->len);
	assert_non_null(frame->data);
	memcpy(frame->data, effect->data, effect->len);
	while (*last != NULL)
		last = &(*last)->next;
	*last = frame;
}

static void take_effect(uint32_t number, const struct effect *effect)
{
	struct node *node = &nodes[number];

	switch (effect->type) {
	case EFFECT_SEND:
		node->sends++;
		send_frame(number, effect);
		return;
	case EFFECT_PEER_WANT:
		assert_true(effect->text[0] != '\0');
		node->wanted[number_of(&effect->id)] = true;
		return;
	case EFFECT_PEER_UNWANT:
		node->wanted[number_of(&effect->id)] = false;
		return;
	case EFFECT_PEER_END:
		node->ended[number_of(&effect->id)]++;
		return;
	case EFFECT_PUBLISH:
		node->publishes++;
		node->published = *effect->presence;
		return;
	case EFFECT_TIMER:
		node->timers++;
		node->wake = effect->deadline.us;
		return;
	case EFFECT_NOTICE:
		node->notices++;
		snprintf(node->notice, sizeof(node->notice), "%s", effect->text);
		return;
	case EFFECT_COMMAND_ANSWER:
		node->status = effect->status;
		node->reply = effect->reply;
		return;
	default:
		return;
	}
}

static void step(uint32_t number, struct event event)
{
	struct node *node = &nodes[number];
	struct effects effects;
	uint64_t token = 0;

	if (!node->running)
		return;
	effects_init(&effects);
	event.now.us = now;
	event.utc.us = (uint64_t)((int64_t)(utc_start + now) + node->clock_off);
	core_step(node->core, &event, &effects);
	for (size_t i = 0; i < effects.count; i++) {
		take_effect(number, &effects.items[i]);
		if (effects.items[i].type == EFFECT_STORE_REGISTER)
			token = effects.items[i].token;
	}
	effects_done(&effects);
	/* Of the store nothing else is needed here: who the members are is written down. */
	if (token != 0)
		step(number, (struct event){.type = EVENT_STORE_DONE, .store_done = {.token = token}});
}

static void link_up(uint32_t a, uint32_t b)
{
	links[a][b] = links[b][a] = true;
	step(a, (struct event){.type = EVENT_PEER_UP, .peer = {nodes[b].id}});
	step(b, (struct event){.type = EVENT_PEER_UP, .peer = {nodes[a].id}});
}

static void link_down(uint32_t a, uint32_t b)
{
	links[a][b] = links[b][a] = false;
	step(a, (struct event){.type = EVENT_PEER_DOWN, .peer = {nodes[b].id}});
	step(b, (struct event){.type = EVENT_PEER_DOWN, .peer = {nodes[a].id}});
}

/* The first link that is wanted and could be there comes up. */
static bool connect_wanted(void)
{
	for (uint32_t i = 0; i < NODES_MAX * NODES_MAX; i++) {
		const uint32_t a = i / NODES_MAX, b = i % NODES_MAX;

		if (nodes[a].wanted[b] && !links[a][b] && nodes[a].running && nodes[b].running && !cut[a] &&
		    !cut[b]) {
			link_up(a, b);
			return true;
		}
	}
	return false;
}

/* Frames arrive, and links come up, until nothing more happens. */
static void deliver(void)
{
	do {
		struct flight *flight = first;

		if (flight == NULL)
			continue;
		first = flight->next;
		if (links[flight->from][flight->to] && !cut[flight->from] && !cut[flight->to])
			step(flight->to, (struct event){.type = EVENT_FRAME,
			                     .frame = {nodes[flight->from].id, flight->data, flight->len}});
		free(flight->data);
		free(flight);
	} while (first != NULL || connect_wanted());
}

static void advance(usec duration)
{
	const uint64_t end = now + duration;

	deliver();
	for (;;) {
		struct node *node = NULL;

		for (uint32_t i = 0; i < NODES_MAX; i++) {
			if (nodes[i].running && nodes[i].wake > 0 && nodes[i].wake <= end &&
			    (node == NULL || nodes[i].wake < node->wake))
				node = &nodes[i];
		}
		if (node == NULL)
			break;
		now = node->wake > now ? node->wake : now;
		node->wake = 0;
		step(number_of(&node->id), (struct event){.type = EVENT_TICK});
		deliver();
	}
	now = end;
}

static void seconds(uint32_t count)
{
	advance(count * USEC_PER_SEC);
}

static void boot(uint32_t number, const struct core_config *config)
{
	core_free(nodes[number].core);
	nodes[number] = (struct node){.core = core_new(config), .id = config->node, .running = true};
}

static void recovered(uint32_t number)
{
	step(number, (struct event){.type = EVENT_RECOVER_DONE});
	step(
	    number, (struct event){.type = EVENT_JOURNAL_LOADED, .journal_loaded = {.id = nodes[number].id}});
}

static void engine_up(uint32_t number)
{
	step(number, (struct event){.type = EVENT_SPOOL});
	step(number, (struct event){.type = EVENT_ENGINE_UP, .engine_up = {1}});
}

static void introduce(uint32_t number, uint32_t to)
{
	const struct presence presence = nodes[number].published;

	step(to, (struct event){.type = EVENT_PRESENCE, .presence = {&presence}});
	deliver();
}

static void start(uint32_t number)
{
	char address[32];
	struct core_config config;

	snprintf(address, sizeof(address), "192.0.2.%u:4100", number);
	config = config_of(number, address);
	boot(number, &config);
	recovered(number);
	engine_up(number);
}

/* Nodes 0 to count - 1; each knows of the one before it. */
static void start_cluster(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		start(i);
	for (uint32_t i = 1; i < count; i++)
		introduce(i, i - 1);
	seconds(3);
}

static int set_up(void **state)
{
	(void)state;
	memset(nodes, 0, sizeof(nodes));
	memset(links, 0, sizeof(links));
	memset(cut, 0, sizeof(cut));
	now = START;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NODES_MAX; i++)
		core_free(nodes[i].core);
	while (first != NULL) {
		struct flight *next = first->next;

		free(first->data);
		free(first);
		first = next;
	}
	return 0;
}

static bool alive(uint32_t at, uint32_t who)
{
	return peer_alive(nodes[at].core, peer_of(nodes[at].core, &nodes[who].id));
}

static bool may_own(uint32_t at, uint32_t who)
{
	return peer_may_own(nodes[at].core, peer_of(nodes[at].core, &nodes[who].id));
}

/* It dies: its links are reset, and who tries again is refused. */
static void kill_node(uint32_t number, bool refused)
{
	nodes[number].running = false;
	for (uint32_t i = 0; i < NODES_MAX; i++) {
		if (!links[number][i])
			continue;
		link_down(number, i);
		if (refused)
			step(i, (struct event){.type = EVENT_PEER_REFUSED, .peer = {nodes[number].id}});
	}
}

static void a_node_alone_has_no_timer_and_says_nothing(void **state)
{
	struct core_config config = config_of(0, "");

	(void)state;
	boot(0, &config);
	recovered(0);
	engine_up(0);
	seconds(100);
	step(0, (struct event){.type = EVENT_TICK});
	assert_int_equal(nodes[0].sends + nodes[0].publishes + nodes[0].timers + nodes[0].notices, 0);
	assert_int_equal(cluster_alive(nodes[0].core), 1);
	assert_int_equal(cluster_members(nodes[0].core), 1);
	assert_true(may_own(0, 0));
}

static void a_node_publishes_what_it_is_whenever_that_changes(void **state)
{
	struct core_config config = config_of(0, "192.0.2.1:4100");

	(void)state;
	boot(0, &config);
	step(0, (struct event){.type = EVENT_TICK});
	assert_int_equal(nodes[0].publishes, 0);
	recovered(0);
	assert_int_equal(nodes[0].publishes, 1);
	assert_true(id_equal(&nodes[0].published.node, &config.node));
	assert_string_equal(nodes[0].published.address, "192.0.2.1:4100");
	assert_int_equal(nodes[0].published.weight, WEIGHT_ONE);
	assert_int_equal(nodes[0].published.flags, PRESENCE_NO_ENGINE);
	engine_up(0);
	assert_int_equal(nodes[0].publishes, 2);
	assert_int_equal(nodes[0].published.flags, 0);
	step(0, (struct event){.type = EVENT_ENGINE_DOWN});
	assert_int_equal(nodes[0].published.flags, 0); /* it may be back in a moment */
	now += HEALTH_PATIENCE;
	step(0, (struct event){.type = EVENT_TICK});
	assert_int_equal(nodes[0].published.flags, PRESENCE_NO_ENGINE);
	engine_up(0);
	step(0, (struct event){.type = EVENT_LEAVE});
	assert_int_equal(nodes[0].published.flags, PRESENCE_LEFT);
	assert_int_equal(nodes[0].publishes, 5);
	assert_true(nodes[0].published.incarnation == config.presence.incarnation);
	assert_int_equal(nodes[0].timers, 0);
}

static void nodes_that_know_one_another_in_a_row_find_all(void **state)
{
	struct opt_id hash;

	(void)state;
	start_cluster(NODES_MAX);
	hash = cluster_hash(nodes[0].core);
	for (uint32_t i = 0; i < NODES_MAX; i++) {
		struct opt_id other = cluster_hash(nodes[i].core);

		assert_true(id_equal(&hash, &other));
		assert_int_equal(cluster_alive(nodes[i].core), NODES_MAX);
		for (uint32_t j = 0; j < NODES_MAX; j++) {
			assert_true(may_own(i, j));
			assert_true(links[i][j] || i == j);
			assert_true(peer_incarnation(nodes[i].core, peer_of(nodes[i].core, &nodes[j].id)) ==
			            utc_start + j);
		}
	}
}

static void a_silent_node_is_gone_after_five_seconds_and_comes_back(void **state)
{
	(void)state;
	start_cluster(4);
	cut[3] = true;
	seconds(4);
	assert_true(alive(0, 3));
	seconds(3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_false(alive(i, 3));
		assert_false(may_own(i, 3));
		assert_string_equal(nodes[i].notice, "node_gone");
		assert_false(alive(3, i));
		assert_int_equal(cluster_alive(nodes[i].core), 3);
		assert_int_equal(cluster_members(nodes[i].core), 4);
	}
	cut[3] = false;
	seconds(2);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(alive(i, 3));
		assert_true(alive(3, i));
		assert_string_equal(nodes[i].notice, "node_up");
	}
}

static void a_node_whose_port_refuses_is_gone_at_once(void **state)
{
	(void)state;
	start_cluster(4);
	kill_node(3, true);
	seconds(2);
	for (uint32_t i = 0; i < 3; i++)
		assert_false(alive(i, 3));
}

static void a_node_that_leaves_is_gone_with_its_link(void **state)
{
	(void)state;
	start_cluster(3);
	step(2, (struct event){.type = EVENT_LEAVE});
	deliver();
	assert_true(alive(0, 2));
	assert_false(may_own(0, 2));
	assert_false(nodes[0].wanted[2]);
	kill_node(2, false);
	assert_false(alive(0, 2));
	assert_false(alive(1, 2));
}

static void the_peers_hear_that_postfix_stays_down_and_at_once_that_it_is_back(void **state)
{
	(void)state;
	start_cluster(3);
	step(2, (struct event){.type = EVENT_ENGINE_DOWN});
	deliver();
	assert_true(may_own(0, 2)); /* it may be back in a moment */
	advance(HEALTH_PATIENCE);
	assert_true(alive(0, 2));
	assert_false(may_own(0, 2));
	assert_false(may_own(2, 2));
	engine_up(2);
	deliver();
	assert_true(may_own(0, 2));
}

static void a_node_is_heard_while_it_still_reads_its_journals(void **state)
{
	struct core_config config = config_of(1, "192.0.2.1:4100");
	struct peer_message request = {.type = PEER_TAKE};
	size_t sends;

	(void)state;
	start(0);
	boot(1, &config);
	link_up(0, 1);
	seconds(20);
	assert_true(alive(0, 1));
	assert_false(may_own(0, 1));
	assert_int_equal(nodes[1].publishes, 0);
	/* What is asked of it must wait. */
	request.token = 5;
	sends = nodes[1].sends;
	struct buffer bytes;
	buffer_init(&bytes);
	peer_encode(&request, &bytes);
	step(1, (struct event){.type = EVENT_FRAME, .frame = {nodes[0].id, bytes.data, bytes.len}});
	assert_int_equal(nodes[1].sends, sends);
	buffer_done(&bytes);
	recovered(1);
	engine_up(1);
	seconds(1);
	assert_true(may_own(0, 1));
}

static int forget(uint32_t at, const struct opt_id *node)
{
	nodes[at].reply = 0;
	step(at, (struct event){.type = EVENT_FORGET, .forget = {77, *node}});
	assert_int_equal(nodes[at].reply, 77);
	return nodes[at].status;
}

static void only_a_dead_node_can_be_forgotten(void **state)
{
	const struct opt_id unknown = {{9, 9}};

	(void)state;
	start_cluster(4);
	assert_int_equal(forget(0, &unknown), OPT_E_NOT_FOUND);
	assert_int_equal(forget(0, &nodes[0].id), OPT_E_CONFLICT);
	assert_int_equal(forget(0, &nodes[3].id), OPT_E_CONFLICT);
	cut[3] = true;
	seconds(4);
	assert_int_equal(forget(0, &nodes[3].id), OPT_E_CONFLICT);
	seconds(3); /* dead, though its host keeps the links */
	assert_int_equal(forget(0, &nodes[3].id), 0);
	seconds(2);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(cluster_members(nodes[i].core), 3);
		assert_false(nodes[i].wanted[3]);
		assert_string_equal(nodes[i].notice, "node_forgotten");
	}
	assert_int_equal(forget(1, &nodes[3].id), 0);
}

static void a_node_known_from_records_alone_can_be_forgotten(void **state)
{
	const struct opt_id dead = {{9, 7}};

	(void)state;
	start_cluster(2);
	step(0, (struct event){.type = EVENT_PEER_UP, .peer = {dead}});
	assert_int_equal(forget(0, &dead), OPT_E_CONFLICT); /* its record has not come yet */
	step(0, (struct event){.type = EVENT_PEER_DOWN, .peer = {dead}});
	assert_int_equal(forget(0, &dead), 0);
	assert_int_equal(forget(0, &dead), 0);
	seconds(2);
	assert_int_equal(cluster_members(nodes[0].core), 2);
	assert_int_equal(cluster_members(nodes[1].core), 2);
}

static void a_forgotten_node_that_was_only_cut_off_joins_anew(void **state)
{
	(void)state;
	start_cluster(4);
	for (uint32_t i = 0; i < 3; i++)
		link_down(3, i);
	cut[3] = true;
	seconds(8);
	assert_int_equal(forget(0, &nodes[3].id), 0);
	seconds(2);
	assert_int_equal(cluster_members(nodes[1].core), 3);
	cut[3] = false;
	link_up(3, 0);
	seconds(3);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(cluster_members(nodes[i].core), 4);
		assert_int_equal(cluster_alive(nodes[i].core), 4);
	}
	assert_true(nodes[3].published.incarnation > utc_start + START);
}

static void homes_are_the_same_at_every_node_whatever_its_weight(void **state)
{
	bool used[NODES_MAX] = {false};

	(void)state;
	for (uint32_t i = 0; i < NODES_MAX; i++) {
		struct core_config config = config_of(i, "192.0.2.1:4100");

		config.presence.weight = 1 + 300 * i;
		boot(i, &config);
		recovered(i);
	}
	for (uint32_t i = 1; i < NODES_MAX; i++)
		introduce(i, i - 1);
	seconds(3);
	for (uint32_t b = 0; b < 100; b++) {
		const struct opt_id batch = shard_id(&nodes[0].id, b);
		struct peer *one[REPLICAS_MAX], *two[REPLICAS_MAX];

		assert_int_equal(cluster_homes(nodes[0].core, &batch, one), 3);
		for (uint32_t i = 1; i < NODES_MAX; i++) {
			assert_int_equal(cluster_homes(nodes[i].core, &batch, two), 3);
			for (int h = 0; h < 3; h++)
				assert_true(id_equal(&one[h]->id, &two[h]->id));
		}
		for (int h = 0; h < 3; h++)
			used[number_of(&one[h]->id)] = true;
	}
	for (uint32_t i = 0; i < NODES_MAX; i++)
		assert_true(used[i]);
}

/* As long as not all have heard of a new weight, the hash of the members is the same nevertheless. */
static void a_weight_that_only_one_node_knows_moves_no_homes(void **state)
{
	struct presence heavier;

	(void)state;
	start_cluster(NODES_MAX);
	heavier = nodes[3].published;
	heavier.sequence++;
	heavier.weight = WEIGHT_MAX;
	step(0, (struct event){.type = EVENT_PRESENCE, .presence = {&heavier}});
	for (uint32_t b = 0; b < 100; b++) {
		const struct opt_id batch = shard_id(&nodes[0].id, b);
		struct peer *one[REPLICAS_MAX], *two[REPLICAS_MAX];

		assert_int_equal(cluster_homes(nodes[0].core, &batch, one), 3);
		assert_int_equal(cluster_homes(nodes[1].core, &batch, two), 3);
		for (int h = 0; h < 3; h++)
			assert_true(id_equal(&one[h]->id, &two[h]->id));
	}
}

static void a_dead_node_stays_a_home_and_a_forgotten_one_does_not(void **state)
{
	struct peer *homes[REPLICAS_MAX];
	const struct opt_id batch = {{5}};

	(void)state;
	start_cluster(3);
	kill_node(2, true);
	seconds(3);
	assert_int_equal(cluster_homes(nodes[0].core, &batch, homes), 3);
	forget(0, &nodes[2].id);
	assert_int_equal(cluster_homes(nodes[0].core, &batch, homes), 2);
	start(2); /* with the incarnation that was forgotten */
	link_up(0, 2);
	seconds(3);
	assert_int_equal(cluster_homes(nodes[0].core, &batch, homes), 3);
}

static uint32_t replicas_for(uint32_t wanted)
{
	struct spread *spread;
	uint32_t replicas;

	if (cluster_spread(nodes[0].core, wanted, &spread, &replicas) != 0)
		return 0;
	spread_free(spread);
	return replicas;
}

static void the_number_of_replicas_follows_the_live_members(void **state)
{
	(void)state;
	start(0);
	assert_int_equal(replicas_for(0), 1);
	assert_int_equal(replicas_for(5), 1);
	for (uint32_t i = 1; i < 4; i++)
		start(i);
	for (uint32_t i = 1; i < 4; i++)
		introduce(i, i - 1);
	seconds(3);
	assert_int_equal(replicas_for(0), 3);
	assert_int_equal(replicas_for(1), 2);
	assert_int_equal(replicas_for(7), 4);
	kill_node(3, true);
	kill_node(2, true);
	seconds(3);
	assert_int_equal(replicas_for(0), 2);
	kill_node(1, true);
	seconds(3);
	assert_int_equal(replicas_for(0), 0); /* try again, until they are back or forgotten */
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(forget(0, &nodes[i].id), 0);
	assert_int_equal(replicas_for(0), 1);
}

/* How many of 90 shards each node owns and replicates. */
static void place(uint32_t owned[NODES_MAX], uint32_t held[NODES_MAX])
{
	struct opt_id ids[RING_REPLICAS_MAX];
	struct spread *spread;
	uint32_t replicas;

	memset(owned, 0, NODES_MAX * sizeof(*owned));
	memset(held, 0, NODES_MAX * sizeof(*held));
	assert_int_equal(cluster_spread(nodes[0].core, 2, &spread, &replicas), 0);
	for (uint32_t i = 0; i < 90; i++) {
		const struct opt_id shard = shard_id(&nodes[0].id, i);

		assert_int_equal(spread_next(spread, &shard, ids), 2);
		owned[number_of(&ids[0])]++;
		held[number_of(&ids[0])]++;
		held[number_of(&ids[1])]++;
	}
	spread_free(spread);
}

static void a_node_without_postfix_holds_shards_and_owns_none(void **state)
{
	uint32_t owned[NODES_MAX], held[NODES_MAX];

	(void)state;
	start_cluster(3);
	step(2, (struct event){.type = EVENT_ENGINE_DOWN});
	advance(HEALTH_PATIENCE);
	place(owned, held);
	assert_int_equal(owned[0] + owned[1], 90);
	assert_true(held[2] > 30);
	/* Where nobody may own, the mail waits with its owner. */
	step(0, (struct event){.type = EVENT_ENGINE_DOWN});
	step(1, (struct event){.type = EVENT_ENGINE_DOWN});
	advance(HEALTH_PATIENCE);
	place(owned, held);
	assert_true(owned[0] > 20 && owned[1] > 20 && owned[2] > 20);
	/* Who leaves gets nothing. */
	step(2, (struct event){.type = EVENT_LEAVE});
	deliver();
	place(owned, held);
	assert_int_equal(held[2], 0);
}

static void a_clock_is_wrong_when_most_others_say_so(void **state)
{
	const int64_t minute = 60 * (int64_t)USEC_PER_SEC;

	(void)state;
	start_cluster(2);
	nodes[0].clock_off = minute;
	seconds(2);
	assert_false(cluster_clock_wrong(nodes[0].core)); /* one alone can't say which */
	assert_false(cluster_clock_wrong(nodes[1].core));
	nodes[0].clock_off = 0;
	start(2);
	introduce(2, 0);
	seconds(3);
	assert_false(cluster_clock_wrong(nodes[0].core));
	nodes[1].clock_off = minute;
	seconds(2);
	assert_true(cluster_clock_wrong(nodes[1].core));
	assert_false(cluster_clock_wrong(nodes[0].core));
	assert_false(cluster_clock_wrong(nodes[2].core));
	nodes[1].clock_off = -minute;
	seconds(2);
	assert_true(cluster_clock_wrong(nodes[1].core));
	nodes[2].clock_off = minute; /* three that don't agree */
	seconds(2);
	assert_false(cluster_clock_wrong(nodes[0].core));
	nodes[1].clock_off = nodes[2].clock_off = 0;
	seconds(2);
	assert_false(cluster_clock_wrong(nodes[1].core));
	nodes[1].clock_off = minute;
	cut[0] = true;
	seconds(10); /* what was heard long ago says nothing */
	assert_false(cluster_clock_wrong(nodes[1].core));
}

/* Nor is it a sign of life: whoever says it is silent for the core. */
static void what_is_no_message_ends_the_link(void **state)
{
	uint8_t nested[10000];
	struct event event = {.type = EVENT_FRAME, .frame = {.data = nested, .len = sizeof(nested)}};

	(void)state;
	start_cluster(2);
	memset(nested, 0x91, sizeof(nested)); /* an array in an array in ... */
	event.frame.node = nodes[1].id;
	cut[1] = true;
	for (int i = 0; i < 20; i++) {
		step(0, event);
		seconds(1);
	}
	assert_int_equal(nodes[0].ended[1], 20);
	assert_string_equal(nodes[0].notice, "node_gone");
}

static void what_is_no_message_or_from_nobody_changes_nothing(void **state)
{
	(void)state;
	start_cluster(2);
	step(0, (struct event){.type = EVENT_FRAME, .frame = {nodes[1].id, "\xff", 1}});
	assert_int_equal(nodes[0].ended[1], 1);
	step(0, (struct event){.type = EVENT_PEER_UP, .peer = {nodes[0].id}});
	step(0, (struct event){.type = EVENT_PEER_DOWN, .peer = {nodes[0].id}});
	step(0, (struct event){.type = EVENT_PEER_REFUSED, .peer = {nodes[0].id}});
	step(0, (struct event){.type = EVENT_FRAME, .frame = {nodes[0].id, "\xff", 1}});
	step(0, (struct event){.type = EVENT_PRESENCE, .presence = {&(struct presence){.weight = 1}}});
	seconds(1);
	assert_int_equal(cluster_members(nodes[0].core), 2);
	assert_true(alive(0, 0));
}

static void members_are_shown_with_their_load(void **state)
{
	struct member_view view;
	struct opt_id after;

	(void)state;
	start_cluster(3);
	kill_node(2, true);
	seconds(3);
	assert_int_equal(core_member_next(nodes[0].core, NULL, &view), 0);
	assert_true(id_equal(&view.id, &nodes[0].id));
	assert_true(view.self && view.load_known && view.postfix);
	assert_string_equal(view.state, "up");
	after = view.id;
	assert_int_equal(core_member_next(nodes[0].core, &after, &view), 0);
	assert_true(id_equal(&view.id, &nodes[1].id));
	assert_true(!view.self && view.linked && view.load_known && view.postfix);
	assert_string_equal(view.address, "192.0.2.1:4100");
	assert_string_equal(view.version, "1.0");
	assert_int_equal(view.weight, WEIGHT_ONE);
	after = view.id;
	assert_int_equal(core_member_next(nodes[0].core, &after, &view), 0);
	assert_string_equal(view.state, "gone");
	assert_false(view.linked);
	after = view.id;
	assert_int_equal(core_member_next(nodes[0].core, &after, &view), OPT_E_NOT_FOUND);
	forget(0, &nodes[2].id);
	after = nodes[1].id;
	assert_int_equal(core_member_next(nodes[0].core, &after, &view), OPT_E_NOT_FOUND);
}

static void a_call_waits_for_the_link_and_goes_out_with_it(void **state)
{
	struct peer_message request = {.type = PEER_TAKE};
	struct peer *peer;
	struct effects effects;
	size_t sends;

	(void)state;
	start_cluster(2);
	link_down(0, 1);
	effects_init(&effects);
	nodes[0].core->effects = &effects;
	peer = peer_of(nodes[0].core, &nodes[1].id);
	call_start(nodes[0].core, peer, CALL_TAKE, NULL, &request, false);
	assert_int_equal(effects.count, 0);
	effects_done(&effects);
	sends = nodes[0].sends;
	link_up(0, 1);
	assert_int_equal(nodes[0].sends, sends + 2); /* after a heartbeat */
}

/* The mesh of a large cluster, seen from each of its nodes. */
enum { MANY = 150 };

static struct opt_id many_id(uint32_t number)
{
	return shard_id(&(struct opt_id){{3}}, number);
}

static uint32_t many_number(const struct opt_id *id)
{
	for (uint32_t i = 0; i < MANY; i++) {
		const struct opt_id other = many_id(i);

		if (id_equal(&other, id))
			return i;
	}
	fail_msg("an unknown id");
	return 0;
}

static void many_step(struct core *core, struct event event, struct effects *effects)
{
	event.now.us = now;
	event.utc.us = utc_start + now;
	core_step(core, &event, effects);
}

/* A core that knows all, and what it wants. */
static struct core *many_core(uint32_t number, bool wants[MANY])
{
	struct core_config config = config_of(1, "192.0.2.1:4100");
	struct effects effects;
	struct core *core;

	config.node = many_id(number);
	core = core_new(&config);
	effects_init(&effects);
	many_step(core, (struct event){.type = EVENT_RECOVER_DONE}, &effects);
	for (uint32_t i = 0; i < MANY; i++) {
		struct presence presence = config.presence;

		presence.node = many_id(i);
		if (i != number)
			many_step(
			    core, (struct event){.type = EVENT_PRESENCE, .presence = {&presence}}, &effects);
	}
	now += 2 * MESH_KEEP; /* what was wanted of the first few is not needed any more */
	for (int i = 0; i < 2; i++) {
		now += USEC_PER_SEC;
		many_step(core, (struct event){.type = EVENT_TICK}, &effects);
	}
	for (size_t i = 0; i < effects.count; i++) {
		const struct effect *effect = &effects.items[i];

		if (effect->type == EFFECT_PEER_WANT || effect->type == EFFECT_PEER_UNWANT)
			wants[many_number(&effect->id)] = effect->type == EFFECT_PEER_WANT;
	}
	effects_done(&effects);
	return core;
}

static void a_large_cluster_hangs_together_by_few_links(void **state)
{
	static bool wants[MANY][MANY];
	bool reached[MANY] = {true};
	bool more = true;

	(void)state;
	memset(wants, 0, sizeof(wants));
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t count = 0;

		core_free(many_core(i, wants[i]));
		for (uint32_t j = 0; j < MANY; j++)
			count += wants[i][j];
		assert_in_range(count, 5, 11);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t degree = 0;

		/* One end that wants a link is enough. */
		for (uint32_t j = 0; j < MANY; j++) {
			wants[i][j] = wants[i][j] || wants[j][i];
			degree += wants[i][j];
		}
		assert_in_range(degree, 5, 60);
	}
	while (more) {
		more = false;
		for (uint32_t i = 0; i < MANY * MANY; i++) {
			if (reached[i / MANY] && wants[i / MANY][i % MANY] && !reached[i % MANY])
				more = reached[i % MANY] = true;
		}
	}
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(reached[i]);
}

static void what_a_call_waits_for_gets_a_link_in_a_large_cluster(void **state)
{
	bool wants[MANY] = {false};
	struct core *core = many_core(0, wants);
	struct peer_message request = {.type = PEER_TAKE};
	struct effects effects;
	struct call *call;
	struct opt_id id;
	uint32_t other = 1;

	(void)state;
	while (wants[other])
		other++;
	id = many_id(other);
	effects_init(&effects);
	core->effects = &effects;
	call = call_start(core, peer_of(core, &id), CALL_TAKE, NULL, &request, false);
	many_step(core, (struct event){.type = EVENT_TICK}, &effects);
	assert_true(effects.items[0].type == EFFECT_PEER_WANT && id_equal(&effects.items[0].id, &id));
	call_end(core, call);
	effects_clear(&effects);
	for (usec gone = 0; gone < 2 * MESH_KEEP; gone += USEC_PER_SEC) {
		now += USEC_PER_SEC;
		many_step(core, (struct event){.type = EVENT_TICK}, &effects);
	}
	for (size_t i = 0; i < effects.count; i++)
		wants[other] = wants[other] || (effects.items[i].type == EFFECT_PEER_UNWANT &&
		                                   id_equal(&effects.items[i].id, &id));
	assert_true(wants[other]); /* given up again */
	effects_done(&effects);
	core_free(core);
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CLUSTER_TEST(a_node_alone_has_no_timer_and_says_nothing),
	    CLUSTER_TEST(a_node_publishes_what_it_is_whenever_that_changes),
	    CLUSTER_TEST(nodes_that_know_one_another_in_a_row_find_all),
	    CLUSTER_TEST(a_silent_node_is_gone_after_five_seconds_and_comes_back),
	    CLUSTER_TEST(a_node_whose_port_refuses_is_gone_at_once),
	    CLUSTER_TEST(a_node_that_leaves_is_gone_with_its_link),
	    CLUSTER_TEST(the_peers_hear_that_postfix_stays_down_and_at_once_that_it_is_back),
	    CLUSTER_TEST(a_node_is_heard_while_it_still_reads_its_journals),
	    CLUSTER_TEST(only_a_dead_node_can_be_forgotten),
	    CLUSTER_TEST(a_node_known_from_records_alone_can_be_forgotten),
	    CLUSTER_TEST(a_forgotten_node_that_was_only_cut_off_joins_anew),
	    CLUSTER_TEST(homes_are_the_same_at_every_node_whatever_its_weight),
	    CLUSTER_TEST(a_weight_that_only_one_node_knows_moves_no_homes),
	    CLUSTER_TEST(a_dead_node_stays_a_home_and_a_forgotten_one_does_not),
	    CLUSTER_TEST(the_number_of_replicas_follows_the_live_members),
	    CLUSTER_TEST(a_node_without_postfix_holds_shards_and_owns_none),
	    CLUSTER_TEST(a_clock_is_wrong_when_most_others_say_so),
	    CLUSTER_TEST(what_is_no_message_ends_the_link),
	    CLUSTER_TEST(what_is_no_message_or_from_nobody_changes_nothing),
	    CLUSTER_TEST(members_are_shown_with_their_load),
	    CLUSTER_TEST(a_call_waits_for_the_link_and_goes_out_with_it),
	    CLUSTER_TEST(a_large_cluster_hangs_together_by_few_links),
	    CLUSTER_TEST(what_a_call_waits_for_gets_a_link_in_a_large_cluster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
