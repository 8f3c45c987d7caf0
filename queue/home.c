/* SPDX-License-Identifier: MIT */
/*
 * The voter. A promise or an acceptance changes the register in memory at once, so that nothing that is
 * refused can slip in behind it, and is answered when the store has it. What the store refused stands in
 * memory nevertheless: to have promised too much is always safe.
 *
 * A register is removed with the batch's record, which says the same for good, or when all homes have that
 * and this node is none of them any more (queue/homesync.c). A register with aborts alone stays: the upload's
 * coordinator may come back at any time.
 */
#include "queue/home.h"

#include <stdlib.h>
#include <string.h>

#include "dht/ring.h"
#include "dht/view.h"
#include "queue/accept.h"
#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/decider.h"
#include "queue/error.h"
#include "queue/homeread.h"
#include "queue/homesync.h"
#include "queue/lost_writes.h"
#include "queue/mesh.h"
#include "queue/propose.h"
#include "queue/register.h"
#include "queue/registers.h"
#include "queue/write.h"

void home_init(struct core *core)
{
	core->registers = calloc(1, sizeof(*core->registers));
	if (core->registers == NULL)
		opt_abort("out of memory");
	RB_INIT(&core->registers->tree);
	TAILQ_INIT(&core->homereads);
	buffer_init(&core->registers->bytes);
	core->registers->joined = !core->config.joins;
}

void home_free(struct core *core)
{
	struct reg *reg;

	while ((reg = register_after(&core->registers->tree, NULL)) != NULL)
		register_free(&core->registers->tree, reg);
	buffer_done(&core->registers->bytes);
	ring_free(core->registers->ring);
	free(core->registers->before);
	free(core->registers);
	core->registers = NULL;
}

static void store(struct core *core, const struct opt_id *batch, struct write *write, const struct reg *reg)
{
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_REGISTER);
	struct buffer *bytes = &core->registers->bytes;

	write->id = *batch;
	effect->token = write->token;
	effect->id = *batch;
	buffer_clear(bytes);
	if (reg != NULL)
		register_encode(reg, bytes);
	effect->data = effects_copy(core->effects, bytes->data, bytes->len);
	effect->len = bytes->len;
}

void home_mark(struct core *core)
{
	struct registers *registers = core->registers;
	const struct opt_id id = register_mark();
	struct reg mark = {.len = 0};
	struct buffer members;
	struct write *write = write_new(core, WRITE_REGISTER);

	registers->mark_for = view_hash(core->view);
	registers->mark = write->token;
	buffer_init(&members);
	decider_list(core, write->token, &members);
	mark.record = members.data;
	mark.len = members.len;
	store(core, &id, write, &mark);
	buffer_done(&members);
}

void home_known(struct core *core)
{
	if (core->registers->known)
		return;
	core->registers->known = true;
	if (core->recovered)
		home_mark(core);
}

void home_recover(struct core *core, const struct opt_id *batch, const void *data, size_t len)
{
	const struct opt_id mark = register_mark(), sequence = register_sequence();
	struct reg decoded;
	struct reg *reg;

	if (id_equal(batch, &sequence)) {
		lost_writes_recover(core, data, len);
		return;
	}
	if (core->recover_done || register_decode(data, len, &decoded) != 0)
		return;
	if (id_equal(batch, &mark)) {
		core->registers->known = core->registers->mark_stored = true;
		decider_recover(core, decoded.record, decoded.len);
		register_done(&decoded);
		return;
	}
	reg = register_of(&core->registers->tree, batch);
	reg->promised = decoded.promised;
	register_merge(reg, &decoded);
	register_done(&decoded);
}

static void reply(struct core *core, struct peer *peer, enum peer_type type, uint64_t token,
    enum peer_status status, struct peer_message *answer)
{
	if (peer != core->self) {
		call_reply_to(core, peer, type, token, status, answer);
		return;
	}
	answer->type = type;
	answer->status = status;
	propose_voted(core, token, answer);
}

static void reply_decided(
    struct core *core, struct peer *peer, enum peer_type type, uint64_t token, const struct batch *batch)
{
	struct peer_message answer = {.what = HOME_WORD_DECIDED, .upload = batch->record.upload};
	struct buffer bytes;

	buffer_init(&bytes);
	record_encode(&batch->record, &bytes);
	answer.data = bytes.data;
	answer.len = bytes.len;
	reply(core, peer, type, token, PEER_OK, &answer);
	buffer_done(&bytes);
}

struct opt_id home_hash(
    struct core *core, const struct opt_id *batch, struct peer *ret_homes[REPLICAS_MAX], uint32_t *ret_count)
{
	const struct opt_id view = view_hash(core->view);
	struct id_hash hash;

	*ret_count = cluster_homes(core, batch, ret_homes);
	if (mesh_partial(core))
		return homeread_hash(core, batch);
	id_hash_init(&hash);
	id_hash_add(&hash, "optimus homes", 13);
	id_hash_add(&hash, view.bytes, OPT_ID_SIZE);
	for (uint32_t i = 0; i < *ret_count; i++)
		id_hash_add(&hash, ret_homes[i]->id.bytes, OPT_ID_SIZE);
	return id_hash_done(&hash);
}

/* Whether this node is a home of the batch, for the sender too, and knows what was decided about it. */
static bool may_vote(struct core *core, const struct peer_message *request)
{
	struct peer *homes[REPLICAS_MAX];
	uint32_t count;
	const struct opt_id hash = home_hash(core, &request->batch, homes, &count);
	bool home = false;

	for (uint32_t i = 0; i < count; i++)
		home = home || homes[i] == core->self;
	return home && core->recovered && lost_writes_may_decide(core) && id_equal(&hash, &request->hash) &&
	       !accept_under_way(core, &request->batch) && homesync_complete(core, &request->batch);
}

/* Answers at once where no vote is needed or possible; NULL then. */
static struct reg *may_answer(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct batch *batch = batch_find(core, &request->batch);
	struct peer_message answer = {.what = HOME_WORD_NONE};
	struct reg *reg;

	if (batch != NULL) {
		reply_decided(core, peer, request->type, request->token, batch);
		return NULL;
	}
	if (!may_vote(core, request)) {
		reply(core, peer, request->type, request->token, PEER_BUSY, &answer);
		return NULL;
	}
	reg = register_of(&core->registers->tree, &request->batch);
	if (ballot_compare(&request->ballot, &reg->promised) >= 0)
		return reg;
	answer.ballot = reg->promised;
	reply(core, peer, request->type, request->token, PEER_REFUSED, &answer);
	return NULL;
}

static struct write *vote_write(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct reg *reg)
{
	struct write *write = write_new(core, WRITE_REGISTER);

	write->peer = peer;
	write->peer_token = request->token;
	write->peer_type = request->type;
	write->upload = request->upload;
	write->ballot = request->ballot;
	store(core, &request->batch, write, reg);
	return write;
}

/* What a promise says: the vote that this node gave last, and whether it has seen the upload's abort. */
static void reply_promise(
    struct core *core, struct peer *peer, uint64_t token, const struct opt_id *upload, const struct reg *reg)
{
	struct peer_message answer = {
	    .ballot = reg->promised,
	    .accepted = reg->accepted,
	    .upload = reg->upload,
	    .data = reg->record,
	    .len = reg->len,
	};

	if (register_has_aborted(reg, upload))
		answer.what = HOME_WORD_ABORTED;
	reply(core, peer, PEER_PREPARE, token, PEER_OK, &answer);
}

void home_prepare(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct reg *reg = may_answer(core, peer, request);

	if (reg == NULL)
		return;
	if (core->config.broken_rule == CORE_BUG_REGISTER_FORGETS_PROMISE) {
		reply_promise(core, peer, request->token, &request->upload, reg);
		return;
	}
	reg->promised = request->ballot;
	vote_write(core, peer, request, reg);
}

void home_accept(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct reg *reg = may_answer(core, peer, request);
	struct peer_message answer = {.what = HOME_WORD_ABORTED};

	if (reg == NULL)
		return;
	if (request->len > 0 && register_has_aborted(reg, &request->upload)) {
		answer.ballot = reg->promised;
		reply(core, peer, PEER_ACCEPT, request->token, PEER_REFUSED, &answer);
		return;
	}
	reg->promised = request->ballot;
	register_accept(reg, &request->ballot, &request->upload, request->data, request->len);
	vote_write(core, peer, request, reg);
}

void home_merge(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct peer_message answer = {.batch = request->batch};
	struct reg decoded;
	struct reg *reg;

	if (batch_find(core, &request->batch) != NULL) {
		call_reply(core, peer, request, homesync_knows(core) ? PEER_REFUSED : PEER_OK, &answer);
		return;
	}
	if (accept_under_way(core, &request->batch) ||
	    register_decode(request->data, request->len, &decoded) != 0) {
		call_reply(core, peer, request, PEER_BUSY, &answer);
		return;
	}
	reg = register_of(&core->registers->tree, &request->batch);
	register_merge(reg, &decoded);
	register_done(&decoded);
	vote_write(core, peer, request, reg);
}

/* The vote of `write` is durable, unless a later one took its place meanwhile. */
static void voted(struct core *core, const struct write *write)
{
	struct reg *reg = register_find(&core->registers->tree, &write->id);
	struct batch *batch = batch_find(core, &write->id);
	struct peer_message answer = {.ballot = write->ballot};

	if (batch != NULL && write->peer_type != PEER_RECORD)
		reply_decided(core, write->peer, write->peer_type, write->peer_token, batch);
	else if (write->peer_type != PEER_PREPARE)
		reply(core, write->peer, write->peer_type, write->peer_token, PEER_OK, &answer);
	else if (reg != NULL && ballot_compare(&reg->promised, &write->ballot) == 0)
		reply_promise(core, write->peer, write->peer_token, &write->upload, reg);
	else
		reply(core, write->peer, write->peer_type, write->peer_token, PEER_BUSY, &answer);
}

void home_stored(struct core *core, struct write *write, int status)
{
	struct peer_message answer = {.ballot = write->ballot};

	if (write->token == core->registers->mark) {
		core->registers->mark = 0;
		if (status == 0) {
			core->registers->marked_for = core->registers->mark_for;
			core->registers->marked = write->token;
			core->registers->mark_stored = true;
		}
		return;
	}
	if (write->peer == NULL)
		return; /* a removal: what is left is removed at the next start */
	if (status == 0)
		voted(core, write);
	else
		reply(core, write->peer, write->peer_type, write->peer_token,
		    status == OPT_E_FULL ? PEER_FULL : PEER_FAILED, &answer);
}

bool home_has(struct core *core, const struct opt_id *batch)
{
	return register_find(&core->registers->tree, batch) != NULL;
}

void home_learnt(struct core *core, const struct batch *batch)
{
	struct reg *reg = register_find(&core->registers->tree, &batch->key);

	if (reg != NULL)
		register_free(&core->registers->tree, reg);
	homeread_learnt(core, &batch->key);
	if (cluster_members(core) == 1 && !core->config.company)
		home_known(core);
	home_directory(core, batch);
}

uint32_t home_list(struct core *core, const struct opt_id *batch, const struct batch_record *record,
    struct peer *ret_homes[REPLICAS_MAX])
{
	uint32_t count = 0;

	for (uint8_t i = 0; i < record->home_count; i++) {
		struct peer *home = peer_of(core, &record->nodes[record->homes[i]]);

		if (!peer_forgotten(core, home))
			ret_homes[count++] = home;
	}
	return count > 0 ? count : cluster_homes(core, batch, ret_homes);
}

void home_directory(struct core *core, const struct batch *batch)
{
	const struct batch_record *record = &batch->record;
	struct opt_id homes[REPLICAS_MAX];
	struct effect *effect;
	bool home = false;

	for (uint8_t i = 0; i < record->home_count; i++) {
		homes[i] = record->nodes[record->homes[i]];
		home = home || id_equal(&homes[i], &core->config.node);
	}
	if (!home)
		return;
	effect = effects_add(core->effects, EFFECT_DIRECTORY_PUT);
	effect->id = batch->key;
	effect->len = record->home_count * sizeof(homes[0]);
	effect->data = effects_copy(core->effects, homes, effect->len);
}

void home_drop(struct core *core, struct reg *reg)
{
	const struct opt_id batch = reg->batch;

	store(core, &batch, write_new(core, WRITE_REGISTER), NULL);
	register_free(&core->registers->tree, reg);
}

/* A register that the end of its batch left behind: the record came before the removal was durable. */
void home_recovered(struct core *core)
{
	struct reg *reg, *next;

	for (reg = register_after(&core->registers->tree, NULL); reg != NULL; reg = next) {
		next = register_after(&core->registers->tree, &reg->batch);
		if (batch_find(core, &reg->batch) != NULL)
			home_drop(core, reg);
	}
}
