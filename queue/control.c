/* SPDX-License-Identifier: MIT */
/*
 * An operator's commands, from EVENT_CONTROL to their effect.
 *
 * A command is an entry in the journal of the batch that it is about (for draining, of the node), with the
 * next version. It takes effect when that is durable, and only then is it answered. From the answer on no
 * mail is handed to Postfix: nothing is claimed, and a claim that becomes durable later is taken back. What
 * Postfix has by then goes on.
 *
 * With several nodes a command goes to the homes of its batch first (queue/command.c), and from them to all
 * who take part (queue/tell.c). It is answered when a majority of the homes has it.
 *
 * The entries merge like all facts do, whoever wrote them, in any order: see control_merge(). At start they
 * are read before anything is claimed.
 *
 * A cancelled batch ends its open mails itself, a few shards for each round of writes, so that neither a step
 * nor the outcomes of other batches wait for millions of facts. Mails that are in Postfix end by their
 * outcome; one that is deferred ends cancelled, and one in doubt ends unknown, for nobody will try it again.
 */
#include "queue/control.h"

#include <stdlib.h>

#include "queue/batch.h"
#include "queue/command.h"
#include "queue/facts.h"
#include "queue/query.h"
#include "queue/shard.h"
#include "queue/tell.h"
#include "queue/write.h"

enum { CANCEL_STEP = 8 /* shards whose mails are ended in one round of writes */ };

static void answer(struct core *core, uint64_t reply, enum control_answer what)
{
	struct effect *effect = effects_add(core->effects, EFFECT_CONTROL_ANSWER);

	effect->reply = reply;
	effect->control = what;
}

bool control_above(const struct control *a, const struct control *b)
{
	if ((a->what == CONTROL_CANCELLED) != (b->what == CONTROL_CANCELLED))
		return a->what == CONTROL_CANCELLED;
	if (a->version != b->version)
		return a->version > b->version;
	/* Two nodes may have given the same version: to pause is the careful choice. */
	if (a->what != b->what)
		return a->what > b->what;
	return a->at.us > b->at.us;
}

bool control_merge(struct control *into, const struct control *other)
{
	if (!control_above(other, into))
		return false;
	*into = *other;
	return true;
}

uint64_t control_next_version(uint64_t given, enum control_what what)
{
	if (given < PEER_VERSION_MAX)
		return given + 1;
	return what == CONTROL_CANCELLED ? given : 0;
}

void control_take(struct core *core, struct control_register *reg, const struct control *control)
{
	if (core->config.broken_rule == CORE_BUG_CANCEL_FORGOTTEN && control->what == CONTROL_CANCELLED)
		return;
	control_merge(&reg->now, control);
	control_take_version(reg, control->version);
}

void control_take_version(struct control_register *reg, uint64_t version)
{
	if (version > reg->given)
		reg->given = version;
	if (version > reg->taken)
		reg->taken = version;
}

bool control_cancelled(const struct batch *batch)
{
	return batch->control.now.what == CONTROL_CANCELLED;
}

bool control_draining(const struct core *core)
{
	return core->drain.now.what == CONTROL_PAUSED;
}

bool control_may_feed(const struct core *core, const struct batch *batch)
{
	if (core->config.broken_rule == CORE_BUG_PAUSE_IGNORED && batch->states[MAIL_RETRY] > 0)
		return true;
	return !control_draining(core) && batch->control.now.what == CONTROL_RUNNING;
}

bool control_may_claim(const struct core *core, const struct batch *batch)
{
	if (core->config.broken_rule == CORE_BUG_CANCEL_NOT_REFUSED && control_cancelled(batch))
		return true;
	return batch->control.now.what == CONTROL_RUNNING;
}

enum batch_state control_state(const struct batch *batch)
{
	if (control_cancelled(batch))
		return BATCH_CANCELLED;
	if (batch->done)
		return BATCH_DONE;
	if (batch->control.now.what == CONTROL_PAUSED)
		return BATCH_PAUSED;
	return batch->started ? BATCH_SENDING : BATCH_SCHEDULED;
}

static struct write *write_entry_of(struct core *core, enum write_kind kind, struct control_register *reg,
    const struct opt_id *journal, const struct journal_entry *entry)
{
	struct write *write = write_new(core, kind);

	if (entry->control.version > reg->given)
		reg->given = entry->control.version;
	write->control = entry->control;
	write->id = *journal;
	write_append_entry(core, write, entry);
	return write;
}

struct write *control_write(struct core *core, struct control_register *reg, const struct opt_id *journal,
    const struct control *control)
{
	const struct journal_entry entry = {.type = JOURNAL_CONTROL, .control = *control};

	return write_entry_of(core, WRITE_CONTROL, reg, journal, &entry);
}

struct write *control_write_version(struct core *core, struct batch *batch, uint64_t version)
{
	const struct journal_entry entry = {.type = JOURNAL_VERSION, .control = {.version = version}};

	return write_entry_of(core, WRITE_VERSION, &batch->control, &batch->key, &entry);
}

/* A command that concerns nobody but this node. */
static struct write *write_command(
    struct core *core, struct control_register *reg, const struct opt_id *journal, enum control_what what)
{
	const struct control control = {
	    .version = control_next_version(reg->given, what), .what = what, .at = core->utc};

	return control_write(core, reg, journal, &control);
}

static void answer_when_written(struct core *core, struct write *write, uint64_t reply)
{
	write->replies = calloc(1, sizeof(*write->replies));
	if (write->replies == NULL)
		abort();
	write->replies[0] = reply;
	if (core->config.broken_rule == CORE_BUG_CONTROL_EARLY) {
		answer(core, reply, CONTROL_OK);
		write->replies[0] = 0;
	}
}

/* Whether it is so already, and no command that is on its way will change it. */
static bool stands(const struct control_register *reg, enum control_what what)
{
	return reg->now.what == what && (reg->given == reg->now.version || what == CONTROL_CANCELLED);
}

void control_command(struct core *core, const struct event *event)
{
	const struct opt_id key = batch_key(event->control.batch);
	struct batch *batch = batch_find(core, &key);
	enum control_what what = event->control.what;
	uint64_t reply = event->control.reply;

	if (!core->recovered)
		answer(core, reply, CONTROL_STARTING);
	else if (batch == NULL || !query_alone(core, batch))
		command_start(core, reply, &key, what);
	else if (stands(&batch->control, what) && (what == CONTROL_CANCELLED || !batch->done))
		answer(core, reply, CONTROL_OK);
	else if (batch->done || control_cancelled(batch))
		answer(core, reply, CONTROL_ALREADY);
	else if (control_next_version(batch->control.given, what) == 0)
		answer(core, reply, CONTROL_FAILED);
	else
		answer_when_written(core, write_command(core, &batch->control, &batch->key, what), reply);
}

void control_drain(struct core *core, const struct event *event)
{
	enum control_what what = event->drain.on ? CONTROL_PAUSED : CONTROL_RUNNING;

	if (!core->recovered)
		answer(core, event->drain.reply, CONTROL_STARTING);
	else if (!id_is_zero(&event->drain.node) && !id_equal(&event->drain.node, &core->config.node))
		command_drain(core, event->drain.reply, &event->drain.node, event->drain.on);
	else if (stands(&core->drain, what))
		answer(core, event->drain.reply, CONTROL_OK);
	else
		answer_when_written(
		    core, write_command(core, &core->drain, &core->config.node, what), event->drain.reply);
}

void control_drain_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const enum control_what what = (enum control_what)request->what;
	struct peer_message message = {.count = 0};
	struct write *write;

	if (what == CONTROL_CANCELLED || stands(&core->drain, what)) {
		call_reply(core, peer, request, what == CONTROL_CANCELLED ? PEER_FAILED : PEER_OK, &message);
		return;
	}
	write = write_command(core, &core->drain, &core->config.node, what);
	write->peer = peer;
	write->peer_token = request->token;
}

static void apply(struct core *core, struct batch *batch, const struct control *control)
{
	control_take_version(&batch->control, control->version);
	if (!control_merge(&batch->control.now, control))
		return;
	tell_all(core, batch);
	if (control->what != CONTROL_CANCELLED)
		return;
	if (batch->started)
		control_started(core, batch);
	else
		batch_begin(core, batch); /* it waits for no start any more */
}

static void batch_written(struct core *core, struct batch *batch, const struct write *write, int status)
{
	if (status == 0)
		apply(core, batch, &write->control);
	tell_written(core, write, status);
	command_written(core, write, status);
}

static void drain_written(struct core *core, const struct write *write, int status)
{
	struct peer_message message = {.count = 0};

	if (status == 0)
		control_merge(&core->drain.now, &write->control);
	if (write->peer != NULL)
		call_reply_to(core, write->peer, PEER_DRAIN, write->peer_token,
		    status == 0 ? PEER_OK : PEER_FAILED, &message);
}

void control_written(struct core *core, struct write *write, int status)
{
	struct batch *batch = batch_find(core, &write->id);

	if (batch != NULL)
		batch_written(core, batch, write, status);
	else
		drain_written(core, write, status);
	if (write->replies != NULL && write->replies[0] != 0)
		answer(core, write->replies[0], status == 0 ? CONTROL_OK : CONTROL_FAILED);
	write_free(core, write);
}

void control_started(struct core *core, struct batch *batch)
{
	if (!control_cancelled(batch) || batch->in_cancelling || batch->done)
		return;
	batch->in_cancelling = true;
	batch->cancel_next = 0;
	TAILQ_INSERT_TAIL(&core->cancelling, batch, cancelling);
}

void control_forget(struct core *core, struct batch *batch)
{
	if (batch->in_cancelling)
		TAILQ_REMOVE(&core->cancelling, batch, cancelling);
	batch->in_cancelling = false;
}

static bool has_mails_to_end(const struct shard *shard)
{
	return shard->owning && shard->phase != SHARD_FINISHED && !shard->journal_loading &&
	       shard->states[MAIL_READY] + shard->states[MAIL_RETRY] > 0;
}

/* Ends the mails of a few shards. Returns whether there were any, and so a write that brings us back here. */
static bool cancel_some(struct core *core, struct batch *batch)
{
	uint32_t count = 0;

	while (count < CANCEL_STEP && batch->cancel_next < batch->record.shard_count) {
		struct shard *shard = &batch->shards[batch->cancel_next++];

		if (has_mails_to_end(shard)) {
			shard_cancel(core, shard);
			count++;
		}
	}
	if (batch->cancel_next == batch->record.shard_count)
		control_forget(core, batch);
	return count > 0;
}

void control_run(struct core *core)
{
	struct batch *batch;

	if (!core->recovered || core->outcome_writes > 0)
		return;
	while ((batch = TAILQ_FIRST(&core->cancelling)) != NULL) {
		if (cancel_some(core, batch))
			return;
	}
}
