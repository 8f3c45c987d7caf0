/* SPDX-License-Identifier: MIT */
/*
 * A replica gets the template before its first shard, on the same ordered link. One that is too long for a
 * message goes in parts, each after the answer to the one before, and the shards wait until it has been
 * confirmed. A replica that has lost parts, by a restart, says so (PEER_BUSY) and gets all of them again; one
 * that restarted and does not know whether it has the template (PEER_UNKNOWN) gets it once more.
 *
 * A shard is safe when a majority of its replicas has stored it. The calls to the others go on, as long as
 * those are alive and answer; so a replica that dies, or whose store is away, costs memory for a few seconds
 * and then stops nothing. What it lacks it gets by itself later (values.h).
 */
#include "queue/place.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/stage.h"
#include "queue/upload.h"

static const usec SILENT_TIME = 10 * USEC_PER_SEC; /* without an answer */

/* call->number: the node's number in the record, and the shard's index + 1; without one, the template. */
static uint64_t number(uint32_t node, uint32_t shard)
{
	return (uint64_t)node << 32 | shard;
}

static uint32_t votes(uint8_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

static uint32_t majority(const struct record_shard *shard)
{
	return shard->replica_count / 2U + 1;
}

static void call(
    struct core *core, struct upload *upload, uint32_t node, uint32_t shard, struct peer_message *message)
{
	struct upload_node *to = &upload->nodes[node];
	struct call *started;

	message->batch = upload->batch;
	message->upload = upload->id;
	started = call_start_held(core, to->peer, CALL_STAGE, upload, message, true);
	started->number = number(node, shard);
	upload->calls++;
	if (to->calls++ == 0)
		to->answered_at = core->now;
	if (shard == 0 || !to->sending || upload->template_len <= core->config.stage_part)
		call_release(core, started);
}

/* The next part of the template. */
static void send_part(struct core *core, struct upload *upload, uint32_t node)
{
	const uint32_t part = upload->nodes[node].parts++;
	const size_t size = core->config.stage_part;
	const size_t from = part * size;
	const size_t left = upload->template_len - from;
	struct peer_message message = {
	    .type = PEER_STAGE_OPEN,
	    .index = part,
	    .count = (uint32_t)((upload->template_len + size - 1) / size),
	    .data = (const char *)upload->template + from,
	    .len = left < size ? left : size,
	};

	if (message.count == 0)
		message.count = 1;
	call(core, upload, node, 0, &message);
}

static void send_template(struct core *core, struct upload *upload, uint32_t node)
{
	struct upload_node *to = &upload->nodes[node];

	to->opened = true;
	to->sending = true;
	to->parts = 0;
	to->incarnation = peer_incarnation(core, to->peer);
	send_part(core, upload, node);
}

static bool parts_left(const struct core *core, const struct upload *upload, uint32_t node)
{
	return (size_t)upload->nodes[node].parts * core->config.stage_part < upload->template_len;
}

/* The node's number in the record, with its entry in upload->nodes. */
static int number_of(struct core *core, struct upload *upload, const struct opt_id *id, uint16_t *ret_number)
{
	const uint32_t before = upload->record.node_count;
	int status = record_node(&upload->record, id, ret_number);

	if (status != 0 || upload->record.node_count == before)
		return status;
	upload->nodes = reallocarray(upload->nodes, before + 1, sizeof(*upload->nodes));
	if (upload->nodes == NULL)
		opt_abort("out of memory");
	upload->nodes[before] = (struct upload_node){.peer = peer_of(core, id)};
	upload->place_nodes = before + 1;
	return 0;
}

/* The replicas' ids, the owner first. */
static size_t choose(
    struct core *core, struct upload *upload, uint32_t index, struct opt_id ids[RING_REPLICAS_MAX])
{
	const struct opt_id shard = shard_id(&upload->batch, index);

	if (upload->spread != NULL)
		return spread_next(upload->spread, &shard, ids);
	ids[0] = core->config.node;
	return 1;
}

int place_shard(struct core *core, struct upload *upload, const void *value, size_t len, bool *ret_here)
{
	const uint32_t index = upload->shard_count - 1;
	struct record_shard *shard = &upload->shards[index];
	struct peer_message message = {.type = PEER_STAGE_SHARD, .index = index, .data = value, .len = len};
	struct opt_id ids[RING_REPLICAS_MAX];
	size_t count = choose(core, upload, index, ids);

	if (count == 0)
		return OPT_E_AGAIN;
	if (count > REPLICAS_MAX)
		count = REPLICAS_MAX;
	shard->replica_count = (uint8_t)count;
	upload->places[index] = (struct upload_place){.stored = 0};
	upload->unsafe++;
	*ret_here = false;
	for (size_t i = 0; i < count; i++) {
		if (number_of(core, upload, &ids[i], &shard->replicas[i]) != 0)
			return OPT_E_LIMIT;
	}
	for (size_t i = 0; i < count; i++) {
		const uint16_t node = shard->replicas[i];

		if (upload->nodes[node].peer == core->self) {
			*ret_here = true;
			continue;
		}
		if (upload->nodes[node].parts == 0)
			send_template(core, upload, node);
		call(core, upload, node, index + 1, &message);
	}
	return 0;
}

static int place_of(const struct record_shard *shard, uint32_t node)
{
	for (int i = 0; i < shard->replica_count; i++) {
		if (shard->replicas[i] == node)
			return i;
	}
	return -1;
}

static void stored(struct upload *upload, uint32_t index, uint32_t node)
{
	const struct record_shard *shard = &upload->shards[index];
	struct upload_place *place = &upload->places[index];
	int at = place_of(shard, node);
	bool was_safe = votes(place->stored) >= majority(shard);

	if (at < 0)
		return;
	place->stored |= (uint8_t)(1U << at);
	if (!was_safe && votes(place->stored) >= majority(shard))
		upload->unsafe--;
}

void place_stored_here(struct core *core, struct upload *upload, uint32_t index)
{
	uint16_t self;

	if (number_of(core, upload, &core->config.node, &self) == 0)
		stored(upload, index, self);
}

/* Whether a majority of the shard's replicas can still have it. */
static bool hopeless(const struct core *core, const struct upload *upload, uint32_t index)
{
	const struct record_shard *shard = &upload->shards[index];
	const struct upload_place *place = &upload->places[index];
	uint32_t possible = 0;

	for (int i = 0; i < shard->replica_count; i++) {
		bool has = (place->stored >> i & 1U) != 0;
		bool may = (place->failed >> i & 1U) == 0 &&
		           peer_alive(core, upload->nodes[shard->replicas[i]].peer);

		possible += has || may;
	}
	return possible < majority(shard);
}

static void failed(struct core *core, struct upload *upload, uint32_t index, uint32_t node)
{
	int at = place_of(&upload->shards[index], node);

	if (at < 0)
		return;
	upload->places[index].failed |= (uint8_t)(1U << at);
	if (hopeless(core, upload, index))
		upload->again = true;
}

/* The template was confirmed, or refused: the shards are judged by themselves. */
static void release_shards(struct core *core, struct upload *upload, const struct peer *peer)
{
	struct call *call;

	TAILQ_FOREACH (call, &peer->calls, link) {
		if (call->kind == CALL_STAGE && call->owner == upload && call->held)
			call_release(core, call);
	}
}

static void part_answered(
    struct core *core, struct upload *upload, uint32_t node, const struct peer_message *answer)
{
	struct upload_node *to = &upload->nodes[node];

	if (answer->status == PEER_BUSY) {
		send_template(core, upload, node);
	} else if (answer->status == PEER_OK && parts_left(core, upload, node)) {
		send_part(core, upload, node);
	} else {
		to->sending = false;
		release_shards(core, upload, to->peer);
	}
}

/* Whether the shard was refused for want of a template that is on its way, by now. */
static bool waits_for_template(
    struct core *core, struct upload *upload, uint32_t node, const struct peer_message *answer)
{
	struct upload_node *to = &upload->nodes[node];

	if (answer->status != PEER_UNKNOWN && answer->status != PEER_BUSY)
		return false;
	if (!to->sending && answer->status == PEER_UNKNOWN &&
	    to->incarnation != peer_incarnation(core, to->peer))
		send_template(core, upload, node);
	return to->sending;
}

void place_answered(struct core *core, struct call *answered, const struct peer_message *answer)
{
	struct upload *upload = answered->owner;
	const uint32_t node = (uint32_t)(answered->number >> 32);
	const uint32_t shard = (uint32_t)answered->number;
	struct upload_node *from = &upload->nodes[node];

	if (shard > 0 && waits_for_template(core, upload, node, answer)) {
		call_hold(core, answered);
		return;
	}
	if (answer->status == PEER_BUSY && (shard > 0 || upload->nodes[node].parts == 1)) {
		call_again(answered);
		return;
	}
	upload->calls--;
	from->calls--;
	from->silent = false;
	from->answered_at = core->now;
	upload->refused = upload->refused || answer->status == PEER_REFUSED;
	if (shard == 0)
		part_answered(core, upload, node, answer);
	else if (answer->status == PEER_OK)
		stored(upload, shard - 1, node);
	else
		failed(core, upload, shard - 1, node);
	upload_go_on(core, upload);
}

static bool is_safe(const struct upload *upload, uint32_t index)
{
	return votes(upload->places[index].stored) >= majority(&upload->shards[index]);
}

/* When the template goes as well it is sent again with the next shard. */
static void end_calls(struct core *core, struct upload *upload, struct upload_node *node, bool all)
{
	struct peer *peer = node->peer;
	struct call *call, *next;

	if (all && node->sending) {
		node->sending = false;
		node->parts = 0;
	}

	TAILQ_FOREACH_SAFE (call, &peer->calls, link, next) {
		const uint32_t shard = (uint32_t)call->number;

		if (call->kind != CALL_STAGE || call->owner != upload || call->answered)
			continue;
		if (!all && (shard == 0 || !is_safe(upload, shard - 1)))
			continue;
		call_end(core, call);
		upload->calls--;
		node->calls--;
	}
}

/* Its store is away, as a rule. */
static bool falls_silent(const struct core *core, struct upload_node *node)
{
	if (core->now.us - node->answered_at.us >= SILENT_TIME)
		node->silent = true;
	return node->silent;
}

void place_tick(struct core *core, struct upload *upload)
{
	for (uint32_t i = 0; i < upload->shard_count && upload->unsafe > 0 && !upload->again; i++) {
		if (!is_safe(upload, i) && hopeless(core, upload, i))
			upload->again = true;
	}
	for (uint32_t i = 0; i < upload->place_nodes && upload->calls > 0; i++) {
		if (!peer_alive(core, upload->nodes[i].peer))
			end_calls(core, upload, &upload->nodes[i], upload->unsafe == 0);
		else if (upload->nodes[i].calls > 0 && falls_silent(core, &upload->nodes[i]))
			end_calls(core, upload, &upload->nodes[i], upload->phase == UPLOAD_ENDING);
	}
}

bool place_complete(const struct core *core, const struct upload *upload, const bool *have)
{
	for (uint32_t i = 0; i < upload->shard_count; i++) {
		const struct record_shard *shard = &upload->shards[i];
		uint32_t complete = 0;

		for (int r = 0; r < shard->replica_count; r++) {
			const uint16_t node = shard->replicas[r];
			bool record = upload->nodes[node].peer == core->self || (have != NULL && have[node]);

			complete += record && (upload->places[i].stored >> r & 1U) != 0;
		}
		if (complete < majority(shard))
			return false;
	}
	return true;
}

void place_end(struct core *core, struct upload *upload, bool drop)
{
	struct peer_message message = {.type = PEER_STAGE_DROP, .batch = upload->batch, .upload = upload->id};

	for (uint32_t i = 0; i < upload->place_nodes; i++) {
		struct peer *peer = upload->nodes[i].peer;

		if (peer == core->self)
			continue;
		end_calls(core, upload, &upload->nodes[i], true);
		if (drop && upload->nodes[i].opened)
			call_notice(core, peer, &message);
	}
}
