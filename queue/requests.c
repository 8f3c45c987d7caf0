/* SPDX-License-Identifier: MIT */
/* See requests.h. */
#include "queue/requests.h"

#include "queue/accept.h"
#include "queue/append.h"
#include "queue/catchup.h"
#include "queue/command.h"
#include "queue/control.h"
#include "queue/fetch.h"
#include "queue/gather.h"
#include "queue/home.h"
#include "queue/homeread.h"
#include "queue/join.h"
#include "queue/move.h"
#include "queue/peers.h"
#include "queue/stage.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/tell.h"
#include "queue/write.h"

/* So many writes, and reads, may wait for a store that does not answer before others can't add to them. */
enum { SMALL_MAX = 1000, VALUES_MAX = 100 /* of up to 768 KiB */ };

static uint64_t most_waiting(enum peer_type type)
{
	switch (type) {
	case PEER_STAGE_OPEN:
	case PEER_STAGE_SHARD:
		return VALUES_MAX;
	case PEER_PREPARE:
	case PEER_ACCEPT:
	case PEER_RECORD:
	case PEER_APPEND:
	case PEER_PROMISE:
	case PEER_JOURNAL:
	case PEER_CONTROL:
	case PEER_VERSION:
		return SMALL_MAX;
	default:
		return UINT64_MAX;
	}
}

/* A store may be away for hours, and whoever asked will ask again. */
static bool has_room(const struct core *core, enum peer_type type)
{
	return core->awaited_count < most_waiting(type) || write_wait(core) < HEALTH_PATIENCE;
}

void requests_take(struct core *core, struct peer *peer, const struct peer_message *message)
{
	if (!has_room(core, message->type))
		return;
	switch (message->type) {
	case PEER_STAGE_OPEN:
		stage_open(core, peer, message);
		return;
	case PEER_STAGE_SHARD:
		stage_shard(core, peer, message);
		return;
	case PEER_STAGE_DROP:
		stage_drop(core, peer, message);
		return;
	case PEER_PREPARE:
		home_prepare(core, peer, message);
		return;
	case PEER_ACCEPT:
		home_accept(core, peer, message);
		return;
	case PEER_RECORD:
		accept_request(core, peer, message);
		return;
	case PEER_DECISION:
		stage_decision(core, peer, message);
		return;
	case PEER_APPEND:
		append_request(core, peer, message);
		return;
	case PEER_PROMISE:
		takeover_promise(core, peer, message);
		return;
	case PEER_TAKE:
		takeover_take(core, peer, message);
		return;
	case PEER_JOIN:
		join_request(core, peer, message);
		return;
	case PEER_GIVE:
		move_give(core, peer, message);
		return;
	case PEER_JOURNAL:
		sync_journal(core, peer, message);
		return;
	case PEER_CATCH_UP:
		catchup_request(core, peer, message);
		return;
	case PEER_STATUS:
		gather_status(core, peer, message);
		return;
	case PEER_FETCH:
		fetch_serve(core, peer, message);
		return;
	case PEER_CONTROL:
		tell_request(core, peer, message);
		return;
	case PEER_VERSION:
		command_version(core, peer, message);
		return;
	case PEER_DRAIN:
		control_drain_request(core, peer, message);
		return;
	case PEER_READ:
		homeread_serve(core, peer, message);
		return;
	default:
		return;
	}
}
