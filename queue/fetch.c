/* SPDX-License-Identifier: MIT */
/*
 * One shard, wherever it is.
 *
 * This node reads its own copy when nobody can know more: it owns the shard, or every mail of it is final
 * here. Otherwise it asks all members for their word on the shard and reads from the one that knows most,
 * first the value, then the journal, part by part; when that one fails or falls silent, from the next.
 *
 * A value is a few hundred kilobytes, a template may be larger than a message: so values go in parts. Each
 * part is read from the store again, so that nothing is kept for a peer that may never come back.
 */
#include "queue/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"

enum {
	VALUE_MAX = 64 << 20,   /* bytes of a value; a template is the largest */
	JOURNAL_MAX = 64 << 20, /* and of the journal of a shard */
	SERVES_MAX = 1024,      /* values that are being read for peers */
};

/* A value that is being read for a peer. */
struct serve {
	TAILQ_ENTRY(serve) link;
	uint64_t token; /* of the effect */
	struct peer *peer;
	uint64_t peer_token;
	uint64_t from;
};

static void answer_status(struct core *core, struct query *query, int status)
{
	struct effect *effect = effects_add(core->effects, EFFECT_FETCH_ANSWER);

	effect->reply = query->reply;
	effect->status = status;
	query_free(core, query);
}

/* The value that was read, and a journal that belongs to somebody else. */
static void answer(struct core *core, struct query *query, const struct span *entries, size_t count)
{
	struct effect *effect = effects_add(core->effects, EFFECT_FETCH_ANSWER);
	struct span *copies = effects_copy(core->effects, entries, count * sizeof(*entries));

	for (size_t i = 0; i < count; i++)
		copies[i].data = effects_copy(core->effects, entries[i].data, entries[i].len);
	effect->reply = query->reply;
	effect->data = effects_copy(core->effects, query->value.data, query->value.len);
	effect->len = query->value.len;
	effect->entries = copies;
	effect->entry_count = count;
	query_free(core, query);
}

static struct opt_id shard_of(const struct query *query)
{
	return shard_id(&query->batch, query->index);
}

static const struct shard *own_shard(struct core *core, const struct query *query)
{
	const struct batch *batch = batch_find(core, &query->batch);

	return batch == NULL ? NULL : &batch->shards[query->index];
}

/* Nobody can know more of it than this node. */
static bool up_to_date(const struct shard *shard)
{
	if (shard == NULL || !shard->mine || shard->journal_loading)
		return false;
	return shard->owning || shard->phase == SHARD_FINISHED || shard->member_count <= 1;
}

static void load_own_value(struct core *core, struct query *query)
{
	struct effect *effect = effects_add(core->effects, EFFECT_LOAD_VALUE);

	query->token = core->next_token++;
	effect->token = query->token;
	effect->id = shard_of(query);
	effect->upload = query_record(core, query)->upload;
}

static void ask_for_value(struct core *core, struct query *query)
{
	struct peer_message request = {
	    .type = PEER_FETCH,
	    .what = FETCH_SHARD,
	    .shard = shard_of(query),
	    .upload = query_record(core, query)->upload,
	    .from = query->value.len,
	};

	query_ask(core, query, query->source, CALL_FETCH, &request);
}

static void ask_for_journal(struct core *core, struct query *query)
{
	struct peer_message request = {
	    .type = PEER_JOURNAL, .shard = shard_of(query), .from = query->entry_count};

	query_ask(core, query, query->source, CALL_FETCH_JOURNAL, &request);
}

/* The node that knows most and was not tried yet. */
static struct asked *best(struct query *query)
{
	struct asked *asked = NULL, *found = NULL;

	while ((asked = query_asked_next(query, asked)) != NULL) {
		if (asked->holds && !asked->tried &&
		    (found == NULL || query_better(&asked->counts, &found->counts)))
			found = asked;
	}
	return found;
}

static void ask_for_word(struct core *core, struct query *query, struct peer *peer)
{
	struct peer_message request = {.type = PEER_STATUS, .from = query->index, .count = 1};
	struct asked *asked = query_asked(query, peer);

	if (!asked->told)
		query_ask(core, query, asked, CALL_STATUS, &request);
}

/* Asks all members what they know. False when that was done before, or nobody can be asked. */
static bool ask_members(struct core *core, struct query *query)
{
	const struct batch_record *record = query_record(core, query);
	const struct record_shard *placed = &record->shards[query->index];
	const struct shard *own = own_shard(core, query);

	if (query->wide || !core->recovered)
		return false;
	query->wide = true;
	query->phase = QUERY_WORDS;
	for (int i = 0; i < placed->replica_count; i++)
		ask_for_word(core, query, peer_of(core, &record->nodes[placed->replicas[i]]));
	for (int i = 0; own != NULL && i < own->member_count; i++)
		ask_for_word(core, query, own->members[i]);
	query_wait(core, query);
	return query->waiting > 0;
}

/* Places may have moved while we asked. The last resort: whoever is linked. */
static bool ask_everybody(struct core *core, struct query *query)
{
	struct peer *peer;
	uint32_t asked = 0;

	if (query->widest || !core->recovered)
		return false;
	query->widest = true;
	query->phase = QUERY_WORDS;
	TAILQ_FOREACH (peer, &core->linked, links) {
		if (asked == QUERY_NODES)
			break;
		query_asked(query, peer)->told = false;
		ask_for_word(core, query, peer);
		asked++;
	}
	query_wait(core, query);
	return query->waiting > 0;
}

static void read_next(struct core *core, struct query *query)
{
	query_end_calls(core, query);
	query->phase = QUERY_VALUE;
	query->token = 0;
	buffer_clear(&query->value);
	buffer_clear(&query->journal);
	query->entry_count = 0;
	query->source = best(query);
	if (query->source == NULL && (ask_members(core, query) || ask_everybody(core, query)))
		return;
	if (query->source == NULL) {
		answer_status(core, query, OPT_E_AGAIN);
		return;
	}
	query->source->tried = true;
	query_wait(core, query);
	if (query->source->peer == core->self)
		load_own_value(core, query);
	else
		ask_for_value(core, query);
}

void fetch_found(struct core *core, struct query *query)
{
	const struct batch_record *record = query_record(core, query);
	const struct shard *own;
	struct asked *self;

	if (query->index >= record->shard_count) {
		answer_status(core, query, OPT_E_NOT_FOUND);
		return;
	}
	own = own_shard(core, query);
	self = query_asked(query, core->self);
	self->told = true;
	self->holds = own != NULL && query_own_word(core, own, &self->counts);
	if (up_to_date(own) || !ask_members(core, query))
		read_next(core, query);
}

void fetch_lost(struct core *core, struct query *query, int status)
{
	answer_status(core, query, status);
}

void fetch_shard(struct core *core, uint64_t reply, const struct opt_id *batch, uint32_t index)
{
	struct query *query = query_new(core, QUERY_FETCH, reply, batch);

	query->index = index;
	query_search(core, query);
}

static void take_word(
    struct core *core, struct query *query, struct asked *asked, const struct peer_message *message)
{
	asked->told = true;
	asked->holds = message->status == PEER_OK && message->shard_count == 1 &&
	               message->shards[0].index == query->index;
	if (asked->holds)
		asked->counts = message->shards[0];
	for (size_t i = 0; i < message->entry_count && i < REPLICAS_MAX; i++) {
		struct opt_id id;

		memcpy(id.bytes, message->entries[i].data, OPT_ID_SIZE);
		ask_for_word(core, query, peer_of(core, &id));
	}
	if (query->waiting == 0)
		read_next(core, query);
}

static void take_value(struct core *core, struct query *query, const struct peer_message *message)
{
	if (message->status != PEER_OK || message->len > VALUE_MAX - query->value.len) {
		read_next(core, query);
		return;
	}
	buffer_add(&query->value, message->data, message->len);
	query_wait(core, query);
	if (message->next == 0)
		ask_for_journal(core, query);
	else if (message->next == query->value.len && message->len > 0)
		ask_for_value(core, query);
	else
		read_next(core, query);
}

static void add_entry(struct query *query, const struct span *entry)
{
	if (query->entry_count == query->entry_size) {
		query->entry_size = query->entry_size == 0 ? 64 : 2 * query->entry_size;
		query->entry_ends =
		    reallocarray(query->entry_ends, query->entry_size, sizeof(*query->entry_ends));
		if (query->entry_ends == NULL)
			abort();
	}
	buffer_add(&query->journal, entry->data, entry->len);
	query->entry_ends[query->entry_count++] = query->journal.len;
}

static void journal_complete(struct core *core, struct query *query)
{
	struct span *entries = calloc(query->entry_count + 1, sizeof(*entries));
	size_t count = query->entry_count, start = 0;

	if (entries == NULL)
		abort();
	for (size_t i = 0; i < count; i++) {
		entries[i] = (struct span){query->journal.data + start, query->entry_ends[i] - start};
		start = query->entry_ends[i];
	}
	answer(core, query, entries, count);
	free(entries);
}

static void take_journal(struct core *core, struct query *query, const struct peer_message *message)
{
	for (size_t i = 0; i < message->entry_count && message->status == PEER_OK; i++)
		add_entry(query, &message->entries[i]);
	query_wait(core, query);
	if (message->status != PEER_OK || query->journal.len > JOURNAL_MAX)
		read_next(core, query);
	else if (message->next == 0)
		journal_complete(core, query);
	else if (message->next == query->entry_count && message->entry_count > 0)
		ask_for_journal(core, query);
	else
		read_next(core, query);
}

void fetch_answered(
    struct core *core, struct query *query, struct call *call, const struct peer_message *message)
{
	struct asked *asked = query_answered(query, call);

	if (call->kind == CALL_STATUS)
		take_word(core, query, asked, message);
	else if (call->kind == CALL_FETCH)
		take_value(core, query, message);
	else
		take_journal(core, query, message);
}

void fetch_due(struct core *core, struct query *query)
{
	read_next(core, query);
}

static struct query *find_query(struct core *core, uint64_t token)
{
	struct query *query;

	TAILQ_FOREACH (query, &core->queries, link) {
		if (query->phase == QUERY_VALUE && query->token == token && token != 0)
			return query;
	}
	return NULL;
}

/* This node's own value. */
static void own_value_loaded(struct core *core, struct query *query, const struct event *event)
{
	struct effect *effect;

	if (event->value_loaded.status != 0) {
		read_next(core, query);
		return;
	}
	buffer_add(&query->value, event->value_loaded.data, event->value_loaded.len);
	query->token = core->next_token++;
	effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);
	effect->id = shard_of(query);
	effect->token = query->token;
	query_wait(core, query);
}

bool fetch_journal_loaded(struct core *core, const struct event *event)
{
	struct query *query = find_query(core, event->journal_loaded.token);

	if (query == NULL)
		return false;
	if (event->journal_loaded.status != 0)
		read_next(core, query);
	else
		answer(core, query, event->journal_loaded.entries, event->journal_loaded.count);
	return true;
}

/* Answers with the part of the value that starts at byte `from`. */
static void reply_part(
    struct core *core, struct peer *peer, uint64_t token, const void *data, size_t len, uint64_t from)
{
	struct peer_message message = {.next = 0};

	if (from > len) {
		call_reply_to(core, peer, PEER_FETCH, token, PEER_FAILED, &message);
		return;
	}
	message.data = (const char *)data + from;
	message.len = len - (size_t)from;
	if (message.len > QUERY_PART) {
		message.len = QUERY_PART;
		message.next = from + QUERY_PART;
	}
	call_reply_to(core, peer, PEER_FETCH, token, PEER_OK, &message);
}

static void serve_record(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	struct peer_message message = {.next = 0};
	struct buffer bytes;

	if (batch == NULL) {
		call_reply(core, peer, request, core->recover_done ? PEER_UNKNOWN : PEER_BUSY, &message);
		return;
	}
	buffer_init(&bytes);
	record_encode(&batch->record, &bytes);
	reply_part(core, peer, request->token, bytes.data, bytes.len, request->from);
	buffer_done(&bytes);
}

/* A request that comes again while its value is being read is answered once. */
static bool served_already(
    const struct core *core, const struct peer *peer, uint64_t token, uint32_t *ret_count)
{
	const struct serve *serve;

	*ret_count = 0;
	TAILQ_FOREACH (serve, &core->serves, link) {
		if (serve->peer == peer && serve->peer_token == token)
			return true;
		++*ret_count;
	}
	return false;
}

void fetch_serve(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct peer_message message = {.next = 0};
	struct effect *effect;
	struct serve *serve;
	uint32_t count;

	if (request->what == FETCH_RECORD) {
		serve_record(core, peer, request);
		return;
	}
	if (served_already(core, peer, request->token, &count))
		return;
	if (count >= SERVES_MAX) {
		call_reply(core, peer, request, PEER_BUSY, &message);
		return;
	}
	serve = calloc(1, sizeof(*serve));
	if (serve == NULL)
		abort();
	serve->token = core->next_token++;
	serve->peer = peer;
	serve->peer_token = request->token;
	serve->from = request->from;
	TAILQ_INSERT_TAIL(&core->serves, serve, link);
	effect = effects_add(core->effects, EFFECT_LOAD_VALUE);
	effect->token = serve->token;
	effect->upload = request->upload;
	if (request->what == FETCH_SHARD)
		effect->id = request->shard;
}

static void serve_loaded(struct core *core, struct serve *serve, const struct event *event)
{
	struct peer_message message = {.next = 0};
	int status = event->value_loaded.status;

	if (status == 0)
		reply_part(core, serve->peer, serve->peer_token, event->value_loaded.data,
		    event->value_loaded.len, serve->from);
	else
		call_reply_to(core, serve->peer, PEER_FETCH, serve->peer_token,
		    status == OPT_E_NOT_FOUND ? PEER_UNKNOWN : PEER_FAILED, &message);
	TAILQ_REMOVE(&core->serves, serve, link);
	free(serve);
}

bool fetch_value_loaded(struct core *core, const struct event *event)
{
	struct query *query = find_query(core, event->value_loaded.token);
	struct serve *serve;

	if (query != NULL) {
		own_value_loaded(core, query, event);
		return true;
	}
	TAILQ_FOREACH (serve, &core->serves, link) {
		if (serve->token == event->value_loaded.token) {
			serve_loaded(core, serve, event);
			return true;
		}
	}
	return false;
}

void fetch_free(struct core *core)
{
	struct serve *serve;

	while ((serve = TAILQ_FIRST(&core->serves)) != NULL) {
		TAILQ_REMOVE(&core->serves, serve, link);
		free(serve);
	}
}
