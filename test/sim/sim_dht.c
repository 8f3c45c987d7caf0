/* SPDX-License-Identifier: MIT */
/*
 * Records linger after their node is dead, and one that was replaced is sometimes found in the place of its
 * successor. A node that starts finds some of the others at once (its bootstrap peers), and looks again from
 * time to time. In a large world it finds a few only: the others come with the digests of its peers.
 */
#include "test/sim/sim_dht.h"

#include <string.h>

#include "test/sim/sim_net.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

enum { FOUND_MAX = 24 /* records that a look finds in a large world */ };

static const usec LOOK_EVERY = 30 * USEC_PER_SEC;

struct dht_entry {
	usec at; /* when it can be found */
	struct opt_id *homes;
	size_t count;
};

struct dht_event {
	struct node *node;
	const struct node *publisher;
	uint32_t life;
	uint64_t token;
	struct opt_id id;
	const struct presence *presence;
	struct dht_entry *entry;
};

void dht_init(struct world *w)
{
	idmap_init(&w->dht.directory, w->arena);
}

static struct dht_event *new_event(struct node *node)
{
	struct dht_event *event = ARENA_NEW(node->world->arena, struct dht_event);

	event->node = node;
	event->life = node->life;
	return event;
}

static void found(struct world *w, void *context)
{
	struct dht_event *found_event = context;
	struct node *node = found_event->node;
	struct event event = {.type = EVENT_PRESENCE};

	if (!node->ready || node->life != found_event->life || !net_open(w, found_event->publisher, node) ||
	    node_asleep(node, found, context))
		return;
	event.presence.presence = found_event->presence;
	node_step(node, &event);
}

/* `node` finds what `publisher` has said of itself, some time from now. */
static void find(struct node *node, const struct node *publisher)
{
	struct world *w = node->world;
	struct dht_event *event;
	bool old = rng_chance(&w->rng_net, 50000);

	if (publisher->published == NULL || !node->ready || world_strikes(w, &w->rng_net, FAULT_PRESENCE))
		return;
	event = new_event(node);
	event->publisher = publisher;
	event->presence =
	    old && publisher->published_before != NULL ? publisher->published_before : publisher->published;
	world_in(w, 1 + rng_delay(&w->rng_net, w->plan.dht_latency), found, event);
}

void dht_publish(struct node *node, const struct effect *effect)
{
	struct world *w = node->world;

	node->published_before = node->published;
	node->published = arena_copy(w->arena, effect->presence, sizeof(*effect->presence));
	if (!id_equal(&node->published->node, &node->id))
		world_fail(w, "%s publishes the record of another node", node->name);
	TRACE_NODE(node, "publishes its record, flags %u", N(effect->presence->flags));
	for (uint32_t i = 0; i < w->node_count && w->node_count <= 2 * FOUND_MAX; i++) {
		if (&w->nodes[i] != node)
			find(&w->nodes[i], node);
	}
}

static void look(struct world *w, void *context)
{
	struct dht_event *event = context;
	struct node *node = event->node;

	if (node->life != event->life)
		return;
	world_in(w, LOOK_EVERY / 2 + rng_below(&w->rng_net, LOOK_EVERY), look, event);
	if (w->node_count <= 2 * FOUND_MAX) {
		for (uint32_t i = 0; i < w->node_count; i++) {
			if (i != node->index)
				find(node, &w->nodes[i]);
		}
		return;
	}
	for (int i = 0; i < FOUND_MAX; i++) {
		const struct node *other = &w->nodes[rng_below(&w->rng_net, w->node_count)];

		if (other != node)
			find(node, other);
	}
}

void dht_start(struct node *node)
{
	if (node->world->node_count > 1)
		look(node->world, new_event(node));
}

/* The DHT's node puts what was lost again, as long as its daemon lives. */
static void put(struct world *w, void *context)
{
	struct dht_event *event = context;

	if (event->node->life != event->life)
		return;
	if (world_strikes(w, &w->rng_net, FAULT_PRESENCE)) {
		world_in(w, LOOK_EVERY / 2 + rng_below(&w->rng_net, LOOK_EVERY), put, event);
		return;
	}
	event->entry->at = w->now + rng_delay(&w->rng_net, w->plan.dht_latency);
	idmap_set(&w->dht.directory, &event->id, NULL, event->entry);
}

void dht_put(struct node *node, const struct effect *effect)
{
	struct dht_event *event = new_event(node);

	TRACE_NODE(node, "directory: put %x", N(id_number(&effect->id)));
	event->id = effect->id;
	event->entry = ARENA_NEW(node->world->arena, struct dht_entry);
	event->entry->homes = arena_copy(node->world->arena, effect->data, effect->len);
	event->entry->count = effect->len / sizeof(struct opt_id);
	put(node->world, event);
}

static void got(struct world *w, void *context)
{
	struct dht_event *got_event = context;
	struct node *node = got_event->node;
	const struct dht_entry *entry = idmap_get(&w->dht.directory, &got_event->id, NULL);
	struct event event = {.type = EVENT_DIRECTORY};

	if (!node->ready || node->life != got_event->life || node_asleep(node, got, context))
		return;
	event.directory.token = got_event->token;
	if (entry != NULL && entry->at <= w->now && !world_strikes(w, &w->rng_net, FAULT_PRESENCE)) {
		event.directory.homes = entry->homes;
		event.directory.count = entry->count;
	}
	TRACE_NODE(
	    node, "directory: %x has %u homes", N(id_number(&got_event->id)), N(event.directory.count));
	node_step(node, &event);
}

void dht_get(struct node *node, const struct effect *effect)
{
	struct world *w = node->world;
	struct dht_event *event = new_event(node);

	event->token = effect->token;
	event->id = effect->id;
	world_in(w, 1 + rng_delay(&w->rng_net, w->plan.dht_latency), got, event);
}
