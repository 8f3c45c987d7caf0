/* SPDX-License-Identifier: MIT */
/*
 * Uploads.
 *
 * What a client sends is staged in the store under the id of its upload, which no other upload shares. The
 * batch exists from the moment in which its record is durable, and not before: nothing staged is fed. Two
 * uploads for one batch id may go on side by side; the first to commit makes the batch, and the other is
 * compared with it: the same content is the same batch, other content a conflict. An upload of a batch that
 * exists already stores nothing.
 *
 * The upload is freed at its end; answers of the store that come later find nothing, which is why writes name
 * it by id.
 */
#include "queue/upload.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/write.h"

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

	return id == NULL ? RB_MIN(upload_tree, tree) : RB_NEXT(upload_tree, tree, upload_find(core, id));
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
	record_done(&upload->record);
	free(upload->shards);
	free(upload);
}

static void drop(struct core *core, const struct opt_id *batch, const struct opt_id *id, uint32_t shards)
{
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_DROP_UPLOAD);

	effect->token = core->next_token++;
	effect->id = *batch;
	effect->upload = *id;
	effect->shards = shards;
}

/* The end of an upload that came to nothing. */
static void give_up(struct core *core, struct upload *upload)
{
	if (!upload->compares)
		drop(core, &upload->batch, &upload->id, upload->shard_count);
	upload_free(core, upload);
}

static struct effect *store(
    struct core *core, struct upload *upload, enum effect_type type, enum write_kind kind)
{
	struct write *write = write_new(core, kind);
	struct effect *effect = effects_add(core->effects, type);

	write->upload = upload->id;
	effect->token = write->token;
	effect->upload = upload->id;
	upload->pending++;
	return effect;
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
		abort();
	upload->id = event->upload_open.upload;
	upload->settings = *event->upload_open.settings;
	upload->batch = batch_key(upload->settings.name);
	upload->template_hash = event->upload_open.template_hash;
	upload->compares = batch_find(core, &upload->batch) != NULL;
	RB_INSERT(upload_tree, &core->uploads, upload);
	if (!upload->compares) {
		struct effect *effect = store(core, upload, EFFECT_STORE_UPLOAD, WRITE_UPLOAD);

		effect->id = upload->batch;
		effect->len = event->upload_open.template_len;
		effect->data = effects_copy(core->effects, event->upload_open.template_value, effect->len);
	}
	answer(core, event->upload_open.reply, upload->compares ? UPLOAD_COMPARES : UPLOAD_OPENED);
}

void upload_shard(struct core *core, const struct event *event)
{
	struct upload *upload = upload_find(core, &event->upload_shard.upload);

	if (upload == NULL || upload->failed)
		return;
	/* Whoever asked for the commit said that this was all, and the list may be the record's by now. */
	if (upload->commit_reply != 0 || upload->committing)
		return;
	if (upload->shard_count == BATCH_SHARDS_MAX) {
		upload->failed = true;
		return;
	}
	if (upload->shard_count == upload->shard_size) {
		upload->shard_size = upload->shard_size == 0 ? 16 : 2 * upload->shard_size;
		upload->shards = reallocarray(upload->shards, upload->shard_size, sizeof(*upload->shards));
		if (upload->shards == NULL)
			abort();
	}
	upload->shards[upload->shard_count] = (struct record_shard){
	    .count = event->upload_shard.count, .hash = event->upload_shard.hash, .replica_count = 1};
	if (!upload->compares) {
		struct effect *effect = store(core, upload, EFFECT_STORE_SHARD, WRITE_UPLOAD);

		effect->batch = upload->batch;
		effect->id = shard_id(&upload->batch, upload->shard_count);
		effect->len = event->upload_shard.len;
		effect->data = effects_copy(core->effects, event->upload_shard.value, effect->len);
	}
	upload->shard_count++;
	upload->mails += event->upload_shard.count;
}

static struct opt_id content_of(const struct upload *upload)
{
	return record_content_hash(
	    &upload->settings, &upload->template_hash, upload->shards, upload->shard_count);
}

/* The batch exists: is this the same? */
static void compare_and_end(struct core *core, struct upload *upload, const struct batch *batch)
{
	struct opt_id content = content_of(upload);

	answer(core, upload->commit_reply,
	    id_equal(&content, &batch->record.content) ? UPLOAD_SAME : UPLOAD_CONFLICT);
	give_up(core, upload);
}

static void write_record(struct core *core, struct upload *upload)
{
	struct batch_record *record = &upload->record;
	struct effect *effect;
	struct buffer bytes;
	uint16_t self;

	record->settings = upload->settings;
	record->upload = upload->id;
	record->content = content_of(upload);
	record->template = upload->template_hash;
	if (record_node(record, &core->config.node, &self) != 0)
		abort();
	record->homes[0] = self;
	record->home_count = 1;
	record->created = core->utc;
	record->expires.us =
	    (record->settings.start.us > core->utc.us ? record->settings.start.us : core->utc.us) +
	    record->settings.expire;
	record->shards = upload->shards;
	record->shard_count = upload->shard_count;
	upload->shards = NULL;
	upload->committing = true;
	buffer_init(&bytes);
	record_encode(record, &bytes);
	effect = store(core, upload, EFFECT_STORE_COMMIT, WRITE_COMMIT);
	effect->id = upload->batch;
	effect->text = effects_copy_text(core->effects, record->settings.name);
	effect->data = effects_copy(core->effects, bytes.data, bytes.len);
	effect->len = bytes.len;
	buffer_done(&bytes);
}

static void accept(struct core *core, struct upload *upload)
{
	struct batch *batch = batch_new(core, &upload->record);

	effects_add(core->effects, EFFECT_BATCH_ACCEPTED)->text =
	    effects_copy_text(core->effects, batch->record.settings.name);
	batch_begin(core, batch);
}

/* Whether the record of another upload of the same batch is on its way: the key is written only once. */
static bool record_under_way(const struct core *core, const struct opt_id *batch)
{
	for (const struct upload *u = upload_after(core, NULL); u != NULL; u = upload_after(core, &u->id)) {
		if (u->committing && id_equal(&u->batch, batch))
			return true;
	}
	return false;
}

/* Commit was asked for: goes on when everything staged is durable. */
static void try_commit(struct core *core, struct upload *upload)
{
	struct batch *batch = batch_find(core, &upload->batch);

	if (upload->commit_reply == 0 || upload->committing || upload->pending > 0)
		return;
	if (upload->failed) {
		answer(core, upload->commit_reply, UPLOAD_FAILED);
		give_up(core, upload);
		return;
	}
	if (batch != NULL) {
		compare_and_end(core, upload, batch);
		return;
	}
	if (record_under_way(core, &upload->batch))
		return; /* try_waiting() comes back to it */
	write_record(core, upload);
	if (core->config.broken_rule == CORE_BUG_ACCEPT_EARLY) {
		answer(core, upload->commit_reply, UPLOAD_ACCEPTED);
		upload->commit_reply = 0;
	}
}

void upload_commit(struct core *core, uint64_t reply, const struct opt_id *id)
{
	struct upload *upload = upload_find(core, id);

	if (upload == NULL) {
		answer(core, reply, UPLOAD_GONE);
		return;
	}
	if (upload->commit_reply != 0 || upload->committing) {
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
	if (upload != NULL && !upload->committing && upload->commit_reply == 0)
		give_up(core, upload);
}

void upload_drop_left_over(struct core *core, const struct opt_id *id)
{
	const struct opt_id unknown = {{0}};

	drop(core, &unknown, id, UINT32_MAX);
}

/* It is decided what became of the record: those that waited for that go on, one of them with its own. */
static void try_waiting(struct core *core, const struct opt_id *batch)
{
	struct upload *next;

	for (struct upload *u = upload_after(core, NULL); u != NULL; u = next) {
		next = upload_after(core, &u->id);
		if (id_equal(&u->batch, batch))
			try_commit(core, u);
	}
}

static void committed(struct core *core, struct upload *upload, int status)
{
	const struct opt_id batch = upload->batch;

	upload->committing = false;
	if (status != 0) {
		answer(core, upload->commit_reply, UPLOAD_FAILED);
		give_up(core, upload);
	} else {
		accept(core, upload);
		if (upload->commit_reply != 0)
			answer(core, upload->commit_reply, UPLOAD_ACCEPTED);
		upload_free(core, upload);
	}
	try_waiting(core, &batch);
}

void upload_written(struct core *core, const struct write *write, int status)
{
	struct upload *upload = upload_find(core, &write->upload);

	if (upload == NULL)
		return;
	upload->pending--;
	if (write->kind == WRITE_COMMIT) {
		committed(core, upload, status);
		return;
	}
	if (status != 0)
		upload->failed = true;
	if (core->config.broken_rule == CORE_BUG_STAGED_FED && upload->commit_reply == 0 &&
	    upload->shard_count > 1 && batch_find(core, &upload->batch) == NULL && upload->pending == 0 &&
	    !upload->failed) {
		write_record(core, upload);
		accept(core, upload);
		upload_free(core, upload);
		return;
	}
	try_commit(core, upload);
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
