/* SPDX-License-Identifier: MIT */
/*
 * An announcement ends when each node that takes part has the record or is gone. One that comes back later
 * asks by itself when it holds shards of the upload (queue/stage.h), and is asked by the batch's homes when
 * it gets a link (queue/homesync.h).
 */
#include "queue/announce.h"

#include <stdlib.h>
#include <string.h>

#include "queue/accept.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/homesync.h"
#include "queue/upload.h"

struct announce {
	TAILQ_ENTRY(announce) link;
	struct opt_id batch, upload;
	void *record;
	size_t len;
	uint32_t count; /* nodes of the record */
	struct peer **peers;
	struct call **calls;
	bool *have;
};

static struct announce *find(const struct core *core, const struct opt_id *batch)
{
	struct announce *announce;

	TAILQ_FOREACH (announce, &core->announces, link) {
		if (id_equal(&announce->batch, batch))
			return announce;
	}
	return NULL;
}

static void announce_free(struct core *core, struct announce *announce)
{
	for (uint32_t i = 0; i < announce->count; i++) {
		if (announce->calls[i] != NULL)
			call_end(core, announce->calls[i]);
	}
	TAILQ_REMOVE(&core->announces, announce, link);
	free(announce->peers);
	free(announce->calls);
	free(announce->have);
	free(announce->record);
	free(announce);
}

static void call(struct core *core, struct announce *announce, uint32_t node)
{
	struct peer_message message = {
	    .type = PEER_RECORD,
	    .batch = announce->batch,
	    .upload = announce->upload,
	    .what = RECORD_DECIDED,
	    .data = announce->record,
	    .len = announce->len,
	};

	announce->calls[node] =
	    call_start(core, announce->peers[node], CALL_ANNOUNCE, announce, &message, true);
	announce->calls[node]->number = node;
}

/* Calls those that lack it. Returns whether anybody is left to wait for. */
static bool call_all(struct core *core, struct announce *announce)
{
	bool left = false;

	for (uint32_t i = 0; i < announce->count; i++) {
		struct peer *peer = announce->peers[i];

		if (peer == core->self)
			announce->have[i] = batch_find(core, &announce->batch) != NULL;
		if (announce->have[i])
			continue;
		left = left || peer_alive(core, peer);
		if (peer == core->self)
			accept_record(core, &announce->batch, announce->record, announce->len);
		else if (peer_alive(core, peer) && announce->calls[i] == NULL)
			call(core, announce, i);
		else if (!peer_alive(core, peer) && announce->calls[i] != NULL) {
			call_end(core, announce->calls[i]);
			announce->calls[i] = NULL;
		}
	}
	return left;
}

static void go_on(struct core *core, struct announce *announce)
{
	const struct opt_id batch = announce->batch;
	bool left = call_all(core, announce);

	upload_announced(core, &batch);
	if (!left)
		announce_free(core, announce);
}

static void *array(size_t count, size_t size)
{
	void *array = calloc(count + 1, size);

	if (array == NULL)
		opt_abort("out of memory");
	return array;
}

void announce_start(struct core *core, const void *record, size_t len)
{
	struct batch_record decoded;
	struct announce *announce;

	if (record_decode(record, len, &decoded) != 0)
		return;
	announce = array(1, sizeof(*announce));
	announce->batch = batch_key(decoded.settings.name);
	if (find(core, &announce->batch) != NULL) {
		free(announce);
		record_done(&decoded);
		return;
	}
	announce->upload = decoded.upload;
	announce->record = array(len, 1);
	memcpy(announce->record, record, len);
	announce->len = len;
	announce->count = decoded.node_count;
	announce->peers = array(decoded.node_count, sizeof(*announce->peers));
	announce->calls = array(decoded.node_count, sizeof(*announce->calls));
	announce->have = array(decoded.node_count, sizeof(*announce->have));
	for (uint32_t i = 0; i < decoded.node_count; i++)
		announce->peers[i] = peer_of(core, &decoded.nodes[i]);
	record_done(&decoded);
	TAILQ_INSERT_TAIL(&core->announces, announce, link);
	call_all(core, announce);
}

void announce_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct announce *announce = call->owner;
	uint32_t node = (uint32_t)call->number;

	announce->calls[node] = NULL;
	if (answer->status != PEER_OK)
		return; /* announces_tick() asks again */
	announce->have[node] = true;
	go_on(core, announce);
}

void announces_tick(struct core *core)
{
	struct announce *announce, *next;

	TAILQ_FOREACH_SAFE (announce, &core->announces, link, next)
		go_on(core, announce);
}

const bool *announce_have(const struct core *core, const struct opt_id *batch)
{
	const struct announce *announce = find(core, batch);

	return announce == NULL ? NULL : announce->have;
}

void announces_free(struct core *core)
{
	struct announce *announce;

	while ((announce = TAILQ_FIRST(&core->announces)) != NULL)
		announce_free(core, announce);
}
