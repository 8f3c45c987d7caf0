/* SPDX-License-Identifier: MIT */
/*
 * The event loop of a world: a binary heap over (time, sequence), a fault phase, a healing phase with a
 * limit, then one more crash and the final audit.
 *
 * A world ends early at the first broken invariant. It never blocks and never reads a real clock.
 */
#include "test/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "test/sim/check.h"
#include "test/sim/check_end.h"
#include "test/sim/faults.h"
#include "test/sim/sim_client.h"

void world_init(
    struct world *w, const struct plan *plan, struct arena *arena, struct journal_reader *reader, FILE *live)
{
	memset(w, 0, sizeof(*w));
	arena_reset(arena);
	w->plan = *plan;
	w->arena = arena;
	trace_init(&w->trace, live);
	rng_seed(&w->rng_store, plan->seed, 1);
	rng_seed(&w->rng_postfix, plan->seed, 2);
	rng_seed(&w->rng_client, plan->seed, 3);
	rng_seed(&w->rng_fault, plan->seed, 4);
	rng_seed(&w->rng_operator, plan->seed, 5);
	rng_seed(&w->rng_net, plan->seed, 7);
	w->node_count = plan->nodes;
	truth_init(&w->truth, arena, reader);
	net_init(w);
	dht_init(w);
	idmap_init(&w->node_ids, arena);
	w->nodes = arena_alloc(arena, w->node_count * sizeof(*w->nodes));
	for (uint32_t i = 0; i < w->node_count; i++) {
		node_init(&w->nodes[i], w, i);
		idmap_set(&w->node_ids, &w->nodes[i].id, NULL, &w->nodes[i]);
	}
}

void world_done(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		node_done(&w->nodes[i]);
	net_done(w);
}

struct node *world_any(struct world *w, struct rng *rng)
{
	uint32_t index = (uint32_t)rng_below(rng, w->node_count);

	while (w->nodes[index].dead)
		index = (index + 1) % w->node_count;
	return &w->nodes[index];
}

struct node *world_node(const struct world *w, const struct opt_id *id)
{
	return idmap_get(&w->node_ids, id, NULL);
}

static bool before(const struct world_item *a, const struct world_item *b)
{
	return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

void world_at(struct world *w, usec at, world_fn *fn, void *context)
{
	struct world_item item = {
	    .at = at < w->now ? w->now : at, .sequence = w->sequence++, .fn = fn, .context = context};
	size_t i = w->heap_count;

	w->heap = arena_grow(w->arena, w->heap, w->heap_count, &w->heap_size, sizeof(*w->heap));
	w->heap_count++;
	while (i > 0 && before(&item, &w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = item;
}

void world_in(struct world *w, usec delay, world_fn *fn, void *context)
{
	world_at(w, w->now + delay, fn, context);
}

static struct world_item take_first(struct world *w)
{
	struct world_item first = w->heap[0];
	struct world_item last = w->heap[--w->heap_count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->heap_count)
			break;
		if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!before(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list args;

	if (w->failed)
		return;
	w->failed = true;
	va_start(args, format);
	vsnprintf(w->failure, sizeof(w->failure), format, args);
	va_end(args);
}

bool world_strikes(struct world *w, struct rng *rng, enum fault fault)
{
	/* The draw is made in any case, so that healing or switching off does not shift the others. */
	bool strikes = rng_chance(rng, w->plan.chance[fault]);

	return strikes && !w->healing;
}

static uint64_t steps_max(const struct world *w)
{
	uint64_t peers = w->node_count < 64 ? w->node_count : 64;

	/* Deadlines of a clock that was two hours ahead come, too, with a beat a second to each peer. */
	return WORLD_STEPS_MAX + 7500 * w->node_count * peers;
}

/* Runs until done() holds or `limit`; false when something broke or the limit was reached. */
static bool run_until(struct world *w, usec limit, bool (*done)(struct world *w), usec step)
{
	usec look = w->now;

	while (!w->failed) {
		struct world_item item;

		if (w->heap_count == 0 || w->heap[0].at > look) {
			w->now = look;
			if (done(w))
				return true;
			if (look >= limit)
				return false;
			look += step;
			continue;
		}
		item = take_first(w);
		w->now = item.at;
		item.fn(w, item.context);
		if (w->healing && w->steps - w->steps_healed > steps_max(w)) {
			check_stuck(w);
			world_fail(w, "liveness: %llu steps after the last fault it is not over",
			    (unsigned long long)steps_max(w));
		}
	}
	return false;
}

static bool phase_over(struct world *w)
{
	return w->now >= w->plan.fault_phase;
}

/* After everything is over: does a restart show the same? */
static void restart_and_compare(struct world *w)
{
	uint64_t before_hash[RESTARTS_MAX] = {0};

	/* While questions were asked members compared what they have: what one lacked may just have come. */
	if (!run_until(w, w->now + 600 * USEC_PER_SEC, check_all_over, USEC_PER_SEC))
		check_stuck(w);
	TRACE(w, "the last restart", N(0));
	w->restarted = true;
	for (uint32_t i = 0; i < w->node_count && i < RESTARTS_MAX; i++) {
		before_hash[i] = check_views_hash(&w->nodes[i]);
		if (w->nodes[i].core != NULL)
			node_crash(&w->nodes[i], false);
	}
	if (!run_until(w, w->now + 3600 * USEC_PER_SEC, check_all_over, USEC_PER_SEC)) {
		check_stuck(w);
		world_fail(w, "liveness: no recovery after the last restart");
		return;
	}
	check_nothing_staged(w);
	for (uint32_t i = 0; i < w->node_count && i < RESTARTS_MAX; i++) {
		if (check_views_hash(&w->nodes[i]) != before_hash[i])
			world_fail(w, "I1: a restart changed what the status of %s shows", w->nodes[i].name);
	}
}

static void ask(struct world *w)
{
	check_ask(w);
	if (!run_until(w, w->now + 600 * USEC_PER_SEC, check_asked, 100 * USEC_PER_MSEC))
		world_fail(w, "liveness: %u questions were not answered", (unsigned)w->asked);
}

bool world_run(struct world *w)
{
	clients_start(w);
	faults_start(w);
	for (uint32_t i = 0; i < w->node_count; i++)
		node_begin(&w->nodes[i]);
	run_until(w, w->plan.fault_phase, phase_over, USEC_PER_SEC);
	if (!w->failed) {
		TRACE(w, "faults are over", N(0));
		w->healing = true;
		w->steps_healed = w->steps;
		faults_heal(w);
		if (!run_until(
		        w, check_limit(w), check_all_over, (w->node_count == 1 ? 20 : 1) * USEC_PER_SEC))
			check_stuck(w);
	}
	if (!w->failed)
		check_end(w);
	if (!w->failed)
		ask(w);
	if (!w->failed)
		restart_and_compare(w);
	if (!w->failed)
		check_end(w);
	return !w->failed;
}
