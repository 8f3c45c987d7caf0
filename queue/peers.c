/* SPDX-License-Identifier: MIT */
/* See peers.h. */
#include "queue/peers.h"

#include <stdlib.h>

#include "queue/control.h"
#include "queue/error.h"
#include "queue/write.h"

static int compare(const struct peer *a, const struct peer *b)
{
	return id_compare(&a->id, &b->id);
}

RB_GENERATE_STATIC(peer_tree, peer, node, compare)

struct peer *peer_find(struct core *core, const struct opt_id *id)
{
	struct peer key = {.id = *id};

	return RB_FIND(peer_tree, &core->peers, &key);
}

struct peer *peer_of(struct core *core, const struct opt_id *id)
{
	struct peer *peer = peer_find(core, id);

	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		opt_abort("out of memory");
	peer->id = *id;
	TAILQ_INIT(&peer->calls);
	RB_INIT(&peer->requests);
	RB_INSERT(peer_tree, &core->peers, peer);
	return peer;
}

struct peer *peer_next(struct core *core, struct peer *peer)
{
	return peer == NULL ? RB_MIN(peer_tree, &core->peers) : RB_NEXT(peer_tree, &core->peers, peer);
}

bool peer_linked(const struct core *core, const struct peer *peer)
{
	return peer == core->self || peer->linked;
}

bool peer_member_alive(const struct member *member)
{
	return member != NULL && !member->forgotten && member->state != MEMBER_GONE;
}

bool peer_forgotten(const struct core *core, const struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	return member != NULL && member->forgotten;
}

bool peer_alive(const struct core *core, const struct peer *peer)
{
	return peer == core->self || peer_member_alive(view_find(core->view, &peer->id));
}

/* It does not run, and not only for the moment of a restart. */
static bool engine_gone(const struct core *core)
{
	return core->engine != ENGINE_UP &&
	       (core->engine_up_at.us == 0 || core->now.us - core->engine_up_at.us >= HEALTH_PATIENCE);
}

/* Something was given to the store so long ago that it should have answered. */
static bool store_silent(const struct core *core)
{
	return write_wait(core) >= HEALTH_PATIENCE;
}

uint32_t peer_self_flags(const struct core *core)
{
	return (control_draining(core) ? PRESENCE_DRAINING : 0U) | (core->leaving ? PRESENCE_LEFT : 0U) |
	       (engine_gone(core) || store_silent(core) ? PRESENCE_NO_ENGINE : 0U);
}

bool peer_may_own(const struct core *core, const struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	if (peer == core->self)
		return peer_self_flags(core) == 0;
	return peer_member_alive(member) &&
	       (member->presence.flags & (PRESENCE_DRAINING | PRESENCE_LEFT | PRESENCE_NO_ENGINE)) == 0;
}

uint64_t peer_incarnation(const struct core *core, const struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	return member == NULL ? 0 : member->presence.incarnation;
}

void peers_free(struct core *core)
{
	struct peer *peer;

	while ((peer = RB_MIN(peer_tree, &core->peers)) != NULL) {
		RB_REMOVE(peer_tree, &core->peers, peer);
		free(peer->address);
		free(peer);
	}
}
