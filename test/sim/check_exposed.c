/* SPDX-License-Identifier: MIT */
/*
 * How many deliveries a node has let Postfix go on with that no majority knows of (rule 3): if it dies now,
 * or is cut off, they are sent again.
 *
 * Shards with fewer than three members, those of which a member is dead, and those of which most are down are
 * left out: there it may be right to go on alone (rule 7), as the ports of processes that are gone refuse.
 */
#include "test/sim/check.h"

#include "test/sim/world.h"

static bool most_have(const struct attempt *attempt, const struct sim_config *config)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < config->count; i++)
		count += (truth_facts_of(attempt, config->nodes[i]) & 1U << OUTCOME_SENT) != 0;
	return 2 * count > config->count;
}

static bool may_go_on_alone(const struct world *w, const struct sim_config *config)
{
	uint32_t down = 0;

	for (uint32_t i = 0; i < config->count; i++) {
		if (w->nodes[config->nodes[i]].dead)
			return true;
		down += w->nodes[config->nodes[i]].core == NULL;
	}
	return config->count < 3 || 2 * down > config->count;
}

/* By the members that count, or those that did, or may yet. */
static bool is_safe(const struct world *w, const struct attempt *attempt)
{
	for (const struct sim_config *c = attempt->mail->shard->configs; c != NULL; c = c->before) {
		if (most_have(attempt, c) || may_go_on_alone(w, c))
			return true;
	}
	return attempt->settled != 0;
}

void check_exposed(struct node *node, const struct reply *reply)
{
	struct world *w = node->world;
	size_t left = 0;

	if (w->node_count == 1 || reply->kind != REPLY_OUTCOME || reply->attempt == NULL ||
	    reply->file == NULL || reply->outcome != OUTCOME_SENT || !node->engine.alive)
		return;
	if (node->exposed_life != node->life)
		node->exposed_count = 0;
	node->exposed_life = node->life;
	node->exposed = arena_grow(
	    w->arena, node->exposed, node->exposed_count, &node->exposed_size, sizeof(*node->exposed));
	node->exposed[node->exposed_count++] = reply->attempt;
	for (size_t i = 0; i < node->exposed_count; i++) {
		if (!is_safe(w, node->exposed[i]))
			node->exposed[left++] = node->exposed[i];
	}
	node->exposed_count = left;
	if (left > node->config.unreplicated_max)
		world_fail(w,
		    "I3: %s lets Postfix go on with %u deliveries that no majority knows of, not %u",
		    node->name, (unsigned)left, (unsigned)node->config.unreplicated_max);
}
