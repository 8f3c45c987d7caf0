/* SPDX-License-Identifier: MIT */
/*
 * The store's timing and its deaths. Each operation becomes durable at one moment (apply) and is answered at
 * a later one; between the two lies every crash. What an operation does is in store_write.c.
 *
 * On the daemon's death a random prefix of what was under way still becomes durable: the commands were in the
 * socket, and their order is kept. It is decided at the moment of death; an older daemon's command never
 * arrives after its successor's first one, because the shell sees the old connection closed first.
 */
#include "test/sim/sim_store.h"

#include <string.h>

#include "queue/error.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

struct op_event {
	struct sim_store *store;
	struct store_op *op;
	uint32_t life;
};

void store_init(struct sim_store *store, struct node *node)
{
	struct arena *arena = node->world->arena;

	memset(store, 0, sizeof(*store));
	store->node = node;
	store->up = true;
	idmap_init(&store->records, arena);
	idmap_init(&store->uploads, arena);
	idmap_init(&store->templates, arena);
	idmap_init(&store->shards, arena);
	idmap_init(&store->journals, arena);
	idmap_init(&store->registers, arena);
	idmap_init(&store->answered, arena);
	idmap_init(&store->finished, arena);
}

static bool is_load(const struct store_op *op)
{
	return op->type == EFFECT_LOAD_JOURNAL || op->type == EFFECT_LOAD_SHARD ||
	       op->type == EFFECT_LOAD_VALUE;
}

static struct op_event *op_event(struct sim_store *store, struct store_op *op)
{
	struct op_event *event = ARENA_NEW(store->node->world->arena, struct op_event);

	*event = (struct op_event){store, op, store->life};
	return event;
}

static void unlink_op(struct sim_store *store, struct store_op *op)
{
	struct store_op *before = NULL;

	for (struct store_op *o = store->first; o != op; o = o->next)
		before = o;
	if (before != NULL)
		before->next = op->next;
	else
		store->first = op->next;
	if (store->last == op)
		store->last = before;
}

static void report_load(struct node *node, struct store_op *op)
{
	struct event event = {.type = EVENT_JOURNAL_LOADED};
	const char **domains;

	if (op->type == EFFECT_LOAD_JOURNAL) {
		event.journal_loaded.token = op->token;
		event.journal_loaded.id = op->id;
		event.journal_loaded.status = op->status;
		event.journal_loaded.entries = op->spans;
		event.journal_loaded.count = op->span_count;
		node_step(node, &event);
		return;
	}
	if (op->type == EFFECT_LOAD_VALUE) {
		event.type = EVENT_VALUE_LOADED;
		event.value_loaded.token = op->token;
		event.value_loaded.status = op->status;
		if (op->status == 0) {
			event.value_loaded.data = op->spans[0].data;
			event.value_loaded.len = op->spans[0].len;
		}
		node_step(node, &event);
		return;
	}
	event.type = EVENT_SHARD_LOADED;
	event.shard_loaded.shard = op->id;
	event.shard_loaded.status = op->status;
	event.shard_loaded.count = 0;
	if (op->status == 0) {
		uint32_t count = content_count(op->spans[0].data, op->spans[0].len);

		domains = arena_alloc(node->world->arena, count * sizeof(*domains));
		for (uint32_t i = 0; i < count; i++)
			domains[i] = domain_names[content_domain(op->spans[0].data, i)];
		event.shard_loaded.domains = domains;
		event.shard_loaded.count = count;
	}
	node_step(node, &event);
}

static void answer_op(struct world *w, void *context)
{
	struct op_event *oe = context;
	struct sim_store *store = oe->store;
	struct store_op *op = oe->op;
	struct event event = {.type = EVENT_STORE_DONE};

	if (oe->life != store->life || node_asleep(store->node, answer_op, context))
		return;
	unlink_op(store, op);
	TRACE_NODE(store->node, "store: %s %x done, status %u", T(store_op_name(op->type)),
	    N(id_number(&op->id)), N(-op->status));
	if (is_load(op)) {
		report_load(store->node, op);
		return;
	}
	if (op->status == 0 && op->type == EFFECT_STORE_COMMIT)
		idmap_set(&store->answered, &op->id, NULL, store);
	if (op->status == 0)
		truth_store_heard(&w->truth, store->node, op, true);
	event.store_done.token = op->token;
	event.store_done.status = op->status;
	node_step(store->node, &event);
}

static void apply_op(struct world *w, void *context)
{
	struct op_event *oe = context;
	struct sim_store *store = oe->store;
	struct store_op *op = oe->op;
	usec at;

	if (oe->life != store->life)
		return;
	if (is_load(op)) {
		op->status = world_strikes(w, &w->rng_store, FAULT_LOAD_ERROR) ? OPT_E_STORE : 0;
		if (op->status == 0)
			store_read(store, op);
	} else {
		op->status = 0;
		if (world_strikes(w, &w->rng_store, FAULT_STORE_ERROR) && !op->repeated)
			op->status = rng_chance(&w->rng_store, 500000) ? OPT_E_FULL : OPT_E_STORE;
		else
			store_write(store, op);
		op->applied = true;
	}
	at = w->now + rng_delay(&w->rng_store, w->plan.store_latency / 2);
	if (at < store->last_answer)
		at = store->last_answer;
	store->last_answer = at;
	world_at(w, at, answer_op, op_event(store, op));
}

static void send_op(struct sim_store *store, struct store_op *op)
{
	struct world *w = store->node->world;
	usec latency = w->plan.store_latency * (w->now < store->slow_until ? 200 : 1);
	usec at = w->now + 1 + rng_delay(&w->rng_store, latency);

	op->applied = false;
	op->sent = true;
	if (!is_load(op) || !w->plan.reads_overtake) {
		if (at < store->last_apply)
			at = store->last_apply;
		store->last_apply = at;
	}
	world_at(w, at, apply_op, op_event(store, op));
}

void store_submit(struct sim_store *store, const struct effect *effect)
{
	struct world *w = store->node->world;
	struct store_op *op = ARENA_NEW(w->arena, struct store_op);

	op->type = effect->type;
	op->token = effect->token;
	op->id = effect->id;
	op->batch = effect->batch;
	op->upload = effect->upload;
	op->node = effect->node;
	op->submitted = w->now;
	op->data = arena_copy(w->arena, effect->data, effect->len);
	op->len = effect->len;
	op->shards = effect->shards;
	op->and_template = effect->and_template;
	op->sequence = effect->sequence;
	op->text = effect->text != NULL ? arena_copy(w->arena, effect->text, strlen(effect->text)) : "";
	if (store->last != NULL)
		store->last->next = op;
	else
		store->first = op;
	store->last = op;
	TRACE_NODE(store->node, "store: %s %x", T(store_op_name(op->type)), N(id_number(&op->id)));
	if (store->up)
		send_op(store, op);
}

/* Some prefix of the writes that are under way becomes durable. */
static void land_prefix(struct sim_store *store)
{
	struct world *w = store->node->world;
	uint64_t count = 0;

	for (struct store_op *op = store->first; op != NULL; op = op->next)
		count += !is_load(op) && !op->applied;
	count = rng_below(&w->rng_store, count + 1);
	for (struct store_op *op = store->first; op != NULL && count > 0; op = op->next) {
		if (is_load(op) || op->applied)
			continue;
		store_write(store, op);
		count--;
	}
}

void store_daemon_died(struct sim_store *store)
{
	if (store->up)
		land_prefix(store);
	store->life++;
	store->first = NULL;
	store->last = NULL;
}

static void come_back(struct world *w, void *context)
{
	struct sim_store *store = context;

	(void)w;
	TRACE_NODE(store->node, "redis is back", N(0));
	store->up = true;
	store->last_apply = 0;
	store->last_answer = 0;
	for (struct store_op *op = store->first; op != NULL; op = op->next) {
		op->repeated = op->sent;
		send_op(store, op);
	}
}

static void go_down(struct sim_store *store, usec how_long)
{
	store->up = false;
	store->life++;
	world_in(store->node->world, how_long, come_back, store);
}

static usec a_while(struct sim_store *store)
{
	struct world *w = store->node->world;

	return rng_delay(&w->rng_fault, w->plan.down_time);
}

void store_power_lost(struct sim_store *store)
{
	if (store->up)
		go_down(store, a_while(store));
}

void store_crash(struct sim_store *store)
{
	if (!store->up)
		return;
	TRACE_NODE(store->node, "redis CRASH", N(0));
	land_prefix(store);
	go_down(store, a_while(store));
}

void store_away(struct sim_store *store, usec how_long)
{
	if (!store->up)
		return;
	TRACE_NODE(store->node, "redis is AWAY for %u s", N(how_long / USEC_PER_SEC));
	land_prefix(store);
	go_down(store, how_long);
}

void store_slow_down(struct sim_store *store, usec how_long)
{
	TRACE_NODE(store->node, "the disk is slow for %u us", N(how_long));
	store->slow_until = store->node->world->now + how_long;
}
