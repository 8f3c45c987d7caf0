/* SPDX-License-Identifier: MIT */
/*
 * Uploads.
 *
 * What a client sends is staged in the stores of its shards' replicas (place.c) under the id of its upload,
 * which no other upload shares. The batch exists from the moment in which its homes have decided on its
 * record, and not before: nothing staged is fed. The client hears "accepted" when the replicas know.
 *
 *   TAKING ── commit ──> PROPOSED ──> DECIDED ── accepted ──> ENDING
 *     │                     └─ can't be decided now: try again ──> ABORTING
 *     └─ abort, failure          another one is decided ──> LOST
 *
 * Two uploads for one batch id may go on side by side, here or on several nodes; one of them makes the batch,
 * and the other is compared with it: the same content is the same batch, other content a conflict. An upload
 * of a batch that exists here already stores nothing. An upload that was proposed without a decision stays
 * until its abort is decided, or its commit after all: until then nobody may drop a shard of it.
 *
 * A node alone asks nobody: the write of the record is the decision. What it has staged is marked as such in
 * the store (no coordinator), so that a start may drop it. When it is not alone any more at the commit the
 * client has to try again.
 *
 * The upload is freed at its end; answers of the store that come later find nothing, which is why writes name
 * it by id.
 */
#include "queue/upload.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "queue/accept.h"
#include "queue/announce.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/place.h"
#include "queue/propose.h"
#include "queue/register.h"
#include "queue/write.h"

/* A batch that is decided is said to be accepted, or, after this time, that the client may ask again. */
#define ACCEPT_LIMIT (10 * USEC_PER_SEC)

/* The record goes out in a message, also inside a register with all the aborts that it may have. */
enum { RECORD_MAX = PEER_MESSAGE_MAX - REGISTER_ABORTED_MAX * (OPT_ID_SIZE + 2) - 1024 };

static int compare(const struct upload *a, const struct upload *b)
{
	return id_compare(&a->id, &b->id);
}

RB_GENERATE_STATIC(upload_tree, upload, node, compare)

struct upload *upload_find(const struct core *core, const struct opt_id *id)
{
	struct upload wanted = {.id = *id};

	return RB_FIND(upload_tree, (struct upload_tree *)(uintptr_t)&core->uploads, &wanted);
}

struct upload *upload_after(const struct core *core, const struct opt_id *id)
{
	struct upload_tree *tree = (struct upload_tree *)(uintptr_t)&core->uploads;
	struct upload wanted = {.phase = UPLOAD_TAKING};
	struct upload *found;

	if (id == NULL)
		return RB_MIN(upload_tree, tree);
	wanted.id = *id;
	found = RB_NFIND(upload_tree, tree, &wanted);
	return found != NULL && id_equal(&found->id, id) ? RB_NEXT(upload_tree, tree, found) : found;
}

static void answer(struct core *core, uint64_t reply, enum upload_answer what)
{
	struct effect *effect = effects_add(core->effects, EFFECT_UPLOAD_ANSWER);

	effect->reply = reply;
	effect->answer = what;
}

static void upload_free(struct core *core, struct upload *upload)
{
	RB_REMOVE(upload_tree, &core->uploads, upload);
	place_end(core, upload, false);
	upload->record.shards = NULL; /* they are the upload's */
	record_done(&upload->record);
	spread_free(upload->spread);
	free(upload->template);
	free(upload->nodes);
	free(upload->places);
	free(upload->shards);
	free(upload);
}

/* The end of an upload that came to nothing. */
static void give_up(struct core *core, struct upload *upload)
{
	if (!upload->compares) {
		place_end(core, upload, true);
		write_drop(core, &upload->batch, &upload->id, upload->shard_count);
	}
	upload_free(core, upload);
}

static struct effect *store(struct core *core, struct upload *upload, enum effect_type type, size_t shard)
{
	struct write *write = write_new(core, WRITE_UPLOAD);
	struct effect *effect = effects_add(core->effects, type);

	write->upload = upload->id;
	write->count = shard;
	effect->token = write->token;
	effect->upload = upload->id;
	upload->pending++;
	return effect;
}

static void store_template(struct core *core, struct upload *upload, const void *value, size_t len)
{
	struct effect *effect = store(core, upload, EFFECT_STORE_UPLOAD, 0);

	effect->id = upload->batch;
	effect->len = len;
	effect->data = effects_copy(core->effects, value, len);
	if (upload->spread == NULL)
		return; /* nobody else has heard of it: no coordinator */
	effect->node = core->config.node;
	upload->template = malloc(len + 1);
	if (upload->template == NULL)
		opt_abort("out of memory");
	memcpy(upload->template, value, len);
	upload->template_len = len;
}

/* Who will have its shards. OPT_E_AGAIN: too few nodes are there. */
static int choose_nodes(struct core *core, struct upload *upload)
{
	uint32_t replicas;
	int status;

	upload->shards_max = record_shards_max(1, 1, RECORD_MAX);
	if (upload->compares || cluster_members(core) == 1)
		return 0;
	status = cluster_spread(core, upload->settings.replicas, &upload->spread, &replicas);
	/* Besides the nodes of the spread it names the homes and this one. */
	if (status == 0)
		upload->shards_max =
		    record_shards_max(replicas, cluster_alive(core) + REPLICAS_MAX + 1, RECORD_MAX);
	return status;
}

void upload_open(struct core *core, const struct event *event)
{
	struct upload *upload;

	if (upload_find(core, &event->upload_open.upload) != NULL) {
		answer(core, event->upload_open.reply, UPLOAD_BUSY);
		return;
	}
	upload = calloc(1, sizeof(*upload));
	if (upload == NULL)
		opt_abort("out of memory");
	upload->id = event->upload_open.upload;
	upload->settings = *event->upload_open.settings;
	upload->batch = batch_key(upload->settings.name);
	upload->template_hash = event->upload_open.template_hash;
	upload->compares = batch_find(core, &upload->batch) != NULL;
	if (cluster_lonely(core) || choose_nodes(core, upload) != 0) {
		free(upload);
		answer(core, event->upload_open.reply, UPLOAD_AGAIN);
		return;
	}
	RB_INSERT(upload_tree, &core->uploads, upload);
	if (!upload->compares)
		store_template(
		    core, upload, event->upload_open.template_value, event->upload_open.template_len);
	answer(core, event->upload_open.reply, upload->compares ? UPLOAD_COMPARES : UPLOAD_OPENED);
}

static void more_room(struct upload *upload)
{
	if (upload->shard_count < upload->shard_size)
		return;
	upload->shard_size = upload->shard_size == 0 ? 16 : 2 * upload->shard_size;
	upload->shards = reallocarray(upload->shards, upload->shard_size, sizeof(*upload->shards));
	upload->places = reallocarray(upload->places, upload->shard_size, sizeof(*upload->places));
	if (upload->shards == NULL || upload->places == NULL)
		opt_abort("out of memory");
}

/* The last shard goes to its replicas. */
static void place(struct core *core, struct upload *upload, const void *value, size_t len)
{
	bool here = false;
	int status = place_shard(core, upload, value, len, &here);
	struct effect *effect;

	if (status == OPT_E_AGAIN)
		upload->again = true;
	else if (status != 0)
		upload->failed = true;
	if (status != 0 || !here)
		return;
	effect = store(core, upload, EFFECT_STORE_SHARD, upload->shard_count);
	effect->batch = upload->batch;
	effect->id = shard_id(&upload->batch, upload->shard_count - 1);
	effect->len = len;
	effect->data = effects_copy(core->effects, value, len);
}

void upload_shard(struct core *core, const struct event *event)
{
	struct upload *upload = upload_find(core, &event->upload_shard.upload);

	if (upload == NULL || upload->failed || upload->again)
		return;
	/* Whoever asked for the commit said that this was all, and the list may be the record's by now. */
	if (upload->commit_reply != 0 || upload->phase != UPLOAD_TAKING)
		return;
	if (upload->shard_count == upload->shards_max) {
		upload->failed = true;
		return;
	}
	more_room(upload);
	upload->shards[upload->shard_count++] = (struct record_shard){
	    .count = event->upload_shard.count, .hash = event->upload_shard.hash, .replica_count = 1};
	upload->mails += event->upload_shard.count;
	if (!upload->compares)
		place(core, upload, event->upload_shard.value, event->upload_shard.len);
}

static struct opt_id content_of(const struct upload *upload)
{
	return record_content_hash(
	    &upload->settings, &upload->template_hash, upload->shards, upload->shard_count);
}

static void answer_commit(struct core *core, struct upload *upload, enum upload_answer what)
{
	if (upload->commit_reply != 0)
		answer(core, upload->commit_reply, what);
	upload->commit_reply = 0;
}

static void fail(struct core *core, struct upload *upload, enum upload_answer what)
{
	answer_commit(core, upload, what);
	give_up(core, upload);
}

/* Another upload is the batch: is this the same? */
static void compare_and_end(struct core *core, struct upload *upload, const struct batch_record *record)
{
	struct opt_id content = content_of(upload);
	enum upload_answer what = id_equal(&content, &record->content) ? UPLOAD_SAME : UPLOAD_CONFLICT;

	/* Shards that came after something had failed are not in the list. */
	if (upload->failed || upload->again)
		what = UPLOAD_AGAIN;
	answer_commit(core, upload, what);
	give_up(core, upload);
}

/* It is decided what became of a record: those that waited for that go on, one of them with its own. */
static void try_waiting(struct core *core, const struct opt_id *batch)
{
	struct upload *u = upload_after(core, NULL);

	while (u != NULL) {
		const struct opt_id id = u->id;

		if (id_equal(&u->batch, batch))
			upload_go_on(core, u);
		u = upload_after(core, &id); /* it may be gone by now */
	}
}

/* Says that it is accepted once enough replicas know, and ends when nobody is waited for any more. */
static void end_decided(struct core *core, struct upload *upload)
{
	const struct opt_id batch = upload->batch;

	if (upload->phase == UPLOAD_DECIDED && batch_find(core, &batch) != NULL &&
	    place_complete(core, upload, announce_have(core, &batch))) {
		answer_commit(core, upload, UPLOAD_ACCEPTED);
		upload->phase = UPLOAD_ENDING;
	} else if (upload->phase == UPLOAD_DECIDED && core->now.us - upload->decided.us > ACCEPT_LIMIT) {
		answer_commit(core, upload, UPLOAD_AGAIN);
		upload->phase = UPLOAD_ENDING;
	}
	if (upload->phase == UPLOAD_ENDING && upload->calls == 0)
		upload_free(core, upload);
}

/* The homes have decided: this upload is the batch. */
static void decided_ours(struct core *core, struct upload *upload, const void *record, size_t len)
{
	const struct opt_id batch = upload->batch;

	upload->phase = UPLOAD_DECIDED;
	upload->decided = core->now;
	accept_record(core, &batch, record, len);
	announce_start(core, record, len);
	end_decided(core, upload);
}

/* Another upload is the batch: compared once its record is here, so that whoever is told "the same" finds it.
 */
static void end_lost(struct core *core, struct upload *upload)
{
	const struct batch *batch = batch_find(core, &upload->batch);

	if (batch != NULL)
		compare_and_end(core, upload, &batch->record);
	else if (!accept_under_way(core, &upload->batch))
		fail(core, upload, UPLOAD_AGAIN);
}

/* Another upload is the batch, or none is and this one never will be (no record). */
static void decided_other(struct core *core, struct upload *upload, const void *record, size_t len)
{
	const struct opt_id batch = upload->batch;

	if (len == 0) {
		fail(core, upload, UPLOAD_AGAIN);
		return;
	}
	upload->phase = UPLOAD_LOST;
	accept_record(core, &batch, record, len);
	end_lost(core, upload);
}

static void aborted(struct core *core, const struct opt_id *batch, const struct opt_id *id,
    enum propose_outcome outcome, const void *record, size_t len)
{
	struct upload *upload = upload_find(core, id);
	struct batch_record decoded;
	bool ours = false;

	if (upload == NULL)
		return;
	upload->deciding = false;
	if (outcome == PROPOSE_AGAIN || outcome == PROPOSE_FAILED) {
		if (upload->phase ==
		    UPLOAD_TAKING) { /* never proposed: only asked for what another one became */
			fail(core, upload, UPLOAD_AGAIN);
		}
		return; /* uploads_tick() tries again */
	}
	if (len > 0 && record_decode(record, len, &decoded) == 0) {
		ours = id_equal(&decoded.upload, id);
		record_done(&decoded);
	}
	if (ours)
		decided_ours(core, upload, record, len);
	else
		decided_other(core, upload, record, len);
	try_waiting(core, batch);
}

static void propose_abort(struct core *core, struct upload *upload)
{
	const struct opt_id batch = upload->batch, id = upload->id;

	if (upload->deciding)
		return;
	upload->deciding = true;
	propose_start(core, &batch, &id, NULL, 0, aborted);
}

static void proposed(struct core *core, const struct opt_id *batch, const struct opt_id *id,
    enum propose_outcome outcome, const void *record, size_t len)
{
	struct upload *upload = upload_find(core, id);

	if (upload == NULL)
		return;
	upload->deciding = false;
	if (outcome == PROPOSE_OURS) {
		decided_ours(core, upload, record, len);
		return;
	}
	if (outcome == PROPOSE_OTHER) {
		decided_other(core, upload, record, len);
	} else {
		answer_commit(core, upload, UPLOAD_AGAIN);
		upload->phase = UPLOAD_ABORTING; /* from the next heartbeat on */
	}
	try_waiting(core, batch);
}

/* The record, with its homes. OPT_E_LIMIT: there are too many nodes. */
static int make_record(struct core *core, struct upload *upload, struct peer *const *homes, uint32_t count)
{
	struct batch_record *record = &upload->record;

	record->settings = upload->settings;
	record->upload = upload->id;
	record->content = content_of(upload);
	record->template = upload->template_hash;
	record->home_count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++) {
		if (record_node(record, &homes[i]->id, &record->homes[i]) != 0)
			return OPT_E_LIMIT;
	}
	record->created = core->utc;
	record->expires.us =
	    (record->settings.start.us > core->utc.us ? record->settings.start.us : core->utc.us) +
	    record->settings.expire;
	record->shards = upload->shards;
	record->shard_count = upload->shard_count;
	return 0;
}

static void write_record(struct core *core, struct upload *upload)
{
	const struct opt_id batch = upload->batch, id = upload->id;
	struct peer *homes[REPLICAS_MAX];
	uint32_t count = cluster_homes(core, &batch, homes);
	bool alone = count == 1 && homes[0] == core->self && cluster_members(core) == 1;
	struct buffer bytes;

	if (upload->spread == NULL && (!alone || home_has(core, &batch))) {
		fail(core, upload, UPLOAD_AGAIN);
		return;
	}
	buffer_init(&bytes);
	if (make_record(core, upload, homes, count) == 0)
		record_encode(&upload->record, &bytes);
	if (bytes.len == 0 || bytes.len > RECORD_MAX) {
		fail(core, upload, UPLOAD_FAILED);
		buffer_done(&bytes);
		return;
	}
	upload->phase = UPLOAD_PROPOSED;
	if (core->config.broken_rule == CORE_BUG_ACCEPT_EARLY)
		answer_commit(core, upload, UPLOAD_ACCEPTED);
	if (upload->spread == NULL) {
		accept_record(core, &batch, bytes.data, bytes.len);
	} else {
		upload->deciding = true;
		propose_start(core, &batch, &id, bytes.data, bytes.len, proposed);
	}
	buffer_done(&bytes);
}

/* Whether another upload of the same batch is being decided: one after the other. */
static bool record_under_way(const struct core *core, const struct opt_id *batch)
{
	for (const struct upload *u = upload_after(core, NULL); u != NULL; u = upload_after(core, &u->id)) {
		if (u->phase == UPLOAD_PROPOSED && id_equal(&u->batch, batch))
			return true;
	}
	return accept_under_way(core, batch);
}

/* Commit was asked for: goes on when everything staged is durable. */
static void try_commit(struct core *core, struct upload *upload)
{
	struct batch *batch = batch_find(core, &upload->batch);

	if (upload->commit_reply == 0 || upload->pending > 0 || upload->deciding)
		return;
	if (upload->failed)
		fail(core, upload, UPLOAD_FAILED);
	else if (batch != NULL)
		compare_and_end(core, upload, &batch->record);
	else if (upload->refused)
		propose_abort(core, upload); /* to learn which upload is the batch */
	else if (upload->again)
		fail(core, upload, UPLOAD_AGAIN);
	else if (upload->unsafe == 0 && !record_under_way(core, &upload->batch))
		write_record(core, upload); /* else try_waiting() comes back to it */
}

void upload_go_on(struct core *core, struct upload *upload)
{
	if (upload->phase == UPLOAD_TAKING)
		try_commit(core, upload);
	else if (upload->phase == UPLOAD_DECIDED || upload->phase == UPLOAD_ENDING)
		end_decided(core, upload);
	else if (upload->phase == UPLOAD_LOST)
		end_lost(core, upload);
}

void upload_commit(struct core *core, uint64_t reply, const struct opt_id *id)
{
	struct upload *upload = upload_find(core, id);

	if (upload == NULL || upload->phase == UPLOAD_ABORTING || upload->phase == UPLOAD_ENDING) {
		answer(core, reply, UPLOAD_GONE);
		return;
	}
	if (upload->commit_reply != 0 || upload->phase != UPLOAD_TAKING) {
		answer(core, reply, UPLOAD_BUSY);
		return;
	}
	upload->commit_reply = reply;
	try_commit(core, upload);
}

void upload_abort(struct core *core, const struct opt_id *id)
{
	struct upload *upload = upload_find(core, id);

	/* Once the record is on its way the batch is decided by whether it arrives. */
	if (upload != NULL && upload->phase == UPLOAD_TAKING && upload->commit_reply == 0)
		give_up(core, upload);
}

void upload_drop_left_over(struct core *core, const struct opt_id *id)
{
	const struct opt_id unknown = {{0}};

	write_drop(core, &unknown, id, UINT32_MAX);
}

void upload_recorded(struct core *core, const struct opt_id *batch, const struct opt_id *id, int status)
{
	struct upload *upload = upload_find(core, id);

	if (upload != NULL && upload->phase == UPLOAD_PROPOSED && upload->spread == NULL) {
		upload->phase = UPLOAD_DECIDED;
		if (status != 0)
			fail(core, upload, UPLOAD_FAILED);
		else
			end_decided(core, upload);
	} else if (upload != NULL) {
		upload_go_on(core, upload);
	}
	try_waiting(core, batch);
}

void upload_announced(struct core *core, const struct opt_id *batch)
{
	struct upload *u = upload_after(core, NULL);

	while (u != NULL && !(u->phase == UPLOAD_DECIDED && id_equal(&u->batch, batch)))
		u = upload_after(core, &u->id);
	if (u != NULL)
		end_decided(core, u);
}

void upload_written(struct core *core, const struct write *write, int status)
{
	struct upload *upload = upload_find(core, &write->upload);

	if (upload == NULL)
		return;
	upload->pending--;
	if (status != 0)
		upload->failed = true;
	else if (write->count > 0)
		place_stored_here(core, upload, (uint32_t)write->count - 1);
	else
		upload->template_stored = true;
	if (core->config.broken_rule == CORE_BUG_STAGED_FED && upload->phase == UPLOAD_TAKING &&
	    upload->commit_reply == 0 && upload->shard_count > 1 &&
	    batch_find(core, &upload->batch) == NULL && upload->pending == 0 && upload->unsafe == 0 &&
	    !upload->failed) {
		write_record(core, upload);
		return;
	}
	upload_go_on(core, upload);
}

static void tick(struct core *core, struct upload *upload)
{
	if (upload->spread == NULL)
		return;
	place_tick(core, upload);
	if (upload->phase == UPLOAD_ABORTING)
		propose_abort(core, upload);
	else
		upload_go_on(core, upload);
}

void uploads_tick(struct core *core)
{
	struct upload *u = upload_after(core, NULL);

	while (u != NULL) {
		const struct opt_id id = u->id;

		tick(core, u);
		u = upload_after(core, &id); /* it may be gone by now */
	}
}

uint32_t upload_pending(const struct upload *upload)
{
	uint32_t pending = upload->unsafe + (upload->template_stored ? 0 : 1);

	if (upload->failed || upload->again || upload->refused || upload->compares ||
	    upload->phase != UPLOAD_TAKING)
		return 0;
	if (pending < upload->pending)
		pending = upload->pending;
	if (upload->calls > PLACE_LATE_MAX)
		pending += upload->calls - PLACE_LATE_MAX;
	return pending;
}

void upload_look(const struct upload *upload, struct batch_view *ret_view)
{
	*ret_view = (struct batch_view){
	    .name = upload->settings.name,
	    .key = upload->batch,
	    .upload = upload->id,
	    .state = BATCH_UPLOADING,
	    .uid = upload->settings.uid,
	    .replicas = 0,
	    .shards = upload->shard_count,
	    .total = upload->mails,
	    .states = {[MAIL_STAGED] = upload->mails},
	    .sender = upload->settings.sender,
	};
}

void uploads_free(struct core *core)
{
	struct upload *upload, *next;

	RB_FOREACH_SAFE (upload, upload_tree, &core->uploads, next)
		upload_free(core, upload);
}
