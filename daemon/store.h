/* SPDX-License-Identifier: MIT */
/*
 * The node's store, behind a table of functions: Redis in the daemon (store_redis.c), memory in tests
 * (store_memory.c). docs/store.md says what lies under which key.
 *
 * Nothing blocks. A write ends with one call of `done` with its token: status 0 only when it is as durable as
 * the store can make it; OPT_E_FULL or OPT_E_STORE when it certainly was not written. While the store is away
 * (Redis is being restarted) writes and reads wait and are repeated, which is harmless because every write
 * only adds a fact or sets a value for good. Calls back never happen inside the call that asked.
 */
#ifndef OPTIMUS_DAEMON_STORE_H
#define OPTIMUS_DAEMON_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "queue/effect.h"
#include "queue/event.h"
#include "queue/id.h"

struct store;

/* `values` are borrowed for the call. status: 0, OPT_E_NOT_FOUND (no such key), OPT_E_STORE, OPT_E_INVALID.
 */
typedef void store_read_fn(void *context, int status, const struct span *values, size_t count);
typedef void store_done_fn(void *context, uint64_t token, int status);

struct store_table {
	void (*apply)(struct store *store, const struct effect *effect);
	void (*read_journal)(struct store *store, const struct opt_id *id, store_read_fn *fn, void *context);
	void (*read_shard)(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
	    store_read_fn *fn, void *context);
	void (*read_template)(
	    struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context);
	void (*read_batches)(struct store *store, store_read_fn *fn, void *context);
	void (*read_uploads)(struct store *store, store_read_fn *fn, void *context);
	void (*read_registers)(struct store *store, store_read_fn *fn, void *context);
	void (*free)(struct store *store);
};

/* What every store starts with. */
struct store {
	const struct store_table *table;
	store_done_fn *done;
	void *done_context;
};

/* Carries out an EFFECT_STORE_ effect. Copies what it needs. Writes are carried out in the order of the
 * calls. */
void store_apply(struct store *store, const struct effect *effect);

/* The entries of a journal, a squashed one already unpacked: one span an entry, oldest first; none is status
 * 0. */
void store_read_journal(struct store *store, const struct opt_id *id, store_read_fn *fn, void *context);
/* One span: the value as it was stored. */
void store_read_shard(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
    store_read_fn *fn, void *context);
void store_read_template(struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context);
/* One span a batch record. */
void store_read_batches(struct store *store, store_read_fn *fn, void *context);
/* Two spans for each open upload: its id as 40 hex digits, then "<batch key> <coordinator>". */
void store_read_uploads(struct store *store, store_read_fn *fn, void *context);
/* Two spans for each register: the batch's key as 40 hex digits, then its value. */
void store_read_registers(struct store *store, store_read_fn *fn, void *context);
void store_free(struct store *store);

#endif
