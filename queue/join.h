/* SPDX-License-Identifier: MIT */
/*
 * How this node becomes a member of a shard that another node owns: PEER_JOIN.
 *
 *   the batch's record → its template → the shard's value → its journal
 *
 * What is here already is not fetched again, so a request that comes again, or after a restart, goes on where
 * the last one ended. It is answered when all is durable. The node is no member by that: it is one when the
 * entry of the configuration arrives (queue/change.h).
 */
#ifndef OPTIMUS_QUEUE_JOIN_H
#define OPTIMUS_QUEUE_JOIN_H

#include "queue/call.h"
#include "queue/state.h"

enum { JOINS_MAX = 256 /* at once */ };

/* Request: PEER_JOIN. Answers to CALL_JOIN_FETCH. */
void join_request(struct core *core, struct peer *peer, const struct peer_message *request);
void join_fetched(struct core *core, struct call *call, const struct peer_message *answer);
/*
 * This node is a member, and may lack the value or the template: looks for them, and gets them from another
 * one. False when nobody can be asked, or it has begun already.
 */
bool join_value(struct core *core, struct shard *shard);
/* The batch has just become one. */
void join_accepted(struct core *core, const struct opt_id *batch);
/* EVENT_VALUE_LOADED. False when nobody here has asked for it. */
bool join_value_loaded(struct core *core, const struct event *event);
/* WRITE_JOIN. Frees the write. */
void join_stored(struct core *core, struct write *write, int status);
/* With each heartbeat: those whose owner is gone, or that take too long, end. */
void join_tick(struct core *core);
void joins_free(struct core *core);

#endif
