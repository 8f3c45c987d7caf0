/* SPDX-License-Identifier: MIT */
/*
 * The engine's life, as a chain of commands to the keeper and looks into the spool:
 *
 *   begin    prepare
 *   settle   status ┬ up       watch master, list the spool          → EVENT_SPOOL alive
 *                   ├ orphans  stop (they finish what they do), list → EVENT_SPOOL dead
 *                   └ down     list                                  → EVENT_SPOOL dead
 *   restart  sweep, write the generation, start, watch master        → EVENT_ENGINE_UP
 *   master dies → the driver lets go of its connections              → EVENT_ENGINE_DOWN: the core settles
 *   qmgr dies   the same, but master lives                           → EVENT_ENGINE_DOWN, lives
 *               the core settles: stop; once master is dead          → EVENT_ENGINE_DOWN
 *   stand down  the driver lets go, stop; once master is dead        → EVENT_ENGINE_DOWN
 *               once all its processes have ended, list              → EVENT_SPOOL dead
 *   end         main says EVENT_ENGINE_DOWN, lives; stop; once master is dead → EVENT_ENGINE_DOWN
 *
 * So the core always hears of master's death, and never before it: what waits for an answer may go on then,
 * for there is nobody any more who would give it the next mail.
 *
 * A spool's generation is a number in a file inside of it, so it vanishes with the spool (tmpfs, after a
 * reboot), and a claim that was made for it can be told from one that was made for another.
 *
 * Postfix puts a file aside (deferred, hold, corrupt) only when something is wrong, a clock set back for one;
 * nobody scans those folders, so the engine watches them, and looks into the spool when something moves
 * there.
 *
 * While it runs, the time is noted in the spool each second: so the next optimusd knows how long it was
 * without one. An optimusd that was stopped itself notes nothing before Postfix is settled.
 *
 * Orderly stops leave a mark: then what is in the active queue was not in delivery, because every delivery
 * agent was given the time to finish and report.
 */
#include "daemon/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/driver.h"
#include "daemon/engine_watch.h"
#include "daemon/log.h"
#include "daemon/spool_list.h"
#include "daemon/spool_mark.h"
#include "daemon/spool_removals.h"

enum { RETRY_MS = 1000, NOTE_MS = 1000, LOOK_AGAIN_MS = 100, LOOKS_MAX = 100 };

enum engine_phase { PHASE_NONE, PHASE_STARTING, PHASE_SETTLING, PHASE_UP, PHASE_DOWN };

struct engine {
	uv_loop_t *loop;
	struct node *node;
	struct driver *driver;
	struct keeper *keeper;
	const char *dir; /* of the instance; borrowed from the configuration */
	char *spool_program;
	struct spool_removals *removals;
	enum engine_phase phase;
	bool prepared;
	bool settle_wanted; /* asked for while something else was being done */
	bool busy;          /* a settle or restart is on its way */
	bool alive;         /* what `status` said, for the listing that follows */
	bool distrusted;    /* a Postfix that still runs is to rest, or has no queue manager: stop it, then
	                       settle */
	bool resting;       /* it was in order until it was to be stopped */
	bool in_order;      /* it was stopped so */
	bool owed;          /* the core is still to hear that master is dead */
	bool stopping;
	int looks;
	uint64_t generation;
	uv_timer_t timer, note;
	void (*timer_step)(struct engine *engine);
	struct engine_watch *watch; /* NULL while no master is known */
	void (*stopped)(void *context);
	void *stopped_context;
	int listings; /* under way; they hold the memory */
	int timers;   /* that are not closed */
	bool closed;  /* engine_free() was called and the timers are gone */
};

static void look(struct engine *engine);
static void settle(struct engine *engine);
static void sweep(struct engine *engine);

const char *engine_state_name(const struct engine *engine)
{
	static const char *const names[] = {"none", "starting", "settling", "up", "down"};

	return names[engine->phase];
}

static void timer_fired(uv_timer_t *timer)
{
	struct engine *engine = timer->data;

	if (!engine->stopping)
		engine->timer_step(engine);
}

static void again_in(struct engine *engine, uint64_t ms, void (*step)(struct engine *engine))
{
	engine->timer_step = step;
	uv_timer_start(&engine->timer, timer_fired, ms, 0);
}

/* The core sees first whether this process itself was stopped: only once Postfix is settled it is at work. */
static void note_time(uv_timer_t *timer)
{
	struct engine *engine = timer->data;
	struct event event = {.type = EVENT_TICK};

	if (engine->phase != PHASE_UP || engine->stopping)
		return;
	node_event(engine->node, &event);
	if (engine->phase == PHASE_UP && !core_numbers(node_core(engine->node)).stale)
		spool_mark_worked(engine->dir);
}

uint64_t engine_away(const struct engine *engine)
{
	return engine->phase == PHASE_NONE ? 0 : spool_mark_away(engine->dir);
}

static void stop_watching(struct engine *engine)
{
	engine_watch_free(engine->watch);
	engine->watch = NULL;
}

/* The settling that the core asks for then is on its way already. */
static void tell_down(struct engine *engine)
{
	struct event event = {.type = EVENT_ENGINE_DOWN};

	engine->owed = engine->resting = false;
	node_event(engine->node, &event);
	engine->settle_wanted = false;
}

/* Nothing runs any more. */
static void all_ended(struct engine *engine)
{
	stop_watching(engine);
	if (engine->owed)
		tell_down(engine);
}

/*
 * Postfix's master is no more, or its queue manager: master would start another one, which would take what is
 * in the active queue for undelivered. So the instance is stopped first (rule 10).
 */
static void part_died(void *context, const char *who)
{
	struct engine *engine = context;
	const bool lives = strcmp(who, "master") != 0;
	struct event event = {.type = EVENT_ENGINE_DOWN, .engine_down.lives = lives};

	if (!lives)
		stop_watching(engine);
	if (engine->owed) {
		engine->resting = false;
		if (!lives)
			tell_down(engine);
		return;
	}
	if (engine->stopping)
		return;
	log_warning(
	    "postfix_died", "part", who, "advice", "its mails are settled, then it is started again", NULL);
	engine->distrusted = engine->owed = lives;
	engine->phase = PHASE_DOWN;
	driver_stop(engine->driver);
	node_event(engine->node, &event);
}

void engine_stand_down(struct engine *engine, const char *why)
{
	if (engine->phase != PHASE_UP || engine->stopping)
		return;
	log_warning(
	    "postfix_rests", "reason", why, "advice", "it is started again when its mails are settled", NULL);
	engine->distrusted = engine->resting = engine->owed = true;
	engine->phase = PHASE_DOWN;
	driver_stop(engine->driver);
	engine->settle_wanted = true;
	if (!engine->busy)
		settle(engine);
}

static void put_aside(void *context, const char *file)
{
	struct engine *engine = context;

	if (engine->phase != PHASE_UP || engine->stopping)
		return;
	log_warning("mail_put_aside", "file", file, NULL);
	engine_settle(engine);
}

/*
 * Watches the processes that `status` named: "up MASTER QMGR". False when one is gone already. A QMGR of 0 is
 * between two: of that master only the end is awaited.
 */
static bool watch_master(struct engine *engine, const char *output)
{
	int master;
	int qmgr = 0;

	if (engine->watch != NULL)
		return true;
	if (sscanf(output, "up %d %d", &master, &qmgr) < 1)
		return false;
	engine->watch =
	    engine_watch_new(engine->loop, master, qmgr, engine->dir, part_died, put_aside, engine);
	if (engine->watch != NULL && qmgr == 0)
		part_died(engine, "qmgr");
	return engine->watch != NULL;
}

/* Something that was asked for is over; goes on with what was asked meanwhile. */
static void idle(struct engine *engine)
{
	engine->busy = false;
	if (engine->settle_wanted && !engine->stopping)
		settle(engine);
}

static void tell_spool(struct engine *engine, const struct spool_list *list)
{
	struct event event = {.type = EVENT_SPOOL};
	bool drained = !engine->alive && engine->generation != 0 &&
	               spool_mark_read(engine->dir, "drained") == engine->generation;

	for (size_t i = 0; drained && i < list->count; i++) {
		if (list->entries[i].place == SPOOL_ACTIVE)
			list->entries[i].place = SPOOL_INCOMING;
	}
	if (list->nameless_tried)
		log_warning("spool_file_damaged", "advice",
		    "mails that are looked for and have no file are in doubt, for it may be theirs", NULL);
	log_info("spool_settled", "alive", engine->alive ? "yes" : "no", "files", log_u64(list->count), NULL);
	engine->phase = engine->alive ? PHASE_UP : PHASE_DOWN;
	if (engine->alive)
		driver_start(engine->driver);
	event.spool.alive = engine->alive;
	event.spool.generation = engine->generation;
	event.spool.nameless_tried = list->nameless_tried;
	event.spool.entries = list->entries;
	event.spool.count = list->count;
	node_event(engine->node, &event);
	idle(engine);
}

static void release(struct engine *engine)
{
	if (!engine->closed || engine->listings > 0)
		return;
	free(engine->spool_program);
	free(engine);
}

static void start_listing(struct engine *engine, spool_list_fn *fn)
{
	engine->listings++;
	spool_list_run(engine->loop, engine->spool_program, engine->dir, fn, engine);
}

static void listed(void *context, int status, const struct spool_list *list)
{
	struct engine *engine = context;

	engine->listings--;
	if (engine->stopping) {
		release(engine);
		return;
	}
	if (engine->alive && (engine->watch == NULL || engine->distrusted)) {
		/* Postfix died while we looked, or is to be stopped: what was seen is no longer so. */
		engine->settle_wanted = true;
		idle(engine);
	} else if (status != 0) {
		again_in(engine, RETRY_MS, look);
	} else if (list->nameless_writing && engine->alive && engine->looks++ < LOOKS_MAX) {
		again_in(engine, LOOK_AGAIN_MS, look);
	} else {
		tell_spool(engine, list);
	}
}

static void look(struct engine *engine)
{
	start_listing(engine, listed);
}

static void orphans_ended(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	(void)output;
	if (engine->stopping)
		return;
	if (exit_status != 0)
		again_in(engine, RETRY_MS, settle);
	else
		look(engine);
}

static void status_known(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	engine->alive = exit_status == 0 && watch_master(engine, output);
	if (engine->stopping) {
		if (exit_status == 1 || exit_status == 2)
			tell_down(engine);
		return;
	}
	engine->looks = 0;
	engine->generation = spool_mark_read(engine->dir, "generation");
	if (engine->alive && engine->distrusted) {
		settle(engine);
	} else if (engine->alive || exit_status == 1) {
		look(engine);
	} else if (exit_status == 2) {
		log_info("postfix_orphans_finish", NULL);
		tell_down(engine); /* what they report may be answered */
		keeper_run(engine->keeper, KEEPER_STOP, orphans_ended, engine);
	} else {
		log_error("postfix_state_unknown", "status", log_int(exit_status), NULL);
		again_in(engine, RETRY_MS, settle);
	}
}

static void distrusted_ended(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	if (exit_status == 0) {
		engine->distrusted = engine->alive = false;
		engine->generation = spool_mark_read(engine->dir, "generation");
		if (engine->in_order && strncmp(output, "drained", 7) == 0)
			spool_mark_write(engine->dir, "drained", engine->generation);
		all_ended(engine);
	}
	orphans_ended(context, exit_status, output);
}

static void settle(struct engine *engine)
{
	engine->busy = true;
	engine->settle_wanted = false;
	engine->in_order = engine->resting;
	if (engine->distrusted)
		keeper_run(engine->keeper, KEEPER_STOP, distrusted_ended, engine);
	else
		keeper_run(engine->keeper, KEEPER_STATUS, status_known, engine);
}

void engine_settle(struct engine *engine)
{
	if (engine->phase == PHASE_NONE || engine->stopping)
		return;
	if (engine->phase != PHASE_UP)
		engine->phase = PHASE_SETTLING;
	engine->settle_wanted = true;
	if (engine->prepared && !engine->busy)
		settle(engine);
}

static void started_status(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;
	struct event event = {.type = EVENT_ENGINE_UP};

	if (engine->stopping)
		return;
	if (exit_status != 0 || !watch_master(engine, output)) {
		log_error("postfix_start_failed", "advice", "see its log; it is tried again", NULL);
		again_in(engine, RETRY_MS, sweep);
		return;
	}
	if (engine->distrusted) {
		settle(engine);
		return;
	}
	engine->phase = PHASE_UP;
	spool_mark_worked(engine->dir);
	log_info("postfix_up", "generation", log_u64(engine->generation), NULL);
	driver_start(engine->driver);
	event.engine_up.generation = engine->generation;
	node_event(engine->node, &event);
	idle(engine);
}

static void started(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	(void)output;
	if (engine->stopping)
		return;
	if (exit_status != 0) {
		log_error("postfix_start_failed", "status", log_int(exit_status), "advice",
		    "it is tried again", NULL);
		again_in(engine, RETRY_MS, sweep);
		return;
	}
	keeper_run(engine->keeper, KEEPER_STATUS, started_status, engine);
}

static void killed(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	(void)exit_status;
	(void)output;
	if (!engine->stopping)
		again_in(engine, RETRY_MS, sweep);
}

static void swept(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;
	struct timespec now;

	(void)output;
	if (engine->stopping)
		return;
	if (exit_status != 0) {
		/* Something of an earlier try still runs. Nothing was fed since, so it may be ended at once.
		 */
		log_error("spool_sweep_failed", "status", log_int(exit_status), NULL);
		keeper_run(engine->keeper, KEEPER_KILL, killed, engine);
		return;
	}
	stop_watching(engine);
	engine->distrusted = engine->in_order = engine->owed = false; /* that was the Postfix before */
	clock_gettime(CLOCK_REALTIME, &now);
	engine->generation = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
	spool_mark_write(engine->dir, "drained", 0);
	spool_mark_write(engine->dir, "generation", engine->generation);
	keeper_run(engine->keeper, KEEPER_START, started, engine);
}

static void sweep(struct engine *engine)
{
	keeper_run(engine->keeper, KEEPER_SWEEP, swept, engine);
}

void engine_restart(struct engine *engine)
{
	if (engine->phase == PHASE_NONE || engine->stopping)
		return;
	engine->phase = PHASE_STARTING;
	engine->busy = true;
	sweep(engine);
}

void engine_remove_file(struct engine *engine, const char *file)
{
	if (engine->phase == PHASE_NONE)
		return;
	spool_removals_add(engine->removals, file);
}

static void prepare(struct engine *engine);

static void prepared(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	(void)output;
	if (engine->stopping)
		return;
	if (exit_status != 0) {
		log_error("postfix_not_prepared", "status", log_int(exit_status), "advice",
		    "the reason stands above; it is tried again", NULL);
		engine->phase = PHASE_DOWN;
		again_in(engine, 10 * RETRY_MS, prepare);
		return;
	}
	engine->prepared = true;
	idle(engine);
}

static void prepare(struct engine *engine)
{
	keeper_run(engine->keeper, KEEPER_PREPARE, prepared, engine);
}

void engine_begin(struct engine *engine)
{
	if (engine->phase == PHASE_NONE)
		return;
	engine->busy = true;
	prepare(engine);
}

struct engine *engine_new(uv_loop_t *loop, struct node *node, struct driver *driver, struct keeper *keeper)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (engine == NULL ||
	    asprintf(&engine->spool_program, "%s/optimus-spool", node_config(node)->libexec) < 0)
		abort();
	engine->loop = loop;
	engine->node = node;
	engine->driver = driver;
	engine->keeper = keeper;
	engine->dir = node_config(node)->postfix_dir;
	engine->phase = keeper == NULL ? PHASE_NONE : PHASE_STARTING;
	engine->removals = spool_removals_new(loop, engine->spool_program, engine->dir);
	uv_timer_init(loop, &engine->timer);
	uv_timer_init(loop, &engine->note);
	engine->timer.data = engine->note.data = engine;
	engine->timers = 2;
	uv_timer_start(&engine->note, note_time, NOTE_MS, NOTE_MS);
	uv_unref((uv_handle_t *)&engine->note);
	return engine;
}

/* What was left in the spool is settled now: before the next start the machine may lose it. */
static void ended_listed(void *context, int status, const struct spool_list *list)
{
	struct engine *engine = context;

	engine->listings--;
	if (engine->closed) {
		release(engine);
		return;
	}
	engine->alive = false;
	if (status == 0)
		tell_spool(engine, list);
	engine->stopped(engine->stopped_context);
}

static void ended(void *context, int exit_status, const char *output)
{
	struct engine *engine = context;

	engine->phase = PHASE_DOWN;
	if (exit_status == 0)
		all_ended(engine);
	if (exit_status == 0 && strncmp(output, "drained", 7) == 0)
		spool_mark_write(engine->dir, "drained", engine->generation);
	if (exit_status == 0 && engine->generation != 0)
		start_listing(engine, ended_listed);
	else
		engine->stopped(engine->stopped_context);
}

void engine_stop(struct engine *engine, void (*fn)(void *context), void *context)
{
	engine->stopping = true;
	uv_timer_stop(&engine->timer);
	if (engine->phase == PHASE_NONE || !engine->prepared) {
		fn(context);
		return;
	}
	engine->owed = true;
	engine->stopped = fn;
	engine->stopped_context = context;
	keeper_run(engine->keeper, KEEPER_STOP, ended, engine);
}

static void timer_closed(uv_handle_t *handle)
{
	struct engine *engine = handle->data;

	engine->closed = --engine->timers == 0;
	release(engine);
}

void engine_free(struct engine *engine)
{
	if (engine == NULL)
		return;
	engine->stopping = true;
	stop_watching(engine);
	spool_removals_free(engine->removals);
	uv_close((uv_handle_t *)&engine->timer, timer_closed);
	uv_close((uv_handle_t *)&engine->note, timer_closed);
}
