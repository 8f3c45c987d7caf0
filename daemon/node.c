/* SPDX-License-Identifier: MIT */
/*
 * The shell around the core: events in, effects out, on one thread.
 *
 * node_event() steps the core at once and puts the effects at the end of a queue; whoever called first
 * carries the queue out, in the order of the steps. So an effect's receiver may bring in the next event
 * without the order of writes to the store ever changing.
 *
 * At start the node claims the store, hands every batch record and left-over upload to the core, and only
 * then lets it go on; see queue/recover.c for the rest of the way.
 */
#include "daemon/node.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "daemon/disk.h"
#include "daemon/driver.h"
#include "daemon/engine.h"
#include "daemon/log.h"
#include "daemon/node_check.h"
#include "daemon/node_cluster.h"
#include "daemon/node_load.h"
#include "daemon/node_start.h"
#include "daemon/rate.h"
#include "daemon/version.h"
#include "queue/error.h"
#include "queue/tree.h"

/* Somebody who waits for an answer. */
struct asker {
	RB_ENTRY(asker) node;
	uint64_t reply;
	node_answer_fn *fn;
	void *context;
};
RB_HEAD(asker_tree, asker);

/* The effects of one step, waiting to be carried out. */
struct round {
	TAILQ_ENTRY(round) link;
	struct effects effects;
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	void (*fn)(void *context);
	void *context;
};

struct node {
	const struct config *config;
	struct opt_id id;
	uv_loop_t *loop;
	uv_timer_t timer;
	struct core *core;
	struct store *store;
	struct engine *engine;
	struct driver *driver;
	struct node_cluster *cluster; /* NULL: this node is alone */
	struct asker_tree askers;
	uint64_t next_reply;
	TAILQ_HEAD(, round) rounds;
	bool carrying_out;
	TAILQ_HEAD(waiter_list, waiter) waiters;
	struct rate rate; /* of sent mails */
	uint64_t sent_seen;
	void (*recovered)(void *context);
	void *recovered_context;
};

static int compare_askers(const struct asker *a, const struct asker *b)
{
	return a->reply < b->reply ? -1 : a->reply > b->reply;
}

RB_GENERATE_STATIC(asker_tree, asker, node, compare_askers)

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static void answer(struct node *node, const struct effect *effect)
{
	struct asker key = {.reply = effect->reply};
	struct asker *asker = RB_FIND(asker_tree, &node->askers, &key);
	node_answer_fn *fn;
	void *context;

	if (asker == NULL)
		return;
	fn = asker->fn;
	context = asker->context;
	RB_REMOVE(asker_tree, &node->askers, asker);
	free(asker);
	fn(context, effect);
}

uint64_t node_expect(struct node *node, node_answer_fn *fn, void *context)
{
	struct asker *asker = calloc(1, sizeof(*asker));

	if (asker == NULL)
		abort();
	asker->reply = node->next_reply++;
	asker->fn = fn;
	asker->context = context;
	RB_INSERT(asker_tree, &node->askers, asker);
	return asker->reply;
}

void node_forget(struct node *node, uint64_t reply)
{
	struct asker key = {.reply = reply};
	struct asker *asker = RB_FIND(asker_tree, &node->askers, &key);

	if (asker == NULL)
		return;
	RB_REMOVE(asker_tree, &node->askers, asker);
	free(asker);
}

static void set_timer(struct node *node, struct boot_time deadline)
{
	uint64_t now = clock_us(CLOCK_BOOTTIME);
	uint64_t wait = deadline.us > now ? deadline.us - now : 0;

	uv_timer_start(&node->timer, node_timer_fired, (wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC, 0);
}

static void carry_out(struct node *node, const struct effect *effect)
{
	char hex[OPT_ID_HEX], from[OPT_ID_HEX];

	switch (effect->type) {
	case EFFECT_STORE_UPLOAD:
	case EFFECT_STORE_SHARD:
	case EFFECT_STORE_COMMIT:
	case EFFECT_STORE_DROP_UPLOAD:
	case EFFECT_STORE_APPEND:
	case EFFECT_STORE_SQUASH:
	case EFFECT_STORE_REGISTER:
		store_apply(node->store, effect);
		return;
	case EFFECT_LOAD_JOURNAL:
		node_load_journal(node, &effect->id, effect->token);
		return;
	case EFFECT_LOAD_VALUE:
		node_load_value(node, effect);
		return;
	case EFFECT_LOAD_SHARD:
		node_load_shard(node, effect);
		return;
	case EFFECT_ENGINE_SETTLE:
		engine_settle(node->engine);
		return;
	case EFFECT_ENGINE_RESTART:
		engine_restart(node->engine);
		return;
	case EFFECT_ENGINE_STOP:
		engine_stand_down(node->engine, effect->text);
		return;
	case EFFECT_SPOOL_REMOVE:
		engine_remove_file(node->engine, effect->text);
		return;
	case EFFECT_FEED:
		driver_feed(node->driver, effect);
		return;
	case EFFECT_OUTCOME_ANSWER:
	case EFFECT_UPLOAD_ANSWER:
	case EFFECT_QUERY_ANSWER:
	case EFFECT_FETCH_ANSWER:
	case EFFECT_COMMAND_ANSWER:
	case EFFECT_CONTROL_ANSWER:
		answer(node, effect);
		return;
	case EFFECT_TIMER:
		set_timer(node, effect->deadline);
		return;
	case EFFECT_SEND:
	case EFFECT_PEER_WANT:
	case EFFECT_PEER_UNWANT:
	case EFFECT_PEER_END:
	case EFFECT_PUBLISH:
	case EFFECT_DIRECTORY_PUT:
	case EFFECT_DIRECTORY_GET:
		node_cluster_effect(node->cluster, effect);
		return;
	case EFFECT_NOTICE:
		log_info(effect->text, "id", id_to_hex(&effect->id, hex), "epoch", log_u64(effect->epoch),
		    effect->why != NULL ? "from" : NULL, id_to_hex(&effect->node, from), "why", effect->why,
		    NULL);
		return;
	case EFFECT_BATCH_ACCEPTED:
		log_info("batch_accepted", "batch", effect->text, NULL);
		return;
	case EFFECT_BATCH_DONE:
		log_info("batch_done", "batch", effect->text, NULL);
		return;
	}
}

static void count_sent(struct node *node)
{
	uint64_t sent = core_numbers(node->core).sent;

	rate_add(&node->rate, clock_us(CLOCK_BOOTTIME) / USEC_PER_SEC, sent - node->sent_seen);
	node->sent_seen = sent;
}

double node_rate(const struct node *node)
{
	return rate_per_second(&node->rate, clock_us(CLOCK_BOOTTIME) / USEC_PER_SEC);
}

static void carry_out_rounds(struct node *node)
{
	struct round *round;

	node->carrying_out = true;
	while ((round = TAILQ_FIRST(&node->rounds)) != NULL) {
		for (size_t i = 0; i < round->effects.count; i++)
			carry_out(node, &round->effects.items[i]);
		TAILQ_REMOVE(&node->rounds, round, link);
		effects_done(&round->effects);
		free(round);
	}
	node->carrying_out = false;
}

static void wake_waiters(struct node *node)
{
	struct waiter *last = TAILQ_LAST(&node->waiters, waiter_list);
	struct waiter *waiter;
	bool more = last != NULL;

	/* Those who ask again inside their call stand behind `last` and have to wait for the next time. */
	while (more && (waiter = TAILQ_FIRST(&node->waiters)) != NULL) {
		void (*fn)(void *context) = waiter->fn;
		void *context = waiter->context;

		more = waiter != last;
		TAILQ_REMOVE(&node->waiters, waiter, link);
		free(waiter);
		fn(context);
	}
}

void node_event(struct node *node, struct event *event)
{
	struct round *round = calloc(1, sizeof(*round));

	if (round == NULL)
		abort();
	effects_init(&round->effects);
	event->now.us = clock_us(CLOCK_BOOTTIME);
	event->utc.us = clock_us(CLOCK_REALTIME);
	core_step(node->core, event, &round->effects);
	count_sent(node);
	TAILQ_INSERT_TAIL(&node->rounds, round, link);
	if (node->carrying_out)
		return;
	carry_out_rounds(node);
	wake_waiters(node);
}

void node_timer_fired(uv_timer_t *timer)
{
	struct event event = {.type = EVENT_TICK};

	node_event(timer->data, &event);
}

void node_wait_store(struct node *node, void (*fn)(void *context), void *context)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter == NULL)
		abort();
	waiter->fn = fn;
	waiter->context = context;
	TAILQ_INSERT_TAIL(&node->waiters, waiter, link);
}

void node_wait_store_cancel(struct node *node, void *context)
{
	struct waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&node->waiters); waiter != NULL; waiter = next) {
		next = TAILQ_NEXT(waiter, link);
		if (waiter->context != context)
			continue;
		TAILQ_REMOVE(&node->waiters, waiter, link);
		free(waiter);
	}
}

void node_store_done(void *context, uint64_t token, int status)
{
	struct node *node = context;
	struct event event = {.type = EVENT_STORE_DONE};

	if (status != 0)
		log_warning("store_write_failed", "error", opt_strerror(status), NULL);
	event.store_done.token = token;
	event.store_done.status = status;
	node_event(node, &event);
}

static struct presence own_presence(
    const struct config *config, const struct opt_id *id, const char *address, uint64_t incarnation)
{
	struct presence presence = {
	    .node = *id,
	    .incarnation = incarnation,
	    .weight = config->weight,
	};

	snprintf(presence.address, sizeof(presence.address), "%s", address);
	snprintf(presence.version, sizeof(presence.version), "%s", OPTIMUS_VERSION);
	return presence;
}

struct node *node_new(uv_loop_t *loop, const struct config *config, const struct opt_id *id,
    struct node_cluster *cluster, const char *address, uint64_t incarnation)
{
	struct node *node = calloc(1, sizeof(*node));
	struct core_config core_config = config->core;

	if (node == NULL)
		abort();
	node->config = config;
	node->loop = loop;
	node->id = *id;
	node->next_reply = 1;
	RB_INIT(&node->askers);
	TAILQ_INIT(&node->rounds);
	TAILQ_INIT(&node->waiters);
	node->cluster = cluster;
	core_config.node = *id;
	core_config.relay = config->relay;
	core_config.routes = config->routes.items;
	core_config.route_count = config->routes.count;
	core_config.company = cluster != NULL && node_cluster_has_company(cluster);
	core_config.joins = cluster != NULL && node_cluster_joins(cluster);
	core_config.presence = own_presence(config, id, address, incarnation);
	randombytes_buf(&core_config.seed, sizeof(core_config.seed));
	node->core = core_new(&core_config);
	uv_timer_init(loop, &node->timer);
	node->timer.data = node;
	return node;
}

void node_attach(struct node *node, struct store *store, struct engine *engine, struct driver *driver)
{
	node->store = store;
	node->engine = engine;
	node->driver = driver;
}

void node_free(struct node *node)
{
	struct asker *asker, *next;

	if (node == NULL)
		return;
	RB_FOREACH_SAFE (asker, asker_tree, &node->askers, next) {
		RB_REMOVE(asker_tree, &node->askers, asker);
		free(asker);
	}
	while (!TAILQ_EMPTY(&node->waiters))
		node_wait_store_cancel(node, TAILQ_FIRST(&node->waiters)->context);
	core_free(node->core);
	free(node);
}

void node_stop(struct node *node)
{
	uv_timer_stop(&node->timer);
	uv_close((uv_handle_t *)&node->timer, NULL);
}

const struct core *node_core(const struct node *node)
{
	return node->core;
}

struct store *node_store(const struct node *node)
{
	return node->store;
}

const struct config *node_config(const struct node *node)
{
	return node->config;
}

const struct opt_id *node_id(const struct node *node)
{
	return &node->id;
}

const char *node_postfix_state(const struct node *node)
{
	return engine_state_name(node->engine);
}

struct links_numbers node_links(const struct node *node)
{
	return node_cluster_links(node->cluster);
}

int node_room(const struct node *node)
{
	return disk_room(node->config->data, node->config->reserve);
}

static void uploads_read(void *context, int status, const struct span *values, size_t count)
{
	struct node *node = context;
	struct event done = {.type = EVENT_RECOVER_DONE};

	node_check_read(status, "uploads_unreadable");
	for (size_t i = 0; i + 1 < count; i += 2) {
		struct event event = {.type = EVENT_RECOVER_UPLOAD};

		if (node_check_upload(&values[i], &values[i + 1], &event.recover_upload.upload,
		        &event.recover_upload.batch, &event.recover_upload.coordinator) != 0)
			log_warning("store_strange_upload", NULL);
		else
			node_event(node, &event);
	}
	done.recover_done.away = engine_away(node->engine);
	node_event(node, &done);
	node->recovered(node->recovered_context);
}

static void registers_read(void *context, int status, const struct span *values, size_t count)
{
	struct node *node = context;

	node_check_read(status, "registers_unreadable");
	for (size_t i = 0; i + 1 < count; i += 2) {
		struct event event = {.type = EVENT_RECOVER_REGISTER};

		event.recover_register.batch = node_check_register(&values[i], &values[i + 1]);
		event.recover_register.data = values[i + 1].data;
		event.recover_register.len = values[i + 1].len;
		node_event(node, &event);
	}
	store_read_uploads(node->store, uploads_read, node);
}

static void batches_read(void *context, int status, const struct span *values, size_t count)
{
	struct node *node = context;

	node_check_read(status, "batches_unreadable");
	for (size_t i = 0; i < count; i++) {
		struct event event = {.type = EVENT_RECOVER_BATCH};

		node_check_record(&values[i]);
		event.recover_batch.data = values[i].data;
		event.recover_batch.len = values[i].len;
		node_event(node, &event);
	}
	log_info("batches_recovered", "batches", log_u64(count), NULL);
	store_read_registers(node->store, registers_read, node);
}

void node_recover(struct node *node, void (*fn)(void *context), void *context)
{
	node->recovered = fn;
	node->recovered_context = context;
	store_read_batches(node->store, batches_read, node);
}
