/* SPDX-License-Identifier: MIT */
/*
 * Writes under way: what the core asked of the store and what is to happen when the answer comes.
 */
#ifndef OPTIMUS_QUEUE_WRITE_H
#define OPTIMUS_QUEUE_WRITE_H

#include "queue/state.h"

/* A new write with a token, remembered until write_free(). */
struct write *write_new(struct core *core, enum write_kind kind);
struct write *write_find(struct core *core, uint64_t token);
/* In the order of their tokens; NULL at the end. */
struct write *write_first(struct core *core);
struct write *write_next(struct write *write);
/* Ends its calls, too. */
void write_free(struct core *core, struct write *write);

/* EFFECT_STORE_APPEND of write->data to the journal write->id. */
void write_append(struct core *core, struct write *write);
/* EFFECT_STORE_DROP_UPLOAD. It is repeated until the store takes it, too: a full one is where it matters. */
void write_drop(struct core *core, const struct opt_id *batch, const struct opt_id *upload, uint32_t shards);
/* An entry for the journal of `id` for which nobody waits; it is repeated until the store takes it. */
void write_entry(struct core *core, const struct opt_id *id, const struct journal_entry *entry);
/* The store has refused it, a while ago: it gets it once more. A drop becomes another write. */
void write_again(struct core *core, struct write *write);

#endif
