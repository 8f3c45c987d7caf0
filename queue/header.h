/* SPDX-License-Identifier: MIT */
/*
 * A shard's header: who its members are, who owns it, what was promised.
 *
 * At a start the journals of batches that are over are not read: their FINISHED entries have the counts. But
 * what this node promised of such a shard, and who its members are, is in no summary. Who votes by the header
 * of the record instead lets an owner that was away for long claim mails anew that were delivered long ago.
 * So a request that depends on the header waits until the journal was read for it.
 */
#ifndef OPTIMUS_QUEUE_HEADER_H
#define OPTIMUS_QUEUE_HEADER_H

#include "queue/state.h"

/* Whether it is known. If not it is being read, and who asked, unanswered, will ask again. */
bool header_known(struct core *core, struct shard *shard);
/* The journal that WRITE_HEADER asked for. Frees the write. */
void header_loaded(struct core *core, struct write *write, const struct event *event);

#endif
