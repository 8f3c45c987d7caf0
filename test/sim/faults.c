/* SPDX-License-Identifier: MIT */
/*
 * Each kind of fault that the plan has walks along the timeline on its own until the world heals.
 */
#include "test/sim/faults.h"

#include "queue/register.h"
#include "test/sim/pickup.h"
#include "test/sim/sim_client.h"
#include "test/sim/sim_control.h"
#include "test/sim/world.h"

struct walker {
	enum fault fault;
	struct rng rng;
};

static void jump(struct node *node, struct rng *rng)
{
	usec most = (rng_chance(rng, 100000) ? 7200 : 600) * USEC_PER_SEC;

	node->jumped = (int64_t)rng_below(rng, 2 * most) - (int64_t)most;
	TRACE_NODE(node,
	    node->jumped < 0 ? "the clock jumps, now %u s behind" : "the clock jumps, now %u s ahead",
	    N((node->jumped < 0 ? -node->jumped : node->jumped) / 1000000));
}

/* Most of the members of `config`, and of the homes, must live on. */
static bool most_live(const struct world *w, const uint32_t *nodes, uint32_t count, const struct node *node)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < count; i++)
		live += !w->nodes[nodes[i]].dead && nodes[i] != node->index;
	return 2 * live > count;
}

/* Whether one of the others knows that there is a cluster: else there is nobody any more whom to join. */
static bool begun_without(const struct world *w, const struct node *node)
{
	const struct opt_id mark = register_mark();

	for (uint32_t i = 0; i < w->node_count; i++) {
		if (!w->nodes[i].dead && i != node->index &&
		    idmap_get(&w->nodes[i].store.registers, &mark, NULL) != NULL)
			return true;
	}
	return false;
}

static bool accepted(const struct world *w, const struct opt_id *key)
{
	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (id_equal(&batch->key, key))
			return batch->accepted != NULL;
	}
	return false;
}

/* Whether something is staged that may yet become a batch: its client may have given up long ago. */
static bool undecided(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct idmap *uploads = &w->nodes[i].store.uploads;

		for (size_t k = 0; k < uploads->count && !w->nodes[i].dead; k++) {
			const struct stored_upload *upload = uploads->items[k].value;

			if (upload != NULL && !accepted(w, &upload->batch))
				return true;
		}
	}
	return false;
}

/* Of the members that count, and of those that may yet. */
static bool most_members_live(
    const struct world *w, const struct sim_shard *shard, const struct node *without)
{
	const struct sim_config *config = shard->configs;

	while (most_live(w, config->nodes, config->count, without)) {
		if (config == shard->config)
			return true;
		config = config->before;
	}
	return false;
}

static bool may_die(const struct world *w, const struct node *node)
{
	uint32_t dead = 1;

	if (!begun_without(w, node))
		return false;
	for (uint32_t i = 0; i < w->node_count; i++)
		dead += w->nodes[i].dead;
	/* Of what is being uploaded nobody knows yet who will have it. */
	if (2 * dead >= w->node_count || clients_uploading(w) > 0 || undecided(w))
		return false;
	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted == NULL)
			continue;
		if (!most_live(w, batch->homes, batch->home_count, node))
			return false;
		for (uint32_t k = 0; k < batch->accepted->shard_count; k++) {
			if (!most_members_live(w, &batch->shards[k], node))
				return false;
		}
	}
	return true;
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
	case FAULT_AWAY:
		store_away(&node->store, rng_between(rng, 1, 600) * USEC_PER_SEC);
		return;
	case FAULT_SLOW:
		store_slow_down(&node->store, rng_below(rng, 10 * USEC_PER_SEC));
		return;
	case FAULT_POSTFIX:
		engine_die(&node->engine);
		return;
	case FAULT_PICKUP:
		TRACE_NODE(node, "a connection to pickup breaks", N(0));
		pickup_break(
		    &node->engine.pickups[rng_below(rng, w->plan.pickups)], node->core != NULL, false);
		return;
	case FAULT_CLOCK:
		jump(node, rng);
		return;
	case FAULT_STRANGE:
		engine_strange_report(&node->engine);
		return;
	case FAULT_COMMAND:
		sim_control_strike(node, rng);
		return;
	case FAULT_ZOMBIE:
		node_crash_for(node, rng_between(rng, 2, 60) * USEC_PER_SEC);
		return;
	case FAULT_DEATH:
		if (may_die(w, node))
			node_die(node);
		return;
	case FAULT_PAUSE:
		node_sleep(node, rng_between(rng, 1, rng_chance(rng, 200000) ? 60 : 12) * USEC_PER_SEC);
		return;
	case FAULT_CUT:
	case FAULT_FLAP:
		net_cut(w, rng, fault == FAULT_FLAP);
		return;
	case FAULT_LEAVE:
		sim_control_leave(node);
		return;
	case FAULT_END:
		node_end(node);
		return;
	default:
		return;
	}
}

static void walk(struct world *w, void *context)
{
	struct walker *walker = context;
	struct node *node;

	if (w->healing)
		return;
	node = world_any(w, &walker->rng);
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
		w->nodes[i].leaving = false;
	}
	net_heal(w);
	sim_control_forget(w);
	sim_control_heal(w);
}
