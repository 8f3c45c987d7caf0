/* SPDX-License-Identifier: MIT */
/*
 * Commands about a batch.
 *
 * Any two majorities of the homes have one in common. So a command comes in two steps: a majority of the
 * homes writes down that its version is given to somebody, and only then anybody gets the command itself.
 * Whoever asks a majority later hears of that version, though maybe not of the command, and takes a higher
 * one: what was not acknowledged is below every later command. So a command that comes again takes a new
 * version, too, even if it stands by what the homes say: another one may be on its way to them under that
 * version. Two commands at once may get the same version; control_merge() ranks them alike everywhere.
 *
 * A cancel stands above all others whatever its version is, so it is given at once; when it comes again,
 * under its old version.
 *
 * "Try again" leaves open whether the command takes effect: some homes may have it.
 */
#include "queue/command.h"

#include <stdlib.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/write.h"

static void answer(struct core *core, uint64_t reply, enum control_answer what)
{
	struct effect *effect = effects_add(core->effects, EFFECT_CONTROL_ANSWER);

	effect->reply = reply;
	effect->control = what;
}

static void end(struct core *core, struct query *query, enum control_answer what)
{
	answer(core, query->reply, what);
	query_free(core, query);
}

void command_start(struct core *core, uint64_t reply, const struct opt_id *batch, enum control_what what)
{
	struct query *query = query_new(core, QUERY_COMMAND, reply, batch);

	query->what = what;
	query_search(core, query);
}

void command_lost(struct core *core, struct query *query, int status)
{
	end(core, query, status == OPT_E_NOT_FOUND ? CONTROL_NOT_FOUND : CONTROL_AGAIN);
}

/* Whether a majority of the homes has said where the batch stands. */
static bool homes_heard(struct core *core, struct query *query)
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = home_list(core, &query->batch, query_record(core, query), homes);
	uint32_t heard = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (homes[i] == core->self ? batch_find(core, &query->batch) != NULL
		                           : query_asked(query, homes[i])->holds)
			heard++;
	}
	return heard > count / 2;
}

/* Nobody is left who could make it a majority. */
static void check_lost(struct core *core, struct query *query)
{
	if (query->waiting == 0 && query->token == 0)
		end(core, query, CONTROL_AGAIN);
}

/* The next step of a command. Returns whether this node is a home and has the batch. */
static bool ask_homes(
    struct core *core, struct query *query, enum query_phase phase, struct peer_message *request)
{
	struct peer *homes[REPLICAS_MAX];
	bool own = false;

	query_end_calls(core, query);
	query->phase = phase;
	query->token = 0;
	query->stored = 0;
	query->homes = home_list(core, &query->batch, query_record(core, query), homes);
	query_wait(core, query);
	for (uint32_t i = 0; i < query->homes; i++) {
		own = own || homes[i] == core->self;
		query_ask(core, query, query_asked(query, homes[i]), CALL_COMMAND, request);
	}
	return own && batch_find(core, &query->batch) != NULL;
}

static void stored(struct core *core, struct query *query);

static void give_command(struct core *core, struct query *query)
{
	struct peer_message request = {.type = PEER_CONTROL,
	    .version = query->control.version,
	    .what = query->control.what,
	    .at = query->control.at};
	const bool own = ask_homes(core, query, QUERY_COMMIT, &request);
	struct batch *batch = batch_find(core, &query->batch);

	if (own && control_above(&query->control, &batch->control.now))
		query->token = control_write(core, &batch->control, &batch->key, &query->control)->token;
	if (own && query->token == 0)
		stored(core, query);
	else
		check_lost(core, query);
}

static void take_version(struct core *core, struct query *query)
{
	struct peer_message request = {.type = PEER_VERSION, .version = query->control.version};
	const bool own = ask_homes(core, query, QUERY_VERSION, &request);
	struct batch *batch = batch_find(core, &query->batch);

	if (own && batch->control.taken < query->control.version)
		query->token = control_write_version(core, batch, query->control.version)->token;
	if (own && query->token == 0)
		stored(core, query);
	else
		check_lost(core, query);
}

/* One more home has it, the version or the command. */
static void stored(struct core *core, struct query *query)
{
	if (++query->stored <= query->homes / 2)
		check_lost(core, query);
	else if (query->phase == QUERY_VERSION)
		give_command(core, query);
	else
		end(core, query, CONTROL_OK);
}

void command_known(struct core *core, struct query *query, bool finished)
{
	const bool stands = query->control.what == query->what;

	query_end_calls(core, query);
	if (!homes_heard(core, query)) {
		end(core, query, CONTROL_AGAIN);
		return;
	}
	if (query->control.what == CONTROL_CANCELLED ? !stands : finished) {
		end(core, query, CONTROL_ALREADY);
		return;
	}
	if (stands && query->given == 0) {
		end(core, query, CONTROL_OK);
		return;
	}
	if (!stands || query->what != CONTROL_CANCELLED)
		query->control = (struct control){.version = control_next_version(query->given, query->what),
		    .what = query->what,
		    .at = core->utc};
	if (query->control.version == 0) {
		end(core, query, CONTROL_FAILED);
		return;
	}
	if (query->what == CONTROL_CANCELLED)
		give_command(core, query);
	else
		take_version(core, query);
}

void command_version(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct batch *batch = batch_find(core, &request->batch);
	struct peer_message answer = {.count = 0};
	struct write *write;

	if (batch == NULL || batch->control.taken >= request->version) {
		call_reply(core, peer, request, batch == NULL ? PEER_UNKNOWN : PEER_OK, &answer);
		return;
	}
	write = control_write_version(core, batch, request->version);
	write->peer = peer;
	write->peer_token = request->token;
}

static void drain_answered(struct core *core, struct query *query, const struct peer_message *message)
{
	end(core, query,
	    message->status == PEER_OK     ? CONTROL_OK
	    : message->status == PEER_BUSY ? CONTROL_STARTING
	                                   : CONTROL_FAILED);
}

void command_answered(struct core *core, struct call *call, const struct peer_message *message)
{
	struct query *query = call->owner;

	query_answered(query, call);
	if (query->kind == QUERY_DRAIN)
		drain_answered(core, query, message);
	else if (message->status == PEER_OK)
		stored(core, query);
	else
		check_lost(core, query);
}

void command_due(struct core *core, struct query *query)
{
	end(core, query, CONTROL_AGAIN);
}

void command_written(struct core *core, const struct write *write, int status)
{
	struct query *query;

	TAILQ_FOREACH (query, &core->queries, link) {
		if (query->kind != QUERY_COMMAND || query->token != write->token)
			continue;
		query->token = 0;
		if (status == 0)
			stored(core, query);
		else
			check_lost(core, query);
		return;
	}
}

void command_version_written(struct core *core, struct write *write, int status)
{
	struct batch *batch = batch_find(core, &write->id);
	struct peer_message answer = {.count = 0};

	if (batch != NULL && status == 0)
		control_take_version(&batch->control, write->control.version);
	if (write->peer != NULL)
		call_reply_to(core, write->peer, PEER_VERSION, write->peer_token,
		    status == 0 ? PEER_OK : PEER_FAILED, &answer);
	command_written(core, write, status);
	write_free(core, write);
}

void command_drain(struct core *core, uint64_t reply, const struct opt_id *node, bool on)
{
	struct peer_message request = {.type = PEER_DRAIN, .what = on ? CONTROL_PAUSED : CONTROL_RUNNING};
	struct peer *peer = peer_of(core, node);
	struct query *query;

	if (peer_incarnation(core, peer) == 0) {
		answer(core, reply, CONTROL_NOT_FOUND);
		return;
	}
	query = query_new(core, QUERY_DRAIN, reply, node);
	query->phase = QUERY_COMMIT;
	query_wait(core, query);
	if (!query_ask(core, query, query_asked(query, peer), CALL_COMMAND, &request))
		end(core, query, CONTROL_AGAIN);
}
