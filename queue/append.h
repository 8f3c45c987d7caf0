/* SPDX-License-Identifier: MIT */
/*
 * Entries of a shard's journal that come from other members: by their appends, or by a comparison of journals
 * (queue/sync.h).
 *
 * They go into the store first and into the shard's state when they are in it; then an append is answered.
 * Until then the write keeps them, each behind its length. A store that refuses one of several has maybe
 * taken the others, so the journal is read again for these; the sender repeats all of them. Where the journal
 * is being read anyway, as when a finished shard opens again, entries that are in the store come with it.
 *
 * Facts are taken from anybody, in any epoch. Claims and configurations only from whom the shard is promised
 * to; anybody else is refused and told who that is (rules 2 and 6).
 */
#ifndef OPTIMUS_QUEUE_APPEND_H
#define OPTIMUS_QUEUE_APPEND_H

#include "queue/state.h"

/* Copies the entries into the write and appends them to the store. */
void append_write(struct core *core, struct write *write, const struct span *entries, size_t count);
/* They are in the store: takes them into the shard's state. */
void append_take(struct core *core, const struct write *write);
/* The store has refused some of them: reads the journal for those that it took. */
void append_reread(struct core *core, struct shard *shard);
/* The journal that WRITE_REREAD asked for. Frees the write. */
void append_reread_loaded(struct core *core, struct write *write, const struct event *event);

/* Requests: PEER_APPEND. */
void append_request(struct core *core, struct peer *peer, const struct peer_message *request);
/* One of its entries is in the store, or was refused. Frees the write with the last one. */
void append_stored(struct core *core, struct write *write, int status);

#endif
