/* SPDX-License-Identifier: MIT */
/*
 * Settling: comparing the claims without an outcome with what is in Postfix's spool.
 */
#ifndef OPTIMUS_QUEUE_SETTLE_H
#define OPTIMUS_QUEUE_SETTLE_H

#include "queue/state.h"

/* Asks the shell to look into the spool. */
void settle_ask(struct core *core);
/*
 * A claim of this node came from another member, and this node did not know it: an earlier run of it did not
 * live to write it down. Once the spool was looked into, it is looked for there.
 */
void settle_learnt(struct core *core, struct shard *shard, uint32_t index);
/*
 * An entry that came from a peer: claims that this node once made in a shard that it has left are looked for
 * in the spool, and what it does not have any more is in doubt. First come the outcomes that its journal has:
 * for half of doubt_hold it waits for members that have not got them yet.
 */
void settle_asked(struct core *core, struct shard *shard, const struct journal_entry *entry);
/*
 * Nothing happened here for so long. When others may have sent again what Postfix has, Postfix is not
 * answered until it has stopped or was found to have nothing.
 */
void settle_away(struct core *core, usec away);
/* The same of the time between two steps, which of a node of a cluster is short unless it was stopped. */
void settle_paused(struct core *core, usec gap);
/* Stops Postfix, if it runs; when it has stopped it is settled, and started over an empty spool. */
void settle_stand_down(struct core *core, const char *why);
/* EVENT_SPOOL, EVENT_ENGINE_UP, EVENT_ENGINE_DOWN */
void settle_spool(struct core *core, const struct event *event);
void settle_engine_up(struct core *core, uint64_t generation);
/* lives: its master still runs, see event.h */
void settle_engine_down(struct core *core, bool lives);
/* At the end of a step: once all that was found is durable, Postfix may start. */
void settle_run(struct core *core);

#endif
