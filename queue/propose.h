/* SPDX-License-Identifier: MIT */
/*
 * Proposing a value for the register of a batch (queue/home.h).
 *
 *   ask the homes to promise a ballot → take the commit of the highest ballot that they have accepted, or our
 *   own value → have it accepted by a majority
 *
 * Refused by a higher ballot, or without a majority, it starts again with a higher one after a while, and
 * gives up after PROPOSE_LIMIT. What it proposed may be decided later all the same.
 *
 * Of the aborts for one batch a node proposes one after the other: proposals outbid each other, and where a
 * client has tried in vain for long there are a hundred uploads to abort. A record does not wait.
 */
#ifndef OPTIMUS_QUEUE_PROPOSE_H
#define OPTIMUS_QUEUE_PROPOSE_H

#include "queue/call.h"
#include "queue/state.h"

#define PROPOSE_LIMIT (10 * USEC_PER_SEC)

enum propose_outcome {
	PROPOSE_OURS,   /* the proposed value is decided */
	PROPOSE_OTHER,  /* a record is decided, or, without one, the abort of the upload */
	PROPOSE_AGAIN,  /* too few homes answer, or they see other members */
	PROPOSE_FAILED, /* their stores refuse */
};

/* `record`: what is decided, where that is a record. Borrowed. */
typedef void propose_done_fn(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    enum propose_outcome outcome, const void *record, size_t len);

/*
 * Proposes the record of `upload`, or with len = 0 its abort. `done` is called once, in this or a later step.
 * A proposal of the same upload that is under way is given up without a word.
 */
void propose_start(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    const void *record, size_t len, propose_done_fn *done);
/* Whether this node proposes something for the batch, or is about to. */
bool propose_runs(const struct core *core, const struct opt_id *batch);
/* Answers to CALL_PREPARE and CALL_ACCEPT. The call is over. */
void propose_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* The vote of this node itself on the round `number`. */
void propose_voted(struct core *core, uint64_t number, const struct peer_message *answer);
/* TIMER_HOME */
void propose_due(struct core *core, struct proposal *proposal);
void proposals_free(struct core *core);

#endif
