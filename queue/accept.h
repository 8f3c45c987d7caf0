/* SPDX-License-Identifier: MIT */
/*
 * A decided batch record on its way into this node's store, after which the batch exists here. Each batch
 * once, whoever brings the record first: the upload, another node, the register.
 */
#ifndef OPTIMUS_QUEUE_ACCEPT_H
#define OPTIMUS_QUEUE_ACCEPT_H

#include "queue/call.h"
#include "queue/state.h"

/*
 * Stores the record and begins the batch. Does nothing when the batch exists or its record is under way.
 * OPT_E_INVALID: these bytes are no record of that batch. upload_recorded() hears of the end.
 */
int accept_record(struct core *core, const struct opt_id *batch, const void *record, size_t len);
bool accept_under_way(const struct core *core, const struct opt_id *batch);
/* PEER_RECORD */
void accept_request(struct core *core, struct peer *peer, const struct peer_message *request);
/* WRITE_COMMIT */
void accept_stored(struct core *core, struct write *write, int status);
void accepts_free(struct core *core);

#endif
