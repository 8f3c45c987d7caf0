/* SPDX-License-Identifier: MIT */
/*
 * The audit of a world that has become quiet, and how long it may take to become so.
 */
#ifndef OPTIMUS_TEST_SIM_CHECK_END_H
#define OPTIMUS_TEST_SIM_CHECK_END_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/clock.h"

struct world;
struct node;

/* The virtual time by which everything must be over. */
usec check_limit(const struct world *w);
bool check_all_over(struct world *w);
/* Fails the world with what is not over. */
void check_stuck(struct world *w);
/* Everything that the core shows and the store holds, against the truth. */
void check_end(struct world *w);
/* Asks several nodes how every batch ended, and for its shards; then whether all have answered. */
void check_ask(struct world *w);
bool check_asked(struct world *w);
/* After a restart that nothing disturbed: what was only staged is gone. */
enum { RESTARTS_MAX = 9 /* nodes are restarted at the end, the first ones */ };
void check_nothing_staged(struct world *w);
/* Over all that the status shows of accepted batches. */
uint64_t check_views_hash(const struct node *node);

#endif
