/* SPDX-License-Identifier: MIT */
/*
 * The shell in the simulator. It does what daemon/node.c does, in the same order, and nothing else: events
 * in, effects out. After every step the checks look at the core.
 *
 * A crash frees the core and everything that only the daemon knew; what is in the store, in Postfix and at
 * the remote servers stays.
 */
#include "test/sim/sim_node.h"

#include <stdio.h>
#include <string.h>

#include "queue/register.h"
#include "test/sim/check.h"
#include "test/sim/sim_client.h"
#include "test/sim/sim_control.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

struct start {
	struct node *node;
	uint32_t life;
	uint64_t serial;
};

static const usec utc_begin = UINT64_C(1900000000) * 1000000;

void node_init(struct node *node, struct world *w, uint32_t index)
{
	memset(node, 0, sizeof(*node));
	node->world = w;
	node->index = index;
	node->config = w->plan.config;
	node->name = arena_alloc(w->arena, 16);
	snprintf(node->name, 16, "n%u", (unsigned)index + 1);
	if (index > 0)
		node->config.node = rng_id(&w->rng_net);
	node->id = node->config.node;
	node->config.seed = rng_next(&w->rng_net);
	node->config.presence.node = node->id;
	node->config.presence.weight = WEIGHT_ONE;
	node->config.company = node->config.joins = index > 0;
	snprintf(node->config.presence.address, sizeof(node->config.presence.address), "%s:1", node->name);
	snprintf(node->config.presence.version, sizeof(node->config.presence.version), "sim");
	if (rng_chance(&w->rng_net, w->plan.chance[FAULT_DRIFT]))
		node->rate_ppm = (int64_t)rng_below(&w->rng_net, 100001) - 50000;
	node->machine_up = true;
	effects_init(&node->effects);
	store_init(&node->store, node);
	engine_init(&node->engine, node);
}

void node_done(struct node *node)
{
	core_free(node->core);
	node->core = NULL;
	effects_done(&node->effects);
}

/* What its clock counts too much in that time. */
static uint64_t fast(const struct node *node, usec time)
{
	return (uint64_t)((int64_t)time * node->rate_ppm / 1000000);
}

struct boot_time node_boot_time(const struct node *node)
{
	usec since = node->world->now - node->booted;

	/* A machine is never looked at in its first second. */
	return (struct boot_time){USEC_PER_SEC + since + fast(node, since)};
}

struct utc_time node_utc(const struct node *node)
{
	usec now = node->world->now;
	usec drift = now / 1000000 * node->world->plan.drift_ppm;

	/* In a world that heals somebody sets the clocks right. */
	if (node->world->healing)
		return (struct utc_time){utc_begin + now + drift};
	return (struct utc_time){
	    (uint64_t)((int64_t)(utc_begin + now + drift + fast(node, now)) + node->jumped)};
}

struct reply *node_reply(struct node *node, enum reply_kind kind)
{
	struct world *w = node->world;
	struct reply *reply = ARENA_NEW(w->arena, struct reply);

	node->replies =
	    arena_grow(w->arena, node->replies, node->reply_count, &node->reply_size, sizeof(*node->replies));
	node->replies[node->reply_count++] = reply;
	reply->number = node->reply_count;
	reply->kind = kind;
	reply->life = node->life;
	return reply;
}

static void fire_timer(struct world *w, void *context)
{
	struct start *start = context;
	struct node *node = start->node;
	struct event event = {.type = EVENT_TICK};

	(void)w;
	if (node->life != start->life || node->timer != start->serial ||
	    node_asleep(node, fire_timer, context))
		return;
	node->timer++;
	node_step(node, &event);
}

static void set_timer(struct node *node, struct boot_time deadline)
{
	struct world *w = node->world;
	struct start *start;
	usec wait = deadline.us > node_boot_time(node).us ? deadline.us - node_boot_time(node).us : 0;
	usec at;

	node->timer++;
	node->deadline = deadline;
	if (deadline.us > UINT64_MAX / 2)
		return;
	at = w->now + wait - fast(node, wait) + (node->rate_ppm < 0);
	start = ARENA_NEW(w->arena, struct start);
	*start = (struct start){node, node->life, node->timer};
	/* Timers are never early and now and then a little late. */
	world_at(w, at + rng_below(&w->rng_store, 1000), fire_timer, start);
}

static enum effect_type answer_type(enum reply_kind kind)
{
	switch (kind) {
	case REPLY_UPLOAD:
		return EFFECT_UPLOAD_ANSWER;
	case REPLY_CONTROL:
		return EFFECT_CONTROL_ANSWER;
	case REPLY_QUERY:
		return EFFECT_QUERY_ANSWER;
	case REPLY_FETCH:
		return EFFECT_FETCH_ANSWER;
	case REPLY_FORGET:
		return EFFECT_COMMAND_ANSWER;
	default:
		return EFFECT_OUTCOME_ANSWER;
	}
}

static void answer(struct node *node, const struct effect *effect)
{
	struct world *w = node->world;
	struct reply *reply = NULL;

	if (effect->reply >= 1 && effect->reply <= node->reply_count)
		reply = node->replies[effect->reply - 1];
	if (reply == NULL || reply->life != node->life || reply->answered ||
	    answer_type(reply->kind) != effect->type) {
		world_fail(w, "the core answers reply %llu, for which nobody waits",
		    (unsigned long long)effect->reply);
		return;
	}
	reply->answered = true;
	if (reply->kind == REPLY_UPLOAD)
		client_answer(node, reply, effect->answer);
	else if (reply->kind == REPLY_CONTROL)
		sim_control_answer(node, reply, effect->control);
	else if (reply->kind == REPLY_QUERY)
		check_query_answer(node, reply, effect);
	else if (reply->kind == REPLY_FETCH)
		check_fetch_answer(node, reply, effect);
	else if (reply->kind == REPLY_FORGET)
		sim_control_forgotten(node, reply, effect->status);
	else
		engine_answer(&node->engine, reply);
}

static void carry_out(struct node *node, const struct effect *effect)
{
	struct world *w = node->world;

	switch (effect->type) {
	case EFFECT_STORE_UPLOAD:
	case EFFECT_STORE_SHARD:
	case EFFECT_STORE_COMMIT:
	case EFFECT_STORE_DROP_UPLOAD:
	case EFFECT_STORE_APPEND:
	case EFFECT_STORE_SQUASH:
	case EFFECT_LOAD_JOURNAL:
	case EFFECT_LOAD_SHARD:
	case EFFECT_STORE_REGISTER:
	case EFFECT_LOAD_VALUE:
		store_submit(&node->store, effect);
		return;
	case EFFECT_ENGINE_SETTLE:
		engine_settle(&node->engine);
		return;
	case EFFECT_ENGINE_RESTART:
		engine_restart(&node->engine);
		return;
	case EFFECT_ENGINE_STOP:
		engine_stop(&node->engine);
		return;
	case EFFECT_SPOOL_REMOVE:
		engine_remove(&node->engine, effect->text);
		return;
	case EFFECT_FEED:
		check_feed(node, effect);
		if (!w->failed)
			engine_feed(&node->engine, effect);
		return;
	case EFFECT_OUTCOME_ANSWER:
	case EFFECT_UPLOAD_ANSWER:
	case EFFECT_CONTROL_ANSWER:
	case EFFECT_QUERY_ANSWER:
	case EFFECT_FETCH_ANSWER:
	case EFFECT_COMMAND_ANSWER:
		answer(node, effect);
		return;
	case EFFECT_SEND:
		net_send(node, effect);
		return;
	case EFFECT_PEER_WANT:
		net_want(node, effect);
		return;
	case EFFECT_PEER_UNWANT:
		net_unwant(node, effect);
		return;
	case EFFECT_PEER_END:
		world_fail(node->world, "a node takes another one's message for none");
		return;
	case EFFECT_PUBLISH:
		dht_publish(node, effect);
		return;
	case EFFECT_DIRECTORY_PUT:
		dht_put(node, effect);
		return;
	case EFFECT_DIRECTORY_GET:
		dht_get(node, effect);
		return;
	case EFFECT_TIMER:
		set_timer(node, effect->deadline);
		return;
	case EFFECT_NOTICE:
		TRACE_NODE(node, "notice: %s, %x",
		    T(arena_copy(w->arena, effect->text, strlen(effect->text))), N(id_number(&effect->id)));
		return;
	case EFFECT_BATCH_ACCEPTED:
	case EFFECT_BATCH_DONE:
		TRACE_NODE(node, "%s %s",
		    T(effect->type == EFFECT_BATCH_DONE ? "notice: done" : "notice: accepted"),
		    T(arena_copy(w->arena, effect->text, strlen(effect->text))));
		return;
	}
	world_fail(w, "effect %d is none", (int)effect->type);
}

void node_step(struct node *node, struct event *event)
{
	struct world *w = node->world;

	event->now = node_boot_time(node);
	event->utc = node_utc(node);
	if (event->utc.us > node->utc_max.us)
		node->utc_max = event->utc;
	if (event->utc.us - event->now.us > node->utc_ahead)
		node->utc_ahead = event->utc.us - event->now.us;
	w->steps++;
	node->stepped = w->now;
	core_step(node->core, event, &node->effects);
	for (size_t i = 0; i < node->effects.count && !w->failed; i++)
		carry_out(node, &node->effects.items[i]);
	effects_clear(&node->effects);
	if (!w->failed)
		check_step(node);
}

static void next_incarnation(struct node *node)
{
	uint64_t now = node_utc(node).us;
	uint64_t *incarnation = &node->config.presence.incarnation;

	*incarnation = now > *incarnation ? now : *incarnation + 1;
}

/* Postfix's reports wait until here; then the spool is reported when the core asks for it. */
static void recover(struct world *w, void *context)
{
	struct start *start = context;
	struct node *node = start->node;
	struct event event;
	usec away = w->now - node->stepped;

	if (node->life != start->life || node->dead)
		return;
	node->machine_up = true;
	if (!node->store.up) {
		world_in(w, 100 * USEC_PER_MSEC, recover, start);
		return;
	}
	TRACE_NODE(node, "daemon starts, life %u", N(node->life));
	next_incarnation(node);
	node->core = core_new(&node->config);
	for (size_t i = 0; i < node->store.records.count && !w->failed; i++) {
		const struct idmap_item *item = &node->store.records.items[i];
		const struct stored *record = item->value;

		idmap_set(&node->store.answered, &item->a, NULL, node);
		event = (struct event){.type = EVENT_RECOVER_BATCH};
		event.recover_batch.data = record->data;
		event.recover_batch.len = record->len;
		node_step(node, &event);
	}
	for (size_t i = 0; i < node->store.uploads.count && !w->failed; i++) {
		const struct idmap_item *item = &node->store.uploads.items[i];

		if (item->value == NULL)
			continue;
		event = (struct event){.type = EVENT_RECOVER_UPLOAD};
		event.recover_upload.upload = item->a;
		event.recover_upload.batch = ((const struct stored_upload *)item->value)->batch;
		event.recover_upload.coordinator = ((const struct stored_upload *)item->value)->coordinator;
		node_step(node, &event);
	}
	for (size_t i = 0; i < node->store.registers.count && !w->failed; i++) {
		const struct idmap_item *item = &node->store.registers.items[i];
		const struct stored *value = item->value;

		if (value == NULL)
			continue;
		event = (struct event){.type = EVENT_RECOVER_REGISTER};
		event.recover_register.batch = item->a;
		event.recover_register.data = value->data;
		event.recover_register.len = value->len;
		node_step(node, &event);
	}
	if (node->store.sequence > 0 && !w->failed) {
		char number[SEQUENCE_TEXT];

		event = (struct event){.type = EVENT_RECOVER_REGISTER};
		event.recover_register.batch = register_sequence();
		event.recover_register.data = register_sequence_text(node->store.sequence, number);
		event.recover_register.len = strlen(number);
		node_step(node, &event);
	}
	if (w->failed)
		return;
	event = (struct event){.type = EVENT_RECOVER_DONE, .recover_done.away = away};
	node_step(node, &event);
	if (w->failed)
		return;
	node->ready = true;
	engine_daemon_ready(&node->engine);
	dht_start(node);
}

static void start_in(struct node *node, usec delay)
{
	struct world *w = node->world;
	struct start *start = ARENA_NEW(w->arena, struct start);

	*start = (struct start){node, node->life, 0};
	world_in(w, delay, recover, start);
}

void node_begin(struct node *node)
{
	struct world *w = node->world;
	usec delay = rng_delay(&w->rng_fault, w->plan.down_time);

	if (node->index > 0 && rng_chance(&w->rng_fault, w->plan.chance[FAULT_JOIN]))
		delay = rng_below(&w->rng_fault, w->plan.fault_phase);
	start_in(node, delay);
}

bool node_asleep(struct node *node, world_fn *fn, void *context)
{
	if (node->world->now >= node->asleep_until)
		return false;
	world_at(node->world, node->asleep_until, fn, context);
	return true;
}

void node_sleep(struct node *node, usec how_long)
{
	TRACE_NODE(node, "daemon STOPS for %u us", N(how_long));
	node->asleep_until = node->world->now + how_long;
}

/* All that the daemon knew is gone. */
static void end_life(struct node *node, bool power)
{
	struct world *w = node->world;

	core_free(node->core);
	node->core = NULL;
	node->life++;
	node->asleep_until = 0;
	node->ready = false;
	node->ending = false;
	node->was_recovered = false;
	node->utc_max.us = 0;
	node->utc_ahead = 0;
	store_daemon_died(&node->store);
	truth_forget_told(&w->truth, node);
	net_daemon_died(node, power);
	engine_daemon_died(&node->engine);
	clients_daemon_died(w, node);
	if (power) {
		engine_power_lost(&node->engine);
		store_power_lost(&node->store);
		node->booted = w->now;
		node->machine_up = false;
	}
}

void node_crash(struct node *node, bool power)
{
	if (node->dead)
		return;
	TRACE_NODE(node, power ? "POWER LOSS" : "daemon CRASH, life %u", N(node->life));
	end_life(node, power);
	start_in(node, rng_delay(&node->world->rng_fault, node->world->plan.down_time));
}

void node_crash_for(struct node *node, usec away)
{
	if (node->dead)
		return;
	TRACE_NODE(node, "daemon CRASH, away for %u us, life %u", N(away), N(node->life));
	end_life(node, false);
	start_in(node, away);
}

static void take_leave(struct world *w, void *context)
{
	const struct start *end = context;
	struct node *node = end->node;
	struct event event = {.type = EVENT_LEAVE};

	if (node->life != end->life || node_asleep(node, take_leave, context))
		return;
	if ((!node->engine.ended || core_numbers(node->core).unreplicated > 0) && w->now < node->end_by) {
		world_in(w, 50 * USEC_PER_MSEC, take_leave, context);
		return;
	}
	TRACE_NODE(node, "takes its leave", N(0));
	node_step(node, &event);
	if (!w->failed)
		node_crash_for(node, rng_delay(&w->rng_fault, w->plan.down_time));
}

void node_end(struct node *node)
{
	struct event event = {.type = EVENT_ENGINE_DOWN};
	struct world *w = node->world;
	struct start *end;

	if (node->dead || !node->ready || node->ending || w->now < node->asleep_until)
		return;
	TRACE_NODE(node, "is told to END", N(0));
	node->ending = true;
	node->end_by = w->now + 15 * USEC_PER_SEC;
	event.engine_down.lives = node->engine.alive || node->engine.starting;
	node_step(node, &event);
	if (w->failed)
		return;
	engine_end(&node->engine);
	end = ARENA_NEW(w->arena, struct start);
	*end = (struct start){node, node->life, 0};
	world_in(w, 1, take_leave, end);
}

void node_die(struct node *node)
{
	TRACE_NODE(node, "the node DIES for good", N(0));
	end_life(node, true);
	node->dead = true;
	truth_node_died(&node->world->truth, node);
}

bool node_joined(const struct node *node)
{
	const struct world *w = node->world;
	struct member_view member;
	uint32_t others = 0;

	for (int status = core_member_next(node->core, NULL, &member); status == 0;
	     status = core_member_next(node->core, &member.id, &member)) {
		if (member.member && !member.self)
			return true;
	}
	for (uint32_t i = 0; i < w->node_count; i++)
		others += &w->nodes[i] != node && (w->nodes[i].life > 0 || w->nodes[i].ready);
	return others == 0;
}

bool node_settled(const struct node *node)
{
	struct core_numbers numbers;

	if (node->core == NULL || !node->ready)
		return false;
	numbers = core_numbers(node->core);
	return numbers.recovered && numbers.engine_up;
}
