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
#include "test/sim/sim_client.h"
#include "test/sim/world.h"

static const usec FORGET_LATE = 300 * USEC_PER_SEC;  /* until the operator wonders why batches are refused */
static const usec FORGET_LOOKS = 660 * USEC_PER_SEC; /* a record of the dead may come so late */

static const char *const names[] = {"goes on", "pauses", "is cancelled"};
static const char *const answers[] = {"ok", "not found", "already", "starting", "failed", "again"};

/* Nobody will answer any more: the daemon that was asked is dead. */
static void note_death(struct commanded *commanded)
{
	if (!commanded->waiting || (commanded->life == commanded->asked->life && !commanded->asked->dead))
		return;
	commanded->waiting = false;
	commanded->unknown = true;
}

/* `batch` NULL: about the node itself. */
static void give(struct node *node, struct sim_batch *batch, enum control_what what)
{
	struct commanded *commanded = batch != NULL ? &batch->control : &node->drain;
	struct event event = {.type = batch != NULL ? EVENT_CONTROL : EVENT_DRAIN};
	struct reply *reply;

	note_death(commanded);
	if (!node->ready || commanded->waiting || node->world->now < node->asleep_until)
		return;
	reply = node_reply(node, REPLY_CONTROL);
	reply->batch = batch;
	reply->what = what;
	commanded->waiting = true;
	commanded->asked = node;
	commanded->life = node->life;
	commanded->cancel_asked = commanded->cancel_asked || what == CONTROL_CANCELLED;
	TRACE_NODE(node, "the operator: %s %s (reply %u)", T(batch != NULL ? batch->name : "the node"),
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
		strike(world_any(w, &w->rng_operator), context, &w->rng_operator);
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

	if (node->world->node_count > 1) {
		commanded->unknown = false;
		commanded->over = true;
		return;
	}
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

	TRACE_NODE(node, "answer to reply %u: %s", N(reply->number), T(answers[what]));
	commanded->waiting = false;
	switch (what) {
	case CONTROL_OK:
		if (commanded->stands == CONTROL_CANCELLED && reply->what != CONTROL_CANCELLED)
			world_fail(w, "I6: the cancelled batch %s takes another command", reply->batch->name);
		commanded->stands = reply->what;
		commanded->unknown = false;
		if (reply->batch != NULL && reply->what == CONTROL_CANCELLED && !commanded->late)
			commanded->late = check_any_utc(w) >= reply->batch->expires.us;
		return;
	case CONTROL_NOT_FOUND:
		if (reply->batch == NULL || (reply->batch->told_accepted && w->node_count == 1))
			world_fail(w, "I1: a command finds no batch, but it was accepted");
		return;
	case CONTROL_ALREADY:
		batch_over(node, reply, commanded);
		return;
	case CONTROL_STARTING:
	case CONTROL_FAILED:
		return;
	case CONTROL_AGAIN:
		commanded->unknown = true; /* it may come yet */
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
	if (commanded->over)
		return false;
	return commanded->stands == CONTROL_PAUSED || commanded->waiting ||
	       (commanded->unknown && commanded->stands != CONTROL_CANCELLED);
}

bool sim_control_waiting(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		if (!w->nodes[i].dead && (held(&w->nodes[i].drain) || w->nodes[i].forget))
			return true;
	}
	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && held(&batch->control))
			return true;
	}
	return false;
}

/* A node that knows the batch. */
static struct node *taker(struct world *w, const struct sim_batch *batch)
{
	for (int tries = 0; tries < 20; tries++) {
		struct node *node = world_any(w, &w->rng_operator);

		if (truth_takes_part(batch, node->index))
			return node;
	}
	return world_any(w, &w->rng_operator);
}

static void leave(struct world *w, void *context)
{
	struct node *node = context;
	struct event event = {.type = EVENT_LEAVE};
	struct core_numbers numbers;

	if (w->healing || !node->leaving || node->dead)
		return;
	world_in(w, USEC_PER_SEC, leave, node);
	if (!node->ready || w->now < node->asleep_until)
		return;
	if (node->drain.stands != CONTROL_PAUSED) {
		give(node, NULL, CONTROL_PAUSED);
		return;
	}
	numbers = core_numbers(node->core);
	if (numbers.owned > 0 || numbers.in_flight > 0)
		return;
	node->leaving = false;
	node_step(node, &event);
	if (w->failed)
		return;
	TRACE_NODE(node, "has handed everything over", N(0));
	node_crash_for(node, rng_below(&w->rng_operator, 30 * USEC_PER_SEC));
}

void sim_control_leave(struct node *node)
{
	if (node->leaving)
		return;
	node->leaving = true;
	leave(node->world, node);
}

/*
 * Whether `optimus nodes` still shows it somewhere: who knows of a later life of it than the one that was
 * forgotten brings it back.
 */
static bool is_shown(const struct world *w, const struct node *dead)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct node *node = &w->nodes[i];
		struct member_view view;

		if (node->dead)
			continue;
		if (!node->ready)
			return true;
		for (int status = core_member_next(node->core, NULL, &view); status == 0;
		     status = core_member_next(node->core, &view.id, &view)) {
			if (view.member && id_equal(&view.id, &dead->id))
				return true;
		}
	}
	return false;
}

static void forget(struct world *w, void *context)
{
	struct node *dead = context, *node;
	struct event event = {.type = EVENT_FORGET};
	struct reply *reply;

	if (w->now > dead->forget_until)
		return;
	world_in(w, 5 * USEC_PER_SEC, forget, dead);
	/* A record of a later life may still be on its way when nobody shows it any more. */
	dead->forget = dead->forget || is_shown(w, dead);
	if (!dead->forget)
		return;
	node = world_any(w, &w->rng_operator);
	if (!node->ready || w->now < node->asleep_until)
		return;
	reply = node_reply(node, REPLY_FORGET);
	reply->about = dead;
	TRACE_NODE(node, "the operator: forget %s (reply %u)", T(dead->name), N(reply->number));
	event.forget.reply = reply->number;
	event.forget.node = dead->id;
	node_step(node, &event);
}

static void start_forgetting(struct world *w, struct node *dead, usec wait)
{
	dead->forget = true;
	dead->forget_until = w->now + wait + FORGET_LOOKS;
	world_in(w, wait, forget, dead);
}

static void forget_late(struct world *w, void *context)
{
	struct node *dead = context;

	start_forgetting(w, dead, 0);
}

void sim_control_forget(struct world *w)
{
	const usec late = rng_chance(&w->rng_operator, 500000) ? FORGET_LATE : 0;
	uint32_t dead = 0;
	bool accepted = false;

	for (uint32_t i = 0; i < w->node_count; i++)
		dead += w->nodes[i].dead;
	/*
	 * One that is dead harms nobody where there are three homes, and always were; else batches are
	 * refused, and the operator forgets it in the end. Nodes that have all restarted without any batch
	 * can't know what the dead one has accepted.
	 */
	for (size_t i = 0; i < w->truth.batches.count; i++)
		accepted =
		    accepted || ((const struct sim_batch *)w->truth.batches.items[i].value)->accepted != NULL;
	for (uint32_t i = 0; i < w->node_count && !w->failed; i++) {
		if (!w->nodes[i].dead)
			continue;
		if (dead == 1 && accepted && w->plan.config.replicas > 2 && late > 0) {
			world_in(w, late, forget_late, &w->nodes[i]);
			continue;
		}
		start_forgetting(w, &w->nodes[i], rng_below(&w->rng_operator, 10 * USEC_PER_SEC));
	}
}

void sim_control_forgotten(struct node *node, const struct reply *reply, int status)
{
	TRACE_NODE(node, "answer to reply %u: %u", N(reply->number), N(-status));
	if (status == 0)
		reply->about->forget = is_shown(node->world, reply->about);
}

void check_held(struct node *node, const struct attempt *attempt)
{
	const struct sim_batch *batch = attempt->mail->batch;
	const struct sim_config *config = attempt->mail->shard->config;
	const struct commanded *drain = &node->drain;
	uint32_t refuse = 0;

	for (uint32_t i = 0; i < config->count && batch->heard != NULL; i++) {
		const struct heard *heard = &batch->heard[config->nodes[i]];

		refuse += heard->what != CONTROL_RUNNING && heard->since < attempt->claim_made;
	}
	if (2 * refuse > config->count)
		world_fail(node->world, "I6: %s/%u.%u attempt %u is fed after a majority refused claims",
		    batch->name, (unsigned)attempt->mail->shard->index, (unsigned)attempt->mail->index,
		    (unsigned)attempt->key.attempt);
	if (drain->stands == CONTROL_PAUSED && !drain->waiting && !drain->unknown)
		world_fail(node->world, "a draining node feeds mails of %s", batch->name);
}

static void heal(struct world *w, void *context)
{
	for (uint32_t i = 0; i < w->node_count && !w->failed; i++) {
		if (!w->nodes[i].dead && held(&w->nodes[i].drain))
			give(&w->nodes[i], NULL, CONTROL_RUNNING);
	}
	for (size_t i = 0; i < w->truth.batches.count && !w->failed; i++) {
		struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && held(&batch->control))
			give(taker(w, batch), batch, CONTROL_RUNNING);
	}
	/* A batch that is yet to be accepted may have been given a command that nobody answered. */
	if (sim_control_waiting(w) || clients_waiting(w) > 0)
		world_in(w, USEC_PER_SEC, heal, context);
}

void sim_control_heal(struct world *w)
{
	heal(w, NULL);
}
