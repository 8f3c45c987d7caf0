/* SPDX-License-Identifier: MIT */
/*
 * Links. A connection has a number; each end believes in one, or in none, and learns of its beginning and its
 * end at a time of its own. A message arrives when both ends believe in the connection that it was sent on.
 *
 * What is kinder in reality (TCP keeps the order and loses nothing while a connection lasts) is not relied
 * on: a seed may lose, double and reorder messages of one connection. A machine that is cut off or without
 * power is not heard: the other end gives the connection up after five seconds. A daemon that is dead on a
 * machine that lives is noticed at once, and so is the next dial: refused.
 */
#include "test/sim/sim_net.h"

#include <string.h>

#include "queue/peer.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

struct sim_link {
	struct node *ends[2];
	bool wanted[2];
	bool dialling[2];
	uint64_t serial;  /* of the newest connection */
	bool up;          /* it was not given up by the network */
	uint64_t conn[2]; /* which connection the end believes in; 0: none */
	usec earliest[2]; /* for what arrives at the end */
};

struct net_event {
	struct sim_link *link;
	int end;
	uint32_t life;
	uint64_t serial;
	enum event_type type;
};

/* A message under way. Blocks are used again, by size: a world sends far more than it holds. */
struct net_buffer {
	struct net_buffer *next;
	struct sim_link *link;
	int to;
	int class;
	uint64_t serial;
	size_t len;
	char data[];
};

static const usec TIMEOUT = 5 * USEC_PER_SEC;
static const usec REDIAL = USEC_PER_SEC;

void net_init(struct world *w)
{
	memset(&w->net, 0, sizeof(w->net));
	idmap_init(&w->net.links, w->arena);
	w->net.reader = peer_reader_new();
}

void net_done(struct world *w)
{
	peer_reader_free(w->net.reader);
	w->net.reader = NULL;
}

static struct sim_link *link_of(struct node *a, struct node *b)
{
	struct world *w = a->world;
	struct node *low = a->index < b->index ? a : b;
	struct node *high = a->index < b->index ? b : a;
	struct sim_link *link = idmap_get(&w->net.links, &low->id, &high->id);

	if (link != NULL)
		return link;
	link = ARENA_NEW(w->arena, struct sim_link);
	link->ends[0] = low;
	link->ends[1] = high;
	idmap_set(&w->net.links, &low->id, &high->id, link);
	low->links = arena_grow(w->arena, low->links, low->link_count, &low->link_size, sizeof(*low->links));
	low->links[low->link_count++] = link;
	high->links =
	    arena_grow(w->arena, high->links, high->link_count, &high->link_size, sizeof(*high->links));
	high->links[high->link_count++] = link;
	return link;
}

static int end_of(const struct sim_link *link, const struct node *node)
{
	return link->ends[1] == node;
}

static struct net_event *new_event(struct sim_link *link, int end, enum event_type type)
{
	struct node *node = link->ends[end];
	struct net_event *event = ARENA_NEW(node->world->arena, struct net_event);

	*event = (struct net_event){link, end, node->life, link->serial, type};
	return event;
}

static void tell(struct node *node, const struct node *other, enum event_type type)
{
	struct event event = {.type = type};

	TRACE_NODE(node,
	    type == EVENT_PEER_UP     ? "link up with %s"
	    : type == EVENT_PEER_DOWN ? "link down with %s"
	                              : "%s refuses",
	    T(other->name));
	event.peer.node = other->id;
	node_step(node, &event);
}

static void dial_later(struct sim_link *link, int end, usec delay);

static void come_down(struct world *w, void *context)
{
	struct net_event *event = context;
	struct sim_link *link = event->link;
	struct node *node = link->ends[event->end];

	(void)w;
	if (node->life != event->life || node_asleep(node, come_down, context) ||
	    link->conn[event->end] != event->serial || event->serial == 0)
		return;
	link->conn[event->end] = 0;
	if (link->wanted[event->end])
		dial_later(link, event->end, REDIAL / 10);
	tell(node, link->ends[!event->end], EVENT_PEER_DOWN);
}

/* The end learns, some time from now, that its connection is no more. */
static void lose(struct sim_link *link, int end, usec delay)
{
	struct net_event *event;

	if (link->conn[end] == 0 || !link->ends[end]->ready)
		return;
	event = new_event(link, end, EVENT_PEER_DOWN);
	event->serial = link->conn[end];
	world_in(link->ends[end]->world, delay, come_down, event);
}

static void come_up(struct world *w, void *context)
{
	struct net_event *event = context;
	struct sim_link *link = event->link;
	int end = event->end;
	struct node *node = link->ends[end];

	if (node->life != event->life || node_asleep(node, come_up, context))
		return;
	if (link->serial != event->serial || !link->up)
		return;
	if (link->conn[end] != 0)
		tell(node, link->ends[!end], EVENT_PEER_DOWN); /* the old one, of which nobody had told it */
	if (w->failed)
		return;
	link->conn[end] = event->serial;
	tell(node, link->ends[!end], EVENT_PEER_UP);
	node->config.company = true; /* from the next start on */
	/* All were told to join by the first one. */
	if (link->ends[!end]->index == 0 && !w->failed)
		node_step(node, &(struct event){.type = EVENT_JOINED});
}

static void establish(struct world *w, struct sim_link *link)
{
	link->serial++;
	link->up = true;
	for (int end = 0; end < 2; end++) {
		usec at = w->now + 1 + rng_delay(&w->rng_net, w->plan.net_latency);

		link->earliest[end] = at;
		world_at(w, at, come_up, new_event(link, end, EVENT_PEER_UP));
	}
}

static void dial(struct world *w, void *context)
{
	struct net_event *event = context;
	struct sim_link *link = event->link;
	int end = event->end;
	struct node *node = link->ends[end], *other = link->ends[!end];

	if (node->life != event->life || node_asleep(node, dial, context))
		return;
	link->dialling[end] = false;
	if (!link->wanted[end] || link->conn[end] != 0)
		return;
	dial_later(link, end, REDIAL);
	if (link->up && link->serial != event->serial)
		return; /* the other end was faster */
	if (!other->machine_up || !net_open(w, node, other) || !net_open(w, other, node) ||
	    w->now < other->asleep_until)
		return;
	if (other->ready)
		establish(w, link);
	else
		tell(node, other, EVENT_PEER_REFUSED);
}

static void dial_later(struct sim_link *link, int end, usec delay)
{
	struct world *w = link->ends[end]->world;

	if (link->dialling[end])
		return;
	link->dialling[end] = true;
	world_in(w, 1 + rng_delay(&w->rng_net, w->plan.net_latency) + delay, dial,
	    new_event(link, end, EVENT_PEER_UP));
}

void net_want(struct node *node, const struct effect *effect)
{
	struct node *other = world_node(node->world, &effect->id);
	struct sim_link *link;

	if (other == NULL || other == node || strcmp(effect->text, other->config.presence.address) != 0)
		return;
	link = link_of(node, other);
	link->wanted[end_of(link, node)] = true;
	if (link->conn[end_of(link, node)] == 0)
		dial_later(link, end_of(link, node), 0);
}

void net_unwant(struct node *node, const struct effect *effect)
{
	struct node *other = world_node(node->world, &effect->id);
	struct world *w = node->world;
	struct sim_link *link;

	if (other == NULL || other == node)
		return;
	link = link_of(node, other);
	link->wanted[end_of(link, node)] = false;
	if (link->wanted[end_of(link, other)] || !link->up)
		return;
	link->up = false;
	lose(link, 0, 1 + rng_delay(&w->rng_net, w->plan.net_latency));
	lose(link, 1, 1 + rng_delay(&w->rng_net, w->plan.net_latency));
}

void net_daemon_died(struct node *node, bool silent)
{
	struct world *w = node->world;

	for (size_t i = 0; i < node->link_count; i++) {
		struct sim_link *link = node->links[i];
		int self = end_of(link, node);
		struct node *other = link->ends[!self];
		bool heard = !silent && net_open(w, node, other);

		link->conn[self] = 0;
		link->wanted[self] = false;
		link->dialling[self] = false;
		link->up = false;
		lose(link, !self,
		    (heard ? 1 : TIMEOUT) +
		        rng_delay(&w->rng_net, heard ? w->plan.net_latency : USEC_PER_SEC / 2));
	}
}

/* Messages. */

static struct net_buffer *new_buffer(struct world *w, size_t len)
{
	struct net_buffer *buffer;
	int class = 0;

	while (((size_t)128 << class) < len)
		class ++;
	buffer = w->net.free[class];
	if (buffer != NULL)
		w->net.free[class] = buffer->next;
	else
		buffer = arena_alloc(w->arena, sizeof(*buffer) + ((size_t)128 << class));
	buffer->class = class;
	buffer->len = len;
	return buffer;
}

static void release(struct world *w, struct net_buffer *buffer)
{
	buffer->next = w->net.free[buffer->class];
	w->net.free[buffer->class] = buffer;
}

static void arrive(struct world *w, void *context)
{
	struct net_buffer *buffer = context;
	struct sim_link *link = buffer->link;
	struct node *node = link->ends[buffer->to];
	struct event event = {.type = EVENT_FRAME};

	if (node->ready && node_asleep(node, arrive, context))
		return;
	if (node->ready && link->conn[buffer->to] == buffer->serial) {
		event.frame.node = link->ends[!buffer->to]->id;
		event.frame.data = buffer->data;
		event.frame.len = buffer->len;
		node_step(node, &event);
	}
	release(w, buffer);
}

/* For the reader of a trace. Heartbeats would fill it. */
static void trace_message(
    struct world *w, struct node *from, const struct node *to, const struct effect *effect)
{
	static const char *const statuses[] = {"ok", "refused", "unknown", "busy", "full", "failed"};
	const uint8_t *bytes = effect->data;
	struct peer_message message;

	if (effect->len > 1 && bytes[1] == PEER_HEARTBEAT)
		return;
	if (peer_read(w->net.reader, effect->data, effect->len, &message) != 0) {
		world_fail(w, "%s sends what is no message", from->name);
		return;
	}
	if (message.answer)
		TRACE_NODE(from, "-> %s: %s answer %x: %s, epoch %u", T(to->name),
		    T(peer_type_name(message.type)), N(message.token), T(statuses[message.status]),
		    N(message.epoch));
	else
		TRACE_NODE(from, "-> %s: %s %x of %x, epoch %u, what %u", T(to->name),
		    T(peer_type_name(message.type)), N(message.token),
		    N(id_number(id_is_zero(&message.shard) ? &message.batch : &message.shard)),
		    N(message.epoch), N(message.what));
}

static void put_on_the_way(struct sim_link *link, int to, const struct effect *effect)
{
	struct world *w = link->ends[to]->world;
	struct net_buffer *buffer = new_buffer(w, effect->len);
	usec at = w->now + 1 + rng_delay(&w->rng_net, w->plan.net_latency);

	buffer->link = link;
	buffer->to = to;
	buffer->serial = link->serial;
	memcpy(buffer->data, effect->data, effect->len);
	if (at < link->earliest[to])
		at = link->earliest[to];
	if (!world_strikes(w, &w->rng_net, FAULT_REORDER))
		link->earliest[to] = at;
	else
		at += rng_delay(&w->rng_net, 5 * w->plan.net_latency);
	world_at(w, at, arrive, buffer);
}

void net_send(struct node *node, const struct effect *effect)
{
	struct node *other = world_node(node->world, &effect->id);
	struct world *w = node->world;
	struct sim_link *link;
	int self;

	if (other == NULL || other == node) {
		world_fail(w, "%s sends to itself or to nobody", node->name);
		return;
	}
	link = link_of(node, other);
	self = end_of(link, node);
	w->net.sent++;
	trace_message(w, node, other, effect);
	if (effect->len > PEER_MESSAGE_MAX)
		world_fail(w, "%s sends a message of %zu bytes", node->name, effect->len);
	if (!link->up || link->conn[self] != link->serial || !net_open(w, node, other) ||
	    world_strikes(w, &w->rng_net, FAULT_LOSS)) {
		w->net.lost++;
		return;
	}
	put_on_the_way(link, !self, effect);
	if (world_strikes(w, &w->rng_net, FAULT_DUPLICATE))
		put_on_the_way(link, !self, effect);
}

/* Partitions. */

enum { SIDE_BOTH = 2 };

bool net_open(const struct world *w, const struct node *from, const struct node *to)
{
	if (w->net.active_cuts == 0)
		return true;
	for (int i = 0; i < NET_CUTS_MAX; i++) {
		const struct net_cut *cut = &w->net.cuts[i];
		uint8_t a, b;

		if (!cut->active)
			continue;
		a = cut->sides[from->index];
		b = cut->sides[to->index];
		if (a != b && a != SIDE_BOTH && b != SIDE_BOTH && (!cut->one_way || a == 0))
			return false;
	}
	return true;
}

static bool cut_off(const struct world *w, const struct sim_link *link)
{
	return !net_open(w, link->ends[0], link->ends[1]) || !net_open(w, link->ends[1], link->ends[0]);
}

static void time_out(struct world *w, void *context)
{
	struct net_event *event = context;
	struct sim_link *link = event->link;

	if (!link->up || link->serial != event->serial || !cut_off(w, link))
		return;
	link->up = false;
	lose(link, 0, rng_delay(&w->rng_net, USEC_PER_SEC / 2));
	lose(link, 1, rng_delay(&w->rng_net, USEC_PER_SEC / 2));
}

static void activate(struct world *w, struct net_cut *cut, bool active)
{
	if (cut->active == active)
		return;
	cut->active = active;
	w->net.active_cuts += active ? 1U : -1U;
	for (size_t i = 0; active && i < w->net.links.count; i++) {
		struct sim_link *link = w->net.links.items[i].value;

		if (link->up && cut_off(w, link))
			world_in(w, TIMEOUT, time_out, new_event(link, 0, EVENT_PEER_DOWN));
	}
}

static void go_on(struct world *w, void *context)
{
	struct net_cut *cut = context;

	if (!cut->drawn)
		return;
	if (w->now >= cut->until) {
		TRACE(w, "a partition ENDS", N(0));
		activate(w, cut, false);
		cut->drawn = false;
		return;
	}
	activate(w, cut, !cut->active);
	world_in(w, 1 + rng_delay(&w->rng_net, cut->flap), go_on, cut);
}

void net_cut(struct world *w, struct rng *rng, bool flapping)
{
	struct net_cut *cut = NULL;
	uint32_t bridge = rng_chance(rng, 150000) ? (uint32_t)rng_below(rng, w->node_count) : UINT32_MAX;
	uint32_t alone = rng_chance(rng, 400000) ? (uint32_t)rng_below(rng, w->node_count) : UINT32_MAX;

	for (int i = 0; i < NET_CUTS_MAX && cut == NULL; i++) {
		if (!w->net.cuts[i].drawn)
			cut = &w->net.cuts[i];
	}
	if (cut == NULL)
		return;
	cut->drawn = true;
	cut->one_way = rng_chance(rng, 250000);
	cut->until = w->now + rng_between(rng, USEC_PER_SEC / 5,
	                          rng_chance(rng, 500000) ? 40 * USEC_PER_SEC : 8 * USEC_PER_SEC);
	cut->flap = flapping ? rng_between(rng, 50, 3000) * USEC_PER_MSEC : 0;
	cut->sides = arena_alloc(w->arena, w->node_count);
	for (uint32_t i = 0; i < w->node_count; i++) {
		bool side = alone == UINT32_MAX ? rng_chance(rng, 500000) : i == alone;

		cut->sides[i] = i == bridge ? SIDE_BOTH : side;
		if (w->node_count <= 16)
			TRACE(w,
			    cut->one_way ? "a one-way PARTITION: %s is on side %u"
			                 : "a PARTITION: %s is on side %u",
			    T(w->nodes[i].name), N(cut->sides[i]));
	}
	activate(w, cut, true);
	world_at(w, flapping ? w->now + cut->flap : cut->until, go_on, cut);
}

void net_heal(struct world *w)
{
	for (int i = 0; i < NET_CUTS_MAX; i++) {
		activate(w, &w->net.cuts[i], false);
		w->net.cuts[i].drawn = false;
	}
}
