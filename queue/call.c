/* SPDX-License-Identifier: MIT */
/*
 * Calls by token. A token is never used again, not even by a later run of this node: an answer that a peer
 * gives late would be taken for that of another call. So tokens start at a hash over the node, its
 * incarnation and its seed.
 *
 * A link keeps order and loses nothing while it lasts; what was under way when it broke is sent again when it
 * is back. The repeats in between are for a peer that has dropped a request, or forgot it by a restart that
 * left the link no time to break. So they may come slowly, and those of bulk slower still: the first copy may
 * wait in the link yet.
 */
#include "queue/call.h"

#include <stdlib.h>
#include <string.h>

#include "queue/announce.h"
#include "queue/catchup.h"
#include "queue/change.h"
#include "queue/doubt.h"
#include "queue/ends.h"
#include "queue/error.h"
#include "queue/gather.h"
#include "queue/homeread.h"
#include "queue/homesync.h"
#include "queue/join.h"
#include "queue/mesh.h"
#include "queue/move.h"
#include "queue/place.h"
#include "queue/propose.h"
#include "queue/tell.h"
#include "queue/replicate.h"
#include "queue/stage.h"
#include "queue/sync.h"
#include "queue/takeover.h"

static int compare(const struct call *a, const struct call *b)
{
	return a->token < b->token ? -1 : a->token > b->token;
}

RB_GENERATE_STATIC(call_tree, call, node, compare)

static struct call *call_find(struct core *core, uint64_t token)
{
	struct call key = {.token = token};

	return RB_FIND(call_tree, &core->calls, &key);
}

static uint64_t first_token(const struct core *core)
{
	uint64_t incarnation = core->config.presence.incarnation;
	uint64_t token = 0;
	struct id_hash hash;
	struct opt_id id;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus call", 12);
	id_hash_add(&hash, core->config.node.bytes, OPT_ID_SIZE);
	id_hash_add(&hash, &incarnation, sizeof(incarnation));
	id_hash_add(&hash, &core->config.seed, sizeof(core->config.seed));
	id = id_hash_done(&hash);
	memcpy(&token, id.bytes, 7); /* the rest is room to count in */
	return token + 1;
}

/* `data` lives as long as the effects of this step. */
static void send_owned(struct core *core, struct peer *peer, const void *data, size_t len, bool bulk)
{
	struct effect *effect;

	effect = effects_add(core->effects, len > PEER_MESSAGE_MAX ? EFFECT_NOTICE : EFFECT_SEND);
	effect->id = peer->id;
	if (effect->type == EFFECT_NOTICE) {
		effect->text = effects_copy_text(core->effects, "message_too_long");
		return;
	}
	effect->data = data;
	effect->len = len;
	effect->bulk = bulk;
}

static void send_bytes(struct core *core, struct peer *peer, const void *data, size_t len, bool bulk)
{
	if (peer->linked)
		send_owned(core, peer, effects_copy(core->effects, data, len), len, bulk);
}

/* Up to an eighth longer, so that what was sent together does not come again together. */
static usec jitter(const struct core *core, const struct call *call)
{
	uint64_t mixed = (call->token ^ core->config.seed) * UINT64_C(0x9e3779b97f4a7c15);

	return (mixed >> 32) % (call->wait / 8 + 1);
}

static void send_call(struct core *core, struct call *call)
{
	if (!call->peer->linked) {
		core->mesh_stale = core->mesh_stale || !call->peer->wanted;
		return;
	}
	send_bytes(core, call->peer, call->data, call->len, call->bulk);
	timer_arm(&core->boot_timers, &call->timer, core->now.us + call->wait + jitter(core, call));
}

static usec first_wait(const struct call *call)
{
	return call->bulk ? CALL_REPEAT_BULK : CALL_REPEAT;
}

struct call *call_start_held(struct core *core, struct peer *peer, enum call_kind kind, void *owner,
    struct peer_message *request, bool bulk)
{
	struct call *call = calloc(1, sizeof(*call));
	struct buffer bytes;

	if (call == NULL)
		opt_abort("out of memory");
	if (peer == core->self)
		opt_abort("a call to the node itself");
	if (core->next_call == 0)
		core->next_call = first_token(core);
	request->answer = false;
	request->token = core->next_call++;
	buffer_init(&bytes);
	peer_encode(request, &bytes);
	call->token = request->token;
	call->peer = peer;
	call->kind = kind;
	call->type = request->type;
	call->owner = owner;
	call->bulk = bulk;
	call->held = true;
	call->data = bytes.data;
	call->len = bytes.len;
	timer_init(&call->timer, TIMER_CALL, call);
	RB_INSERT(call_tree, &core->calls, call);
	TAILQ_INSERT_TAIL(&peer->calls, call, link);
	mesh_need(core, peer);
	return call;
}

struct call *call_start(struct core *core, struct peer *peer, enum call_kind kind, void *owner,
    struct peer_message *request, bool bulk)
{
	struct call *call = call_start_held(core, peer, kind, owner, request, bulk);

	call_release(core, call);
	return call;
}

void call_release(struct core *core, struct call *call)
{
	call->held = false;
	call->wait = first_wait(call);
	send_call(core, call);
}

static void call_free(struct core *core, struct call *call)
{
	timer_disarm(&core->boot_timers, &call->timer);
	TAILQ_REMOVE(&call->peer->calls, call, link);
	RB_REMOVE(call_tree, &core->calls, call);
	free(call->data);
	free(call);
}

void call_end(struct core *core, struct call *call)
{
	if (!call->answered)
		call_free(core, call);
}

void call_again(struct call *call)
{
	call->answered = false;
}

void call_hold(struct core *core, struct call *call)
{
	call->answered = false;
	call->held = true;
	timer_disarm(&core->boot_timers, &call->timer);
}

/* To the part of the core that waits for it. */
static void dispatch(struct core *core, struct call *call, const struct peer_message *answer)
{
	switch (call->kind) {
	case CALL_STAGE:
		place_answered(core, call, answer);
		return;
	case CALL_ANNOUNCE:
		announce_answered(core, call, answer);
		return;
	case CALL_PUSH:
		homesync_answered(core, call, answer);
		return;
	case CALL_PREPARE:
	case CALL_ACCEPT:
		propose_answered(core, call, answer);
		return;
	case CALL_READ:
		homeread_answered(core, call, answer);
		return;
	case CALL_DECISION:
		stage_answered(core, call, answer);
		return;
	case CALL_CONTROL:
		tell_answered(core, call, answer);
		return;
	case CALL_COMMAND:
	case CALL_STATUS:
	case CALL_RECORD:
	case CALL_FETCH:
	case CALL_FETCH_JOURNAL:
		gather_answered(core, call, answer);
		return;
	case CALL_APPEND:
		replicate_answered(core, call, answer);
		return;
	case CALL_PROMISE:
		takeover_promised(core, call, answer);
		return;
	case CALL_JOURNAL:
	case CALL_UNION:
		sync_answered(core, call, answer);
		return;
	case CALL_ENDS:
		ends_answered(core, call, answer);
		return;
	case CALL_CATCH_UP:
		catchup_answered(core, call, answer);
		return;
	case CALL_TAKE:
	case CALL_JOIN:
	case CALL_CONFIG:
		change_answered(core, call, answer);
		return;
	case CALL_JOIN_FETCH:
		join_fetched(core, call, answer);
		return;
	case CALL_CLAIMS:
		doubt_answered(call);
		return;
	case CALL_GIVE:
		move_given(core, call, answer);
		return;
	default:
		return;
	}
}

void call_answered(struct core *core, struct peer *peer, const struct peer_message *answer)
{
	struct call *call = call_find(core, answer->token);

	if (call == NULL || call->peer != peer || call->type != answer->type)
		return;
	call->answered = true;
	dispatch(core, call, answer);
	/* The handler may have gone on with it and ended it for good. */
	call = call_find(core, answer->token);
	if (call != NULL && call->answered)
		call_free(core, call);
}

void call_due(struct core *core, struct call *call)
{
	call->wait *= 2;
	if (call->wait > CALL_REPEAT_MAX)
		call->wait = CALL_REPEAT_MAX;
	send_call(core, call);
}

void calls_peer_up(struct core *core, struct peer *peer)
{
	struct call *call;

	TAILQ_FOREACH (call, &peer->calls, link) {
		if (!call->held)
			call_release(core, call);
	}
}

void call_reply_to(struct core *core, struct peer *peer, enum peer_type type, uint64_t token,
    enum peer_status status, struct peer_message *answer)
{
	answer->type = type;
	answer->answer = true;
	answer->token = token;
	answer->status = status;
	call_notice(core, peer, answer);
}

void call_reply(struct core *core, struct peer *peer, const struct peer_message *request,
    enum peer_status status, struct peer_message *answer)
{
	call_reply_to(core, peer, request->type, request->token, status, answer);
}

void call_notice(struct core *core, struct peer *peer, const struct peer_message *message)
{
	struct buffer bytes;

	buffer_init(&bytes);
	peer_encode(message, &bytes);
	/* What is large waits behind what is small: a heartbeat can't. */
	send_bytes(core, peer, bytes.data, bytes.len, bytes.len > CALL_SMALL);
	buffer_done(&bytes);
}

void call_notice_all(
    struct core *core, const struct peer_message *message, bool (*left_out)(const struct peer *))
{
	struct buffer bytes;
	struct peer *peer;
	const void *data;

	buffer_init(&bytes);
	peer_encode(message, &bytes);
	data = effects_copy(core->effects, bytes.data, bytes.len);
	TAILQ_FOREACH (peer, &core->linked, links) {
		if (!left_out(peer))
			send_owned(core, peer, data, bytes.len, bytes.len > CALL_SMALL);
	}
	buffer_done(&bytes);
}

void calls_free(struct core *core)
{
	struct call *call;

	while ((call = RB_MIN(call_tree, &core->calls)) != NULL)
		call_free(core, call);
}
