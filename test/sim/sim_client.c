/* SPDX-License-Identifier: MIT */
/*
 * A client opens an upload, streams the shards, commits, and repeats all of it under a new upload id until it
 * is told that the batch is accepted, is the same, or conflicts. For some batches several clients do that at
 * once or one after the other, some of them with other content under the same name.
 */
#include "test/sim/sim_client.h"

#include <stdio.h>
#include <string.h>

#include "test/sim/check.h"
#include "test/sim/store_write.h"
#include "test/sim/submission.h"
#include "test/sim/world.h"

enum client_state { CLIENT_IDLE, CLIENT_OPENING, CLIENT_STREAMING, CLIENT_COMMITTING, CLIENT_DONE };

struct sim_client {
	struct sim_client *next;
	struct sim_batch *batch;
	struct content *content;
	struct node *node;
	enum client_state state;
	uint64_t serial; /* of its connection: what belongs to an older one is void */
	struct opt_id upload;
	uint32_t shard;
};

struct client_event {
	struct sim_client *client;
	uint64_t serial;
	enum upload_answer answer;
};

enum { PENDING_MAX = 4 /* shards under way before the shell stops reading */ };

static const char *const answer_names[] = {
    "opened", "compares", "accepted", "same", "conflict", "busy", "failed", "gone", "again"};

static struct client_event *new_event(struct world *w, struct sim_client *client)
{
	struct client_event *event = ARENA_NEW(w->arena, struct client_event);

	event->client = client;
	event->serial = client->serial;
	return event;
}

static void open_upload(struct world *w, void *context);
static void stream(struct world *w, void *context);
static void lose_patience(struct world *w, void *context);

/* A new connection, some time from now. */
static void again(struct world *w, struct sim_client *client)
{
	client->serial++;
	client->state = CLIENT_IDLE;
	client->node = world_any(w, &w->rng_client);
	world_in(w, 1 + rng_delay(&w->rng_client, 2 * USEC_PER_SEC), open_upload, new_event(w, client));
}

static void open_upload(struct world *w, void *context)
{
	struct client_event *ce = context;
	struct sim_client *client = ce->client;
	struct event event = {.type = EVENT_UPLOAD_OPEN};
	struct reply *reply;

	if (client->serial != ce->serial || client->state != CLIENT_IDLE)
		return;
	if (client->node->dead || !client->node->ready || !node_joined(client->node) ||
	    w->now < client->node->asleep_until) {
		again(w, client);
		return;
	}
	client->state = CLIENT_OPENING;
	client->shard = 0;
	client->upload = rng_id(&w->rng_client);
	idmap_set(&w->truth.uploads, &client->upload, NULL, client->content);
	reply = node_reply(client->node, REPLY_UPLOAD);
	reply->client = client;
	reply->serial = client->serial;
	TRACE_NODE(client->node, "client opens upload %x of %s, content %u (reply %u)",
	    N(id_number(&client->upload)), T(client->batch->name), N(client->content->number),
	    N(reply->number));
	event.upload_open.reply = reply->number;
	event.upload_open.upload = client->upload;
	event.upload_open.settings = &client->content->settings;
	event.upload_open.template_hash = client->content->template_hash;
	event.upload_open.template_value = client->content->template_text;
	event.upload_open.template_len = strlen(client->content->template_text);
	if (w->node_count > 1)
		world_in(w, rng_between(&w->rng_client, 10, 40) * USEC_PER_SEC, lose_patience,
		    new_event(w, client));
	node_step(client->node, &event);
}

/* A connection that nobody is at any more. */
struct left {
	struct node *node;
	struct opt_id upload;
	uint32_t life;
};

/* A daemon that is stopped sees it when it goes on, one that was killed never does. */
static void see_end(struct world *w, void *context)
{
	const struct left *left = context;
	struct event event = {.type = EVENT_UPLOAD_ABORT, .upload_abort.upload = left->upload};

	(void)w;
	if (left->life == left->node->life && left->node->ready && !node_asleep(left->node, see_end, context))
		node_step(left->node, &event);
}

static void go_away(struct world *w, struct sim_client *client)
{
	struct left *left = ARENA_NEW(w->arena, struct left);

	TRACE_NODE(client->node, "client goes away from upload %x", N(id_number(&client->upload)));
	*left = (struct left){client->node, client->upload, client->node->life};
	again(w, client);
	see_end(w, left);
}

/* It has taken long: another node may be quicker. */
static void lose_patience(struct world *w, void *context)
{
	struct client_event *ce = context;
	struct sim_client *client = ce->client;

	if (client->serial != ce->serial || client->state == CLIENT_IDLE || client->state == CLIENT_DONE)
		return;
	go_away(w, client);
}

static void commit(struct world *w, struct sim_client *client)
{
	struct event event = {.type = EVENT_UPLOAD_COMMIT};
	struct reply *reply = node_reply(client->node, REPLY_UPLOAD);

	reply->client = client;
	reply->serial = client->serial;
	client->state = CLIENT_COMMITTING;
	TRACE_NODE(client->node, "client commits upload %x (reply %u)", N(id_number(&client->upload)),
	    N(reply->number));
	event.upload_commit.reply = reply->number;
	event.upload_commit.upload = client->upload;
	node_step(client->node, &event);
	if (!w->failed && client->serial == reply->serial && world_strikes(w, &w->rng_client, FAULT_ABORT))
		go_away(w, client);
}

static void stream(struct world *w, void *context)
{
	struct client_event *ce = context;
	struct sim_client *client = ce->client;
	const struct content *content = client->content;
	struct event event = {.type = EVENT_UPLOAD_SHARD};

	if (client->serial != ce->serial || client->state != CLIENT_STREAMING ||
	    node_asleep(client->node, stream, context))
		return;
	if (core_upload_pending(client->node->core, &client->upload) > PENDING_MAX) {
		world_in(w, 1 + w->plan.store_latency, stream, ce);
		return;
	}
	if (world_strikes(w, &w->rng_client, FAULT_ABORT)) {
		go_away(w, client);
		return;
	}
	if (client->shard == content->shard_count) {
		commit(w, client);
		return;
	}
	event.upload_shard.upload = client->upload;
	event.upload_shard.count = content->shards[client->shard].count;
	event.upload_shard.hash = content->shards[client->shard].hash;
	event.upload_shard.value = content->shards[client->shard].value;
	event.upload_shard.len = content->shards[client->shard].len;
	client->shard++;
	world_in(w, 1 + rng_delay(&w->rng_client, w->plan.store_latency / 2), stream, ce);
	node_step(client->node, &event);
}

static void take_answer(struct world *w, void *context)
{
	struct client_event *ce = context;
	struct sim_client *client = ce->client;

	if (client->serial != ce->serial)
		return;
	switch (ce->answer) {
	case UPLOAD_OPENED:
	case UPLOAD_COMPARES:
		client->state = CLIENT_STREAMING;
		stream(w, ce);
		return;
	case UPLOAD_ACCEPTED:
	case UPLOAD_SAME:
		client->batch->told_accepted = true;
		client->state = CLIENT_DONE;
		return;
	case UPLOAD_CONFLICT:
		client->state = CLIENT_DONE;
		return;
	case UPLOAD_BUSY:
	case UPLOAD_FAILED:
	case UPLOAD_GONE:
	case UPLOAD_AGAIN:
		again(w, client);
		return;
	}
}

void client_answer(struct node *node, struct reply *reply, enum upload_answer answer)
{
	struct world *w = node->world;
	struct sim_client *client = reply->client;
	struct client_event *event = new_event(w, client);

	/* The client may have gone to another node meanwhile. */
	TRACE_NODE(node, "answer to reply %u: %s", N(reply->number), T(answer_names[answer]));
	check_upload_answer(node, client->batch, client->content, answer);
	event->serial = reply->serial;
	event->answer = answer;
	world_in(w, 1 + rng_delay(&w->rng_client, w->plan.feed_latency), take_answer, event);
}

void clients_daemon_died(struct world *w, struct node *node)
{
	for (struct sim_client *client = w->clients; client != NULL; client = client->next) {
		if (client->node == node && client->state != CLIENT_DONE && client->state != CLIENT_IDLE)
			again(w, client);
	}
}

uint32_t clients_uploading(const struct world *w)
{
	uint32_t count = 0;

	for (const struct sim_client *client = w->clients; client != NULL; client = client->next)
		count += client->state != CLIENT_DONE && client->state != CLIENT_IDLE;
	return count;
}

uint32_t clients_waiting(const struct world *w)
{
	uint32_t count = 0;

	for (const struct sim_client *client = w->clients; client != NULL; client = client->next)
		count += client->state != CLIENT_DONE;
	return count;
}

static void add_client(struct world *w, struct sim_batch *batch, struct content *content, usec at)
{
	struct sim_client *client = ARENA_NEW(w->arena, struct sim_client);

	client->batch = batch;
	client->content = content;
	client->node = world_any(w, &w->rng_client);
	client->next = w->clients;
	w->clients = client;
	world_at(w, at, open_upload, new_event(w, client));
}

void clients_start(struct world *w)
{
	usec phase = w->plan.fault_phase;

	for (uint32_t i = 0; i < w->plan.batches; i++) {
		char *name = arena_alloc(w->arena, 16);
		struct sim_batch *batch;
		usec at = i == 0 ? 0 : rng_below(&w->rng_client, phase / 2);

		snprintf(name, 16, "b%u", (unsigned)i);
		batch = truth_batch(&w->truth, name);
		submission_draw(w, batch);
		add_client(w, batch, batch->contents[0], at);
		while (rng_chance(&w->rng_client, w->plan.repeats)) {
			struct content *content = batch->contents[rng_below(&w->rng_client, 2)];
			usec later = rng_chance(&w->rng_client, 500000)
			                 ? rng_below(&w->rng_client, 20 * w->plan.store_latency)
			                 : rng_below(&w->rng_client, phase);

			add_client(w, batch, content, at + later);
		}
	}
}
