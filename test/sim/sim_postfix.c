/* SPDX-License-Identifier: MIT */
/*
 * The instance as a whole: alive or dead, its generations, what is found in its spool, and what the shell
 * does when either side dies.
 *
 * After Postfix's death some of its processes live on and may still deliver, until the shell has killed them
 * all: that is before it looks into the spool (swept). Reports that were in a socket by then may come later.
 */
#include "test/sim/sim_postfix.h"

#include <string.h>

#include "test/sim/pickup.h"
#include "test/sim/report.h"
#include "test/sim/spool.h"
#include "test/sim/world.h"

struct engine_event {
	struct sim_engine *engine;
	uint32_t daemon;
	uint32_t life;
	/* A look into the spool: what was found. */
	bool spool_alive;
	const struct spool_entry *entries;
	size_t entry_count;
};

static const usec SWEEP_EVERY = 60 * USEC_PER_SEC;

void engine_init(struct sim_engine *engine, struct node *node)
{
	memset(engine, 0, sizeof(*engine));
	engine->node = node;
	engine->swept = true;
	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++)
		engine->pickups[i].engine = engine;
}

static struct engine_event *new_event(struct sim_engine *engine)
{
	struct engine_event *event = ARENA_NEW(engine->node->world->arena, struct engine_event);

	*event = (struct engine_event){.engine = engine, .daemon = engine->node->life, .life = engine->life};
	return event;
}

void engine_feed(struct sim_engine *engine, const struct effect *effect)
{
	struct world *w = engine->node->world;
	struct pickup *pickup = &engine->pickups[engine->next_pickup++ % w->plan.pickups];

	for (size_t i = 0; i < effect->mail_count; i++) {
		struct attempt_key key = {.shard = effect->id,
		    .index = effect->mails[i].index,
		    .epoch = effect->epoch,
		    .node = engine->node->id,
		    .attempt = effect->mails[i].attempt};
		struct attempt *attempt = truth_attempt(&w->truth, &key);

		attempt->fed++;
		attempt->not_now = false;
		TRACE_NODE(engine->node, "feed %m attempt %u", M(attempt->mail), N(key.attempt));
		pickup_feed(pickup, attempt);
	}
}

/* What a scan of the spool finds, in any order. */
static struct spool_entry *scan(struct sim_engine *engine)
{
	struct world *w = engine->node->world;
	struct spool_entry *entries = arena_alloc(w->arena, engine->file_count * sizeof(*entries));

	for (size_t i = 0; i < engine->file_count; i++) {
		const struct sim_file *file = engine->files[i];
		char *name = arena_alloc(w->arena, 32);

		spool_name(file, name);
		entries[i] = (struct spool_entry){file->attempt->key, file->place, name};
	}
	for (size_t i = engine->file_count; i > 1; i--) {
		size_t k = rng_below(&w->rng_postfix, i);
		struct spool_entry swap = entries[i - 1];

		entries[i - 1] = entries[k];
		entries[k] = swap;
	}
	return entries;
}

static void look_into_spool(struct world *w, void *context);

/* A scan takes a while: when its result arrives, a Postfix that runs has gone on. */
static void tell_spool(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct sim_engine *engine = ee->engine;
	struct event event = {.type = EVENT_SPOOL};

	if (engine->node->life != ee->daemon || node_asleep(engine->node, tell_spool, context))
		return;
	engine->looking = false;
	engine->ended = engine->node->ending && !engine->alive;
	if (engine->life != ee->life || engine->alive != ee->spool_alive) {
		/* Postfix died or came up meanwhile: the shell looks again. */
		ee->life = engine->life;
		look_into_spool(w, ee);
		return;
	}
	TRACE_NODE(engine->node, "spool: alive %u, generation %u, %u files", N(engine->alive),
	    N(engine->generation), N(ee->entry_count));
	event.spool.alive = engine->alive;
	event.spool.generation = engine->generation;
	event.spool.entries = ee->entries;
	event.spool.count = ee->entry_count;
	node_step(engine->node, &event);
	if (engine->look_again && engine->node->life == ee->daemon)
		engine_settle(engine);
	engine->look_again = false;
}

static void look_into_spool(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct sim_engine *engine = ee->engine;
	struct node *node = engine->node;

	if (node->life != ee->daemon || node->core == NULL || node_asleep(node, look_into_spool, context))
		return;
	if (!engine->alive && pickup_last_report(engine) > w->now) {
		/* The shell reads what pickup said before its end, then looks. */
		world_at(w, pickup_last_report(engine), look_into_spool, ee);
		return;
	}
	if (engine->looking) {
		engine->look_again = true;
		return;
	}
	engine->looking = true;
	if (!engine->alive) {
		engine->swept = true;
		spool_freeze(engine);
	}
	ee->life = engine->life;
	ee->spool_alive = engine->alive;
	ee->entries = scan(engine);
	ee->entry_count = engine->file_count;
	if (engine->alive)
		world_in(w, rng_delay(&w->rng_postfix, w->plan.queue_latency), tell_spool, ee);
	else
		tell_spool(w, ee);
}

void engine_settle(struct sim_engine *engine)
{
	struct world *w = engine->node->world;

	if (engine->node->ending)
		return;
	TRACE_NODE(engine->node, "settle", N(0));
	world_in(
	    w, 1 + rng_delay(&w->rng_postfix, w->plan.down_time / 10), look_into_spool, new_event(engine));
}

/* The shell looks after deferred/, hold/ and corrupt/ from time to time, and tells what it finds. */
static void sweep(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct sim_engine *engine = ee->engine;
	bool aside = false;

	if (engine->life != ee->life || engine->node->life != ee->daemon)
		return;
	for (size_t i = 0; i < engine->file_count; i++)
		aside = aside || engine->files[i]->place == SPOOL_ASIDE;
	world_in(w, SWEEP_EVERY, sweep, ee);
	if (aside)
		engine_settle(engine);
}

static void start_sweeping(struct sim_engine *engine)
{
	world_in(engine->node->world, SWEEP_EVERY, sweep, new_event(engine));
}

static void come_up(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct sim_engine *engine = ee->engine;
	struct node *node = engine->node;
	struct event event = {.type = EVENT_ENGINE_UP};

	if (engine->life != ee->life || node->ending || node_asleep(node, come_up, context))
		return;
	engine->starting = false;
	if (node->life != ee->daemon && rng_chance(&w->rng_postfix, 500000))
		return; /* the daemon died while it started Postfix */
	engine->alive = true;
	engine->swept = false;
	TRACE_NODE(engine->node, "postfix is up, generation %u", N(engine->generation));
	if (node->life != ee->daemon)
		return;
	start_sweeping(engine);
	event.engine_up.generation = engine->generation;
	node_step(node, &event);
}

void engine_restart(struct sim_engine *engine)
{
	struct world *w = engine->node->world;

	if (engine->node->ending)
		return;
	TRACE_NODE(engine->node, "restart of postfix", N(0));
	if (engine->alive) {
		world_fail(w, "the core empties the spool of a live Postfix");
		return;
	}
	if (!engine->swept) {
		world_fail(w, "the core empties a spool that it has not looked into");
		return;
	}
	spool_empty(engine);
	engine->life++;
	engine->starting = true;
	engine->generations += rng_between(&w->rng_postfix, 1, 3);
	engine->generation = engine->generations;
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.down_time), come_up, new_event(engine));
}

void engine_remove(struct sim_engine *engine, const char *file)
{
	char name[32];

	for (size_t i = 0; i < engine->file_count; i++) {
		spool_name(engine->files[i], name);
		if (strcmp(name, file) != 0)
			continue;
		TRACE_NODE(engine->node, "%m attempt %u is removed from the spool",
		    M(engine->files[i]->attempt->mail), N(engine->files[i]->attempt->key.attempt));
		spool_vanish(engine->files[i]);
		return;
	}
}

static void tell_down(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct node *node = ee->engine->node;
	struct event event = {.type = EVENT_ENGINE_DOWN};

	(void)w;
	if (node->life != ee->daemon || !node->ready || ee->engine->life != ee->life ||
	    node_asleep(node, tell_down, context))
		return;
	TRACE_NODE(node, "the daemon sees that postfix is down", N(0));
	node_step(node, &event);
	if (rng_chance(&w->rng_postfix, 200000) && !w->failed)
		engine_settle(ee->engine); /* the shell may look by itself */
}

static void stop(struct sim_engine *engine)
{
	struct node *node = engine->node;

	engine->alive = false;
	engine->starting = false;
	engine->life++;
	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++)
		pickup_break(&engine->pickups[i], node->core != NULL, true);
	spool_orphan(engine);
}

void engine_die(struct sim_engine *engine)
{
	struct world *w = engine->node->world;

	if (!engine->alive)
		return;
	TRACE_NODE(engine->node, "postfix DIES", N(0));
	stop(engine);
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.down_time / 4), tell_down, new_event(engine));
}

static void stop_now(struct world *w, void *context)
{
	struct engine_event *ee = context;

	(void)w;
	if (ee->engine->life == ee->life)
		engine_die(ee->engine);
}

/* The shell closes the connections to pickup at once. */
static void let_go(struct sim_engine *engine)
{
	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++)
		pickup_let_go(&engine->pickups[i]);
}

void engine_stop(struct sim_engine *engine)
{
	struct world *w = engine->node->world;

	TRACE_NODE(engine->node, "postfix is to stop", N(0));
	let_go(engine);
	world_in(w, rng_below(&w->rng_postfix, 5 * USEC_PER_SEC), stop_now, new_event(engine));
}

static void end_now(struct world *w, void *context)
{
	struct engine_event *ee = context;
	struct sim_engine *engine = ee->engine;
	struct event event = {.type = EVENT_ENGINE_DOWN};

	if (engine->node->life != ee->daemon || node_asleep(engine->node, end_now, context))
		return;
	if (engine->alive || engine->starting) {
		stop(engine);
		node_step(engine->node, &event); /* until now its master lived */
	}
	if (!w->failed)
		look_into_spool(w, ee);
}

void engine_end(struct sim_engine *engine)
{
	struct world *w = engine->node->world;

	let_go(engine);
	world_in(w, rng_below(&w->rng_postfix, 5 * USEC_PER_SEC), end_now, new_event(engine));
}

void engine_daemon_died(struct sim_engine *engine)
{
	engine->ended = false;
	engine->looking = false;
	engine->look_again = false;
	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++) {
		struct pickup *pickup = &engine->pickups[i];

		/* What was on its way has no witness left. */
		if (pickup->waiting != NULL)
			pickup->waiting->causes |= CAUSE_DAEMON;
		pickup_break(pickup, false, false);
		pickup->last_report = 0;
	}
	for (size_t i = 0; i < engine->file_count; i++) {
		if (!truth_settled(engine->files[i]->attempt))
			engine->files[i]->attempt->causes |= CAUSE_DAEMON;
	}
}

void engine_power_lost(struct sim_engine *engine)
{
	if (engine->alive)
		stop(engine);
	engine->life++;
	engine->starting = false;
	spool_freeze(engine);
	spool_empty(engine);
	engine->swept = true;
	engine->generation = 0;
}

void engine_daemon_ready(struct sim_engine *engine)
{
	report_again(engine);
	start_sweeping(engine);
}

uint32_t engine_in_flight(const struct sim_engine *engine)
{
	uint32_t count = 0;

	for (size_t i = 0; i < engine->file_count; i++) {
		const struct attempt *attempt = engine->files[i]->attempt;

		/* A late word about an older attempt may have ended the mail while this one is inside. */
		count += attempt->causes == 0 && !truth_settled(attempt) && !truth_ended(attempt->mail);
	}
	return count;
}

bool engine_empty(const struct sim_engine *engine)
{
	return engine->file_count == 0;
}
