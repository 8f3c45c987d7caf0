/* SPDX-License-Identifier: MIT */
/*
 * An operator who gives commands now and then and remembers what was answered. Where the daemon dies with a
 * command the operator does not know, and assumes nothing, until the next answer; an answer is a promise, and
 * check_commanded() holds the core to it at every feed.
 *
 * When the world heals the operator lets everything go on, so that every batch can end.
 */
#include "test/sim/sim_control.h"

#include "test/sim/check.h"
#include "test/sim/world.h"

static const char *const names[] = {"goes on", "pauses", "is cancelled"};
static const char *const answers[] = {"ok", "not found", "already", "starting", "failed"};

/* Nobody will answer any more: the daemon that was asked is dead. */
static void note_death(const struct node *node, struct commanded *commanded)
{
	if (!commanded->waiting || commanded->life == node->life)
		return;
	commanded->waiting = false;
	commanded->unknown = true;
}

/* `batch` NULL: about the node itself. */
static void give(struct node *node, struct sim_batch *batch, enum control_what what)
{
	struct commanded *commanded = batch != NULL ? &batch->control : &node->drain;
	struct world *w = node->world;
	struct event event = {.type = batch != NULL ? EVENT_CONTROL : EVENT_DRAIN};
	struct reply *reply;

	note_death(node, commanded);
	if (!node->ready || commanded->waiting)
		return;
	reply = node_reply(node, REPLY_CONTROL);
	reply->batch = batch;
	reply->what = what;
	commanded->waiting = true;
	commanded->life = node->life;
	commanded->cancel_asked = commanded->cancel_asked || what == CONTROL_CANCELLED;
	TRACE(w, "the operator: %s %s (reply %u)", T(batch != NULL ? batch->name : "the node"),
	    T(names[what]), N(reply->number));
	if (batch != NULL) {
		event.control.reply = reply->number;
		event.control.batch = batch->name;
		event.control.what = what;
	} else {
		event.drain.reply = reply->number;
		event.drain.on = what == CONTROL_PAUSED;
	}
	node_step(node, &event);
}

static void strike(struct node *node, struct sim_batch *batch, struct rng *rng)
{
	uint64_t draw = rng_below(rng, 100);

	if (draw < 15)
		give(node, NULL, draw < 9 ? CONTROL_PAUSED : CONTROL_RUNNING);
	else
		give(node, batch,
		    draw < 60   ? CONTROL_PAUSED
		    : draw < 80 ? CONTROL_RUNNING
		                : CONTROL_CANCELLED);
}

void sim_control_strike(struct node *node, struct rng *rng)
{
	const struct truth *truth = &node->world->truth;

	strike(node, truth->batches.items[rng_below(rng, truth->batches.count)].value, rng);
}

static void strike_new(struct world *w, void *context)
{
	if (!w->healing)
		strike(&w->nodes[0], context, &w->rng_operator);
}

void sim_control_accepted(struct node *node, struct sim_batch *batch)
{
	struct world *w = node->world;

	if (w->plan.every[FAULT_COMMAND] == 0)
		return;
	for (uint64_t count = rng_below(&w->rng_operator, 4); count > 0; count--)
		world_in(w, rng_delay(&w->rng_operator, 4 * w->plan.remote_latency), strike_new, batch);
}

static void batch_over(struct node *node, const struct reply *reply, struct commanded *commanded)
{
	struct batch_view view;

	if (core_batch(node->core, reply->batch->name, &view) != 0 ||
	    (view.finished.us == 0 && view.state != BATCH_CANCELLED)) {
		world_fail(node->world, "a command for %s is refused, but the batch is not over",
		    reply->batch->name);
		return;
	}
	commanded->unknown = false;
	commanded->stands = view.state == BATCH_CANCELLED ? CONTROL_CANCELLED : CONTROL_RUNNING;
}

void sim_control_answer(struct node *node, const struct reply *reply, enum control_answer what)
{
	struct commanded *commanded = reply->batch != NULL ? &reply->batch->control : &node->drain;
	struct world *w = node->world;

	TRACE(w, "answer to reply %u: %s", N(reply->number), T(answers[what]));
	commanded->waiting = false;
	switch (what) {
	case CONTROL_OK:
		if (commanded->stands == CONTROL_CANCELLED && reply->what != CONTROL_CANCELLED)
			world_fail(w, "I6: the cancelled batch %s takes another command", reply->batch->name);
		commanded->stands = reply->what;
		commanded->unknown = false;
		return;
	case CONTROL_NOT_FOUND:
		if (reply->batch == NULL || reply->batch->told_accepted)
			world_fail(w, "I1: a command finds no batch, but it was accepted");
		return;
	case CONTROL_ALREADY:
		batch_over(node, reply, commanded);
		return;
	case CONTROL_STARTING:
	case CONTROL_FAILED:
		return;
	}
}

void check_commanded(struct node *node, const struct sim_batch *batch)
{
	const struct commanded *control = &batch->control, *drain = &node->drain;
	struct world *w = node->world;

	if (control->stands == CONTROL_CANCELLED)
		world_fail(w, "I6: mails of %s are fed after its cancel was acknowledged", batch->name);
	if (control->stands == CONTROL_PAUSED && !control->waiting && !control->unknown)
		world_fail(w, "I6: mails of %s are fed while it is paused", batch->name);
	if (drain->stands == CONTROL_PAUSED && !drain->waiting && !drain->unknown)
		world_fail(w, "a draining node feeds mails of %s", batch->name);
}

static bool held(const struct commanded *commanded)
{
	return commanded->stands == CONTROL_PAUSED || commanded->waiting ||
	       (commanded->unknown && commanded->stands != CONTROL_CANCELLED);
}

bool sim_control_waiting(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		if (held(&w->nodes[i].drain))
			return true;
	}
	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && held(&batch->control))
			return true;
	}
	return false;
}

static void heal(struct world *w, void *context)
{
	for (uint32_t i = 0; i < w->node_count && !w->failed; i++) {
		if (held(&w->nodes[i].drain))
			give(&w->nodes[i], NULL, CONTROL_RUNNING);
	}
	for (size_t i = 0; i < w->truth.batches.count && !w->failed; i++) {
		struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && held(&batch->control))
			give(&w->nodes[0], batch, CONTROL_RUNNING);
	}
	if (sim_control_waiting(w))
		world_in(w, USEC_PER_SEC, heal, context);
}

void sim_control_heal(struct world *w)
{
	heal(w, NULL);
}
