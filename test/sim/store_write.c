/* SPDX-License-Identifier: MIT */
/*
 * The content of the store. Writes are repeated after a Redis crash, so each must be harmless the second
 * time; an APPEND is not (the journal then has the entry twice), which is why the core must read journals as
 * sets.
 *
 * Every record and every journal entry is decoded the moment it is durable, and the truth takes note.
 */
#include "test/sim/store_write.h"

#include <string.h>

#include "queue/error.h"
#include "queue/register.h"
#include "test/sim/check.h"
#include "test/sim/sim_control.h"
#include "test/sim/world.h"

const char *store_op_name(enum effect_type type)
{
	switch (type) {
	case EFFECT_STORE_UPLOAD:
		return "upload";
	case EFFECT_STORE_SHARD:
		return "shard";
	case EFFECT_STORE_COMMIT:
		return "commit";
	case EFFECT_STORE_DROP_UPLOAD:
		return "drop-upload";
	case EFFECT_STORE_APPEND:
		return "append";
	case EFFECT_STORE_SQUASH:
		return "squash";
	case EFFECT_STORE_REGISTER:
		return "register";
	case EFFECT_LOAD_VALUE:
		return "load-value";
	case EFFECT_LOAD_JOURNAL:
		return "load-journal";
	case EFFECT_LOAD_SHARD:
		return "load-shard";
	default:
		return "?";
	}
}

uint64_t id_number(const struct opt_id *id)
{
	return (uint64_t)id->bytes[0] << 24 | (uint64_t)id->bytes[1] << 16 | (uint64_t)id->bytes[2] << 8 |
	       id->bytes[3];
}

static bool same(const struct stored *stored, const struct store_op *op)
{
	return stored->len == op->len && memcmp(stored->data, op->data, op->len) == 0;
}

/* Sets a value for good; another value under the same key breaks the store's first rule. */
static void set_once(struct sim_store *store, struct idmap *map, const struct opt_id *a,
    const struct opt_id *b, const struct store_op *op)
{
	struct stored *stored = idmap_get(map, a, b);

	if (stored != NULL) {
		if (!same(stored, op))
			world_fail(store->node->world, "I1: %s %08llx overwrites another value",
			    store_op_name(op->type), (unsigned long long)id_number(a));
		return;
	}
	stored = ARENA_NEW(store->node->world->arena, struct stored);
	stored->data = op->data;
	stored->len = op->len;
	idmap_set(map, a, b, stored);
}

/* Whether one member holds the shard, with the template. */
static bool holds(const struct sim_store *store, const struct sim_batch *batch, uint32_t index)
{
	const struct content_shard *shard = &batch->accepted->shards[index];
	const struct stored *stored = idmap_get(&store->shards, &batch->shards[index].id, &batch->upload);

	return stored != NULL && stored->len == shard->len &&
	       memcmp(stored->data, shard->value, shard->len) == 0 &&
	       idmap_get(&store->templates, &batch->upload, NULL) != NULL;
}

const char *store_whole(const struct world *w, const struct sim_batch *batch)
{
	if (batch->accepted == NULL)
		return "its record";
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		const struct sim_shard *shard = &batch->shards[i];
		uint32_t holders = 0;

		for (uint32_t m = 0; m < shard->config->count; m++)
			holders += holds(&w->nodes[shard->config->nodes[m]].store, batch, i);
		if (2 * holders <= shard->config->count)
			return "a shard, as it was uploaded, with its template";
	}
	return NULL;
}

/* How many members the node counts. */
static uint32_t members_of(const struct node *node)
{
	const struct opt_id *after = NULL;
	struct member_view member;
	struct opt_id id;
	uint32_t count = 0;

	while (core_member_next(node->core, after, &member) == 0) {
		id = member.id;
		after = &id;
		count += member.member;
	}
	return count;
}

/*
 * Members that come move homes, so the homes that voted need not be those that the record names; and they
 * were fewer when members were forgotten while the batch was being decided.
 */
const char *store_recorded(const struct node *node, const struct sim_batch *batch)
{
	const struct world *w = node->world;
	const uint32_t members = members_of(node);
	const uint32_t homes = batch->home_count < members ? batch->home_count : members;
	uint32_t holders = 0;

	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_store *store = &w->nodes[i].store;
		const struct stored *reg = idmap_get(&store->registers, &batch->key, NULL);

		holders +=
		    idmap_get(&store->records, &batch->key, NULL) != NULL ||
		    (reg != NULL && memmem(reg->data, reg->len, batch->record, batch->record_len) != NULL);
	}
	return 2 * holders > homes ? NULL : "its record";
}

/* The record is decided: what it says must be there. */
static void accept_batch(struct sim_store *store, const struct opt_id *key, const void *data, size_t len)
{
	struct world *w = store->node->world;
	const char *wrong = truth_accept(w, key, data, len);
	struct sim_batch *batch;

	if (wrong != NULL) {
		world_fail(w, "%s", wrong);
		return;
	}
	batch = idmap_get(&w->truth.batches, key, NULL);
	TRACE_NODE(store->node, "%s is accepted: %u mails", T(batch->name), N(batch->accepted->total));
	sim_control_accepted(store->node, batch);
	wrong = store_whole(w, batch);
	if (wrong != NULL)
		world_fail(w, "I1: %s was committed without %s", batch->name, wrong);
}

static void commit(struct sim_store *store, struct store_op *op)
{
	struct world *w = store->node->world;
	struct sim_batch *batch = idmap_get(&w->truth.batches, &op->id, NULL);
	bool known = idmap_get(&store->records, &op->id, NULL) != NULL;

	set_once(store, &store->records, &op->id, NULL, op);
	idmap_set(&store->uploads, &op->upload, NULL, NULL);
	idmap_set(&store->registers, &op->id, NULL, NULL);
	if (known || w->failed)
		return;
	if (batch == NULL || batch->accepted == NULL)
		accept_batch(store, &op->id, op->data, op->len);
	else if (op->len != batch->record_len || memcmp(op->data, batch->record, op->len) != 0)
		world_fail(w, "I1: %s has two records", batch->name);
	if (w->failed)
		return;
	batch = idmap_get(&w->truth.batches, &op->id, NULL);
	if (!id_equal(&batch->upload, &op->upload) || strcmp(op->text, batch->name) != 0)
		world_fail(
		    w, "I1: the commit of %s names another upload or batch than its record", batch->name);
}

static void drop_upload(struct sim_store *store, const struct store_op *op)
{
	struct world *w = store->node->world;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && id_equal(&batch->upload, &op->upload) &&
		    truth_takes_part(batch, store->node->index))
			world_fail(w, "I1: the core drops the upload that %s was accepted with", batch->name);
	}
	idmap_set(&store->uploads, &op->upload, NULL, NULL);
	idmap_set(&store->templates, &op->upload, NULL, NULL);
	/* The effect tells how many shards there may be, or that the shell has to look for them. */
	for (size_t i = 0; i < store->shards.count; i++) {
		struct idmap_item *item = &store->shards.items[i];

		if (id_equal(&item->b, &op->upload))
			item->value = NULL;
	}
}

static void note_claims(struct node *node, const struct store_op *op, const struct journal_entry *entry)
{
	const struct opt_id *shard = &op->id;
	struct world *w = node->world;
	const struct node *owner = world_node(w, &entry->node);
	struct attempt_key key = {.shard = *shard, .epoch = entry->epoch, .node = entry->node};

	if (owner == NULL) {
		world_fail(w, "I4: a claim of a node that there is not");
		return;
	}
	check_epoch(node, shard, entry->epoch, owner);
	for (size_t i = 0; i < entry->count; i++) {
		struct attempt *attempt;

		key.index = entry->claims[i].index;
		key.attempt = entry->claims[i].attempt;
		attempt = truth_attempt_new(&w->truth, &key);
		if (attempt == NULL) {
			world_fail(w, "I4: a claim on a mail that was never accepted");
			return;
		}
		truth_held(&w->truth, attempt, node->index)->claimed = true;
		if (attempt->claimed)
			continue;
		attempt->claimed = true;
		attempt->owner = owner->index;
		attempt->claim_made = op->submitted;
		/* Without a core it is the last write of a daemon that has just died. */
		attempt->life = owner->core != NULL ? owner->life : owner->life - 1;
		attempt->flags = entry->claims[i].flags;
		attempt->generation = entry->generation;
		attempt->claimed_at = entry->at;
		TRACE_NODE(node, "claim of %m attempt %u is durable, flags %u, generation %u",
		    M(attempt->mail), N(key.attempt), N(attempt->flags), N(attempt->generation));
	}
}

static void note_outcomes(struct node *node, const struct journal_entry *entry)
{
	struct world *w = node->world;

	for (size_t i = 0; i < entry->count; i++) {
		const struct outcome *outcome = &entry->outcomes[i];
		struct attempt *attempt = truth_attempt_new(&w->truth, &outcome->key);

		if (attempt == NULL) {
			world_fail(w, "I4: a fact about a mail that was never accepted");
			return;
		}
		truth_fact_held(&w->truth, attempt, node->index, outcome->kind, w->now);
		if (attempt->facts & 1U << outcome->kind)
			continue;
		attempt->facts |= 1U << outcome->kind;
		attempt->mail->fact_kinds |= 1U << outcome->kind;
		TRACE_NODE(node, "fact about %m attempt %u is durable: %s", M(attempt->mail),
		    N(attempt->key.attempt), T(outcome_kind_name(outcome->kind)));
		check_fact(node, attempt, outcome->kind);
	}
}

static void append(struct sim_store *store, const struct store_op *op)
{
	struct world *w = store->node->world;
	struct sim_batch *batch = idmap_get(&w->truth.batches, &op->id, NULL);
	struct stored_journal *journal = idmap_get(&store->journals, &op->id, NULL);
	struct journal_entry entry;

	if (journal == NULL) {
		journal = ARENA_NEW(w->arena, struct stored_journal);
		idmap_set(&store->journals, &op->id, NULL, journal);
	}
	journal->entries =
	    arena_grow(w->arena, journal->entries, journal->count, &journal->size, sizeof(*journal->entries));
	journal->entries[journal->count++] = (struct stored){op->data, op->len};
	if (journal_read(w->truth.reader, &op->id, op->data, op->len, &entry) != 0) {
		world_fail(w, "a journal entry that can't be read");
		return;
	}
	if (entry.type == JOURNAL_CLAIMS)
		note_claims(store->node, op, &entry);
	else if (entry.type == JOURNAL_OUTCOMES)
		note_outcomes(store->node, &entry);
	else if (entry.type == JOURNAL_FINISHED && batch != NULL) {
		idmap_set(&store->finished, &op->id, NULL, store);
		check_finished(store->node, batch, &entry);
	} else if (entry.type == JOURNAL_PROMISE)
		truth_promise(&w->truth, &op->id, entry.epoch, w->now);
	else if (entry.type == JOURNAL_CONFIG)
		truth_config(store->node, &op->id, &entry);
	else if (entry.type == JOURNAL_CONTROL && batch != NULL)
		truth_store_heard(&w->truth, store->node, op, false);
	else if (entry.type == JOURNAL_VERSION && batch != NULL)
		return;
	else if (entry.type == JOURNAL_TOLD && batch == NULL)
		return;
	else if (entry.type != JOURNAL_CONTROL || !id_equal(&op->id, &store->node->id))
		world_fail(w, "an entry of type %d in the journal of a shard", (int)entry.type);
}

static void set_upload(struct sim_store *store, struct store_op *op)
{
	struct stored_upload *upload = ARENA_NEW(store->node->world->arena, struct stored_upload);

	upload->batch = op->id;
	upload->coordinator = op->node;
	idmap_set(&store->uploads, &op->upload, NULL, upload);
	set_once(store, &store->templates, &op->upload, NULL, op);
}

/* Whether so many have accepted it under this ballot, or stored it, that no other record can be decided. */
static bool decided(const struct world *w, const struct opt_id *batch, const struct reg *reg,
    const struct batch_record *record)
{
	uint32_t homes = w->plan.config.replicas < w->node_count ? w->plan.config.replicas : w->node_count;
	uint32_t count = 0;

	if (homes < record->home_count)
		homes = record->home_count;
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_store *store = &w->nodes[i].store;
		const struct stored *stored = idmap_get(&store->registers, batch, NULL);
		struct reg other;

		if (idmap_get(&store->records, batch, NULL) != NULL) {
			count++;
		} else if (stored != NULL && register_decode(stored->data, stored->len, &other) == 0) {
			count += ballot_compare(&other.accepted, &reg->accepted) == 0 && other.len > 0;
			register_done(&other);
		}
	}
	return 2 * count > homes;
}

/* From this moment on the batch is accepted, whoever knows it. */
static void take_decision(struct sim_store *store, const struct opt_id *batch, const void *data, size_t len)
{
	struct world *w = store->node->world;
	const struct sim_batch *known = idmap_get(&w->truth.batches, batch, NULL);
	struct batch_record record;
	struct reg reg;

	if (known == NULL || known->accepted != NULL)
		return;
	if (register_decode(data, len, &reg) != 0) {
		world_fail(w, "a register that can't be read");
		return;
	}
	if (reg.len > 0 && record_decode(reg.record, reg.len, &record) == 0) {
		if (decided(w, batch, &reg, &record))
			accept_batch(store, batch, reg.record, reg.len);
		record_done(&record);
	}
	register_done(&reg);
}

static void set_register(struct sim_store *store, const struct store_op *op)
{
	struct stored *stored = NULL;

	if (op->len > 0) {
		stored = ARENA_NEW(store->node->world->arena, struct stored);
		*stored = (struct stored){op->data, op->len};
	}
	idmap_set(&store->registers, &op->id, NULL, stored);
	if (stored != NULL)
		take_decision(store, &op->id, op->data, op->len);
}

/* Exact repeats go; everything else stays. */
static void squash(struct sim_store *store, const struct store_op *op)
{
	struct stored_journal *journal = idmap_get(&store->journals, &op->id, NULL);
	size_t kept = 0;

	if (journal == NULL)
		return;
	for (size_t i = 0; i < journal->count; i++) {
		bool repeat = false;

		for (size_t k = 0; k < kept && !repeat; k++)
			repeat = journal->entries[k].len == journal->entries[i].len &&
			         memcmp(journal->entries[k].data, journal->entries[i].data,
			             journal->entries[i].len) == 0;
		if (!repeat)
			journal->entries[kept++] = journal->entries[i];
	}
	journal->count = kept;
}

void store_write(struct sim_store *store, struct store_op *op)
{
	if (op->sequence > 0)
		store->sequence = op->sequence;
	switch (op->type) {
	case EFFECT_STORE_UPLOAD:
		set_upload(store, op);
		return;
	case EFFECT_STORE_REGISTER:
		set_register(store, op);
		return;
	case EFFECT_STORE_SHARD:
		set_once(store, &store->shards, &op->id, &op->upload, op);
		return;
	case EFFECT_STORE_COMMIT:
		commit(store, op);
		return;
	case EFFECT_STORE_DROP_UPLOAD:
		drop_upload(store, op);
		return;
	case EFFECT_STORE_APPEND:
		append(store, op);
		return;
	case EFFECT_STORE_SQUASH:
		squash(store, op);
		return;
	default:
		world_fail(store->node->world, "operation %d is no write", (int)op->type);
		return;
	}
}

void store_read(struct sim_store *store, struct store_op *op)
{
	struct arena *arena = store->node->world->arena;

	if (op->type == EFFECT_LOAD_JOURNAL) {
		const struct stored_journal *journal = idmap_get(&store->journals, &op->id, NULL);

		op->span_count = journal != NULL ? journal->count : 0;
		op->spans = arena_alloc(arena, op->span_count * sizeof(*op->spans));
		for (size_t i = 0; i < op->span_count; i++)
			op->spans[i] = (struct span){journal->entries[i].data, journal->entries[i].len};
		return;
	}
	op->spans = arena_alloc(arena, sizeof(*op->spans));
	op->span_count = 1;
	{
		const struct stored *value = op->type == EFFECT_LOAD_VALUE && id_is_zero(&op->id)
		                                 ? idmap_get(&store->templates, &op->upload, NULL)
		                                 : idmap_get(&store->shards, &op->id, &op->upload);

		if (op->and_template && idmap_get(&store->templates, &op->upload, NULL) == NULL)
			value = NULL;
		if (value == NULL)
			op->status = OPT_E_NOT_FOUND;
		else
			op->spans[0] = (struct span){value->data, value->len};
	}
}
