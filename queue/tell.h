/* SPDX-License-Identifier: MIT */
/*
 * An operator's command on its way to the nodes that take part in a batch (rule 8).
 *
 * The homes of the batch keep it, durably, and tell every participant until that one has it, too, or is gone;
 * who comes back is told again. A replica that refuses a claim tells the one who made it. So a command needs
 * no more than a majority of the homes to be given, and reaches everybody that could act against it.
 */
#ifndef OPTIMUS_QUEUE_TELL_H
#define OPTIMUS_QUEUE_TELL_H

#include "queue/call.h"
#include "queue/state.h"

/* The batch stands otherwise than before: a home tells all participants. */
void tell_all(struct core *core, struct batch *batch);
/* That peer acts as if it did not know where the batch stands. */
void tell_peer(struct core *core, struct batch *batch, struct peer *peer);
/* It is alive again, or has started anew, or is gone. */
void tell_peer_changed(struct core *core, struct peer *peer);
/* Request: PEER_CONTROL. Answers to CALL_CONTROL. */
void tell_request(struct core *core, struct peer *peer, const struct peer_message *request);
void tell_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* The entry of a peer's command is in the store, or was refused. */
void tell_written(struct core *core, const struct write *write, int status);
/* The batch is about to be freed. */
void tell_forget(struct core *core, struct batch *batch);

/* With every heartbeat: who is no part of a batch's record asks its homes where it stands. */
void tell_tick(struct core *core);

#endif
