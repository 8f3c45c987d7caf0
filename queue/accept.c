/* SPDX-License-Identifier: MIT */
/*
 * One write makes a batch of a record. Peers that brought the record are answered when it is durable; one
 * that brings it again meanwhile is answered by its repeat.
 *
 * A store that refuses leaves everything as it was: the register keeps the decision, the staged shards stay,
 * and whoever brought the record brings it again.
 */
#include "queue/accept.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/homesync.h"
#include "queue/join.h"
#include "queue/stage.h"
#include "queue/upload.h"
#include "queue/write.h"

struct accept {
	TAILQ_ENTRY(accept) link;
	struct opt_id batch;
	uint64_t token; /* of the write */
	struct batch_record record;
	struct peer *peer; /* who brought it; NULL: this node itself */
	uint64_t peer_token;
};

static struct accept *find(const struct core *core, const struct opt_id *batch)
{
	struct accept *accept;

	TAILQ_FOREACH (accept, &core->accepts, link) {
		if (id_equal(&accept->batch, batch))
			return accept;
	}
	return NULL;
}

bool accept_under_way(const struct core *core, const struct opt_id *batch)
{
	return find(core, batch) != NULL;
}

static void write_record(struct core *core, struct accept *accept, const void *data, size_t len)
{
	struct write *write = write_new(core, WRITE_COMMIT);
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_COMMIT);

	accept->token = write->token;
	write->id = accept->batch;
	write->upload = accept->record.upload;
	effect->token = write->token;
	effect->id = accept->batch;
	effect->upload = accept->record.upload;
	effect->text = effects_copy_text(core->effects, accept->record.settings.name);
	effect->data = effects_copy(core->effects, data, len);
	effect->len = len;
}

static struct accept *start(struct core *core, const struct opt_id *batch, const void *data, size_t len)
{
	struct accept *accept = calloc(1, sizeof(*accept));
	struct opt_id key;

	if (accept == NULL)
		opt_abort("out of memory");
	if (record_decode(data, len, &accept->record) != 0) {
		free(accept);
		return NULL;
	}
	key = batch_key(accept->record.settings.name);
	if (!id_equal(&key, batch)) {
		record_done(&accept->record);
		free(accept);
		return NULL;
	}
	accept->batch = *batch;
	TAILQ_INSERT_TAIL(&core->accepts, accept, link);
	write_record(core, accept, data, len);
	return accept;
}

int accept_record(struct core *core, const struct opt_id *batch, const void *record, size_t len)
{
	if (batch_find(core, batch) != NULL || accept_under_way(core, batch))
		return 0;
	return start(core, batch, record, len) == NULL ? OPT_E_INVALID : 0;
}

static void answer(
    struct core *core, struct peer *peer, uint64_t token, const struct opt_id *batch, enum peer_status status)
{
	struct peer_message message = {.batch = *batch};

	call_reply_to(core, peer, PEER_RECORD, token, status, &message);
}

void accept_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	struct accept *accept;

	if (!core->recovered)
		answer(core, peer, request->token, &request->batch, PEER_BUSY);
	else if (request->what == RECORD_REGISTER)
		home_merge(core, peer, request);
	else if (batch != NULL)
		answer(core, peer, request->token, &request->batch, PEER_OK);
	else if (request->what == RECORD_ASKED)
		answer(core, peer, request->token, &request->batch, PEER_UNKNOWN);
	else if (!accept_under_way(core, &request->batch)) {
		accept = start(core, &request->batch, request->data, request->len);
		if (accept != NULL) {
			accept->peer = peer;
			accept->peer_token = request->token;
		} else {
			answer(core, peer, request->token, &request->batch, PEER_FAILED);
		}
	} else {
		answer(core, peer, request->token, &request->batch, PEER_BUSY);
	}
}

static void begin(struct core *core, struct accept *accept)
{
	struct batch *batch = batch_new(core, &accept->record);
	const struct upload *upload = upload_find(core, &batch->record.upload);

	batch->template_here = upload != NULL && upload->template_stored;
	effects_add(core->effects, EFFECT_BATCH_ACCEPTED)->text =
	    effects_copy_text(core->effects, batch->record.settings.name);
	stage_accepted(core, batch);
	home_learnt(core, batch);
	batch_begin(core, batch);
	join_accepted(core, &batch->key);
}

static void accept_free(struct core *core, struct accept *accept)
{
	TAILQ_REMOVE(&core->accepts, accept, link);
	record_done(&accept->record);
	free(accept);
}

void accept_stored(struct core *core, struct write *write, int status)
{
	struct accept *accept = find(core, &write->id);
	const struct opt_id batch = write->id, upload = write->upload;

	if (accept == NULL || accept->token != write->token)
		return;
	if (accept->peer != NULL)
		answer(core, accept->peer, accept->peer_token, &batch,
		    status == 0            ? PEER_OK
		    : status == OPT_E_FULL ? PEER_FULL
		                           : PEER_FAILED);
	if (status == 0)
		begin(core, accept);
	accept_free(core, accept);
	upload_recorded(core, &batch, &upload, status);
}

void accepts_free(struct core *core)
{
	struct accept *accept;

	while ((accept = TAILQ_FIRST(&core->accepts)) != NULL)
		accept_free(core, accept);
}
