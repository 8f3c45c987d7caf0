/* SPDX-License-Identifier: MIT */
/*
 * The counts of a batch.
 *
 * Each node that takes part says what it has, QUERY_SHARDS shards a message, so that a batch of any size
 * fits. Several say the same of a shard; the one that knows most is believed, and how many say anything is
 * how many replicas the shard has reached. A word whose states are not the shard's number of mails is
 * dropped: what is shown adds up, whoever says what.
 *
 * Members may have changed since the record was written. So an answer names the members of its shards that
 * the record does not, and these are asked as well.
 *
 * A node that has a batch for itself answers at once, and nobody is asked.
 */
#include "queue/gather.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/command.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/fetch.h"
#include "queue/home.h"
#include "queue/upload.h"

static void answer(struct core *core, uint64_t reply, int status, const struct batch_view *view)
{
	struct effect *effect = effects_add(core->effects, EFFECT_QUERY_ANSWER);
	struct batch_view *copy;

	effect->reply = reply;
	effect->status = status;
	if (view == NULL)
		return;
	copy = effects_copy(core->effects, view, sizeof(*view));
	copy->name = effects_copy_text(core->effects, view->name);
	copy->sender = effects_copy_text(core->effects, view->sender);
	effect->view = copy;
}

void gather_query(struct core *core, uint64_t reply, const char *name)
{
	const struct opt_id key = batch_key(name);
	const struct batch *batch = batch_find(core, &key);
	struct batch_view view;
	struct query *query;

	if (batch != NULL && batch->rereading == 0 && query_alone(core, batch)) {
		batch_look(core, batch, &view);
		answer(core, reply, 0, &view);
		return;
	}
	query = query_new(core, QUERY_COUNTS, reply, &key);
	query_search(core, query);
}

/* An upload to this node is shown until the batch is known. */
void gather_lost(struct core *core, struct query *query, int status)
{
	const struct upload *upload = upload_after(core, NULL);
	struct batch_view view;

	while (upload != NULL && !id_equal(&upload->batch, &query->batch))
		upload = upload_after(core, &upload->id);
	if (upload != NULL)
		upload_look(upload, &view);
	answer(core, query->reply, upload != NULL ? 0 : status, upload != NULL ? &view : NULL);
	query_free(core, query);
}

static bool adds_up(const struct shard_counts *counts, uint32_t mails)
{
	uint32_t sum = 0;

	for (int state = 0; state < MAIL_STATES; state++)
		sum += counts->states[state];
	return sum == mails;
}

static void take_word(
    struct query *query, const struct batch_record *record, const struct shard_counts *counts)
{
	struct word *word;

	if (counts->index >= record->shard_count || !adds_up(counts, record->shards[counts->index].count))
		return;
	word = &query->words[counts->index];
	if (word->holders++ == 0 || query_better(counts, &word->counts))
		word->counts = *counts;
}

static void take_given(struct query *query, uint64_t version)
{
	if (version > query->given)
		query->given = version;
}

static void take_own_words(struct core *core, struct query *query, const struct batch *batch)
{
	struct shard_counts counts;

	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		if (query_own_word(core, &batch->shards[i], &counts))
			take_word(query, &batch->record, &counts);
	}
	control_merge(&query->control, &batch->control.now);
	take_given(query, batch->control.given);
}

/* The replicas that the submitter is to have of each shard. */
static uint32_t replicas_wanted(const struct core *core, const struct batch_record *record)
{
	uint32_t wanted = record->settings.replicas > 0 ? record->settings.replicas : core->config.replicas;

	for (uint32_t i = 0; i < record->shard_count; i++) {
		if (record->shards[i].replica_count > wanted)
			wanted = record->shards[i].replica_count;
	}
	return wanted;
}

/* A finished shard needs no replicas any more; where all are finished, those that they were given count. */
static uint32_t replicas_reached(
    const struct core *core, const struct query *query, const struct batch_record *record, bool finished)
{
	uint32_t least = record->shard_count == 0 ? record->home_count : replicas_wanted(core, record);

	for (uint32_t i = 0; i < record->shard_count; i++) {
		const struct word *word = &query->words[i];
		uint32_t here = finished ? record->shards[i].replica_count : word->holders;

		if ((finished || !word->counts.finished) && here < least)
			least = here;
	}
	return least;
}

/*
 * Nobody has anything of the shard, and all that the record gave it to are forgotten. One of them may have
 * given it to another node before.
 */
static bool orphan(
    struct core *core, const struct query *query, const struct batch_record *record, uint32_t index)
{
	const struct record_shard *shard = &record->shards[index];

	if (query->words[index].holders > 0)
		return false;
	for (uint8_t i = 0; i < shard->replica_count; i++) {
		if (!peer_forgotten(core, peer_of(core, &record->nodes[shard->replicas[i]])))
			return false;
	}
	return true;
}

/* Whoever may have such a shard, and is not forgotten, has said that it has not: its mails are lost. */
static bool nobody_is_missing(struct core *core, struct query *query)
{
	if (!query->widest)
		return false;
	for (struct peer *peer = peer_next(core, NULL); peer != NULL; peer = peer_next(core, peer)) {
		const struct asked *asked;

		if (peer == core->self || peer_forgotten(core, peer))
			continue;
		if (!peer_alive(core, peer))
			return false;
		asked = query_asked(query, peer);
		if (!asked->told || asked->call != NULL)
			return false;
	}
	return true;
}

/* What the words come to. Returns whether every mail is final. */
static bool add_words(
    struct core *core, struct query *query, const struct batch_record *record, struct batch_view *view)
{
	const bool all_heard = nobody_is_missing(core, query);
	bool finished = true;

	for (uint32_t i = 0; i < record->shard_count; i++) {
		const struct word *word = &query->words[i];

		view->total += record->shards[i].count;
		if (all_heard && orphan(core, query, record, i)) {
			view->states[MAIL_UNKNOWN] += record->shards[i].count;
			continue;
		}
		finished = finished && word->counts.finished;
		if (word->holders == 0) {
			view->unavailable += record->shards[i].count;
			continue;
		}
		for (int state = 0; state < MAIL_STATES; state++)
			view->states[state] += word->counts.states[state];
		view->duplicates += word->counts.duplicates;
		view->in_doubt_resent += word->counts.in_doubt_resent;
		if (word->counts.last.us > view->finished.us)
			view->finished = word->counts.last;
	}
	return finished;
}

/* As control_state(); `waits`: its start has not come. */
static enum batch_state state_of(
    const struct query *query, const struct batch_view *view, bool finished, bool waits)
{
	if (query->control.what == CONTROL_CANCELLED)
		return BATCH_CANCELLED;
	if (finished)
		return BATCH_DONE;
	if (query->control.what == CONTROL_PAUSED)
		return BATCH_PAUSED;
	return waits && view->states[MAIL_READY] + view->unavailable == view->total ? BATCH_SCHEDULED
	                                                                            : BATCH_SENDING;
}

static void ask_for_counts(struct core *core, struct query *query, struct asked *asked, uint64_t from)
{
	struct peer_message request = {.type = PEER_STATUS, .from = from, .count = QUERY_SHARDS};

	query_ask(core, query, asked, CALL_STATUS, &request);
}

/*
 * For shards of which nobody has said anything who should, QUERY_NODES at a time. False when there is nobody
 * left to ask.
 */
static bool ask_the_rest(struct core *core, struct query *query, const struct batch_record *record)
{
	bool wanted = false;
	uint32_t count = 0;

	for (uint32_t i = 0; i < record->shard_count && !wanted; i++)
		wanted = orphan(core, query, record, i);
	if (!wanted)
		return false;
	query->widest = true;
	for (struct peer *peer = peer_next(core, NULL); peer != NULL && count < QUERY_NODES;
	     peer = peer_next(core, peer)) {
		struct asked *asked = query_asked(query, peer);

		if (!peer_alive(core, peer) || asked->told || asked->tried)
			continue;
		asked->tried = true;
		count++;
		ask_for_counts(core, query, asked, 0);
	}
	query_wait(core, query);
	return count > 0 && query->waiting > 0;
}

/* Everybody has answered, or had the time to. */
static void conclude(struct core *core, struct query *query)
{
	const struct batch_record *record = query_record(core, query);
	struct batch_view view = {
	    .name = record->settings.name,
	    .key = query->batch,
	    .upload = record->upload,
	    .uid = record->settings.uid,
	    .shards = record->shard_count,
	    .created = record->created,
	    .sender = record->settings.sender,
	};
	bool finished;

	if (ask_the_rest(core, query, record))
		return;
	finished = add_words(core, query, record, &view);
	if (query->kind == QUERY_COMMAND) {
		command_known(core, query, finished);
		return;
	}
	view.state = state_of(query, &view, finished, record->settings.start.us > core->utc.us);
	view.replicas = replicas_reached(core, query, record, finished);
	if (!finished)
		view.finished.us = 0;
	else if (view.finished.us == 0)
		view.finished = record->created; /* it has no mails, or all of them are lost */
	answer(core, query->reply, 0, &view);
	query_free(core, query);
}

/* Members that came later than the record. */
static void ask_later_members(struct core *core, struct query *query, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		for (int m = 0; m < shard->member_count && shard->config > 1; m++) {
			struct asked *asked = query_asked(query, shard->members[m]);

			if (asked->call == NULL)
				ask_for_counts(core, query, asked, 0);
		}
	}
}

/* They may not be those that the record names. */
static void ask_homes(struct core *core, struct query *query, const struct batch_record *record)
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = home_list(core, &query->batch, record, homes);

	for (uint32_t i = 0; i < count; i++)
		ask_for_counts(core, query, query_asked(query, homes[i]), 0);
}

void gather_found(struct core *core, struct query *query)
{
	const struct batch_record *record = query_record(core, query);
	const struct batch *batch = batch_find(core, &query->batch);

	/* No timer fires before the start is over, and much of what is here is not read yet. */
	if (!core->recovered) {
		gather_lost(core, query, OPT_E_AGAIN);
		return;
	}
	query->words = calloc(record->shard_count + 1, sizeof(*query->words));
	if (query->words == NULL)
		abort();
	if (batch != NULL)
		take_own_words(core, query, batch);
	for (uint32_t i = 0; i < record->node_count; i++)
		ask_for_counts(core, query, query_asked(query, peer_of(core, &record->nodes[i])), 0);
	if (batch != NULL)
		ask_later_members(core, query, batch);
	if (query->kind == QUERY_COMMAND)
		ask_homes(core, query, record);
	query_wait(core, query);
	if (query->waiting == 0)
		conclude(core, query);
}

static void take_answer(struct core *core, struct query *query, struct asked *asked,
    const struct batch_record *record, const struct peer_message *message)
{
	const struct control control = {
	    .version = message->version, .what = (enum control_what)message->what, .at = message->at};

	control_merge(&query->control, &control);
	take_given(query, message->given);
	for (size_t i = 0; i < message->shard_count; i++)
		take_word(query, record, &message->shards[i]);
	for (size_t i = 0; i < message->entry_count && i < QUERY_NODES; i++) {
		struct opt_id id;
		struct asked *later;

		memcpy(id.bytes, message->entries[i].data, OPT_ID_SIZE);
		later = query_asked(query, peer_of(core, &id));
		if (!later->told && later->call == NULL)
			ask_for_counts(core, query, later, 0);
	}
	if (message->next > asked->from && message->next < record->shard_count) {
		asked->from = message->next;
		ask_for_counts(core, query, asked, message->next);
	}
}

static void counts_answered(
    struct core *core, struct query *query, struct call *call, const struct peer_message *message)
{
	struct asked *asked = query_answered(query, call);

	asked->told = message->status != PEER_BUSY; /* it is starting, and can't say yet */
	asked->holds = asked->holds || message->status == PEER_OK;
	if (message->status == PEER_OK)
		take_answer(core, query, asked, query_record(core, query), message);
	if (query->waiting == 0)
		conclude(core, query);
}

void gather_answered(struct core *core, struct call *call, const struct peer_message *message)
{
	struct query *query = call->owner;

	if (call->kind == CALL_COMMAND)
		command_answered(core, call, message);
	else if (call->kind == CALL_RECORD)
		query_record_answered(core, query, call, message);
	else if (query->kind != QUERY_FETCH)
		counts_answered(core, query, call, message);
	else
		fetch_answered(core, query, call, message);
}

void gather_due(struct core *core, struct query *query)
{
	if (query->phase < QUERY_WORDS)
		query_search_due(core, query);
	else if (query->phase == QUERY_VERSION || query->phase == QUERY_COMMIT)
		command_due(core, query);
	else if (query->kind == QUERY_FETCH)
		fetch_due(core, query);
	else
		conclude(core, query);
}

void gather_directory(struct core *core, const struct event *event)
{
	struct query *query;

	TAILQ_FOREACH (query, &core->queries, link) {
		if (query->phase == QUERY_DIRECTORY && query->token == event->directory.token) {
			query_directory(core, query, event);
			return;
		}
	}
}

/* Nodes that an answer names. */
struct named {
	const struct peer *peers[QUERY_NODES];
	struct span spans[QUERY_NODES];
	size_t count;
};

static void name_members(const struct batch_record *record, const struct shard *shard, struct named *named)
{
	for (int m = 0; m < shard->member_count && shard->config > 1; m++) {
		const struct peer *peer = shard->members[m];
		bool known = named->count == QUERY_NODES;

		for (uint32_t i = 0; i < record->node_count && !known; i++)
			known = id_equal(&record->nodes[i], &peer->id);
		for (size_t i = 0; i < named->count && !known; i++)
			known = named->peers[i] == peer;
		if (known)
			continue;
		named->peers[named->count] = peer;
		named->spans[named->count++] = (struct span){peer->id.bytes, OPT_ID_SIZE};
	}
}

static void reply_counts(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct batch *batch)
{
	uint32_t limit = request->count > 0 && request->count < QUERY_SHARDS ? request->count : QUERY_SHARDS;
	struct shard_counts *shards = calloc(limit, sizeof(*shards));
	struct named *named = calloc(1, sizeof(*named));
	struct peer_message message = {.version = batch->control.now.version,
	    .what = batch->control.now.what,
	    .at = batch->control.now.at,
	    .given = batch->control.given,
	    .shards = shards};
	uint32_t end = batch->record.shard_count;

	if (shards == NULL || named == NULL)
		abort();
	if (request->from < end && end - request->from > limit)
		end = (uint32_t)request->from + limit;
	for (uint64_t i = request->from; i < end; i++) {
		if (query_own_word(core, &batch->shards[i], &shards[message.shard_count]))
			message.shard_count++;
		name_members(&batch->record, &batch->shards[i], named);
	}
	message.next = end < batch->record.shard_count ? end : 0;
	message.entries = named->spans;
	message.entry_count = named->count;
	call_reply(core, peer, request, PEER_OK, &message);
	free(named);
	free(shards);
}

void gather_status(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	struct peer_message message = {.what = CONTROL_RUNNING};

	if (batch != NULL)
		reply_counts(core, peer, request, batch);
	else
		call_reply(core, peer, request, core->recover_done ? PEER_UNKNOWN : PEER_BUSY, &message);
}

void gather_init(struct core *core)
{
	TAILQ_INIT(&core->queries);
	TAILQ_INIT(&core->foreign);
	TAILQ_INIT(&core->serves);
}

void gather_free(struct core *core)
{
	query_free_all(core);
	fetch_free(core);
}
