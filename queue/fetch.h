/* SPDX-License-Identifier: MIT */
/*
 * One shard of a batch for the report, on any node (EVENT_FETCH): its value and its journal, from this node
 * where it is up to date, else from the node that knows most of it; and the values that other nodes ask for.
 */
#ifndef OPTIMUS_QUEUE_FETCH_H
#define OPTIMUS_QUEUE_FETCH_H

#include "queue/query.h"

/* EVENT_FETCH. OPT_E_AGAIN: no live node that has it could be read. */
void fetch_shard(struct core *core, uint64_t reply, const struct opt_id *batch, uint32_t index);
/* The search for the record has ended. */
void fetch_found(struct core *core, struct query *query);
void fetch_lost(struct core *core, struct query *query, int status);

/* Answers to CALL_STATUS, CALL_FETCH and CALL_FETCH_JOURNAL; the wait for one is over. */
void fetch_answered(
    struct core *core, struct query *query, struct call *call, const struct peer_message *answer);
void fetch_due(struct core *core, struct query *query);

/*
 * Requests: PEER_FETCH. Its upload and shard name the value; parts of it of at most QUERY_PART bytes are
 * answered, from byte `from` on; `next` is where the following one starts, 0 at the end.
 */
void fetch_serve(struct core *core, struct peer *peer, const struct peer_message *request);
/* EVENT_VALUE_LOADED. False when nobody here has asked for it. */
bool fetch_value_loaded(struct core *core, const struct event *event);
/* EVENT_JOURNAL_LOADED with a token. False when no query has asked for it. */
bool fetch_journal_loaded(struct core *core, const struct event *event);
void fetch_free(struct core *core);

#endif
