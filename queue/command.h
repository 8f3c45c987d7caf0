/* SPDX-License-Identifier: MIT */
/*
 * Pause, resume and cancel of a batch by any node, and draining of another node (rule 8).
 *
 *   what is known of the batch, from all → version = the highest given + 1 → a majority of the batch's homes
 *   has noted that it is given → and has the command: acknowledged → the homes tell everybody (queue/tell.h)
 *
 * The first step is the query of queue/gather.h: a batch of which every mail is final takes no command.
 */
#ifndef OPTIMUS_QUEUE_COMMAND_H
#define OPTIMUS_QUEUE_COMMAND_H

#include "queue/control.h"
#include "queue/query.h"

/* Ends in EFFECT_CONTROL_ANSWER. */
void command_start(struct core *core, uint64_t reply, const struct opt_id *batch, enum control_what what);
/* Asks the node to drain, or no longer. */
void command_drain(struct core *core, uint64_t reply, const struct opt_id *node, bool on);

/* The batch was not found. */
void command_lost(struct core *core, struct query *query, int status);
/* All that can be known is: `finished`, every mail of the batch is final. */
void command_known(struct core *core, struct query *query, bool finished);
/* Answers to CALL_COMMAND and CALL_DRAIN; the wait for one is over. */
void command_answered(struct core *core, struct call *call, const struct peer_message *answer);
void command_due(struct core *core, struct query *query);
/* Request: PEER_VERSION; then the store's answer, which frees the write. */
void command_version(struct core *core, struct peer *peer, const struct peer_message *request);
void command_version_written(struct core *core, struct write *write, int status);
/* This node's own entry. */
void command_written(struct core *core, const struct write *write, int status);

#endif
