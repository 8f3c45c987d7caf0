/* SPDX-License-Identifier: MIT */
/*
 * A record that a home has accepted may be decided without any home knowing: whoever proposed it learnt so,
 * saw the homes as gone, ended its announcement, and is gone itself, or has no reason to tell them again. To
 * everybody who asks the homes such a batch would be one that does not exist.
 *
 * So a home that hears nothing more about a record for FINISH_AFTER proposes the abort of its upload: where
 * the record may be decided that decides the record, which is announced then. One that is no home any more
 * pushes it to those that are, and drops it when they have the record of the batch (queue/homesync.h).
 */
#ifndef OPTIMUS_QUEUE_HOMEFINISH_H
#define OPTIMUS_QUEUE_HOMEFINISH_H

#include "queue/state.h"

/* Well above the time that a proposer goes on (queue/propose.h). */
#define FINISH_AFTER (30 * USEC_PER_SEC)

/* With every heartbeat. */
void homefinish_tick(struct core *core);

#endif
