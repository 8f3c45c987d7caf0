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

enum { GONE_MAX = 8 /* members in a row that are stepped over because they are gone */ };

static bool stays(const struct member *member)
{
	return !member->forgotten && (member->presence.flags & PRESENCE_LEFT) == 0;
}

bool mesh_partial(const struct core *core)
{
	return view_members(core->view) > MESH_FULL;
}

static void list(struct core *core, struct peer *peer)
{
	struct peer *after = TAILQ_LAST(&core->needed, peer_list);

	if (peer->in_needed || peer == core->self)
		return;
	peer->in_needed = true;
	while (after != NULL && id_compare(&after->id, &peer->id) > 0)
		after = TAILQ_PREV(after, peer_list, needs);
	if (after != NULL)
		TAILQ_INSERT_AFTER(&core->needed, after, peer, needs);
	else
		TAILQ_INSERT_HEAD(&core->needed, peer, needs);
}

void mesh_need(struct core *core, struct peer *peer)
{
	peer->needed = core->now;
	list(core, peer);
}

/* For the sake of the cluster, and not because there is something to say to it. */
static void hold(struct core *core, struct peer *peer)
{
	peer->held = core->now;
	list(core, peer);
}

static void need_all(struct core *core)
{
	for (const struct member *member = view_first(core->view); member != NULL;
	     member = view_next(core->view, member)) {
		if (stays(member))
			hold(core, peer_of(core, &member->presence.node));
	}
}

/* The members that stay, by id. Free the result. */
static const struct member **list_members(const struct core *core, size_t *ret_count)
{
	const struct member **members = calloc(view_members(core->view) + 1, sizeof(*members));
	size_t count = 0;

	if (members == NULL)
		opt_abort("out of memory");
	for (const struct member *member = view_first(core->view); member != NULL;
	     member = view_next(core->view, member)) {
		if (stays(member))
			members[count++] = member;
	}
	*ret_count = count;
	return members;
}

/* The id that is 2^bit further on the circle. */
static struct opt_id further(const struct opt_id *id, int bit)
{
	struct opt_id sum = *id;
	unsigned carry = 1U << bit % 8;

	for (int i = OPT_ID_SIZE - 1 - bit / 8; i >= 0 && carry > 0; i--) {
		carry += sum.bytes[i];
		sum.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return sum;
}

/* The first member from that id on. */
static size_t first_from(const struct member *const *members, size_t count, const struct opt_id *id)
{
	size_t low = 0, high = count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (id_compare(&members[middle]->presence.node, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low % count;
}

static void add_step(struct core *core, const struct member *member)
{
	struct peer *peer = peer_of(core, &member->presence.node);

	if (peer == core->self || (core->step_count > 0 && core->steps[core->step_count - 1] == peer))
		return;
	core->steps = reallocarray(core->steps, core->step_count + 1, sizeof(struct peer *));
	if (core->steps == NULL)
		opt_abort("out of memory");
	core->steps[core->step_count++] = peer;
}

/* That member, and while it is gone the next one that is not. */
static void add_living(struct core *core, const struct member *const *members, size_t count, size_t at)
{
	add_step(core, members[at]);
	for (size_t i = 0; i < GONE_MAX && members[at]->state == MEMBER_GONE; i++)
		at = (at + 1) % count;
	if (members[at]->state != MEMBER_GONE)
		add_step(core, members[at]);
}

static void choose_steps(struct core *core)
{
	const struct opt_id *self = &core->self->id;
	const struct opt_id behind = further(self, 0);
	size_t count, next;
	const struct member **members = list_members(core, &count);

	core->step_count = 0;
	core->steps_stale = false;
	core->steps_at = core->now;
	if (count > 0) {
		next = first_from(members, count, &behind);
		add_living(core, members, count, next);
		for (int bit = OPT_ID_SIZE * 8 - 1; bit >= 0; bit--) {
			const struct opt_id id = further(self, bit);
			const size_t at = first_from(members, count, &id);

			if (at == next)
				break;
			add_living(core, members, count, at);
		}
	}
	free(members);
}

static void need_steps(struct core *core)
{
	/* While many come at once it is soon enough each second. */
	if (core->steps_stale && (core->step_count == 0 || core->now.us >= core->steps_at.us + USEC_PER_SEC))
		choose_steps(core);
	for (uint32_t i = 0; i < core->step_count; i++)
		hold(core, core->steps[i]);
}

static void need_replicas(struct core *core)
{
	for (struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		for (uint32_t i = 0; i < batch->record.shard_count && batch->unfinished > 0; i++) {
			const struct shard *shard = &batch->shards[i];

			for (uint8_t m = 0; shard->mine && m < shard->member_count; m++) {
				if (shard->phase != SHARD_FINISHED)
					mesh_need(core, shard->members[m]);
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
	free(peer->address);
	peer->address = strdup(address);
	if (peer->address == NULL)
		opt_abort("out of memory");
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

/* False when it is not needed any more. */
static bool decide(struct core *core, struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	bool needed;

	if (!TAILQ_EMPTY(&peer->calls))
		peer->needed = core->now;
	needed = peer->needed.us == core->now.us || peer->held.us == core->now.us;
	if (member != NULL && !stays(member))
		unwant(core, peer);
	else if (member != NULL && needed)
		want(core, peer, member->presence.address);
	else if (core->now.us > peer->needed.us + MESH_KEEP && core->now.us > peer->held.us + MESH_HOLD)
		unwant(core, peer);
	return peer->wanted || needed;
}

void mesh_update(struct core *core)
{
	struct peer *peer, *next;

	if (mesh_partial(core)) {
		need_steps(core);
		need_replicas(core);
	} else {
		need_all(core);
	}
	TAILQ_FOREACH_SAFE (peer, &core->needed, needs, next) {
		if (decide(core, peer))
			continue;
		peer->in_needed = false;
		TAILQ_REMOVE(&core->needed, peer, needs);
	}
	core->mesh_stale = false;
}
