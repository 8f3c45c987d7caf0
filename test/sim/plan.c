/* SPDX-License-Identifier: MIT */
/*
 * Draws the plan of a seed. A third of the seeds is calm, so that the plain path is walked under many
 * timings; the others choose among the faults, so that pairs of faults meet without a hundred others hiding
 * them.
 */
#include "test/sim/plan.h"

#include <inttypes.h>
#include <string.h>

#include "test/sim/rng.h"

static const char *const names[FAULTS] = {
    [FAULT_DAEMON] = "daemon",
    [FAULT_REDIS] = "redis",
    [FAULT_POWER] = "power",
    [FAULT_SLOW] = "slow",
    [FAULT_POSTFIX] = "postfix",
    [FAULT_PICKUP] = "pickup",
    [FAULT_CLOCK] = "clock",
    [FAULT_STRANGE] = "strange",
    [FAULT_COMMAND] = "command",
    [FAULT_ZOMBIE] = "zombie",
    [FAULT_DEATH] = "death",
    [FAULT_PAUSE] = "pause",
    [FAULT_CUT] = "cut",
    [FAULT_FLAP] = "flap",
    [FAULT_LEAVE] = "leave",
    [FAULT_END] = "end",
    [FAULT_AWAY] = "away",
    [FAULT_STORE_ERROR] = "store-error",
    [FAULT_LOAD_ERROR] = "load-error",
    [FAULT_NOT_NOW] = "not-now",
    [FAULT_REFUSED] = "refused",
    [FAULT_UNCERTAIN] = "uncertain",
    [FAULT_DEFER] = "defer",
    [FAULT_BOUNCE] = "bounce",
    [FAULT_SUSPENDED] = "suspended",
    [FAULT_SMTP_BEFORE] = "smtp-before",
    [FAULT_SMTP_AFTER] = "smtp-after",
    [FAULT_FINAL_DOT] = "final-dot",
    [FAULT_ASIDE] = "aside",
    [FAULT_REPEATED] = "repeated",
    [FAULT_LATE] = "late",
    [FAULT_ABORT] = "abort",
    [FAULT_LOSS] = "loss",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_REORDER] = "reorder",
    [FAULT_PRESENCE] = "presence",
    [FAULT_DRIFT] = "drift",
    [FAULT_JOIN] = "join",
};

const char *fault_name(enum fault fault)
{
	return names[fault];
}

void plan_switch_off(struct plan *plan, enum fault fault)
{
	if (fault < FAULTS_TIMED)
		plan->every[fault] = 0;
	plan->chance[fault] = 0;
}

bool plan_has(const struct plan *plan, enum fault fault)
{
	return fault < FAULTS_TIMED ? plan->every[fault] > 0 : plan->chance[fault] > 0;
}

static void draw_faults(struct plan *plan, struct rng *rng)
{
	uint32_t mood = (uint32_t)rng_below(rng, 3);
	uint32_t wanted = mood == 0 ? 0 : mood == 1 ? 250000 : 600000;

	plan->mood = mood == 0 ? "calm" : mood == 1 ? "rough" : "wild";
	for (int i = 0; i < FAULTS; i++) {
		bool on;
		usec every;
		uint32_t chance;

		if (i == FAULT_END || i == FAULT_AWAY)
			continue; /* drawn apart: they came later, and the older seeds stay what they are */
		on = rng_chance(rng, wanted);
		every = plan->fault_phase / rng_between(rng, 1, mood == 2 ? 12 : 4);
		chance = (uint32_t)rng_between(rng, 2000, mood == 2 ? 200000 : 50000);
		if (!on)
			continue;
		if (i < FAULTS_TIMED)
			plan->every[i] = every;
		else
			plan->chance[i] = chance;
	}
	/* The remote world is never perfect. */
	if (plan->chance[FAULT_DEFER] == 0)
		plan->chance[FAULT_DEFER] = (uint32_t)rng_below(rng, 100000);
	if (plan->chance[FAULT_BOUNCE] == 0)
		plan->chance[FAULT_BOUNCE] = 10000;
}

static void draw_end(struct plan *plan)
{
	struct rng rng;

	rng_seed(&rng, plan->seed, 7);
	if (rng_chance(&rng, 150000))
		plan->every[FAULT_END] = plan->fault_phase / rng_between(&rng, 1, 8);
}

static void draw_config(struct plan *plan, struct rng *rng)
{
	struct core_config *config = &plan->config;

	*config = core_config_default();
	config->node = rng_id(rng);
	config->window = (uint32_t)rng_between(rng, 1, rng_chance(rng, 500000) ? 8 : 80);
	config->domain_share = (uint32_t)rng_between(rng, 5, 100);
	config->claim_group = (uint32_t)rng_between(rng, 1, 40);
	config->min_backoff = rng_between(rng, 30, 300) * USEC_PER_SEC;
	config->max_backoff = config->min_backoff * rng_between(rng, 1, 12);
	config->domain_hold = rng_between(rng, 1, 60) * USEC_PER_SEC;
	config->resend_in_doubt = rng_chance(rng, 700000);
	config->open_mails_max = (uint32_t)rng_between(rng, 30, 2000);
}

/* How many nodes: a third of the seeds has one. */
static uint32_t draw_nodes(struct rng *rng)
{
	static const uint32_t counts[] = {2, 3, 3, 3, 4, 5, 5, 7, 9};

	if (rng_chance(rng, 333333))
		return 1;
	return counts[rng_below(rng, sizeof(counts) / sizeof(counts[0]))];
}

static void one_node(struct plan *plan)
{
	for (int i = FAULT_ZOMBIE; i <= FAULT_LEAVE; i++)
		plan_switch_off(plan, (enum fault)i);
	for (int i = FAULT_LOSS; i < FAULTS; i++)
		plan_switch_off(plan, (enum fault)i);
}

/* Many nodes talk all the time, so the time is short: what takes hours with one node takes a minute here. */
static void several_nodes(struct plan *plan, struct rng *rng)
{
	struct core_config *config = &plan->config;
	usec phase = rng_between(rng, plan->nodes > MANY_NODES ? 8 : 15, plan->nodes > MANY_NODES ? 15 : 60) *
	             USEC_PER_SEC;

	for (int i = 0; i < FAULTS_TIMED; i++) {
		if (plan->every[i] > 0)
			plan->every[i] = phase / (plan->fault_phase / plan->every[i]);
	}
	plan->fault_phase = phase;
	if (plan->chance[FAULT_LOSS] > 0)
		plan->chance[FAULT_LOSS] = (uint32_t)rng_below(rng, 300000);
	if (plan->chance[FAULT_DRIFT] > 0)
		plan->chance[FAULT_DRIFT] = 300000;
	if (plan->chance[FAULT_JOIN] > 0)
		plan->chance[FAULT_JOIN] = 300000;
	config->min_backoff = rng_between(rng, 1, 15) * USEC_PER_SEC;
	config->max_backoff = config->min_backoff * rng_between(rng, 1, 3);
	config->domain_hold = rng_between(rng, 1, 5) * USEC_PER_SEC;
	plan->slow_latency = rng_between(rng, 500, 5000) * USEC_PER_MSEC;
	plan->net_latency = rng_between(rng, 50, rng_chance(rng, 300000) ? 100000 : 2000);
	plan->dht_latency = rng_between(rng, 10, 1500) * USEC_PER_MSEC;
	plan->batches = (uint32_t)rng_between(rng, 1, 4);
}

/* What a large world is about is the cluster, and each second of it is dear: few mails, soon sent. */
static void many_nodes(struct plan *plan)
{
	plan->batches = 2;
	plan->config.min_backoff = USEC_PER_SEC;
	plan->config.max_backoff = USEC_PER_SEC;
	plan->config.doubt_hold = 2 * USEC_PER_SEC;
	plan->slow_latency = USEC_PER_SEC;
	for (int i = FAULT_DEFER; i < FAULT_ABORT; i++) {
		if (plan->chance[i] > 20000)
			plan->chance[i] = 20000;
	}
}

static void draw_cluster(struct plan *plan, uint64_t seed, uint32_t nodes)
{
	struct core_config *config = &plan->config;
	struct rng rng;

	rng_seed(&rng, seed, 6);
	plan->nodes = draw_nodes(&rng);
	if (nodes > 0)
		plan->nodes = nodes;
	config->replicas = rng_chance(&rng, 700000) ? 3 : (uint32_t)rng_between(&rng, 1, 5);
	config->unreplicated_max = (uint32_t)rng_between(&rng, 1, 50);
	config->doubt_hold = rng_between(&rng, 1, 20) * USEC_PER_SEC;
	if (plan->nodes == 1)
		one_node(plan);
	else
		several_nodes(plan, &rng);
	if (plan->nodes > MANY_NODES)
		many_nodes(plan);
}

static void draw_away(struct plan *plan)
{
	struct rng rng;

	rng_seed(&rng, plan->seed, 9);
	if (plan->nodes > 1 && plan->nodes <= MANY_NODES && rng_chance(&rng, 150000))
		plan->every[FAULT_AWAY] = plan->fault_phase / rng_between(&rng, 1, 4);
}

/* In half of the clusters a template takes several messages, as a long one does. */
static void draw_parts(struct plan *plan, uint64_t seed)
{
	struct rng rng;

	rng_seed(&rng, seed, 8);
	if (plan->nodes > 1 && rng_chance(&rng, 500000))
		plan->config.stage_part = (uint32_t)rng_between(&rng, 5, 20);
}

void plan_draw(struct plan *plan, uint64_t seed, uint32_t nodes)
{
	static const usec scales[] = {20, 200, 2000};
	struct rng rng;
	usec scale;

	memset(plan, 0, sizeof(*plan));
	rng_seed(&rng, seed, 0);
	plan->seed = seed;
	plan->fault_phase = rng_between(&rng, 20, rng_chance(&rng, 700000) ? 120 : 3600) * USEC_PER_SEC;
	draw_faults(plan, &rng);
	draw_end(plan);
	draw_config(plan, &rng);
	scale = scales[rng_below(&rng, 3)];
	plan->store_latency = scale * rng_between(&rng, 1, 30);
	plan->feed_latency = scale * rng_between(&rng, 1, 10);
	plan->queue_latency = scale * rng_between(&rng, 1, 50);
	plan->remote_latency = scale * rng_between(&rng, 20, 500);
	plan->slow_latency = rng_between(&rng, 1, 30) * USEC_PER_SEC;
	plan->down_time = rng_between(&rng, 10, 5000) * USEC_PER_MSEC;
	plan->reads_overtake = rng_chance(&rng, 500000);
	plan->drift_ppm = (uint32_t)rng_below(&rng, 200);
	plan->batches = (uint32_t)rng_between(&rng, 1, rng_chance(&rng, 300000) ? 8 : 3);
	plan->pickups = (uint32_t)rng_between(&rng, 1, 4);
	plan->repeats = (uint32_t)rng_below(&rng, 600000);
	draw_cluster(plan, seed, nodes);
	draw_parts(plan, seed);
	draw_away(plan);
	if (seed % 3 == 0)
		plan->config.relay = "relay.example:25"; /* all domains are behind one next hop */
}

void plan_print(const struct plan *plan, FILE *out)
{
	fprintf(out,
	    "plan of seed %" PRIu64 ": %" PRIu32 " nodes, R %" PRIu32 ", %s, %" PRIu32
	    " batches, window %" PRIu32 ", %s in doubt, faults until %" PRIu64 " s:",
	    plan->seed, plan->nodes, plan->config.replicas, plan->mood, plan->batches, plan->config.window,
	    plan->config.resend_in_doubt ? "resend" : "report", plan->fault_phase / USEC_PER_SEC);
	for (int i = 0; i < FAULTS; i++) {
		if (!plan_has(plan, (enum fault)i))
			continue;
		if (i < FAULTS_TIMED)
			fprintf(out, " %s=%" PRIu64 "s", names[i], plan->every[i] / USEC_PER_SEC);
		else
			fprintf(out, " %s=%" PRIu32 "ppm", names[i], plan->chance[i]);
	}
	fputc('\n', out);
}
