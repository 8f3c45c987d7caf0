/* SPDX-License-Identifier: MIT */
/*
 * The holder. Template and shards are stored in the order in which they come, so a shard is only confirmed
 * when the template is there too. A shard that overtakes parts of a long template has to wait (PEER_BUSY).
 * One whose upload is not known is refused, for the template was sent before it.
 *
 * The record may come before all of the template, and then the stage stays until that is stored. A batch of
 * which it is not known whether the template is here, after a restart, is not believed to have it: its shards
 * are refused like those of an unknown upload, and the template that the coordinator sends again is stored
 * again. A stage of a batch never asks and is never dropped: it ends when no part has come for a while.
 */
#include "queue/stage.h"

#include <stdlib.h>
#include <string.h>

#include "queue/accept.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/propose.h"
#include "queue/upload.h"
#include "queue/write.h"

struct stage {
	TAILQ_ENTRY(stage) link;
	struct opt_id upload;
	struct opt_id batch;
	struct peer *coordinator; /* this node itself for an upload that a crash left behind */
	struct buffer template;   /* its parts so far */
	uint32_t parts;
	bool storing; /* the template is complete */
	bool stored;
	bool failed;
	bool deciding; /* its abort is being proposed */
	bool earlier;  /* it was there when this node started */
	struct call *call;
	struct timer timer;
};

static struct stage *find(const struct core *core, const struct opt_id *upload)
{
	struct stage *stage;

	TAILQ_FOREACH (stage, &core->stages, link) {
		if (id_equal(&stage->upload, upload))
			return stage;
	}
	return NULL;
}

static void stage_free(struct core *core, struct stage *stage)
{
	if (stage->call != NULL)
		call_end(core, stage->call);
	timer_disarm(&core->boot_timers, &stage->timer);
	TAILQ_REMOVE(&core->stages, stage, link);
	buffer_done(&stage->template);
	free(stage);
}

static void wait_for_news(struct core *core, struct stage *stage)
{
	timer_arm(&core->boot_timers, &stage->timer, core->now.us + STAGE_ASK);
}

static struct stage *stage_new(
    struct core *core, const struct opt_id *upload, const struct opt_id *batch, struct peer *coordinator)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	if (stage == NULL)
		abort();
	stage->upload = *upload;
	stage->batch = *batch;
	stage->coordinator = coordinator;
	buffer_init(&stage->template);
	timer_init(&stage->timer, TIMER_STAGE, stage);
	TAILQ_INSERT_TAIL(&core->stages, stage, link);
	wait_for_news(core, stage);
	return stage;
}

/* The batch that the upload has become; NULL: none. */
static struct batch *batch_of(struct core *core, const struct opt_id *key, const struct opt_id *upload)
{
	struct batch *batch = batch_find(core, key);

	return batch != NULL && id_equal(&batch->record.upload, upload) ? batch : NULL;
}

/* Nothing of it was or will be committed. */
static void drop(struct core *core, struct stage *stage)
{
	if (batch_of(core, &stage->batch, &stage->upload) == NULL)
		upload_drop_left_over(core, &stage->upload);
	stage_free(core, stage);
}

/* A part of the batch came after its record and opened the upload again. Its values are the batch's: they
 * stay. */
static void close_upload(struct core *core, const struct batch *batch)
{
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_COMMIT);
	struct buffer record;

	buffer_init(&record);
	record_encode(&batch->record, &record);
	effect->token = core->next_token++; /* a refusal leaves it for the next start */
	effect->id = batch->key;
	effect->upload = batch->record.upload;
	effect->text = effects_copy_text(core->effects, batch->record.settings.name);
	effect->data = effects_copy(core->effects, record.data, record.len);
	effect->len = record.len;
	buffer_done(&record);
}

void stage_recover(struct core *core, const struct event *event)
{
	const struct opt_id *upload = &event->recover_upload.upload;
	struct batch *batch = batch_find(core, &event->recover_upload.batch);
	struct stage *stage;

	if (core->recover_done || find(core, upload) != NULL)
		return;
	if (batch != NULL && id_equal(&batch->record.upload, upload)) {
		batch->template_here = true;
		close_upload(core, batch);
		return;
	}
	if (id_is_zero(&event->recover_upload.coordinator) || batch != NULL) {
		upload_drop_left_over(core, upload);
		return;
	}
	stage = stage_new(
	    core, upload, &event->recover_upload.batch, peer_of(core, &event->recover_upload.coordinator));
	stage->storing = stage->stored = stage->earlier = true;
}

bool stage_since_start(const struct core *core, const struct opt_id *upload)
{
	const struct stage *stage = find(core, upload);

	return stage != NULL && !stage->earlier;
}

static void reply(
    struct core *core, struct peer *peer, const struct peer_message *request, enum peer_status status)
{
	struct peer_message answer = {.batch = request->batch, .upload = request->upload};

	call_reply(core, peer, request, status, &answer);
}

/* Answers when it is decided already what becomes of the upload. */
static bool is_over(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);

	if (!core->recovered) {
		reply(core, peer, request, PEER_BUSY);
		return true;
	}
	if (batch == NULL || id_equal(&batch->record.upload, &request->upload))
		return false;
	reply(core, peer, request, PEER_REFUSED);
	return true;
}

static struct write *stage_write(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct write *write = write_new(core, WRITE_STAGE);

	write_for(write, peer, request->token);
	write->peer_type = request->type;
	write->upload = request->upload;
	write->id = request->batch;
	return write;
}

static void store_template(
    struct core *core, struct stage *stage, struct peer *peer, const struct peer_message *request)
{
	struct write *write = stage_write(core, peer, request);
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_UPLOAD);

	effect->token = write->token;
	effect->id = stage->batch;
	effect->upload = stage->upload;
	effect->node = stage->coordinator->id;
	effect->len = stage->template.len;
	effect->data = effects_copy(core->effects, stage->template.data, stage->template.len);
	stage->storing = true;
	buffer_done(&stage->template);
	buffer_init(&stage->template);
}

void stage_open(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	struct stage *stage = find(core, &request->upload);

	if (is_over(core, peer, request))
		return;
	if (batch != NULL && batch->template_here) {
		reply(core, peer, request, PEER_OK); /* it was committed meanwhile */
		return;
	}
	if (stage == NULL)
		stage = stage_new(core, &request->upload, &request->batch, peer);
	wait_for_news(core, stage);
	if (stage->storing) {
		if (stage->stored)
			reply(core, peer, request, stage->failed ? PEER_FAILED : PEER_OK);
		return; /* else the answer comes with the write's */
	}
	if (request->index > stage->parts) {
		reply(core, peer, request, PEER_BUSY);
		return;
	}
	if (request->index == stage->parts) {
		buffer_add(&stage->template, request->data, request->len);
		stage->parts++;
	}
	if (stage->parts < request->count)
		reply(core, peer, request, PEER_OK);
	else
		store_template(core, stage, peer, request);
}

/* Whether a shard may follow the template: PEER_OK, or what to answer. */
static enum peer_status follows_template(struct core *core, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	const struct stage *stage = find(core, &request->upload);

	if (batch != NULL && batch->template_here)
		return PEER_OK;
	if (stage == NULL)
		return PEER_UNKNOWN;
	if (!stage->storing)
		return PEER_BUSY;
	return stage->failed ? PEER_FAILED : PEER_OK;
}

void stage_shard(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct stage *stage = find(core, &request->upload);
	struct effect *effect;
	struct write *write;
	enum peer_status status;

	if (is_over(core, peer, request))
		return;
	status = follows_template(core, request);
	if (status != PEER_OK) {
		reply(core, peer, request, status);
		return;
	}
	if (stage != NULL)
		wait_for_news(core, stage);
	if (write_under_way(peer, request->token))
		return;
	write = stage_write(core, peer, request);
	effect = effects_add(core->effects, EFFECT_STORE_SHARD);
	effect->token = write->token;
	effect->batch = request->batch;
	effect->id = shard_id(&request->batch, request->index);
	effect->upload = request->upload;
	effect->len = request->len;
	effect->data = effects_copy(core->effects, request->data, request->len);
}

/* The template of what is a batch already: it had opened the upload again. */
static void complete(struct core *core, struct stage *stage, struct batch *batch)
{
	if (!stage->failed) {
		batch->template_here = true;
		close_upload(core, batch);
	}
	stage_free(core, stage);
}

void stage_stored(struct core *core, struct write *write, int status)
{
	struct stage *stage = find(core, &write->upload);
	struct batch *batch = batch_of(core, &write->id, &write->upload);
	struct peer_message answer = {.batch = write->id, .upload = write->upload};
	const bool held = stage != NULL || batch != NULL;

	if (stage != NULL && stage->storing && write->peer_type == PEER_STAGE_OPEN) {
		stage->stored = true;
		stage->failed = status != 0;
		if (batch != NULL)
			complete(core, stage, batch);
		stage = find(core, &write->upload);
	}
	if (status == 0 && !(batch != NULL && batch->template_here) &&
	    (stage == NULL || !stage->stored || stage->failed))
		status = OPT_E_STORE;
	call_reply_to(core, write->peer, write->peer_type, write->peer_token,
	    !held                  ? PEER_REFUSED
	    : status == 0          ? PEER_OK
	    : status == OPT_E_FULL ? PEER_FULL
	                           : PEER_FAILED,
	    &answer);
}

void stage_drop(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct stage *stage = find(core, &request->upload);

	if (stage != NULL && stage->coordinator == peer)
		drop(core, stage);
}

void stage_decision(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	struct peer_message answer = {.what = DECISION_NONE, .upload = request->upload};
	struct buffer bytes;

	if (!core->recovered) {
		call_reply(core, peer, request, PEER_BUSY, &answer);
		return;
	}
	if (batch == NULL) {
		bool open = upload_find(core, &request->upload) != NULL ||
		            find(core, &request->upload) != NULL || accept_under_way(core, &request->batch);

		call_reply(core, peer, request, open ? PEER_OK : PEER_UNKNOWN, &answer);
		return;
	}
	buffer_init(&bytes);
	answer.what = DECISION_ABORT;
	if (id_equal(&batch->record.upload, &request->upload)) {
		answer.what = DECISION_COMMIT;
		record_encode(&batch->record, &bytes);
	}
	answer.upload = batch->record.upload;
	answer.data = bytes.data;
	answer.len = bytes.len;
	call_reply(core, peer, request, PEER_OK, &answer);
	buffer_done(&bytes);
}

static void decided(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    enum propose_outcome outcome, const void *record, size_t len)
{
	struct stage *stage = find(core, upload);
	struct batch_record decoded;

	if (stage == NULL)
		return;
	stage->deciding = false;
	wait_for_news(core, stage);
	if (outcome == PROPOSE_AGAIN || outcome == PROPOSE_FAILED)
		return;
	if (len == 0) {
		drop(core, stage);
		return;
	}
	if (record_decode(record, len, &decoded) != 0)
		return;
	if (!id_equal(&decoded.upload, upload))
		drop(core, stage);
	record_done(&decoded);
	accept_record(core, batch, record, len);
}

static void propose_abort(struct core *core, struct stage *stage)
{
	const struct opt_id batch = stage->batch, upload = stage->upload;

	if (core->config.broken_rule == CORE_BUG_STAGE_DROPPED_EARLY) {
		drop(core, stage);
		return;
	}
	if (stage->deciding || cluster_members(core) == 1)
		return; /* somebody knows more than this node, which has seen nobody yet */
	stage->deciding = true;
	propose_start(core, &batch, &upload, NULL, 0, decided);
}

void stage_due(struct core *core, struct stage *stage)
{
	struct peer_message request = {.type = PEER_DECISION, .batch = stage->batch, .upload = stage->upload};
	const bool committed = batch_of(core, &stage->batch, &stage->upload) != NULL;

	if (committed && !stage->storing) {
		stage_free(core, stage);
		return;
	}
	wait_for_news(core, stage);
	if (!core->recovered || committed || accept_under_way(core, &stage->batch))
		return;
	if (stage->coordinator == core->self || !peer_alive(core, stage->coordinator)) {
		if (stage->call != NULL)
			call_end(core, stage->call);
		stage->call = NULL;
		propose_abort(core, stage);
	} else if (stage->call == NULL) {
		stage->call = call_start(core, stage->coordinator, CALL_DECISION, stage, &request, false);
	}
}

void stage_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct stage *stage = call->owner;

	stage->call = NULL;
	if (answer->status == PEER_UNKNOWN)
		propose_abort(core, stage);
	else if (answer->status == PEER_OK && answer->what == DECISION_ABORT)
		drop(core, stage);
	else if (answer->status == PEER_OK && answer->what == DECISION_COMMIT)
		accept_record(core, &stage->batch, answer->data, answer->len);
}

void stage_accepted(struct core *core, struct batch *batch)
{
	struct stage *stage = find(core, &batch->record.upload);

	if (stage == NULL)
		return;
	if (stage->call != NULL)
		call_end(core, stage->call);
	stage->call = NULL;
	batch->template_here = batch->template_here || (stage->stored && !stage->failed);
	if (core->config.broken_rule == CORE_BUG_HALF_A_TEMPLATE)
		batch->template_here = stage->stored = true;
	if (stage->stored)
		stage_free(core, stage);
}

void stages_free(struct core *core)
{
	struct stage *stage;

	while ((stage = TAILQ_FIRST(&core->stages)) != NULL)
		stage_free(core, stage);
}
