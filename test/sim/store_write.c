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

const char *store_whole(const struct sim_store *store, const struct sim_batch *batch)
{
	if (batch->accepted == NULL)
		return "its record";
	if (idmap_get(&store->templates, &batch->upload, NULL) == NULL)
		return "its template";
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		const struct content_shard *shard = &batch->accepted->shards[i];
		const struct stored *stored = idmap_get(&store->shards, &batch->shards[i].id, &batch->upload);

		if (stored == NULL)
			return "a shard";
		if (stored->len != shard->len || memcmp(stored->data, shard->value, shard->len) != 0)
			return "a shard as it was uploaded";
	}
	return NULL;
}

static void commit(struct sim_store *store, struct store_op *op)
{
	struct world *w = store->node->world;
	struct sim_batch *batch = idmap_get(&w->truth.batches, &op->id, NULL);
	bool known = idmap_get(&store->records, &op->id, NULL) != NULL;
	const char *wrong = NULL;

	set_once(store, &store->records, &op->id, NULL, op);
	idmap_set(&store->uploads, &op->upload, NULL, NULL);
	if (known || w->failed)
		return;
	wrong = truth_accept(&w->truth, &op->id, op->data, op->len);
	if (wrong != NULL) {
		world_fail(w, "%s", wrong);
		return;
	}
	TRACE(w, "%s is accepted: %u mails", T(batch->name), N(batch->accepted->total));
	sim_control_accepted(store->node, batch);
	if (!id_equal(&batch->upload, &op->upload) || strcmp(op->text, batch->name) != 0)
		world_fail(
		    w, "I1: the commit of %s names another upload or batch than its record", batch->name);
	wrong = store_whole(store, batch);
	if (wrong != NULL)
		world_fail(w, "I1: %s was committed without %s", batch->name, wrong);
}

static void drop_upload(struct sim_store *store, const struct store_op *op)
{
	struct world *w = store->node->world;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (batch->accepted != NULL && id_equal(&batch->upload, &op->upload))
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

static void note_claims(struct node *node, const struct opt_id *shard, const struct journal_entry *entry)
{
	struct world *w = node->world;
	struct attempt_key key = {.shard = *shard, .epoch = entry->epoch, .node = entry->node};

	for (size_t i = 0; i < entry->count; i++) {
		struct attempt *attempt;

		key.index = entry->claims[i].index;
		key.attempt = entry->claims[i].attempt;
		attempt = truth_attempt_new(&w->truth, &key);
		if (attempt == NULL) {
			world_fail(w, "I4: a claim on a mail that was never accepted");
			return;
		}
		if (attempt->claimed)
			continue;
		attempt->claimed = true;
		/* Without a core it is the last write of a daemon that has just died. */
		attempt->life = node->core != NULL ? node->life : node->life - 1;
		attempt->flags = entry->claims[i].flags;
		attempt->generation = entry->generation;
		attempt->claimed_at = entry->at;
		TRACE(w, "claim of %m attempt %u is durable, flags %u, generation %u", M(attempt->mail),
		    N(key.attempt), N(attempt->flags), N(attempt->generation));
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
		if (attempt->facts & 1U << outcome->kind)
			continue;
		attempt->facts |= 1U << outcome->kind;
		attempt->mail->fact_kinds |= 1U << outcome->kind;
		TRACE(w, "fact about %m attempt %u is durable: %s", M(attempt->mail), N(attempt->key.attempt),
		    T(outcome_kind_name(outcome->kind)));
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
		note_claims(store->node, &op->id, &entry);
	else if (entry.type == JOURNAL_OUTCOMES)
		note_outcomes(store->node, &entry);
	else if (entry.type == JOURNAL_FINISHED && batch != NULL)
		check_finished(store->node, batch, &entry);
	else if (entry.type != JOURNAL_CONTROL || (batch == NULL && !id_equal(&op->id, &store->node->id)))
		world_fail(w, "an entry of type %d in the journal of a shard", (int)entry.type);
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
	switch (op->type) {
	case EFFECT_STORE_UPLOAD:
		idmap_set(&store->uploads, &op->upload, NULL, store);
		set_once(store, &store->templates, &op->upload, NULL, op);
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
		const struct stored *value = idmap_get(&store->shards, &op->id, &op->upload);

		if (value == NULL)
			op->status = OPT_E_NOT_FOUND;
		else
			op->spans[0] = (struct span){value->data, value->len};
	}
}
