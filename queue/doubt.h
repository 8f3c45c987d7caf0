/* SPDX-License-Identifier: MIT */
/*
 * Mail that another node has claimed, and of whose attempt nothing was heard (rule 4).
 *
 * That node tells when it settles. It has doubt_hold for it: since it was heard last, or since its Postfix
 * runs no more. A node that lives, and whose Postfix runs, may have a mail in there for long; but it may also
 * have lost its journal, or have forgotten the shard. So once doubt_hold is over it is told of its claims,
 * and looks for them (queue/settle.c). One that does not answer that for another doubt_hold has nothing to
 * tell, either.
 */
#ifndef OPTIMUS_QUEUE_DOUBT_H
#define OPTIMUS_QUEUE_DOUBT_H

#include "queue/state.h"

/* The shard is owned, or somebody's claim came to be known: it is waited for, not for ever. */
void doubt_watch(struct core *core, struct shard *shard);
/* TIMER_DOUBT */
void doubt_due(struct core *core, struct shard *shard);
/* Answers to CALL_CLAIMS. */
void doubt_answered(struct call *call);
/* The shard is not owned any more, or finished. */
void doubt_end(struct core *core, struct shard *shard);

#endif
