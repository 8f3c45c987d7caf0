/* SPDX-License-Identifier: MIT */
/*
 * See join.h. One struct join for each shard, until it is answered or given up; its owner asks again.
 *
 * The template goes into the store as an upload's does, and so the upload stands among the open ones until
 * the record is written again behind it.
 */
#include "queue/join.h"

#include <stdlib.h>
#include <string.h>

#include "queue/accept.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/write.h"

enum { VALUE_MAX = 64 << 20 };

static const usec LIMIT = 60 * USEC_PER_SEC;

enum join_step {
	JOIN_RECORD,   /* the batch is not one here yet */
	JOIN_TEMPLATE, /* is looked for, then fetched and stored */
	JOIN_AGAIN,    /* the record, behind the template */
	JOIN_SHARD,
	JOIN_REOPEN, /* the batch was over here: its summary does not count any more */
	JOIN_JOURNAL,
};

struct join {
	TAILQ_ENTRY(join) link;
	enum join_step step;
	struct opt_id batch, shard;
	struct peer *owner; /* or another member, when only the values are missing */
	bool values;        /* no more than these is wanted, by nobody but this node */
	uint64_t peer_token;
	uint32_t epoch, config;
	struct opt_id members[REPLICAS_MAX];
	uint32_t member_count;
	struct control control;
	uint64_t token; /* of the value that is being read here, or of the write */
	struct call *call;
	struct buffer value;
	struct boot_time since;
};

static struct join *find(const struct core *core, const struct opt_id *shard)
{
	struct join *join;

	TAILQ_FOREACH (join, &core->joins, link) {
		if (id_equal(&join->shard, shard))
			return join;
	}
	return NULL;
}

static void join_free(struct core *core, struct join *join)
{
	if (join->call != NULL)
		call_end(core, join->call);
	buffer_done(&join->value);
	TAILQ_REMOVE(&core->joins, join, link);
	core->join_count--;
	free(join);
}

static void answer(struct core *core, struct join *join, enum peer_status status)
{
	struct peer_message message = {.count = 0};

	if (!join->values)
		call_reply_to(core, join->owner, PEER_JOIN, join->peer_token, status, &message);
	join_free(core, join);
}

static struct effect *store(struct core *core, struct join *join, enum effect_type type)
{
	const struct batch *batch = batch_find(core, &join->batch);
	struct write *write = write_new(core, WRITE_JOIN);
	struct effect *effect = effects_add(core->effects, type);

	join->token = write->token;
	write->id = join->shard;
	effect->token = write->token;
	effect->upload = batch->record.upload;
	return effect;
}

static void store_record_again(struct core *core, struct join *join)
{
	const struct batch *batch = batch_find(core, &join->batch);
	struct effect *effect = store(core, join, EFFECT_STORE_COMMIT);
	struct buffer bytes;

	buffer_init(&bytes);
	record_encode(&batch->record, &bytes);
	effect->id = join->batch;
	effect->text = effects_copy_text(core->effects, batch->record.settings.name);
	effect->data = effects_copy(core->effects, bytes.data, bytes.len);
	effect->len = bytes.len;
	buffer_done(&bytes);
}

static void store_value(struct core *core, struct join *join)
{
	struct effect *effect =
	    store(core, join, join->step == JOIN_TEMPLATE ? EFFECT_STORE_UPLOAD : EFFECT_STORE_SHARD);

	if (join->step == JOIN_TEMPLATE) {
		effect->id = join->batch;
		effect->node = join->owner->id;
	} else {
		effect->id = join->shard;
		effect->batch = join->batch;
	}
	effect->data = effects_copy(core->effects, join->value.data, join->value.len);
	effect->len = join->value.len;
	buffer_clear(&join->value);
}

static void look_for_value(struct core *core, struct join *join)
{
	struct effect *effect = effects_add(core->effects, EFFECT_LOAD_VALUE);

	join->token = core->next_token++;
	effect->token = join->token;
	effect->upload = batch_find(core, &join->batch)->record.upload;
	if (join->step == JOIN_SHARD)
		effect->id = join->shard;
}

static void fetch_value(struct core *core, struct join *join)
{
	struct peer_message request = {
	    .type = PEER_FETCH,
	    .what = join->step == JOIN_SHARD ? FETCH_SHARD : FETCH_TEMPLATE,
	    .batch = join->batch,
	    .upload = batch_find(core, &join->batch)->record.upload,
	    .shard = join->shard,
	    .from = join->value.len,
	};

	join->call = call_start(core, join->owner, CALL_JOIN_FETCH, join, &request, true);
}

static void complete(struct core *core, struct shard *shard, struct sync *sync)
{
	struct join *join = find(core, &shard->id);
	/* An owner that is gone, or does not know the shard any more, has told nothing. */
	const bool here = sync_complete_here(sync) && sync_complete(sync) != 0;

	sync_end(core, sync);
	if (join == NULL || join->step != JOIN_JOURNAL)
		return;
	if (here)
		answer(core, join, PEER_OK);
	else
		join_free(core, join);
}

static void read_journal(struct core *core, struct join *join)
{
	struct shard *shard = shard_find(core, &join->shard);
	int number;

	replica_learn_config(core, shard, join->config, join->members, join->member_count);
	replica_learn(core, shard, join->epoch, join->owner);
	number = replica_number(shard, join->owner);
	if (shard->mine || number < 0 || shard->sync != NULL)
		answer(core, join, shard->mine ? PEER_OK : PEER_BUSY);
	else
		sync_start(core, shard, 1U << number, complete);
}

/* An entry without shards says so: what it was written for is read again at the next start. */
static void reopen(struct core *core, struct join *join)
{
	struct batch *batch = batch_find(core, &join->batch);
	struct effect *effect = store(core, join, EFFECT_STORE_APPEND);
	struct journal_entry entry = {.type = JOURNAL_FINISHED, .at = batch_end_version(core, batch)};
	struct buffer bytes;

	batch->end_version = entry.at;
	batch->end_held = false;
	buffer_init(&bytes);
	journal_encode(&entry, &bytes);
	effect->id = join->batch;
	effect->data = effects_copy(core->effects, bytes.data, bytes.len);
	effect->len = bytes.len;
	buffer_done(&bytes);
}

static void take_control(struct core *core, const struct join *join)
{
	struct batch *batch = batch_find(core, &join->batch);
	struct control known = batch->control.now;

	if (control_merge(&known, &join->control))
		control_write(core, &batch->control, &batch->key, &join->control);
}

static void begin_step(struct core *core, struct join *join, enum join_step step)
{
	join->step = step;
	join->token = 0;
	switch (step) {
	case JOIN_RECORD:
		return;
	case JOIN_TEMPLATE:
		if (!join->values)
			take_control(core, join);
		if (batch_find(core, &join->batch)->template_here)
			begin_step(core, join, JOIN_SHARD);
		else
			look_for_value(core, join);
		return;
	case JOIN_AGAIN:
		store_record_again(core, join);
		return;
	case JOIN_SHARD:
		look_for_value(core, join);
		return;
	case JOIN_REOPEN:
		shard_find(core, &join->shard)->value_here = true;
		if (join->values)
			answer(core, join, PEER_OK);
		else if (batch_find(core, &join->batch)->done)
			reopen(core, join);
		else
			begin_step(core, join, JOIN_JOURNAL);
		return;
	case JOIN_JOURNAL:
		read_journal(core, join);
		return;
	}
}

/* The batch is here: what else is missing? */
static void begin(struct core *core, struct join *join)
{
	const struct shard *shard = shard_find(core, &join->shard);

	if (shard == NULL || !id_equal(&shard->batch->key, &join->batch))
		answer(core, join, PEER_FAILED);
	else if (core->config.broken_rule == CORE_BUG_NEWCOMER_EMPTY)
		answer(core, join, PEER_OK);
	else
		begin_step(core, join, JOIN_TEMPLATE);
}

static struct join *join_new(
    struct core *core, struct peer *peer, const struct opt_id *batch, const struct opt_id *shard)
{
	struct join *join = calloc(1, sizeof(*join));

	if (join == NULL)
		abort();
	join->batch = *batch;
	join->shard = *shard;
	join->owner = peer;
	join->since = core->now;
	buffer_init(&join->value);
	TAILQ_INSERT_TAIL(&core->joins, join, link);
	core->join_count++;
	return join;
}

static void keep_request(struct join *join, const struct peer_message *request)
{
	join->peer_token = request->token;
	join->epoch = request->epoch;
	join->config = request->config;
	join->member_count = request->member_count;
	memcpy(join->members, request->members, sizeof(join->members));
	join->control = (struct control){
	    .version = request->version, .what = (enum control_what)request->what, .at = request->at};
}

bool join_value(struct core *core, struct shard *shard)
{
	const uint32_t first = (uint32_t)core_random(core, shard->member_count);
	struct join *join;

	for (uint32_t i = 0; i < shard->member_count; i++) {
		struct peer *peer = shard->members[(first + i) % shard->member_count];

		if (peer == core->self || !peer_linked(core, peer))
			continue;
		if (core->join_count >= JOINS_MAX || find(core, &shard->id) != NULL)
			return false;
		join = join_new(core, peer, &shard->batch->key, &shard->id);
		join->values = true;
		begin_step(core, join, JOIN_TEMPLATE);
		return true;
	}
	return false;
}

void join_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct shard *shard = shard_find(core, &request->shard);
	struct join *join = find(core, &request->shard);
	struct peer_message message = {.count = 0};

	if (shard != NULL && !id_equal(&shard->batch->key, &request->batch)) {
		call_reply(core, peer, request, PEER_FAILED, &message);
		return;
	}
	if (shard != NULL && shard->mine) {
		call_reply(core, peer, request, PEER_OK, &message);
		return;
	}
	if (join != NULL && (join->owner != peer || join->peer_token != request->token)) {
		join_free(core, join);
		join = NULL;
	}
	if (join == NULL && core->join_count < JOINS_MAX) {
		join = join_new(core, peer, &request->batch, &request->shard);
		keep_request(join, request);
		if (shard != NULL)
			begin(core, join);
	}
	/* Until it is one; the store may have refused it once. */
	if (shard == NULL && join != NULL &&
	    accept_record(core, &request->batch, request->data, request->len) != 0)
		answer(core, join, PEER_FAILED);
}

void join_accepted(struct core *core, const struct opt_id *batch)
{
	struct join *join, *next;

	TAILQ_FOREACH_SAFE (join, &core->joins, link, next) {
		if (join->step == JOIN_RECORD && id_equal(&join->batch, batch))
			begin(core, join);
	}
}

bool join_value_loaded(struct core *core, const struct event *event)
{
	struct join *join;

	TAILQ_FOREACH (join, &core->joins, link) {
		if (join->token == event->value_loaded.token &&
		    (join->step == JOIN_TEMPLATE || join->step == JOIN_SHARD))
			break;
	}
	if (join == NULL)
		return false;
	join->token = 0;
	if (join->step == JOIN_TEMPLATE && event->value_loaded.status == 0)
		batch_find(core, &join->batch)->template_here = true;
	if (event->value_loaded.status != 0)
		fetch_value(core, join);
	else
		begin_step(core, join, join->step == JOIN_TEMPLATE ? JOIN_SHARD : JOIN_REOPEN);
	return true;
}

void join_fetched(struct core *core, struct call *call, const struct peer_message *message)
{
	struct join *join = call->owner;

	join->call = NULL;
	if (message->status != PEER_OK || message->len > VALUE_MAX - join->value.len) {
		join_free(core, join); /* its owner asks again */
		return;
	}
	buffer_add(&join->value, message->data, message->len);
	if (message->next == 0)
		store_value(core, join);
	else if (message->next == join->value.len && message->len > 0)
		fetch_value(core, join);
	else
		join_free(core, join);
}

void join_stored(struct core *core, struct write *write, int status)
{
	struct join *join = find(core, &write->id);
	const bool current = join != NULL && join->token == write->token;

	write_free(core, write);
	if (!current)
		return;
	if (status != 0) {
		answer(core, join, status == OPT_E_FULL ? PEER_FULL : PEER_FAILED);
		return;
	}
	if (join->step == JOIN_TEMPLATE)
		batch_find(core, &join->batch)->template_here = true;
	if (join->step == JOIN_REOPEN)
		batch_find(core, &join->batch)->ended = false;
	if (join->step == JOIN_TEMPLATE)
		begin_step(core, join, JOIN_AGAIN);
	else if (join->step == JOIN_AGAIN)
		begin_step(core, join, JOIN_SHARD);
	else
		begin_step(core, join, join->step == JOIN_SHARD ? JOIN_REOPEN : JOIN_JOURNAL);
}

void join_tick(struct core *core)
{
	struct join *join, *next;

	TAILQ_FOREACH_SAFE (join, &core->joins, link, next) {
		struct shard *shard = shard_find(core, &join->shard);
		const bool reads = join->step == JOIN_JOURNAL;

		if (peer_alive(core, join->owner) && core->now.us - join->since.us < LIMIT &&
		    (!reads || shard->sync != NULL))
			continue;
		if (reads && shard->sync != NULL && !shard->mine)
			sync_end(core, shard->sync);
		join_free(core, join);
	}
}

void joins_free(struct core *core)
{
	struct join *join;

	while ((join = TAILQ_FIRST(&core->joins)) != NULL)
		join_free(core, join);
}
