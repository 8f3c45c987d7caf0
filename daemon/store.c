/* SPDX-License-Identifier: MIT */
/*
 * The store's public face: every call goes to the table of the store at hand. What is common to all stores is
 * said in store.h; nothing is decided here.
 */
#include "daemon/store.h"

void store_apply(struct store *store, const struct effect *effect)
{
	store->table->apply(store, effect);
}

void store_read_journal(struct store *store, const struct opt_id *id, store_read_fn *fn, void *context)
{
	store->table->read_journal(store, id, fn, context);
}

void store_read_shard(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
    store_read_fn *fn, void *context)
{
	store->table->read_shard(store, shard, upload, fn, context);
}

void store_read_template(struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context)
{
	store->table->read_template(store, upload, fn, context);
}

void store_read_batches(struct store *store, store_read_fn *fn, void *context)
{
	store->table->read_batches(store, fn, context);
}

void store_read_uploads(struct store *store, store_read_fn *fn, void *context)
{
	store->table->read_uploads(store, fn, context);
}

void store_read_registers(struct store *store, store_read_fn *fn, void *context)
{
	store->table->read_registers(store, fn, context);
}

void store_free(struct store *store)
{
	if (store != NULL)
		store->table->free(store);
}
