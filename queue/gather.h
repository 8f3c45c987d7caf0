/* SPDX-License-Identifier: MIT */
/*
 * What the cluster knows of a batch, asked of any node: its counts (EVENT_QUERY), and the events of all
 * queries.
 *
 * A query asks every node that the record names as a replica or a home and is alive, and whom these name as
 * later members; it takes for each shard the word of the one that knows most (finished; then the highest
 * epoch; then its owner; then the latest final fact), and adds up. Shards of which no live node knows
 * anything count as unavailable, or as unknown when their nodes are forgotten and nobody else is away
 * (rule 7). Where this node has no record, it asks the homes that it computes, then those that the DHT's
 * directory names (queue/query.h).
 */
#ifndef OPTIMUS_QUEUE_GATHER_H
#define OPTIMUS_QUEUE_GATHER_H

#include "queue/call.h"
#include "queue/query.h"
#include "queue/state.h"

/* EVENT_QUERY */
void gather_query(struct core *core, uint64_t reply, const char *batch);
/* The search for the record has ended. */
void gather_found(struct core *core, struct query *query);
void gather_lost(struct core *core, struct query *query, int status);

/* EVENT_DIRECTORY */
void gather_directory(struct core *core, const struct event *event);
/* Answers to CALL_STATUS, CALL_RECORD, CALL_FETCH and CALL_FETCH_JOURNAL. */
void gather_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* Requests: PEER_STATUS. */
void gather_status(struct core *core, struct peer *peer, const struct peer_message *request);
/* TIMER_QUERY: who has not answered by now is left out. */
void gather_due(struct core *core, struct query *query);
/* At core_new() and core_free(). */
void gather_init(struct core *core);
void gather_free(struct core *core);

#endif
