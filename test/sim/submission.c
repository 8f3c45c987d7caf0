/* SPDX-License-Identifier: MIT */
/*
 * Draws the content of a batch. Most are small, so that a seed is fast; mails for the dead destination exist
 * only in batches that expire soon, because nothing else ends them.
 */
#include "test/sim/submission.h"

#include <stdio.h>
#include <string.h>

#include "test/sim/world.h"

static const usec HOUR = 3600 * USEC_PER_SEC;

static void several_nodes(struct rng *rng, struct batch_settings *settings, bool many)
{
	static const uint32_t replicas[] = {0, 0, 0, 3, 3, 3, 2, 1, 4, 5};

	settings->replicas = replicas[rng_below(rng, sizeof(replicas) / sizeof(replicas[0]))];
	if (settings->expire <= 6 * HOUR)
		settings->expire = rng_between(rng, HOUR / 120, HOUR / 30);
	if (many) {
		settings->expire = 24 * HOUR;
		settings->start.us = 0;
	}
}

static void draw_settings(struct world *w, struct sim_batch *batch, struct batch_settings *settings)
{
	struct rng *rng = &w->rng_client;

	snprintf(settings->name, sizeof(settings->name), "%s", batch->name);
	snprintf(settings->sender, sizeof(settings->sender), "news@sender.example");
	if (rng_chance(rng, 200000))
		settings->start.us =
		    node_utc(&w->nodes[0]).us +
		    rng_below(rng, rng_chance(rng, 500000) || w->node_count > 1 ? HOUR / 120 : HOUR);
	settings->expire = 5 * 24 * HOUR;
	if (rng_chance(rng, 200000))
		settings->expire = rng_between(rng, HOUR / 120, 6 * HOUR);
	settings->priority = (int32_t)rng_below(rng, 3) - 1;
	settings->replicas = 1;
	if (w->node_count > 1)
		several_nodes(rng, settings, w->node_count > MANY_NODES);
	settings->uid = 1000;
}

static uint64_t draw_size(struct rng *rng)
{
	uint64_t kind = rng_below(rng, 100);

	if (kind < 70)
		return rng_between(rng, 1, 40);
	if (kind < 97)
		return rng_between(rng, 1, 200);
	return rng_between(rng, 1, 1500);
}

static uint16_t draw_domain(struct rng *rng, bool may_die)
{
	uint64_t kind = rng_below(rng, 100);

	if (kind < 60)
		return (uint16_t)rng_below(rng, 3);
	if (kind < 95)
		return (uint16_t)rng_between(rng, 3, DOMAIN_SLOW - 1);
	return kind < 98 || !may_die ? DOMAIN_SLOW : DOMAIN_DEAD;
}

static void draw_shard(struct world *w, struct content *content, uint32_t index, uint32_t count)
{
	struct content_shard *shard = &content->shards[index];
	struct mail *mails = arena_alloc(w->arena, count * sizeof(*mails));
	struct id_hash hash;

	for (uint32_t i = 0; i < count; i++) {
		mails[i].domain = draw_domain(&w->rng_client, content->settings.expire <= 6 * HOUR);
		mails[i].refused = rng_chance(&w->rng_client, w->plan.chance[FAULT_REFUSED]);
	}
	shard->count = count;
	shard->value = content_encode(w->arena, mails, count, content->number, &shard->len);
	id_hash_init(&hash);
	id_hash_add(&hash, shard->value, shard->len);
	shard->hash = id_hash_done(&hash);
}

static struct content *draw_content(
    struct world *w, struct sim_batch *batch, const struct batch_settings *settings)
{
	struct content *content = ARENA_NEW(w->arena, struct content);
	struct rng *rng = &w->rng_client;
	uint64_t left =
	    w->node_count == 1 ? draw_size(rng) : rng_between(rng, 1, rng_chance(rng, 800000) ? 60 : 200);
	uint32_t largest = (uint32_t)rng_between(rng, 1, left > 200 ? 100 : 20);
	struct id_hash hash;

	content->batch = batch;
	content->settings = *settings;
	content->shards = arena_alloc(w->arena, (size_t)left * sizeof(*content->shards));
	content->template_text = "Subject: {{name}}\n\nHello.\n";
	id_hash_init(&hash);
	id_hash_add(&hash, content->template_text, strlen(content->template_text));
	content->template_hash = id_hash_done(&hash);
	content->total = left;
	while (left > 0) {
		uint32_t count = left < largest ? (uint32_t)left : largest;

		draw_shard(w, content, content->shard_count++, count);
		left -= count;
	}
	return content;
}

/* The same but for one thing: nearly the same is harder to tell from the same than something else is. */
static struct content *vary(struct world *w, const struct content *content)
{
	struct content *other = arena_copy(w->arena, content, sizeof(*content));
	struct content_shard *shards =
	    arena_copy(w->arena, content->shards, content->shard_count * sizeof(*shards));
	struct id_hash hash;

	other->number = 1;
	other->shards = shards;
	switch (rng_below(&w->rng_client, 4)) {
	case 0:
		other->settings.expire += USEC_PER_SEC;
		break;
	case 1:
		other->template_text = "Subject: {{name}}\n\nGood bye.\n";
		id_hash_init(&hash);
		id_hash_add(&hash, other->template_text, strlen(other->template_text));
		other->template_hash = id_hash_done(&hash);
		break;
	case 2:
		snprintf(other->settings.sender, sizeof(other->settings.sender), "other@sender.example");
		break;
	default:
		draw_shard(w, other, other->shard_count - 1, shards[other->shard_count - 1].count);
		break;
	}
	return other;
}

void submission_draw(struct world *w, struct sim_batch *batch)
{
	struct batch_settings settings = {.name = ""};

	draw_settings(w, batch, &settings);
	batch->contents[0] = draw_content(w, batch, &settings);
	batch->contents[1] = vary(w, batch->contents[0]);
}
