/* SPDX-License-Identifier: MIT */
/*
 * What the operations of the store do to its content, and what the truth learns from them.
 */
#ifndef OPTIMUS_TEST_SIM_STORE_WRITE_H
#define OPTIMUS_TEST_SIM_STORE_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/sim_store.h"

struct sim_batch;
struct world;

struct store_op {
	struct store_op *next;
	enum effect_type type;
	uint64_t token;
	struct opt_id id;
	struct opt_id batch;
	struct opt_id upload;
	struct opt_id node;
	usec submitted;
	void *data;
	size_t len;
	const char *text;
	uint32_t shards;
	bool and_template;
	uint64_t sequence; /* queue/lost_writes.h */
	bool sent;
	bool repeated; /* sent before a crash of Redis: it may be durable, so no refusal can be certain */
	bool applied;  /* durable; its answer may still be under way */
	int status;
	struct span *spans; /* what a load found */
	size_t span_count;
};

const char *store_op_name(enum effect_type type);
/* The first bytes of an id, for the trace. */
uint64_t id_number(const struct opt_id *id);
void store_write(struct sim_store *store, struct store_op *op);
void store_read(struct sim_store *store, struct store_op *op);
/* Whether every shard and its template are durable on a majority of the shard's members. NULL or what is
 * missing. */
const char *store_whole(const struct world *w, const struct sim_batch *batch);
/* Whether the record is durable on a majority of the batch's homes. */
const char *store_recorded(const struct node *node, const struct sim_batch *batch);

#endif
