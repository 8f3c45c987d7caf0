/* SPDX-License-Identifier: MIT */
/*
 * The mesh. Every update marks what is needed now with the time; a link goes when its mark is MESH_KEEP old,
 * or at once when its member has left or was forgotten. Nothing is asked twice: `wanted` and `address` say
 * what the shell was told.
 */
#include "queue/mesh.h"

#include <stdlib.h>
#include <string.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/error.h"

static bool stays(const struct member *member)
{
	return !member->forgotten && (member->presence.flags & PRESENCE_LEFT) == 0;
}

bool mesh_partial(const struct core *core)
{
	return view_members(core->view) > MESH_FULL;
}

static void need(struct core *core, const struct opt_id *id)
{
	peer_of(core, id)->needed = core->now;
}

/* Members that stay, this node among them; free the result. */
static const struct opt_id **list_members(const struct core *core, size_t *ret_count, size_t *ret_self)
{
	const struct opt_id **ids = calloc(view_members(core->view) + 1, sizeof(const struct opt_id *));
	size_t count = 0;

	if (ids == NULL)
		opt_abort("out of memory");
	*ret_self = 0;
	for (const struct member *member = view_first(core->view); member != NULL;
	     member = view_next(core->view, member)) {
		const bool self = id_equal(&member->presence.node, &core->self->id);

		if (!self && !stays(member))
			continue;
		if (self)
			*ret_self = count;
		ids[count++] = &member->presence.node;
	}
	*ret_count = count;
	return ids;
}

static void need_members(struct core *core)
{
	size_t count, self;
	const struct opt_id **ids = list_members(core, &count, &self);

	if (!mesh_partial(core)) {
		for (size_t i = 0; i < count; i++)
			need(core, ids[i]);
	} else {
		for (size_t step = 1; step < count; step *= 2) {
			need(core, ids[(self + step) % count]);
			need(core, ids[(self + count - step) % count]);
		}
	}
	free(ids);
}

static void need_replicas(struct core *core)
{
	for (struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		for (uint32_t i = 0; i < batch->record.shard_count && batch->unfinished > 0; i++) {
			const struct shard *shard = &batch->shards[i];

			for (uint8_t m = 0; shard->mine && m < shard->member_count; m++) {
				if (shard->phase != SHARD_FINISHED)
					shard->members[m]->needed = core->now;
			}
		}
	}
}

static void want(struct core *core, struct peer *peer, const char *address)
{
	struct effect *effect;

	if (address[0] == '\0' || (peer->wanted && strcmp(peer->address, address) == 0))
		return;
	peer->wanted = true;
	memcpy(peer->address, address, sizeof(peer->address));
	effect = effects_add(core->effects, EFFECT_PEER_WANT);
	effect->id = peer->id;
	effect->text = effects_copy_text(core->effects, address);
}

static void unwant(struct core *core, struct peer *peer)
{
	if (!peer->wanted)
		return;
	peer->wanted = false;
	effects_add(core->effects, EFFECT_PEER_UNWANT)->id = peer->id;
	if (!peer->linked)
		view_link(core->view, &peer->id, LINK_UNWATCHED, core->now);
}

static void decide(struct core *core, struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	if (peer == core->self || member == NULL)
		return;
	if (!TAILQ_EMPTY(&peer->calls))
		peer->needed = core->now;
	if (!stays(member))
		unwant(core, peer);
	else if (peer->needed.us == core->now.us)
		want(core, peer, member->presence.address);
	else if (core->now.us > peer->needed.us + MESH_KEEP)
		unwant(core, peer);
}

void mesh_update(struct core *core)
{
	need_members(core);
	if (mesh_partial(core))
		need_replicas(core);
	for (struct peer *peer = peer_next(core, NULL); peer != NULL; peer = peer_next(core, peer))
		decide(core, peer);
	core->mesh_stale = false;
}
