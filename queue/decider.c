/* SPDX-License-Identifier: MIT */
/* See decider.h. */
#include "queue/decider.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "dht/view.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/mesh.h"
#include "queue/registers.h"

enum { NEAR_MAX = 256 };

bool decider_member(const struct core *core, const struct peer *peer)
{
	const struct member *found = view_find(core->view, &peer->id);

	return peer == core->self || (found != NULL && !found->forgotten);
}

static bool was_member(const struct core *core, const struct peer *peer)
{
	const struct registers *r = core->registers;

	for (uint32_t i = 0; i < r->before_count; i++) {
		if (id_equal(&r->before[i], &peer->id))
			return true;
	}
	return false;
}

bool decider_is(const struct core *core, const struct peer *peer)
{
	if (peer_forgotten(core, peer))
		return !peer->homes_settled;
	return decider_member(core, peer) || was_member(core, peer);
}

const struct ring *decider_ring(struct core *core)
{
	struct registers *r = core->registers;
	struct ring_node *nodes;
	struct ring *ring;
	size_t count = 0;

	if (r->ring != NULL && r->ring_fresh)
		return r->ring;
	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p))
		count += decider_is(core, p);
	nodes = calloc(count + 1, sizeof(*nodes));
	if (nodes == NULL)
		opt_abort("out of memory");
	count = 0;
	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p)) {
		if (decider_is(core, p))
			nodes[count++] = (struct ring_node){.node = p->id, .weight = WEIGHT_ONE};
	}
	ring = ring_new(nodes, count, r->ring);
	if (ring == NULL)
		opt_abort("more members than a ring takes");
	ring_free(r->ring);
	free(nodes);
	r->ring = ring;
	r->ring_fresh = true;
	return ring;
}

/* In a large cluster nobody waits for those that were forgotten (queue/homeread.h). */
static bool listed(const struct core *core, const struct peer *peer)
{
	return decider_is(core, peer) && !(mesh_partial(core) && peer_forgotten(core, peer));
}

void decider_list(struct core *core, uint64_t token, struct buffer *out)
{
	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p)) {
		if (!listed(core, p)) {
			p->marked = 0;
			continue;
		}
		buffer_add(out, p->id.bytes, OPT_ID_SIZE);
		if (p->marked == 0)
			p->marked = token;
	}
}

void decider_recover(struct core *core, const void *ids, size_t len)
{
	struct registers *r = core->registers;
	const uint32_t count = (uint32_t)(len / OPT_ID_SIZE);

	free(r->before);
	r->before = calloc(count + 1, sizeof(*r->before));
	if (r->before == NULL)
		opt_abort("out of memory");
	for (uint32_t i = 0; i < count; i++) {
		memcpy(r->before[i].bytes, (const char *)ids + (size_t)i * OPT_ID_SIZE, OPT_ID_SIZE);
		peer_of(core, &r->before[i]); /* so that it can be forgotten */
	}
	r->before_count = count;
}

bool decider_marked(const struct core *core, const struct peer *peer)
{
	return peer->marked != 0 && peer->marked <= core->registers->marked;
}

bool decider_missing(const struct core *core)
{
	const struct registers *r = core->registers;

	for (uint32_t i = 0; i < r->before_count; i++) {
		if (view_find(core->view, &r->before[i]) == NULL)
			return true;
	}
	return false;
}

bool decider_unnamed(const struct core *core, const struct peer *peer)
{
	return view_find(core->view, &peer->id) == NULL && was_member(core, peer);
}

bool decider_lost(struct core *core, const struct opt_id *batch, uint32_t homes)
{
	struct opt_id near[NEAR_MAX];
	uint32_t count, found = 0, away = 0, missing = 0;

	if (!decider_missing(core))
		return false;
	count = (uint32_t)ring_closest(decider_ring(core), batch, NEAR_MAX, near);
	for (uint32_t i = 0; i < count && found < homes; i++) {
		const struct peer *peer = peer_of(core, &near[i]);

		if (!was_member(core, peer) || peer_forgotten(core, peer))
			continue;
		found++;
		missing += !decider_member(core, peer);
		away += !peer_alive(core, peer);
	}
	return missing > 0 && 2 * away >= found;
}
