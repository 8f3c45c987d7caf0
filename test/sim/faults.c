/* SPDX-License-Identifier: MIT */
/*
 * Each kind of fault that the plan has walks along the timeline on its own until the world heals.
 */
#include "test/sim/faults.h"

#include "test/sim/pickup.h"
#include "test/sim/sim_control.h"
#include "test/sim/world.h"

struct walker {
	enum fault fault;
	struct rng rng;
};

static void jump(struct world *w, struct node *node, struct rng *rng)
{
	usec most = (rng_chance(rng, 100000) ? 7200 : 600) * USEC_PER_SEC;

	node->jumped = (int64_t)rng_below(rng, 2 * most) - (int64_t)most;
	TRACE(w, node->jumped < 0 ? "the clock jumps, now %u s behind" : "the clock jumps, now %u s ahead",
	    N((node->jumped < 0 ? -node->jumped : node->jumped) / 1000000));
}

static void strike(struct world *w, struct node *node, enum fault fault, struct rng *rng)
{
	switch (fault) {
	case FAULT_DAEMON:
		node_crash(node, false);
		return;
	case FAULT_POWER:
		node_crash(node, true);
		return;
	case FAULT_REDIS:
		store_crash(&node->store);
		return;
	case FAULT_SLOW:
		store_slow_down(&node->store, rng_below(rng, 10 * USEC_PER_SEC));
		return;
	case FAULT_POSTFIX:
		engine_die(&node->engine);
		return;
	case FAULT_PICKUP:
		TRACE(w, "a connection to pickup breaks", N(0));
		pickup_break(
		    &node->engine.pickups[rng_below(rng, w->plan.pickups)], node->core != NULL, false);
		return;
	case FAULT_CLOCK:
		jump(w, node, rng);
		return;
	case FAULT_STRANGE:
		engine_strange_report(&node->engine);
		return;
	case FAULT_COMMAND:
		sim_control_strike(node, rng);
		return;
	default:
		return;
	}
}

static void walk(struct world *w, void *context)
{
	struct walker *walker = context;
	struct node *node = &w->nodes[rng_below(&walker->rng, w->node_count)];

	if (w->healing)
		return;
	strike(w, node, walker->fault, &walker->rng);
	world_in(w, 1 + rng_delay(&walker->rng, w->plan.every[walker->fault]), walk, walker);
}

void faults_start(struct world *w)
{
	for (int i = 0; i < FAULTS_TIMED; i++) {
		struct walker *walker = ARENA_NEW(w->arena, struct walker);

		walker->fault = (enum fault)i;
		rng_seed(&walker->rng, w->plan.seed, 100 + (uint64_t)i);
		if (w->plan.every[i] > 0)
			world_in(w, 1 + rng_delay(&walker->rng, w->plan.every[i]), walk, walker);
	}
}

void faults_heal(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		w->nodes[i].jumped = 0;
		w->nodes[i].store.slow_until = 0;
	}
	sim_control_heal(w);
}
