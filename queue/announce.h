/* SPDX-License-Identifier: MIT */
/*
 * A decided batch record on its way to all that take part: the replicas of its shards and its homes.
 */
#ifndef OPTIMUS_QUEUE_ANNOUNCE_H
#define OPTIMUS_QUEUE_ANNOUNCE_H

#include "queue/call.h"
#include "queue/state.h"

/* Stores the record here and brings it to the others. Does nothing when that is under way, or it is none. */
void announce_start(struct core *core, const void *record, size_t len);
/* An answer to CALL_ANNOUNCE. The call is over. */
void announce_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* Once a heartbeat: asks those again that were busy, and leaves out those that are gone. */
void announces_tick(struct core *core);
/* For each node of the record whether it has it; NULL when no announcement is under way. */
const bool *announce_have(const struct core *core, const struct opt_id *batch);
void announces_free(struct core *core);

#endif
