/* SPDX-License-Identifier: MIT */
/*
 * The durable store of a node: an append-only file behind one connection that keeps the order of writes.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_STORE_H
#define OPTIMUS_TEST_SIM_SIM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/effect.h"
#include "queue/event.h"
#include "test/sim/idmap.h"

struct node;
struct store_op;

struct stored {
	void *data;
	size_t len;
};

struct stored_upload {
	struct opt_id batch;
	struct opt_id coordinator;
};

struct stored_journal {
	struct stored *entries;
	size_t count;
	size_t size;
};

struct sim_store {
	struct node *node;
	bool up;
	uint32_t life; /* of the connection: raised when either end dies */
	struct store_op *first, *last;
	usec last_apply;
	usec last_answer;
	usec slow_until;
	/* What is durable. */
	struct idmap records;   /* batch key -> struct stored */
	struct idmap uploads;   /* upload id -> struct stored_upload */
	struct idmap templates; /* upload id -> struct stored */
	struct idmap shards;    /* shard id, upload id -> struct stored */
	struct idmap journals;  /* id -> struct stored_journal */
	struct idmap registers; /* batch key -> struct stored */
	uint64_t sequence;
	struct idmap answered; /* batch key -> anything: the core knows that it has the record */
	struct idmap finished; /* batch key -> anything, when its journal has FINISHED */
};

void store_init(struct sim_store *store, struct node *node);
void store_submit(struct sim_store *store, const struct effect *effect);
/* What was under way becomes durable up to some point; nobody is answered. */
void store_daemon_died(struct sim_store *store);
void store_power_lost(struct sim_store *store);
/* Redis dies and comes back; then the shell repeats everything that was not answered. */
void store_crash(struct sim_store *store);
/* The same, for so long; also when the world heals meanwhile. */
void store_away(struct sim_store *store, usec how_long);
void store_slow_down(struct sim_store *store, usec how_long);

#endif
