/* SPDX-License-Identifier: MIT */
/*
 * Commands about a batch.
 *
 * Any two majorities of the homes have one in common, so the version that is chosen stands above every one
 * that was acknowledged. Two commands at once may get the same version; control_merge() ranks them alike
 * everywhere. A command that comes again when it stands is given to the homes again under its old version:
 * who was told that it holds can rely on their majority.
 *
 * "Try again" leaves open whether the command takes effect: some homes may have it.
 */
#include "queue/command.h"

#include <stdlib.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/home.h"

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

/* One more home has it. */
static bool stored(struct core *core, struct query *query)
{
	if (++query->stored <= query->homes / 2)
		return false;
	end(core, query, CONTROL_OK);
	return true;
}

/* Nobody is left who could make it a majority. */
static void check_lost(struct core *core, struct query *query)
{
	if (query->waiting == 0 && query->token == 0)
		end(core, query, CONTROL_AGAIN);
}

static void give_to_homes(struct core *core, struct query *query)
{
	struct batch *batch = batch_find(core, &query->batch);
	struct peer *homes[REPLICAS_MAX];
	bool own = false;

	query->phase = QUERY_COMMIT;
	query->homes = home_list(core, &query->batch, query_record(core, query), homes);
	query_wait(core, query);
	for (uint32_t i = 0; i < query->homes; i++) {
		struct peer_message request = {.type = PEER_CONTROL,
		    .version = query->control.version,
		    .what = query->control.what,
		    .at = query->control.at};

		own = own || homes[i] == core->self;
		query_ask(core, query, query_asked(query, homes[i]), CALL_COMMAND, &request);
	}
	if (own && batch != NULL && control_above(&query->control, &batch->control.now))
		query->token = control_write(core, &batch->control, &batch->key, &query->control)->token;
	else if (own && batch != NULL && stored(core, query))
		return;
	check_lost(core, query);
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
	if (stands && query->control.version == 0) {
		end(core, query, CONTROL_OK);
		return;
	}
	if (!stands)
		query->control = (struct control){
		    .version = query->control.version + 1, .what = query->what, .at = core->utc};
	give_to_homes(core, query);
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
	else if (message->status != PEER_OK || !stored(core, query))
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
		if (query->phase == QUERY_COMMIT && query->token == write->token) {
			query->token = 0;
			if (status != 0 || !stored(core, query))
				check_lost(core, query);
			return;
		}
	}
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
