/* SPDX-License-Identifier: MIT */
/*
 * The push goes through all records and registers in order, a few calls at a time. A home is first asked
 * whether it has the record; only where it has not is the record sent. Of a record's holders those push that
 * are its homes now, those that are homes by it, or were in between, and the others when none of the homes by
 * it is alive. Homes by it may lack it: members may have changed between its first proposal and its decision.
 *
 * A register may be left over: this node was a home, the homes have moved, and others have decided without
 * hearing of it again. It is dropped when every home of now has said, to one push of it, that it has the
 * record, and is one of those whom others have to hear before they vote. Then whoever votes about the batch
 * later hears of the record where he would have heard of the register.
 *
 * A push that a peer's death cut short counts: the peer will come with a new link, and everything is pushed
 * anew. One that a peer refused does not, and starts over with the next heartbeat.
 */
#include "queue/homesync.h"

#include <string.h>

#include "dht/ring.h"
#include "dht/view.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/decider.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/homeread.h"
#include "queue/lost_writes.h"
#include "queue/mesh.h"
#include "queue/registers.h"

enum { PUSH_CALLS = 32, NEAR_MAX = 256 };

static bool hears(const struct core *core, const struct peer *peer)
{
	return peer == core->self ||
	       (peer_linked(core, peer) && id_equal(&peer->homes_pushed, &core->registers->members));
}

/* All that are linked and alive have pushed, and see the members that this node sees. */
static bool all_heard(struct core *core)
{
	struct peer *p;

	TAILQ_FOREACH (p, &core->linked, links) {
		if (!hears(core, p) && decider_member(core, p) && peer_alive(core, p))
			return false;
	}
	return true;
}

/* One that can't be heard may have learnt by now what was decided, and have decided something since. */
static bool is_new(const struct core *core, const struct peer *peer)
{
	return peer == core->self ? !core->registers->known : peer->homes_new && hears(core, peer);
}

static bool is_lost(const struct core *core, const struct peer *peer)
{
	return peer == core->self ? !core->registers->joined : peer->homes_lost;
}

/* Those that are not new, as far as they were looked at. */
struct tally {
	uint32_t old, unheard, forgotten;
};

static void add(const struct core *core, struct tally *tally, const struct peer *peer)
{
	tally->old++;
	if (peer_forgotten(core, peer))
		tally->forgotten++;
	else
		tally->unheard += !hears(core, peer);
}

/* Whether most can tell what they decided: half of them is what those can hear who can not be heard, too.
 * Where nobody is left who could tell, the operator's word is that it is lost. */
static bool enough(const struct core *core, struct tally tally, uint32_t most)
{
	const uint32_t old = tally.old < most ? tally.old : most;

	if (tally.old == tally.forgotten)
		return false;
	if (core->writes_missed)
		return lost_writes_enough(old, tally.unheard + tally.forgotten);
	return tally.unheard == 0 || 2 * (tally.unheard + tally.forgotten) < old;
}

/* So many homes has a batch where there are members enough. */
static uint32_t homes_most(const struct core *core)
{
	const uint32_t replicas = core->config.replicas < REPLICAS_MAX ? core->config.replicas : REPLICAS_MAX;

	return replicas > 2 ? replicas : 2;
}

/*
 * Whether enough was heard of all. Where all are new: whether none of them is lost, or the operator has
 * forgotten those whom it could have found.
 */
static bool enough_heard(struct core *core)
{
	struct tally tally = {.old = 0};
	uint32_t lost = 0, settled = 0;

	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p)) {
		settled += peer_forgotten(core, p) && p->homes_settled;
		if (!decider_is(core, p))
			continue;
		if (!peer_forgotten(core, p) && is_new(core, p))
			lost += is_lost(core, p);
		else
			add(core, &tally, p);
	}
	if (tally.old == 0)
		return lost == 0 || settled > 0;
	tally.old += core->writes_missed; /* it was one of them */
	return enough(core, tally, homes_most(core));
}

/* When everybody else was heard nothing is left to learn of those that are forgotten. */
static void settle_forgotten(struct core *core)
{
	struct registers *r = core->registers;

	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p)) {
		if (!peer_forgotten(core, p))
			p->homes_settled = false;
		else
			continue;
		if (decider_is(core, p) && !is_new(core, p) && !hears(core, p))
			return;
	}
	for (struct peer *p = peer_next(core, NULL); p != NULL; p = peer_next(core, p)) {
		if (!peer_forgotten(core, p) || p->homes_settled)
			continue;
		p->homes_settled = true;
		r->ring_fresh = false;
		memset(&r->marked_for, 0, sizeof(r->marked_for));
	}
}

/* The mark names the members of now: after a restart nobody takes part who does not know of them. */
static bool marked(struct core *core)
{
	struct registers *r = core->registers;
	const struct opt_id members = view_hash(core->view);

	if (id_equal(&r->marked_for, &members))
		return true;
	if (r->known && r->mark == 0 && core->recovered)
		home_mark(core);
	return false;
}

/* The same in a large cluster, where only linked peers can be heard: one of them knows, or none is lost. */
static bool enough_linked(struct core *core)
{
	uint32_t old = 0, lost = is_lost(core, core->self);
	struct peer *p;

	TAILQ_FOREACH (p, &core->linked, links) {
		if (hears(core, p) && !is_new(core, p))
			old++;
		else
			lost += is_lost(core, p);
	}
	return !TAILQ_EMPTY(&core->linked) && (old > 0 || lost == 0);
}

/* All that are here have said what they know: is this node one of those that know? */
static void learn(struct core *core)
{
	if (!core->registers->known && (mesh_partial(core) ? enough_linked(core) : enough_heard(core)))
		home_known(core);
}

static void start_push(struct core *core, const struct opt_id *members)
{
	struct registers *r = core->registers;

	r->members = *members;
	r->ring_fresh = false;
	r->pushed = false;
	r->pushing = true;
	r->push_first = true;
	r->registers_next = false;
	r->push_failed = false;
}

static void see_members(struct core *core)
{
	const struct opt_id members = view_hash(core->view);

	if (!id_equal(&members, &core->registers->members))
		start_push(core, &members);
}

bool homesync_complete(struct core *core, const struct opt_id *batch)
{
	struct opt_id near[NEAR_MAX];
	const uint32_t most = homes_most(core);
	struct tally tally = {.old = 0};
	size_t count;

	if (cluster_members(core) == 1 && core->registers->before_count == 0)
		return true;
	see_members(core);
	if (mesh_partial(core))
		return homeread_complete(core, batch);
	if (!all_heard(core))
		return false;
	learn(core);
	settle_forgotten(core);
	if (!marked(core))
		return false;
	/* The homes as they are without the new nodes; there may have been more of them than there are now.
	 */
	count = ring_closest(decider_ring(core), batch, NEAR_MAX, near);
	for (size_t i = 0; i < count && tally.old < most; i++) {
		struct peer *peer = peer_of(core, &near[i]);

		if (peer_forgotten(core, peer) || !is_new(core, peer))
			add(core, &tally, peer);
	}
	return enough(core, tally, most);
}

static void push_call(struct core *core, struct peer *peer, struct peer_message *message)
{
	struct call *call = call_start(core, peer, CALL_PUSH, core->registers, message, message->len > 0);

	call->number = message->what;
	core->registers->push_calls++;
}

/* In a large cluster the call makes the link. */
static bool may_push(const struct core *core, const struct peer *peer)
{
	return peer_linked(core, peer) || (mesh_partial(core) && peer_alive(core, peer));
}

static void send_record(struct core *core, struct peer *peer, const struct batch *batch)
{
	struct peer_message message = {
	    .type = PEER_RECORD, .batch = batch->key, .upload = batch->record.upload, .what = RECORD_DECIDED};
	struct buffer bytes;

	buffer_init(&bytes);
	record_encode(&batch->record, &bytes);
	message.data = bytes.data;
	message.len = bytes.len;
	push_call(core, peer, &message);
	buffer_done(&bytes);
}

static bool among(struct peer *const *peers, uint32_t count, const struct peer *peer)
{
	for (uint32_t i = 0; i < count; i++) {
		if (peers[i] == peer)
			return true;
	}
	return false;
}

/* Whether it is for this node to push the batch. */
static bool pushes(struct core *core, const struct batch *batch)
{
	const struct batch_record *record = &batch->record;
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = cluster_homes(core, &batch->key, homes);
	bool takes_part = false, home_alive = false;

	if (among(homes, count, core->self))
		return true;
	for (uint8_t i = 0; i < record->home_count; i++) {
		struct peer *home = peer_of(core, &record->nodes[record->homes[i]]);

		if (home == core->self)
			return true;
		home_alive = home_alive || peer_alive(core, home);
	}
	for (uint32_t i = 0; i < record->node_count; i++)
		takes_part = takes_part || id_equal(&record->nodes[i], &core->config.node);
	return !takes_part || !home_alive;
}

/* Replicas that were away when the batch was accepted have nothing of it, and so nothing to ask for. */
static void push_to_replicas(struct core *core, const struct batch_record *record,
    struct peer_message *message, struct peer *const *homes, uint32_t count)
{
	for (uint32_t i = 0; i < record->node_count; i++) {
		struct peer *peer = peer_of(core, &record->nodes[i]);

		if (peer != core->self && peer_linked(core, peer) && !among(homes, count, peer))
			push_call(core, peer, message);
	}
}

/* The homes are those that the record was pushed to last. They are remembered. */
static bool pushed_before(
    const struct core *core, struct batch *batch, struct peer *const *homes, uint32_t count)
{
	struct id_hash hash;
	struct opt_id now;

	id_hash_init(&hash);
	for (uint32_t i = 0; i < count; i++)
		id_hash_add(&hash, homes[i]->id.bytes, OPT_ID_SIZE);
	now = id_hash_done(&hash);
	if (mesh_partial(core) && !core->registers->push_all && id_equal(&now, &batch->pushed_to))
		return true;
	batch->pushed_to = now;
	return false;
}

static void push(struct core *core, const struct opt_id *batch, struct batch *decided, const struct reg *reg)
{
	struct peer_message message = {.type = PEER_RECORD, .batch = *batch, .what = RECORD_ASKED};
	struct peer *homes[REPLICAS_MAX];
	uint32_t count = cluster_homes(core, batch, homes);
	struct buffer bytes;

	if (decided != NULL && pushed_before(core, decided, homes, count))
		return;
	buffer_init(&bytes);
	if (reg != NULL) {
		register_encode(reg, &bytes);
		message.what = RECORD_REGISTER;
		message.data = bytes.data;
		message.len = bytes.len;
	} else {
		message.upload = decided->record.upload;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (homes[i] != core->self && may_push(core, homes[i]))
			push_call(core, homes[i], &message);
	}
	if (decided != NULL && reg == NULL)
		push_to_replicas(core, &decided->record, &message, homes, count);
	buffer_done(&bytes);
}

/* The next record, or the next register after the last record. False when there is none. */
static bool push_next(struct core *core)
{
	struct registers *r = core->registers;
	const struct opt_id *after = r->push_first ? NULL : &r->next;

	if (!r->registers_next) {
		struct batch *batch = batch_after(core, after);

		if (batch != NULL) {
			r->next = batch->key;
			r->push_first = false;
			if (pushes(core, batch))
				push(core, &batch->key, batch, NULL);
			return true;
		}
		r->registers_next = true;
		r->push_first = true;
		after = NULL;
	}
	{
		struct reg *reg = register_after(&r->tree, after);

		if (reg == NULL)
			return false;
		reg->stands_count = 0;
		r->next = reg->batch;
		r->push_first = false;
		push(core, &reg->batch, NULL, reg);
		return true;
	}
}

void homesync_push_again(struct core *core, struct reg *reg)
{
	if (!core->registers->pushed || core->registers->push_calls >= PUSH_CALLS)
		return;
	reg->stands_count = 0;
	push(core, &reg->batch, NULL, reg);
}

static void push_some(struct core *core)
{
	struct registers *r = core->registers;

	while (r->pushing && r->push_calls < PUSH_CALLS) {
		if (!push_next(core))
			r->pushing = false;
	}
	if (!r->pushing && r->push_calls == 0 && !r->pushed) {
		r->push_all = r->push_failed;
		if (r->push_failed)
			start_push(core, &r->members); /* goes on with the next heartbeat */
		else
			r->pushed = true;
	}
}

void homesync_unlearn(struct core *core)
{
	core->registers->known = false;
}

void homesync_joined(struct core *core)
{
	core->registers->joined = true;
}

void homesync_tick(struct core *core)
{
	if (!core->recovered)
		return;
	if (!mesh_partial(core) || id_is_zero(&core->registers->marked_for))
		marked(core);
	if (cluster_members(core) == 1)
		return;
	see_members(core);
	push_some(core);
	if (all_heard(core))
		learn(core);
}

/* Calls to a peer without a link end: a new link starts the push anew. */
static void end_calls(struct core *core, struct peer *peer)
{
	struct call *call, *next;

	TAILQ_FOREACH_SAFE (call, &peer->calls, link, next) {
		if (call->kind != CALL_PUSH)
			continue;
		call_end(core, call);
		core->registers->push_calls--;
	}
}

void homesync_peer_changed(struct core *core, struct peer *peer)
{
	memset(&peer->homes_pushed, 0, sizeof(peer->homes_pushed));
	if (mesh_partial(core))
		return; /* links come and go with what is needed */
	if (!peer_linked(core, peer)) {
		end_calls(core, peer);
	} else {
		const struct opt_id members = view_hash(core->view);

		start_push(core, &members);
	}
}

static bool takes_part(const struct batch_record *record, const struct peer *peer)
{
	for (uint32_t i = 0; i < record->node_count; i++) {
		if (id_equal(&record->nodes[i], &peer->id))
			return true;
	}
	return false;
}

/* What it was to get while it was away. */
static void push_to(struct core *core, struct peer *peer)
{
	for (const struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		struct peer_message message = {.type = PEER_RECORD,
		    .batch = batch->key,
		    .upload = batch->record.upload,
		    .what = RECORD_ASKED};

		if (takes_part(&batch->record, peer) && pushes(core, batch))
			push_call(core, peer, &message);
	}
}

void homesync_member_changed(struct core *core, struct peer *peer, bool back)
{
	if (!peer_alive(core, peer))
		end_calls(core, peer);
	else if (back && core->recovered)
		push_to(core, peer);
}

void homesync_beat(struct core *core, struct peer_message *heartbeat)
{
	if (core->registers->pushed && id_equal(&heartbeat->hash, &core->registers->members))
		heartbeat->what |= BEAT_PUSHED;
	if (!core->registers->known)
		heartbeat->what |= BEAT_NEW;
	if (!core->registers->joined)
		heartbeat->what |= BEAT_LOST;
}

void homesync_heard(struct core *core, struct peer *peer, const struct peer_message *heartbeat)
{
	const struct opt_id none = {{0}};

	(void)core;
	peer->homes_pushed = (heartbeat->what & BEAT_PUSHED) != 0 ? heartbeat->hash : none;
	peer->homes_new = (heartbeat->what & BEAT_NEW) != 0;
	peer->homes_lost = (heartbeat->what & BEAT_LOST) != 0;
}

bool homesync_knows(struct core *core)
{
	return core->registers->known && core->registers->mark_stored;
}

static bool stands_at(const struct reg *reg, const struct peer *home)
{
	for (uint32_t i = 0; i < reg->stands_count; i++) {
		if (reg->stands[i] == home)
			return true;
	}
	return false;
}

/* The home has the record. Where this node is a home, it gets the record from the others. */
static void record_stands(struct core *core, const struct opt_id *batch, const struct peer *home)
{
	struct reg *reg = register_find(&core->registers->tree, batch);
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = cluster_homes(core, batch, homes);

	if (reg == NULL || reg->stands_count == REPLICAS_MAX)
		return;
	reg->stands[reg->stands_count++] = home;
	for (uint32_t i = 0; i < count; i++) {
		if (!stands_at(reg, homes[i]))
			return;
	}
	home_drop(core, reg);
}

void homesync_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	const struct batch *batch = batch_find(core, &answer->batch);

	core->registers->push_calls--;
	if (answer->status == PEER_UNKNOWN && call->number == RECORD_ASKED && batch != NULL)
		send_record(core, call->peer, batch);
	else if (answer->status == PEER_REFUSED && call->number == RECORD_REGISTER)
		record_stands(core, &answer->batch, call->peer);
	else if (answer->status != PEER_OK)
		core->registers->push_failed = true;
	if (!core->registers->push_failed)
		push_some(core);
}
