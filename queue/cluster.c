/* SPDX-License-Identifier: MIT */
/*
 * What the view (dht/view.h) says of the members, and the two rings that follow from it.
 *
 * Whatever comes from outside is noted in the view at once; what follows is done by cluster_run() at the end
 * of the step: the view judges, and who changed is told to the rest of the core. So nothing that handles an
 * event has the members change under its hands.
 *
 * The ring of homes counts every member the same, whatever its weight: who sees the same members must compute
 * the same homes, and cluster_hash() covers nothing but ids.
 *
 * Requests are not taken before all journals are known, as nothing could be said about shards; they are
 * repeated until then. A link's handshake proves ids but carries no record: a member that is not known yet
 * becomes one with its first heartbeat.
 */
#include "queue/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "queue/alone.h"
#include "queue/announce.h"
#include "queue/call.h"
#include "queue/catchup.h"
#include "queue/ends.h"
#include "queue/error.h"
#include "queue/heartbeat.h"
#include "queue/homefinish.h"
#include "queue/homeread.h"
#include "queue/homesync.h"
#include "queue/isolation.h"
#include "queue/join.h"
#include "queue/lost_writes.h"
#include "queue/mesh.h"
#include "queue/move.h"
#include "queue/replica.h"
#include "queue/requests.h"
#include "queue/restore.h"
#include "queue/shard.h"
#include "queue/tell.h"
#include "queue/upload.h"
#include "queue/values.h"

void cluster_init(struct core *core)
{
	struct presence self = core->config.presence;

	self.node = core->config.node;
	TAILQ_INIT(&core->linked);
	TAILQ_INIT(&core->needed);
	core->view = view_new(&self);
	core->self = peer_of(core, &core->config.node);
	/* Each begins its round elsewhere: peers that began together would all say the same at once. */
	core->digest_cursor = core->config.node;
	core->peer_reader = peer_reader_new();
	core->ring_stale = true;
	core->homes_stale = true;
	timer_init(&core->heartbeat, TIMER_HEARTBEAT, core);
}

void cluster_free(struct core *core)
{
	peers_free(core);
	free(core->steps);
	peer_reader_free(core->peer_reader);
	ring_free(core->ring);
	ring_free(core->homes_ring);
	view_free(core->view);
}

uint32_t cluster_alive(const struct core *core)
{
	uint32_t count = 0;

	for (const struct member *member = view_first(core->view); member != NULL;
	     member = view_next(core->view, member))
		count += peer_member_alive(member);
	return count;
}

uint32_t cluster_members(const struct core *core)
{
	return (uint32_t)view_members(core->view);
}

bool cluster_lonely(const struct core *core)
{
	const struct member *first = view_first(core->view);

	return core->config.company && (first == NULL || view_next(core->view, first) == NULL);
}

struct opt_id cluster_hash(const struct core *core)
{
	return view_hash(core->view);
}

static bool on_ring(const struct member *member, bool homes)
{
	if (homes)
		return !member->forgotten;
	return peer_member_alive(member) && (member->presence.flags & PRESENCE_LEFT) == 0;
}

static void make_ring(const struct core *core, bool homes, struct ring **ring)
{
	struct ring_node *nodes = calloc(view_members(core->view) + 1, sizeof(*nodes));
	struct ring *before = *ring;
	size_t count = 0;

	if (nodes == NULL)
		opt_abort("out of memory");
	for (const struct member *member = view_first(core->view); member != NULL;
	     member = view_next(core->view, member)) {
		if (on_ring(member, homes))
			nodes[count++] = (struct ring_node){.node = member->presence.node,
			    .weight = homes ? WEIGHT_ONE : member->presence.weight};
	}
	*ring = ring_new(nodes, count, before);
	if (*ring == NULL)
		opt_abort("more members than a ring takes");
	ring_free(before);
	free(nodes);
}

static struct ring *live_ring(struct core *core)
{
	if (core->ring_stale)
		make_ring(core, false, &core->ring);
	core->ring_stale = false;
	return core->ring;
}

uint32_t cluster_closest(
    struct core *core, const struct opt_id *key, uint32_t count, struct peer *ret_peers[])
{
	struct ring *ring = live_ring(core);
	struct opt_id *ids = calloc(count + 1, sizeof(*ids));
	uint32_t found;

	if (ids == NULL)
		opt_abort("out of memory");
	found = (uint32_t)ring_closest(ring, key, count, ids);
	for (uint32_t i = 0; i < found; i++)
		ret_peers[i] = peer_of(core, &ids[i]);
	free(ids);
	return found;
}

static uint32_t at_most(uint32_t number, size_t most)
{
	return number < most ? number : (uint32_t)most;
}

uint32_t cluster_near(struct core *core, const struct opt_id *batch, uint32_t count, struct peer *ret_peers[])
{
	struct opt_id ids[CLUSTER_NEAR_MAX];

	if (core->homes_stale)
		make_ring(core, true, &core->homes_ring);
	core->homes_stale = false;
	count = (uint32_t)ring_closest(core->homes_ring, batch, at_most(count, CLUSTER_NEAR_MAX), ids);
	for (uint32_t i = 0; i < count; i++)
		ret_peers[i] = peer_of(core, &ids[i]);
	return count;
}

uint32_t cluster_homes(struct core *core, const struct opt_id *batch, struct peer *ret_homes[REPLICAS_MAX])
{
	const uint32_t count = at_most(core->config.replicas, REPLICAS_MAX);

	return cluster_near(core, batch, count > 2 ? count : 2, ret_homes);
}

/* Those that may own nothing only replicate; where that is so of all, the mail waits with its owner. */
static void rest(struct core *core, struct spread *spread)
{
	uint32_t owners = 0;

	for (struct peer *peer = peer_next(core, NULL); peer != NULL; peer = peer_next(core, peer))
		owners += peer_may_own(core, peer);
	for (struct peer *peer = peer_next(core, NULL); peer != NULL && owners > 0;
	     peer = peer_next(core, peer)) {
		if (!peer_may_own(core, peer))
			spread_rest(spread, &peer->id);
	}
}

int cluster_spread(struct core *core, uint32_t replicas, struct spread **ret_spread, uint32_t *ret_replicas)
{
	const uint32_t least = at_most(2, view_members(core->view));
	struct ring *ring = live_ring(core);
	uint32_t number = at_most(replicas > 0 ? replicas : core->config.replicas, REPLICAS_MAX);

	if (ring_count(ring) < least)
		return OPT_E_AGAIN;
	number = at_most(number > least ? number : least, ring_count(ring));
	*ret_spread = spread_new(ring, number);
	*ret_replicas = number;
	rest(core, *ret_spread);
	return 0;
}

/* From now on there is somebody to listen to. */
static void begin(struct core *core)
{
	if (core->beating)
		return;
	core->beating = true;
	core->beat_at.us = core->now.us + HEARTBEAT_EVERY;
	heartbeat_measure(core);
	heartbeat_judge_clock(core);
}

void cluster_recovered(struct core *core)
{
	struct shard *shard = shard_next(core, NULL);

	while (shard != NULL && (!shard->mine || shard->member_count == 1))
		shard = shard_next(core, shard);
	if (shard != NULL)
		begin(core);
}

/* A peer with a link may be unknown to the view until its record comes. */
static void meet(struct core *core, struct peer *peer)
{
	const struct member *member = view_find(core->view, &peer->id);

	if (peer->linked && member != NULL && !member->linked)
		view_link(core->view, &peer->id, LINK_UP, core->now);
}

void cluster_presence(struct core *core, const struct presence *presence)
{
	if (id_is_zero(&presence->node) || !view_presence(core->view, presence, core->now))
		return;
	begin(core);
	meet(core, peer_of(core, &presence->node));
}

static void set_linked(struct core *core, struct peer *peer, bool linked)
{
	struct peer *after = TAILQ_LAST(&core->linked, peer_list);

	if (peer->linked == linked)
		return;
	peer->linked = linked;
	if (!linked) {
		TAILQ_REMOVE(&core->linked, peer, links);
		return;
	}
	while (after != NULL && id_compare(&after->id, &peer->id) > 0)
		after = TAILQ_PREV(after, peer_list, links);
	if (after != NULL)
		TAILQ_INSERT_AFTER(&core->linked, after, peer, links);
	else
		TAILQ_INSERT_HEAD(&core->linked, peer, links);
}

void cluster_peer_up(struct core *core, const struct opt_id *id)
{
	struct peer *peer = peer_of(core, id);

	if (peer == core->self)
		return;
	begin(core);
	set_linked(core, peer, true);
	alone_linked(peer);
	view_link(core->view, id, LINK_UP, core->now);
	homesync_peer_changed(core, peer);
	heartbeat_send(core, peer);
	calls_peer_up(core, peer);
	ends_peer_up(core, peer);
}

void cluster_peer_down(struct core *core, const struct opt_id *id)
{
	struct peer *peer = peer_of(core, id);

	if (!peer->linked)
		return;
	set_linked(core, peer, false);
	ends_peer_down(core, peer);
	view_link(core->view, id, peer->wanted ? LINK_DOWN : LINK_UNWATCHED, core->now);
	homesync_peer_changed(core, peer);
}

void cluster_peer_refused(struct core *core, const struct opt_id *id)
{
	struct peer *peer = peer_of(core, id);

	if (peer == core->self)
		return;
	alone_refused(core, peer);
	if (peer->wanted)
		view_link(core->view, id, LINK_REFUSED, core->now);
}

static void notice(struct core *core, const struct opt_id *id, const char *text)
{
	struct effect *effect = effects_add(core->effects, EFFECT_NOTICE);

	effect->id = *id;
	effect->text = effects_copy_text(core->effects, text);
}

static void take_heartbeat(struct core *core, struct peer *peer, const struct peer_message *message)
{
	heartbeat_take(core, peer, message);
	meet(core, peer);
}

void cluster_frame(struct core *core, const struct opt_id *from, const void *data, size_t len)
{
	struct peer *peer = peer_of(core, from);
	struct peer_message message;

	if (peer == core->self)
		return;
	if (peer_read(core->peer_reader, data, len, &message) != 0) {
		effects_add(core->effects, EFFECT_PEER_END)->id = *from;
		return;
	}
	view_heard(core->view, from, core->now);
	if (message.answer)
		call_answered(core, peer, &message);
	else if (message.type == PEER_HEARTBEAT)
		take_heartbeat(core, peer, &message);
	else if (core->recovered)
		requests_take(core, peer, &message);
}

/* A node that is known from records alone, as after a restart of all others, can be forgotten, too. */
static int forget(struct core *core, const struct opt_id *node)
{
	const struct peer *peer = peer_find(core, node);
	const struct member *member = view_find(core->view, node);
	const struct presence nothing = {.node = *node, .weight = WEIGHT_ONE};

	if (peer == NULL)
		return OPT_E_NOT_FOUND;
	if (peer == core->self || (member == NULL ? peer->linked : peer_member_alive(member)))
		return OPT_E_CONFLICT;
	if (member == NULL)
		view_presence(core->view, &nothing, core->now);
	view_forget(core->view, node, core->now);
	begin(core);
	return 0;
}

void cluster_forget(struct core *core, uint64_t reply, const struct opt_id *node)
{
	const int status = forget(core, node);
	struct effect *effect = effects_add(core->effects, EFFECT_COMMAND_ANSWER);

	effect->reply = reply;
	effect->status = status;
	if (status == 0)
		heartbeat_send_all(core);
}

void cluster_leave(struct core *core)
{
	core->leaving = true;
}

void cluster_tick(struct core *core)
{
	if (core->now.us < core->beat_at.us)
		return; /* the view wants to judge, no more */
	core->beat_at.us = core->now.us + HEARTBEAT_EVERY;
	heartbeat_measure(core);
	heartbeat_judge_clock(core);
	homesync_tick(core);
	homefinish_tick(core);
	homereads_tick(core);
	heartbeat_send_all(core);
	uploads_tick(core);
	announces_tick(core);
	lost_writes_tick(core);
	isolation_tick(core);
	replica_tick(core);
	catchup_tick(core);
	values_tick(core);
	ends_tick(core);
	tell_tick(core);
	join_tick(core);
	restore_tick(core);
	move_tick(core);
	core->mesh_stale = core->mesh_stale || mesh_partial(core);
}

/* For everybody whose shards, batches or questions depend on that peer. */
static void peer_changed(struct core *core, struct peer *peer, const struct member *member)
{
	const bool first = (member->changes & CHANGE_NEW) != 0;

	if (member->forgotten)
		notice(core, &peer->id, "node_forgotten");
	else if (member->state != member->before || first)
		notice(core, &peer->id,
		    member->state == MEMBER_UP        ? "node_up"
		    : member->state == MEMBER_SUSPECT ? "node_suspect"
		                                      : "node_gone");
	/* It was stopped, and its link outlived that: what was decided meanwhile was not kept for it. */
	if (mesh_partial(core))
		homesync_member_changed(core, peer, member->before == MEMBER_GONE || first);
	else if (member->before == MEMBER_GONE && member->state != MEMBER_GONE && peer->linked)
		homesync_peer_changed(core, peer);
	restore_peer_changed(core, peer);
	replica_peer_changed(core, peer);
	tell_peer_changed(core, peer);
}

static void judge(struct core *core)
{
	const struct member *const *members;
	const size_t count = view_judge(core->view, core->now, &members);
	const struct member **changed = calloc(count + 1, sizeof(const struct member *));
	bool homes_changed = false;

	if (changed == NULL)
		opt_abort("out of memory");
	for (size_t i = 0; i < count; i++) {
		changed[i] = members[i];
		core->ring_stale = true;
		core->mesh_stale = true;
		core->steps_stale = true;
		homes_changed = homes_changed || (members[i]->changes & (CHANGE_NEW | CHANGE_FORGOTTEN));
	}
	core->homes_stale = core->homes_stale || homes_changed;
	if (homes_changed)
		homeread_members_changed(core);
	for (size_t i = 0; i < count; i++) {
		struct peer *peer = peer_of(core, &changed[i]->presence.node);

		if (peer != core->self)
			peer_changed(core, peer, changed[i]);
	}
	free(changed);
}

/* Our own record: said to the DHT, and at once to the peers. */
static void publish(struct core *core)
{
	const struct presence *self = view_self(core->view);
	struct effect *effect;

	if (core->published.incarnation == self->incarnation && core->published.sequence == self->sequence &&
	    id_equal(&core->published.node, &self->node))
		return;
	core->published = *self;
	heartbeat_send_all(core);
	if (self->address[0] == '\0')
		return;
	effect = effects_add(core->effects, EFFECT_PUBLISH);
	effect->presence = effects_copy(core->effects, self, sizeof(*self));
}

static void arm(struct core *core)
{
	const uint64_t view = view_deadline(core->view).us;
	const uint64_t due = view < core->beat_at.us ? view : core->beat_at.us;

	if (core->beating && (!core->heartbeat.armed || core->heartbeat.due != due))
		timer_arm(&core->boot_timers, &core->heartbeat, due);
}

void cluster_run(struct core *core)
{
	const struct presence *self = view_self(core->view);

	if (core->engine == ENGINE_UP)
		core->engine_up_at = core->now;
	if (view_self_forgotten(core->view)) {
		/* We were cut off for so long that we were given up. */
		notice(core, &self->node, "node_forgotten");
		view_self_rejoin(core->view, core->utc.us);
	}
	view_self_changed(core->view, peer_self_flags(core), self->weight, core->config.presence.address);
	if (core->recover_done)
		publish(core);
	if (core->beating && view_deadline(core->view).us <= core->now.us)
		judge(core);
	if (core->beating && core->mesh_stale)
		mesh_update(core);
	arm(core);
}
