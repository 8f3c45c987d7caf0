/* SPDX-License-Identifier: MIT */
/*
 * A report is an event with a reply number. Until the answer comes the smtp(8) process blocks; when the
 * daemon dies before it, the next daemon gets the report again. An answer that is under way when the daemon
 * dies may or may not arrive.
 */
#include "test/sim/report.h"

#include "queue/outcome.h"
#include "test/sim/check.h"
#include "test/sim/spool.h"
#include "test/sim/world.h"

struct report_event {
	struct sim_file *file;
	struct node *node;
	uint32_t daemon;
	bool late;
};

static void send(struct sim_file *file);

static struct report_event *new_event(struct sim_file *file, bool late)
{
	struct node *node = file->engine->node;
	struct report_event *event = ARENA_NEW(node->world->arena, struct report_event);

	*event = (struct report_event){file, node, node->life, late};
	return event;
}

static void tell_outcome(struct node *node, struct sim_file *file, struct attempt *attempt, bool blocks)
{
	struct reply *reply = node_reply(node, REPLY_OUTCOME);
	struct event event = {.type = EVENT_OUTCOME};

	reply->file = blocks ? file : NULL;
	reply->attempt = attempt;
	reply->outcome = file->outcome;
	attempt->told |= 1U << file->outcome;
	if (file->outcome == OUTCOME_DEFERRED && !(attempt->facts & 1U << OUTCOME_DEFERRED)) {
		attempt->deferred_boot = node_boot_time(node);
		attempt->deferred_utc = node_utc(node);
		attempt->deferred_booted = node->booted;
	}
	TRACE_NODE(node, "outcome: %m attempt %u: %s (reply %u)", M(attempt->mail), N(attempt->key.attempt),
	    T(outcome_kind_name(file->outcome)), N(reply->number));
	event.outcome.reply = reply->number;
	event.outcome.outcome.key = attempt->key;
	event.outcome.outcome.kind = file->outcome;
	event.outcome.outcome.at = node_utc(node);
	event.outcome.outcome.dsn = file->outcome == OUTCOME_SENT ? "2.0.0" : "4.0.0";
	event.outcome.outcome.relay =
	    file->outcome == OUTCOME_RETURNED || attempt->mail->domain == DOMAIN_DEAD
	        ? "none"
	        : "mx.example[192.0.2.1]:25";
	event.outcome.outcome.reason = "the words of the remote server";
	node_step(node, &event);
}

static void tell_left(struct node *node, struct sim_file *file)
{
	struct reply *reply = node_reply(node, REPLY_LEFT);
	struct event event = {.type = EVENT_LEFT_SPOOL};

	reply->file = file;
	reply->attempt = file->attempt;
	if (file->attempt->told == 0)
		file->attempt->causes |= CAUSE_WORDLESS;
	TRACE_NODE(node, "left the spool: %m attempt %u (reply %u)", M(file->attempt->mail),
	    N(file->attempt->key.attempt), N(reply->number));
	event.left_spool.reply = reply->number;
	event.left_spool.key = file->attempt->key;
	node_step(node, &event);
}

static void arrive(struct world *w, void *context)
{
	struct report_event *event = context;
	struct sim_file *file = event->file;
	struct node *node = event->node;
	bool blocks;

	if (node_asleep(node, arrive, context))
		return;
	blocks = !event->late && file->life == file->engine->life && !file->gone;
	if (event->late)
		w->pending--;
	if (!node->ready || (!event->late && node->life != event->daemon))
		return; /* sent again when the new daemon listens, or lost */
	if (!blocks && file->report != REPORT_OUTCOME)
		return; /* nobody cares any more about the end of a file that is gone */
	if (file->report == REPORT_LEFT) {
		tell_left(node, file);
		return;
	}
	tell_outcome(node, file, file->attempt, blocks);
	if (!w->failed && node->ready && world_strikes(w, &w->rng_postfix, FAULT_REPEATED))
		tell_outcome(node, file, file->attempt, false);
}

static void send(struct sim_file *file)
{
	struct world *w = file->engine->node->world;

	if (file->engine->node->ready)
		world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.feed_latency / 2), arrive,
		    new_event(file, false));
}

void report_begin(struct sim_file *file)
{
	file->reported = true;
	send(file);
}

void report_late(struct sim_file *file)
{
	struct world *w = file->engine->node->world;

	if (file->report != REPORT_OUTCOME || !world_strikes(w, &w->rng_postfix, FAULT_LATE))
		return;
	w->pending++;
	world_in(w, rng_below(&w->rng_postfix, 60 * USEC_PER_SEC), arrive, new_event(file, true));
}

void report_again(struct sim_engine *engine)
{
	for (size_t i = 0; i < engine->file_count; i++) {
		if (engine->files[i]->report != REPORT_NOTHING && engine->files[i]->place == SPOOL_ACTIVE &&
		    engine->files[i]->reported)
			send(engine->files[i]);
	}
}

/* The answer reached the process that blocks. */
static void go_on(struct world *w, void *context)
{
	struct report_event *event = context;
	struct sim_file *file = event->file;

	if (file->gone || file->life != file->engine->life)
		return;
	if (event->node->life != event->daemon && rng_chance(&w->rng_postfix, 500000))
		return; /* lost with the daemon: the report is repeated */
	if (file->report == REPORT_OUTCOME) {
		file->report = REPORT_LEFT;
		send(file);
	} else {
		spool_vanish(file);
	}
}

void engine_answer(struct sim_engine *engine, struct reply *reply)
{
	struct world *w = engine->node->world;

	check_outcome_answer(engine->node, reply);
	check_exposed(engine->node, reply);
	if (reply->kind == REPLY_OUTCOME && reply->attempt != NULL)
		reply->attempt->answered |= 1U << reply->outcome;
	if (reply->file != NULL)
		world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.feed_latency / 2), go_on,
		    new_event(reply->file, false));
}

void engine_strange_report(struct sim_engine *engine)
{
	struct node *node = engine->node;
	struct world *w = node->world;
	struct reply *reply;
	struct event event = {.type = EVENT_OUTCOME};

	if (!node->ready)
		return;
	reply = node_reply(node, REPLY_OUTCOME);
	reply->outcome = OUTCOME_SENT;
	event.outcome.reply = reply->number;
	event.outcome.outcome.key.shard = rng_id(&w->rng_fault);
	event.outcome.outcome.key.index = (uint32_t)rng_below(&w->rng_fault, 10);
	event.outcome.outcome.key.node = node->id;
	event.outcome.outcome.key.attempt = 1;
	if (w->truth.shards.count > 0 && rng_chance(&w->rng_fault, 500000)) {
		/* A shard that exists, a mail that does not. */
		event.outcome.outcome.key.shard = w->truth.shards.items[0].a;
		event.outcome.outcome.key.index = UINT32_MAX - (uint32_t)rng_below(&w->rng_fault, 2);
	}
	event.outcome.outcome.kind = OUTCOME_SENT;
	event.outcome.outcome.at = node_utc(node);
	event.outcome.outcome.dsn = "";
	event.outcome.outcome.relay = "";
	event.outcome.outcome.reason = "";
	TRACE_NODE(node, "a report of an attempt that nobody made (reply %u)", N(reply->number));
	node_step(node, &event);
}
