/* SPDX-License-Identifier: MIT */
/*
 * The register of a batch: one value, chosen once by a majority of its home nodes (rule 1).
 *
 * The value is the batch record (commit) or the word that an upload will never be one (abort). Single-decree
 * Paxos (Lamport, Paxos Made Simple, 2001): a proposer asks the homes to promise a ballot, learns what they
 * have accepted, proposes that or its own value, and has it decided when a majority accepts. Promises and
 * acceptances are durable before they are answered. A home refuses a proposer that sees other members than it
 * does (hash of the view): where they can't agree on who the homes are, nothing is decided and the submitter
 * tries again.
 */
#ifndef OPTIMUS_QUEUE_HOME_H
#define OPTIMUS_QUEUE_HOME_H

#include "queue/call.h"
#include "queue/state.h"

enum home_outcome {
	HOME_DECIDED_OURS,  /* the proposed value */
	HOME_DECIDED_OTHER, /* another one: `record`, or an abort of another upload */
	HOME_AGAIN,         /* too few homes answer, or they see other members */
	HOME_FAILED,        /* a store refused */
};

typedef void home_done_fn(
    struct core *core, const struct opt_id *upload, enum home_outcome outcome, const void *value, size_t len);

/*
 * Proposes a value for the batch's register: an encoded record, or with len = 0 the abort of `upload`. `done`
 * is called once, in this or a later step, with the value that was decided.
 */
void home_propose(struct core *core, const struct opt_id *batch, const struct opt_id *upload,
    const void *record, size_t len, home_done_fn *done);

/* EVENT_RECOVER_REGISTER */
void home_recover(struct core *core, const struct opt_id *batch, const void *data, size_t len);
/* Requests: PEER_PREPARE, PEER_ACCEPT, PEER_DECISION. Answers to CALL_PREPARE and CALL_ACCEPT. */
void home_prepare(struct core *core, struct peer *peer, const struct peer_message *request);
void home_accept(struct core *core, struct peer *peer, const struct peer_message *request);
void home_decision(struct core *core, struct peer *peer, const struct peer_message *request);
void home_answered(struct core *core, struct call *call, const struct peer_message *answer);
void home_stored(struct core *core, struct write *write, int status);
/* TIMER_HOME */
void home_due(struct core *core, struct proposal *proposal);
void home_free(struct core *core);

#endif
