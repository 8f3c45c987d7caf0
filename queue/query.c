/* SPDX-License-Identifier: MIT */
/*
 * Queries, and the search for a record.
 *
 * A record is a megabyte at most and is asked of all homes at once; the first one that comes whole is taken,
 * and the last few are kept, for a report asks for every shard of a batch. They never change.
 *
 * "Not found" is said only where a majority of the homes knows nothing of the batch, and the directory does
 * not either, or names nodes that know nothing. With fewer answers it is "try again": homes that are new know
 * little, and a directory that is cut off nothing.
 */
#include "queue/query.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/command.h"
#include "queue/error.h"
#include "queue/fetch.h"
#include "queue/gather.h"
#include "queue/shard.h"

static int compare(const struct asked *a, const struct asked *b)
{
	return id_compare(&a->peer->id, &b->peer->id);
}

RB_GENERATE_STATIC(asked_tree, asked, node, compare)

struct query *query_new(struct core *core, enum query_kind kind, uint64_t reply, const struct opt_id *batch)
{
	struct query *query = calloc(1, sizeof(*query));

	if (query == NULL)
		abort();
	query->kind = kind;
	query->reply = reply;
	query->batch = *batch;
	RB_INIT(&query->asked);
	buffer_init(&query->value);
	buffer_init(&query->journal);
	timer_init(&query->timer, TIMER_QUERY, query);
	TAILQ_INSERT_TAIL(&core->queries, query, link);
	return query;
}

static void forget_asked(struct core *core, struct query *query)
{
	struct asked *asked;

	while ((asked = RB_ROOT(&query->asked)) != NULL) {
		RB_REMOVE(asked_tree, &query->asked, asked);
		if (asked->call != NULL)
			call_end(core, asked->call);
		buffer_done(&asked->data);
		free(asked);
	}
	query->waiting = 0;
}

void query_free(struct core *core, struct query *query)
{
	forget_asked(core, query);
	timer_disarm(&core->boot_timers, &query->timer);
	TAILQ_REMOVE(&core->queries, query, link);
	if (query->foreign != NULL)
		query->foreign->users--;
	buffer_done(&query->value);
	buffer_done(&query->journal);
	free(query->entry_ends);
	free(query->words);
	free(query);
}

static void free_foreign(struct core *core, struct foreign *foreign)
{
	TAILQ_REMOVE(&core->foreign, foreign, link);
	record_done(&foreign->record);
	free(foreign);
}

void query_free_all(struct core *core)
{
	struct query *query;
	struct foreign *foreign;

	while ((query = TAILQ_FIRST(&core->queries)) != NULL)
		query_free(core, query);
	while ((foreign = TAILQ_FIRST(&core->foreign)) != NULL)
		free_foreign(core, foreign);
}

const struct batch_record *query_record(struct core *core, const struct query *query)
{
	const struct batch *batch = batch_find(core, &query->batch);

	if (batch != NULL)
		return &batch->record;
	return query->foreign == NULL ? NULL : &query->foreign->record;
}

struct asked *query_asked(struct query *query, struct peer *peer)
{
	struct asked wanted = {.peer = peer};
	struct asked *asked = RB_FIND(asked_tree, &query->asked, &wanted);

	if (asked != NULL)
		return asked;
	asked = calloc(1, sizeof(*asked));
	if (asked == NULL)
		abort();
	asked->peer = peer;
	buffer_init(&asked->data);
	RB_INSERT(asked_tree, &query->asked, asked);
	return asked;
}

struct asked *query_asked_next(struct query *query, struct asked *asked)
{
	return asked == NULL ? RB_MIN(asked_tree, &query->asked) : RB_NEXT(asked_tree, &query->asked, asked);
}

bool query_ask(struct core *core, struct query *query, struct asked *asked, enum call_kind kind,
    struct peer_message *request)
{
	if (asked->call != NULL || asked->peer == core->self || !peer_alive(core, asked->peer))
		return false;
	request->batch = query->batch;
	asked->call = call_start(core, asked->peer, kind, query, request, false);
	query->waiting++;
	return true;
}

struct asked *query_answered(struct query *query, struct call *call)
{
	struct asked *asked = query_asked(query, call->peer);

	asked->call = NULL;
	query->waiting--;
	return asked;
}

void query_end_calls(struct core *core, struct query *query)
{
	struct asked *asked;

	RB_FOREACH (asked, asked_tree, &query->asked) {
		if (asked->call != NULL)
			call_end(core, asked->call);
		asked->call = NULL;
	}
	query->waiting = 0;
}

void query_wait(struct core *core, struct query *query)
{
	timer_arm(&core->boot_timers, &query->timer, core->now.us + QUERY_WAIT);
}

static struct foreign *find_foreign(struct core *core, const struct opt_id *batch)
{
	struct foreign *foreign;

	TAILQ_FOREACH (foreign, &core->foreign, link) {
		if (id_equal(&foreign->batch, batch))
			return foreign;
	}
	return NULL;
}

static void use_foreign(struct core *core, struct query *query, struct foreign *foreign)
{
	query->foreign = foreign;
	foreign->users++;
	TAILQ_REMOVE(&core->foreign, foreign, link);
	TAILQ_INSERT_HEAD(&core->foreign, foreign, link);
}

/* Those that were not asked for the longest go first. */
static void drop_foreign(struct core *core)
{
	struct foreign *foreign, *before;
	uint32_t count = 0;

	TAILQ_FOREACH (foreign, &core->foreign, link)
		count++;
	TAILQ_FOREACH_REVERSE_SAFE(foreign, &core->foreign, foreign_list, link, before)
	{
		if (count <= QUERY_RECORDS)
			return;
		if (foreign->users > 0)
			continue;
		free_foreign(core, foreign);
		count--;
	}
}

static int keep_foreign(struct core *core, struct query *query, const struct buffer *bytes)
{
	struct batch_record record;
	struct foreign *foreign;
	struct opt_id key;

	if (record_decode(bytes->data, bytes->len, &record) != 0)
		return OPT_E_INVALID;
	key = batch_key(record.settings.name);
	if (!id_equal(&key, &query->batch)) {
		record_done(&record);
		return OPT_E_INVALID;
	}
	foreign = calloc(1, sizeof(*foreign));
	if (foreign == NULL)
		abort();
	foreign->batch = query->batch;
	foreign->record = record;
	TAILQ_INSERT_HEAD(&core->foreign, foreign, link);
	use_foreign(core, query, foreign);
	drop_foreign(core);
	return 0;
}

static void found(struct core *core, struct query *query)
{
	forget_asked(core, query);
	query->token = 0;
	query->phase = QUERY_WORDS;
	if (query->kind == QUERY_FETCH)
		fetch_found(core, query);
	else
		gather_found(core, query);
}

static bool knows_nothing(const struct core *core, const struct asked *asked)
{
	return asked->peer == core->self ? core->recover_done : asked->unknown;
}

/* A node alone has nobody who could have put anything there. */
static bool has_directory(const struct core *core)
{
	return cluster_members(core) > 1;
}

/* Whoever put a name there had the batch: only those that it names can say that it is gone. */
static bool directory_knows_nothing(struct core *core, struct query *query)
{
	struct asked *asked;

	RB_FOREACH (asked, asked_tree, &query->asked) {
		if (asked->named && !knows_nothing(core, asked) && !peer_forgotten(core, asked->peer))
			return false;
	}
	return query->looked_up || !has_directory(core);
}

static void lost(struct core *core, struct query *query)
{
	struct peer *homes[REPLICAS_MAX];
	uint32_t count = cluster_homes(core, &query->batch, homes);
	uint32_t unknown = 0;
	int status = OPT_E_AGAIN;

	for (uint32_t i = 0; i < count; i++)
		unknown += knows_nothing(core, query_asked(query, homes[i]));
	if (unknown > count / 2 && directory_knows_nothing(core, query))
		status = OPT_E_NOT_FOUND;
	if (query->kind == QUERY_FETCH)
		fetch_lost(core, query, status);
	else if (query->kind == QUERY_COMMAND)
		command_lost(core, query, status);
	else
		gather_lost(core, query, status);
}

static void ask_for_record(struct core *core, struct query *query, struct peer *peer)
{
	struct peer_message request = {.type = PEER_FETCH, .what = FETCH_RECORD};
	struct asked *asked = query_asked(query, peer);

	if (!asked->unknown)
		query_ask(core, query, asked, CALL_RECORD, &request);
}

static void ask_directory(struct core *core, struct query *query)
{
	struct effect *effect;

	if (!has_directory(core)) {
		lost(core, query);
		return;
	}
	query->phase = QUERY_DIRECTORY;
	query->token = core->next_token++;
	effect = effects_add(core->effects, EFFECT_DIRECTORY_GET);
	effect->id = query->batch;
	effect->token = query->token;
	query_wait(core, query);
}

/* A phase of the search has brought nothing. */
static void search_on(struct core *core, struct query *query)
{
	query_end_calls(core, query);
	query->token = 0;
	if (query->phase == QUERY_HOMES)
		ask_directory(core, query);
	else
		lost(core, query);
}

void query_search(struct core *core, struct query *query)
{
	struct peer *homes[REPLICAS_MAX];
	struct foreign *foreign = find_foreign(core, &query->batch);
	uint32_t count;

	if (foreign != NULL && query_record(core, query) == NULL)
		use_foreign(core, query, foreign);
	if (query_record(core, query) != NULL) {
		found(core, query);
		return;
	}
	query->phase = QUERY_HOMES;
	/* No timer fires before the start is over. */
	count = core->recovered ? cluster_homes(core, &query->batch, homes) : 0;
	for (uint32_t i = 0; i < count; i++)
		ask_for_record(core, query, homes[i]);
	query_wait(core, query);
	if (!core->recovered)
		lost(core, query);
	else if (query->waiting == 0)
		search_on(core, query);
}

void query_record_answered(
    struct core *core, struct query *query, struct call *call, const struct peer_message *answer)
{
	struct asked *asked = query_answered(query, call);
	struct peer_message request = {.type = PEER_FETCH, .what = FETCH_RECORD, .from = answer->next};

	if (answer->status == PEER_OK && asked->data.len + answer->len <= PEER_MESSAGE_MAX) {
		buffer_add(&asked->data, answer->data, answer->len);
		if (answer->next == asked->data.len && answer->next > 0 &&
		    query_ask(core, query, asked, CALL_RECORD, &request))
			return;
		if (answer->next == 0 && keep_foreign(core, query, &asked->data) == 0) {
			found(core, query);
			return;
		}
	}
	asked->unknown = answer->status == PEER_UNKNOWN;
	if (query->waiting == 0)
		search_on(core, query);
}

void query_directory(struct core *core, struct query *query, const struct event *event)
{
	query->phase = QUERY_NAMED;
	query->looked_up = event->directory.status == 0;
	for (size_t i = 0; i < event->directory.count; i++) {
		struct peer *home = peer_of(core, &event->directory.homes[i]);

		query_asked(query, home)->named = true;
		ask_for_record(core, query, home);
	}
	query_wait(core, query);
	if (query->waiting == 0)
		search_on(core, query);
}

void query_search_due(struct core *core, struct query *query)
{
	search_on(core, query);
}

bool query_alone(const struct core *core, const struct batch *batch)
{
	const struct batch_record *record = &batch->record;

	if (record->node_count > 1 ||
	    (record->node_count == 1 && !id_equal(&record->nodes[0], &core->config.node)))
		return false;
	for (uint32_t i = 0; i < record->shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		if (!shard->mine || shard->member_count > 1)
			return false;
	}
	return true;
}

static uint32_t final_mails(const struct shard_counts *counts)
{
	uint32_t final = 0;

	for (int state = MAIL_SENT; state < MAIL_STATES; state++)
		final += counts->states[state];
	return final;
}

bool query_better(const struct shard_counts *a, const struct shard_counts *b)
{
	if (a->finished != b->finished)
		return a->finished;
	if (a->epoch != b->epoch)
		return a->epoch > b->epoch;
	if (a->owner != b->owner)
		return a->owner;
	if (a->last.us != b->last.us)
		return a->last.us > b->last.us;
	if (final_mails(a) != final_mails(b))
		return final_mails(a) > final_mails(b);
	return a->duplicates > b->duplicates;
}

bool query_own_word(const struct core *core, const struct shard *shard, struct shard_counts *ret_counts)
{
	if (!shard->mine || (shard->journal_loading && shard->before == NULL))
		return false;
	*ret_counts = shard->journal_loading ? *shard->before : shard_count(core, shard);
	return true;
}
