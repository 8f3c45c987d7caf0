/* SPDX-License-Identifier: MIT */
/*
 * pickup and cleanup. A mail waits in its connection (not begun), then exists as a file that cleanup writes
 * (begun), then lies in incoming/ and is reported as queued. A broken connection leaves a begun mail in one
 * of three ends: it is in the queue, it will be a little later, or it vanished.
 */
#include "test/sim/pickup.h"

#include "test/sim/spool.h"
#include "test/sim/world.h"

struct pickup_item {
	struct pickup_item *next;
	struct attempt *attempt;
};

struct pickup_event {
	struct pickup *pickup;
	struct sim_file *file;
	struct attempt *attempt;
	enum fed_status status;
	uint32_t life; /* of the pickup, or of the daemon for a report */
};

static void next_item(struct pickup *pickup);

static const char *const status_names[] = {"queued", "not now", "refused", "uncertain"};

static struct pickup_event *new_event(struct pickup *pickup, struct sim_file *file)
{
	struct pickup_event *event = ARENA_NEW(pickup->engine->node->world->arena, struct pickup_event);

	event->pickup = pickup;
	event->file = file;
	event->life = pickup->life;
	return event;
}

static void deliver_report(struct world *w, void *context)
{
	struct pickup_event *report = context;
	struct node *node = report->pickup->engine->node;
	struct attempt *attempt = report->attempt;
	struct event event = {.type = EVENT_FED};

	(void)w;
	if (node->life != report->life || node->core == NULL || node_asleep(node, deliver_report, context))
		return;
	if (report->status == FED_NOT_NOW)
		attempt->not_now = true;
	else if (report->status == FED_UNCERTAIN)
		attempt->causes |= CAUSE_UNCERTAIN;
	else if (report->status == FED_REFUSED)
		attempt->refused = true;
	TRACE_NODE(node, "fed: %m attempt %u: %s", M(attempt->mail), N(attempt->key.attempt),
	    T(status_names[report->status]));
	event.fed.key = attempt->key;
	event.fed.status = report->status;
	event.fed.reason = report->status == FED_QUEUED ? "" : status_names[report->status];
	node_step(node, &event);
}

static void report(struct pickup *pickup, struct attempt *attempt, enum fed_status status)
{
	struct node *node = pickup->engine->node;
	struct world *w = node->world;
	struct pickup_event *event = new_event(pickup, NULL);
	usec at = w->now + 1 + rng_delay(&w->rng_postfix, w->plan.feed_latency / 2);

	event->attempt = attempt;
	event->status = status;
	event->life = node->life;
	if (at < pickup->last_report)
		at = pickup->last_report;
	pickup->last_report = at;
	world_at(w, at, deliver_report, event);
}

/* cleanup ends without a word to anybody: after its connection broke. */
static void finish_alone(struct world *w, void *context)
{
	struct pickup_event *event = context;
	struct sim_file *file = event->file;

	if (file->gone || file->life != file->engine->life || file->place != SPOOL_WRITING)
		return;
	if (rng_chance(&w->rng_postfix, 500000))
		spool_arrive(file);
	else
		spool_vanish(file);
}

static void written(struct world *w, void *context)
{
	struct pickup_event *event = context;
	struct pickup *pickup = event->pickup;
	struct sim_file *file = event->file;

	if (pickup->life != event->life)
		return;
	pickup->writing = NULL;
	pickup->busy = false;
	if (world_strikes(w, &w->rng_postfix, FAULT_UNCERTAIN)) {
		report(pickup, file->attempt, FED_UNCERTAIN);
		world_in(w, rng_below(&w->rng_postfix, 3 * USEC_PER_SEC), finish_alone, event);
	} else {
		spool_arrive(file);
		report(pickup, file->attempt, FED_QUEUED);
	}
	next_item(pickup);
}

static void begin(struct world *w, void *context)
{
	struct pickup_event *event = context;
	struct pickup *pickup = event->pickup;
	struct attempt *attempt = event->attempt;
	enum fed_status status = FED_QUEUED;

	if (pickup->life != event->life)
		return;
	pickup->waiting = NULL;
	if (world_strikes(w, &w->rng_postfix, FAULT_NOT_NOW))
		status = FED_NOT_NOW;
	else if (attempt->mail->refused)
		status = FED_REFUSED;
	if (status != FED_QUEUED) {
		attempt->place = PLACE_NOWHERE;
		report(pickup, attempt, status);
		pickup->busy = false;
		next_item(pickup);
		return;
	}
	pickup->writing = spool_create(pickup->engine, attempt);
	event->file = pickup->writing;
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.feed_latency), written, event);
}

static void next_item(struct pickup *pickup)
{
	struct world *w = pickup->engine->node->world;
	struct pickup_item *item = pickup->first;
	struct pickup_event *event;

	if (pickup->busy || item == NULL)
		return;
	pickup->first = item->next;
	if (pickup->first == NULL)
		pickup->last = NULL;
	pickup->busy = true;
	pickup->waiting = item->attempt;
	event = new_event(pickup, NULL);
	event->attempt = item->attempt;
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.feed_latency), begin, event);
}

void pickup_feed(struct pickup *pickup, struct attempt *attempt)
{
	struct pickup_item *item;

	attempt->place = PLACE_PICKUP;
	if (!pickup->engine->alive) {
		attempt->place = PLACE_NOWHERE;
		report(pickup, attempt, FED_NOT_NOW);
		return;
	}
	item = ARENA_NEW(pickup->engine->node->world->arena, struct pickup_item);
	item->attempt = attempt;
	if (pickup->last != NULL)
		pickup->last->next = item;
	else
		pickup->first = item;
	pickup->last = item;
	next_item(pickup);
}

static void give_back(struct pickup *pickup, struct attempt *attempt, bool tell, enum fed_status status)
{
	attempt->place = PLACE_NOWHERE;
	if (tell)
		report(pickup, attempt, status);
}

/* What had not begun is told as `status`. */
static void end_connection(struct pickup *pickup, bool tell, bool dead, enum fed_status status)
{
	struct world *w = pickup->engine->node->world;
	struct sim_file *file = pickup->writing;

	pickup->life++;
	pickup->busy = false;
	if (file != NULL) {
		struct pickup_event *event = new_event(pickup, file);

		if (tell)
			report(pickup, file->attempt, FED_UNCERTAIN);
		if (dead && rng_chance(&w->rng_postfix, 500000))
			spool_vanish(file);
		else if (dead && rng_chance(&w->rng_postfix, 500000))
			file->place = SPOOL_INCOMING;
		else if (!dead)
			world_in(w, rng_below(&w->rng_postfix, 3 * USEC_PER_SEC), finish_alone, event);
	}
	if (pickup->waiting != NULL)
		give_back(pickup, pickup->waiting, tell, status);
	for (struct pickup_item *item = pickup->first; item != NULL; item = item->next)
		give_back(pickup, item->attempt, tell, status);
	pickup->writing = NULL;
	pickup->waiting = NULL;
	pickup->first = NULL;
	pickup->last = NULL;
}

void pickup_break(struct pickup *pickup, bool tell, bool dead)
{
	end_connection(pickup, tell, dead, FED_NOT_NOW);
}

void pickup_let_go(struct pickup *pickup)
{
	bool read = !rng_chance(&pickup->engine->node->world->rng_postfix, 200000);

	end_connection(pickup, true, false, read ? FED_NOT_NOW : FED_UNCERTAIN);
}

uint32_t pickup_waiting(const struct pickup *pickup)
{
	uint32_t count = pickup->waiting != NULL;

	for (const struct pickup_item *item = pickup->first; item != NULL; item = item->next)
		count++;
	return count;
}

usec pickup_last_report(const struct sim_engine *engine)
{
	usec last = 0;

	for (int i = 0; i < ENGINE_PICKUPS_MAX; i++) {
		if (engine->pickups[i].last_report > last)
			last = engine->pickups[i].last_report;
	}
	return last;
}
