/* SPDX-License-Identifier: MIT */
/*
 * Shards that this node was a member of, and what their members have not heard of them yet.
 *
 * A node that comes back and hears that it was replaced may have facts that nobody else has. It compares
 * journals with the members, and may die before that is over. So it is *untold* until a majority of them has
 * all, and then a TOLD entry in its own journal of the shard says so: what stands before it need not be told
 * again, what stands behind it was not told. Without one everything is told after each start, whoever has
 * left it and how. Until then the end of the batch stays unwritten here (queue/batch.h), for where that is
 * believed journals are not read.
 */
#ifndef OPTIMUS_QUEUE_LEFT_H
#define OPTIMUS_QUEUE_LEFT_H

#include "queue/state.h"

/* It has left the shard, or has a fact of it since. */
void left_begin(struct core *core, struct shard *shard);
/* It is a member again, or all is told. */
void left_end(struct core *core, struct shard *shard);

/* Whether the journal has anything to tell, from its entries in their order; `before`: up to this one. */
bool left_untold(const struct journal_entry *entry, bool before);
/* The journal of a shard of which it is no member was read. */
void left_read(struct core *core, struct shard *shard, bool untold);

/* With every heartbeat: whether all is told. The store's answer to the entry that says so. */
void left_check(struct core *core, struct shard *shard);
void left_stored(struct core *core, struct write *write, int status);

#endif
