/* SPDX-License-Identifier: MIT */
/*
 * The start of a node: from the records and journals in its store to the state that it had.
 */
#ifndef OPTIMUS_QUEUE_RECOVER_H
#define OPTIMUS_QUEUE_RECOVER_H

#include "queue/state.h"

void recover_batch(struct core *core, const void *record, size_t len);
void recover_records_done(struct core *core);
/* Takes one entry of the shard's journal into its state: from the store, or from another member. */
void recover_take_entry(struct core *core, struct shard *shard, const struct journal_entry *entry);
/* Only what it says of the shard's owner and members. */
void recover_take_header(struct core *core, struct shard *shard, const struct journal_entry *entry);
/* EVENT_JOURNAL_LOADED, at start and later. */
void recover_journal(struct core *core, const struct event *event);

#endif
