/* SPDX-License-Identifier: MIT */
/*
 * The checks that are made while a world runs. Each calls world_fail() with the invariant's name.
 */
#ifndef OPTIMUS_TEST_SIM_CHECK_H
#define OPTIMUS_TEST_SIM_CHECK_H

#include "queue/effect.h"
#include "queue/journal.h"
#include "queue/outcome.h"

struct world;
struct node;
struct reply;
struct attempt;
struct sim_batch;
struct content;

/* After every step. */
void check_step(struct node *node);
/* Before a feed is carried out. */
void check_feed(struct node *node, const struct effect *effect);
/* The same for what the operator said; `batch` is the one that is fed. */
void check_commanded(struct node *node, const struct sim_batch *batch);
/* A remote server took a mail. */
void check_delivery(struct world *w, const struct attempt *attempt);
/* A fact became durable. */
void check_fact(struct node *node, const struct attempt *attempt, enum outcome_kind kind);
/* A claim of that epoch became durable on the node. */
void check_epoch(struct node *node, const struct opt_id *shard, uint32_t epoch, const struct node *owner);
/* Before a feed: no majority of the members refuses claims since the operator's command. */
void check_held(struct node *node, const struct attempt *attempt);
/* Whether something in this world could part two nodes for a while. */
bool check_disturbed(const struct world *w);
/* The latest UTC that any daemon has seen in its present life. */
uint64_t check_any_utc(const struct world *w);
/* The core says what the cluster knows of a batch, or of a shard. */
void check_query_answer(struct node *node, const struct reply *reply, const struct effect *effect);
void check_fetch_answer(struct node *node, const struct reply *reply, const struct effect *effect);
/* The end of a batch became durable. */
void check_finished(struct node *node, struct sim_batch *batch, const struct journal_entry *entry);
/* The core lets Postfix go on. */
void check_outcome_answer(struct node *node, const struct reply *reply);
/* After that: how many deliveries Postfix was let go on with that few others know of. */
void check_exposed(struct node *node, const struct reply *reply);
/* The core answers a client. */
void check_upload_answer(
    struct node *node, const struct sim_batch *batch, struct content *content, enum upload_answer answer);

#endif
