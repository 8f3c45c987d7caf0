/* SPDX-License-Identifier: MIT */
/*
 * See homeread.h. Who asks for a vote is answered "busy" until the answers are here, and asks again in a
 * moment; each time, those that could not answer are asked again.
 *
 * An answer holds for as long as the members around the batch stay the same without a break; so it is dropped
 * when they change, even if they change back later.
 */
#include "queue/homeread.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "queue/accept.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/decider.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/lost_writes.h"
#include "queue/registers.h"

/* What nobody asked for in this time is not asked for any more. */
static const usec KEEP = 60 * USEC_PER_SEC;

enum { NEAR_MAX = 4 * HOMEREAD_NEAR };

struct homeread {
	TAILQ_ENTRY(homeread) link;
	struct opt_id batch, hash;
	struct boot_time used;
	uint32_t count;
	struct peer *near[HOMEREAD_NEAR]; /* the closest first */
	struct call *calls[HOMEREAD_NEAR];
	uint32_t heard, fresh; /* bits: who answered; who knew nothing and is new */
};

static uint32_t near_of(struct core *core, const struct opt_id *batch, struct peer *ret_near[HOMEREAD_NEAR])
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t wanted = 2 * cluster_homes(core, batch, homes) + 2;

	return cluster_near(core, batch, wanted < HOMEREAD_NEAR ? wanted : HOMEREAD_NEAR, ret_near);
}

static struct opt_id hash_of(struct peer *const *near, uint32_t count)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus near", 12);
	for (uint32_t i = 0; i < count; i++)
		id_hash_add(&hash, near[i]->id.bytes, OPT_ID_SIZE);
	return id_hash_done(&hash);
}

struct opt_id homeread_hash(struct core *core, const struct opt_id *batch)
{
	struct peer *near[HOMEREAD_NEAR];

	return hash_of(near, near_of(core, batch, near));
}

static struct homeread *find(const struct core *core, const struct opt_id *batch)
{
	struct homeread *read;

	TAILQ_FOREACH (read, &core->homereads, link) {
		if (id_equal(&read->batch, batch))
			return read;
	}
	return NULL;
}

static void end_call(struct core *core, struct homeread *read, uint32_t i)
{
	if (read->calls[i] != NULL)
		call_end(core, read->calls[i]);
	read->calls[i] = NULL;
}

static void read_free(struct core *core, struct homeread *read)
{
	for (uint32_t i = 0; i < read->count; i++)
		end_call(core, read, i);
	TAILQ_REMOVE(&core->homereads, read, link);
	free(read);
}

static struct homeread *read_new(struct core *core, const struct opt_id *batch)
{
	struct homeread *read = calloc(1, sizeof(*read));

	if (read == NULL)
		opt_abort("out of memory");
	read->batch = *batch;
	read->count = near_of(core, batch, read->near);
	read->hash = hash_of(read->near, read->count);
	TAILQ_INSERT_TAIL(&core->homereads, read, link);
	return read;
}

static bool heard(const struct homeread *read, uint32_t i)
{
	return (read->heard & 1U << i) != 0;
}

static void ask(struct core *core, struct homeread *read)
{
	struct peer_message request = {.type = PEER_READ, .batch = read->batch, .hash = read->hash};

	for (uint32_t i = 0; i < read->count; i++) {
		struct peer *peer = read->near[i];

		if (peer == core->self || heard(read, i))
			continue;
		if (!peer_alive(core, peer)) {
			end_call(core, read, i);
		} else if (read->calls[i] == NULL) {
			read->calls[i] = call_start(core, peer, CALL_READ, read, &request, false);
			read->calls[i]->number = i;
		}
	}
}

/* Those that were asked, and those between them that nobody has named since this node's start. */
static uint32_t list_deciders(
    struct core *core, const struct homeread *read, struct peer *ret_peers[NEAR_MAX])
{
	struct opt_id ids[NEAR_MAX];
	uint32_t count = read->count;

	if (!decider_missing(core)) {
		memcpy(ret_peers, read->near, count * sizeof(*ret_peers));
		return count;
	}
	count = (uint32_t)ring_closest(decider_ring(core), &read->batch, NEAR_MAX, ids);
	for (uint32_t i = 0; i < count; i++)
		ret_peers[i] = peer_of(core, &ids[i]);
	return count;
}

/* Its place among those that are asked; as many: none. */
static uint32_t place(const struct homeread *read, const struct peer *peer)
{
	uint32_t i = 0;

	while (i < read->count && read->near[i] != peer)
		i++;
	return i;
}

/* Whether it does not count among the homes that the batch had without the new nodes. */
static bool passed_over(const struct core *core, const struct homeread *read, const struct peer *peer)
{
	const uint32_t i = place(read, peer);

	if (peer == core->self)
		return !core->registers->known;
	if (i == read->count)
		return peer_forgotten(core, peer) || decider_member(core, peer);
	return (read->fresh & 1U << i) != 0;
}

static bool all_answered(const struct core *core, const struct homeread *read)
{
	for (uint32_t i = 0; i < read->count; i++) {
		if (read->near[i] != core->self && !heard(read, i) && peer_alive(core, read->near[i]))
			return false;
	}
	return true;
}

static bool enough(struct core *core, const struct homeread *read)
{
	struct peer *homes[REPLICAS_MAX], *deciders[NEAR_MAX];
	const uint32_t wanted = cluster_homes(core, &read->batch, homes);
	const uint32_t count = list_deciders(core, read, deciders);
	uint32_t old = 0, unheard = 0;

	if (!all_answered(core, read))
		return false;
	for (uint32_t i = 0; i < count && old < wanted; i++) {
		const uint32_t at = place(read, deciders[i]);

		if (passed_over(core, read, deciders[i]))
			continue;
		old++;
		unheard += deciders[i] != core->self && (at == read->count || !heard(read, at));
	}
	return core->writes_missed ? lost_writes_enough(old, unheard) : 2 * unheard < old;
}

/* The mark names all of them. A node that is new has none: after a restart it is new again. */
static bool marked(struct core *core, const struct homeread *read)
{
	const struct registers *registers = core->registers;

	for (uint32_t i = 0; i < read->count && registers->known; i++) {
		if (decider_marked(core, read->near[i]))
			continue;
		if (registers->mark == 0 && core->recovered)
			home_mark(core);
		return false;
	}
	return true;
}

bool homeread_complete(struct core *core, const struct opt_id *batch)
{
	struct homeread *read = find(core, batch);

	if (read == NULL)
		read = read_new(core, batch);
	read->used = core->now;
	ask(core, read);
	return marked(core, read) && enough(core, read);
}

/* Whether this node's word on the batch would be taken for more than it is. */
static bool knows_too_little(struct core *core, const struct opt_id *batch)
{
	struct peer *homes[REPLICAS_MAX];

	return decider_lost(core, batch, cluster_homes(core, batch, homes));
}

void homeread_serve(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const struct batch *batch = batch_find(core, &request->batch);
	const struct reg *reg = register_find(&core->registers->tree, &request->batch);
	struct peer_message answer = {.what = core->registers->known ? READ_NOTHING : READ_NEW};
	struct peer *homes[REPLICAS_MAX];
	struct buffer bytes;
	uint32_t count;
	bool busy = false;

	buffer_init(&bytes);
	if (batch != NULL) {
		answer.what = READ_RECORD;
		record_encode(&batch->record, &bytes);
	} else {
		const struct opt_id hash = home_hash(core, &request->batch, homes, &count);

		busy = !core->recovered || accept_under_way(core, &request->batch) ||
		       !id_equal(&hash, &request->hash) || knows_too_little(core, &request->batch);
		if (!busy && reg != NULL) {
			answer.what = READ_REGISTER;
			register_encode(reg, &bytes);
		}
	}
	answer.data = bytes.data;
	answer.len = bytes.len;
	call_reply(core, peer, request, busy ? PEER_BUSY : PEER_OK, &answer);
	buffer_done(&bytes);
}

/* False when it is no register. */
static bool merge(struct core *core, const struct opt_id *batch, const struct peer_message *answer)
{
	struct reg decoded;

	if (register_decode(answer->data, answer->len, &decoded) != 0)
		return false;
	/* It becomes durable with the vote. */
	if (batch_find(core, batch) == NULL)
		register_merge(register_of(&core->registers->tree, batch), &decoded);
	register_done(&decoded);
	return true;
}

void homeread_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct homeread *read = call->owner;
	const uint32_t i = (uint32_t)call->number;

	read->calls[i] = NULL;
	if (answer->status != PEER_OK)
		return; /* asked again with the next request */
	if (answer->what == READ_RECORD) {
		if (accept_record(core, &read->batch, answer->data, answer->len) != 0)
			return;
	} else if (answer->what == READ_REGISTER) {
		if (!merge(core, &read->batch, answer))
			return;
	}
	read->heard |= 1U << i;
	if (answer->what == READ_NEW)
		read->fresh |= 1U << i;
}

void homeread_members_changed(struct core *core)
{
	struct homeread *read, *next;

	TAILQ_FOREACH_SAFE (read, &core->homereads, link, next) {
		const struct opt_id hash = homeread_hash(core, &read->batch);

		if (!id_equal(&hash, &read->hash))
			read_free(core, read);
	}
}

void homeread_learnt(struct core *core, const struct opt_id *batch)
{
	struct homeread *read = find(core, batch);

	if (read != NULL)
		read_free(core, read);
}

void homereads_tick(struct core *core)
{
	struct homeread *read, *next;

	TAILQ_FOREACH_SAFE (read, &core->homereads, link, next) {
		if (core->now.us - read->used.us > KEEP)
			read_free(core, read);
	}
}

void homereads_free(struct core *core)
{
	struct homeread *read;

	while ((read = TAILQ_FIRST(&core->homereads)) != NULL)
		read_free(core, read);
}
