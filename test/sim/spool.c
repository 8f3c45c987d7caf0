/* SPDX-License-Identifier: MIT */
/*
 * Queue manager, smtp(8) and the remote servers. Every message gets one attempt: it is delivered, refused,
 * deferred or given back untried; then it is reported, and vanishes when its end was answered.
 *
 * The remote server's ledger is a count in the mail's truth. Between its increment and the report lies every
 * way in which a delivery can go unheard.
 */
#include "test/sim/spool.h"

#include <stdio.h>

#include "test/sim/check.h"
#include "test/sim/report.h"
#include "test/sim/world.h"

struct file_event {
	struct sim_file *file;
};

struct sim_file *spool_create(struct sim_engine *engine, struct attempt *attempt)
{
	struct world *w = engine->node->world;
	struct sim_file *file = ARENA_NEW(w->arena, struct sim_file);

	file->engine = engine;
	file->attempt = attempt;
	file->life = engine->life;
	file->queue_id = ++engine->queue_ids;
	file->place = SPOOL_WRITING;
	attempt->place = PLACE_SPOOL;
	attempt->file = file;
	engine->files = arena_grow(
	    w->arena, engine->files, engine->file_count, &engine->file_size, sizeof(*engine->files));
	engine->files[engine->file_count++] = file;
	TRACE_NODE(engine->node, "pickup begins %m attempt %u", M(attempt->mail), N(attempt->key.attempt));
	return file;
}

void spool_vanish(struct sim_file *file)
{
	struct sim_engine *engine = file->engine;

	file->gone = true;
	if (file->attempt->file == file)
		file->attempt->place = PLACE_GONE;
	for (size_t i = 0; i < engine->file_count; i++) {
		if (engine->files[i] != file)
			continue;
		engine->files[i] = engine->files[--engine->file_count];
		break;
	}
}

void spool_empty(struct sim_engine *engine)
{
	while (engine->file_count > 0)
		spool_vanish(engine->files[engine->file_count - 1]);
}

void spool_name(const struct sim_file *file, char name[32])
{
	static const char *const places[] = {"incoming", "incoming", "active", "deferred"};

	snprintf(name, 32, "%s/%llX", places[file->place], (unsigned long long)file->queue_id);
}

/* Whether a process still works on the file. */
static bool works(const struct sim_file *file)
{
	return !file->gone && (file->life == file->engine->life || file->orphan);
}

static void put_aside(struct sim_file *file)
{
	TRACE_NODE(file->engine->node, "postfix puts %m attempt %u aside", M(file->attempt->mail),
	    N(file->attempt->key.attempt));
	file->place = SPOOL_ASIDE;
	file->attempt->causes |= CAUSE_WORDLESS;
}

static void report(struct world *w, void *context)
{
	struct file_event *event = context;
	struct sim_file *file = event->file;

	if (!works(file))
		return;
	if (file->orphan) {
		report_late(file);
		return;
	}
	if ((file->attempt->did & 1U << OUTCOME_SENT) != 0 &&
	    world_strikes(w, &w->rng_postfix, FAULT_ASIDE)) {
		put_aside(file);
		return;
	}
	report_begin(file);
}

static void decide(struct world *w, struct sim_file *file, enum outcome_kind kind)
{
	file->outcome = kind;
	file->report = REPORT_OUTCOME;
	file->attempt->did |= 1U << kind;
	(void)w;
}

static void accept_mail(struct world *w, struct sim_file *file)
{
	struct attempt *attempt = file->attempt;

	attempt->accepted++;
	attempt->mail->copies++;
	TRACE_NODE(file->engine->node, "the remote server has %m attempt %u", M(attempt->mail),
	    N(attempt->key.attempt));
	if (world_strikes(w, &w->rng_postfix, FAULT_FINAL_DOT)) {
		attempt->lost_dots++;
		decide(w, file, OUTCOME_DEFERRED);
	} else {
		decide(w, file, OUTCOME_SENT);
		if (world_strikes(w, &w->rng_postfix, FAULT_SMTP_AFTER))
			file->report = REPORT_LEFT;
	}
	check_delivery(w, attempt);
}

static void deliver(struct world *w, void *context)
{
	struct file_event *event = context;
	struct sim_file *file = event->file;
	struct attempt *attempt = file->attempt;

	if (!works(file))
		return;
	if (world_strikes(w, &w->rng_postfix, FAULT_ASIDE)) {
		put_aside(file);
		return;
	}
	if (world_strikes(w, &w->rng_postfix, FAULT_SMTP_BEFORE))
		file->report = REPORT_LEFT;
	else if (world_strikes(w, &w->rng_postfix, FAULT_SUSPENDED))
		decide(w, file, OUTCOME_RETURNED);
	else if (attempt->mail->domain == DOMAIN_DEAD ||
	         rng_chance(&w->rng_postfix, w->plan.chance[FAULT_DEFER]))
		decide(w, file, OUTCOME_DEFERRED);
	else if (rng_chance(&w->rng_postfix, w->plan.chance[FAULT_BOUNCE]))
		decide(w, file, OUTCOME_BOUNCED);
	else
		accept_mail(w, file);
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.queue_latency / 4), report, event);
}

static void activate(struct world *w, void *context)
{
	struct file_event *event = context;
	struct sim_file *file = event->file;
	usec latency = w->plan.remote_latency;

	if (!works(file))
		return;
	file->place = SPOOL_ACTIVE;
	if (file->attempt->mail->domain == DOMAIN_SLOW)
		latency = w->plan.slow_latency;
	world_in(w, 1 + rng_delay(&w->rng_postfix, latency), deliver, event);
}

void spool_arrive(struct sim_file *file)
{
	struct world *w = file->engine->node->world;
	struct file_event *event = ARENA_NEW(w->arena, struct file_event);

	event->file = file;
	file->place = SPOOL_INCOMING;
	world_in(w, 1 + rng_delay(&w->rng_postfix, w->plan.queue_latency), activate, event);
}

void spool_orphan(struct sim_engine *engine)
{
	struct rng *rng = &engine->node->world->rng_postfix;

	for (size_t i = 0; i < engine->file_count; i++) {
		struct sim_file *file = engine->files[i];

		if (!truth_settled(file->attempt))
			file->attempt->causes |= CAUSE_ENGINE;
		file->orphan = file->place == SPOOL_ACTIVE && rng_chance(rng, 500000);
	}
}

void spool_freeze(struct sim_engine *engine)
{
	for (size_t i = 0; i < engine->file_count; i++)
		engine->files[i]->orphan = false;
}
