/* SPDX-License-Identifier: MIT */
/*
 * A world: nodes, each with a core, a store and a Postfix; clients; remote servers; one virtual time.
 * Everything that happens is an item of the timeline, ordered by time and then by the order in which it was
 * planned.
 */
#ifndef OPTIMUS_TEST_SIM_WORLD_H
#define OPTIMUS_TEST_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/arena.h"
#include "test/sim/plan.h"
#include "test/sim/rng.h"
#include "test/sim/sim_dht.h"
#include "test/sim/sim_net.h"
#include "test/sim/sim_node.h"
#include "test/sim/trace.h"
#include "test/sim/truth.h"

enum { WORLD_NODES_MAX = 10000, WORLD_STEPS_MAX = 150000 /* after the last fault, with one node */ };

struct world;
struct sim_client;

struct world_item {
	usec at;
	uint64_t sequence;
	world_fn *fn;
	void *context;
};

struct world {
	struct plan plan;
	struct arena *arena;
	struct trace trace;
	usec now;
	struct world_item *heap;
	size_t heap_count;
	size_t heap_size;
	uint64_t sequence;
	uint64_t steps;        /* of cores */
	uint64_t steps_healed; /* how many when the fault phase was over */
	uint64_t checks;       /* full ones */
	struct rng rng_store;
	struct rng rng_postfix;
	struct rng rng_client;
	struct rng rng_fault;
	struct rng rng_operator;
	struct rng rng_net;
	struct truth truth;
	struct node *nodes;
	uint32_t node_count;
	struct idmap node_ids;
	struct sim_net net;
	struct sim_dht dht;
	struct sim_client *clients; /* a chain */
	bool restarted;             /* the last restart is over or under way */
	bool healing;               /* the fault phase is over */
	uint32_t pending;           /* reports of dead Postfixes that are still under way */
	uint32_t asked;             /* questions that were not answered */
	bool failed;
	char failure[400];
};

/* `reader` is lent: it is large, and the same for every seed. */
void world_init(
    struct world *w, const struct plan *plan, struct arena *arena, struct journal_reader *reader, FILE *live);
/* Runs it to its end. False when an invariant broke: w->failure says which. */
bool world_run(struct world *w);
/* Frees what is not in the arena. */
void world_done(struct world *w);

/* A node that is not dead. */
struct node *world_any(struct world *w, struct rng *rng);
/* NULL when there is none. */
struct node *world_node(const struct world *w, const struct opt_id *id);

void world_at(struct world *w, usec at, world_fn *fn, void *context);
void world_in(struct world *w, usec delay, world_fn *fn, void *context);
/* The first failure of a world is kept; the world stops after the current item. */
__attribute__((format(printf, 2, 3))) void world_fail(struct world *w, const char *format, ...);
/* Whether a fault of that kind strikes now. Never while healing. */
bool world_strikes(struct world *w, struct rng *rng, enum fault fault);

#endif
