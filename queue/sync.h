/* SPDX-License-Identifier: MIT */
/*
 * Comparing journals. A journal is a set of entries that only grows, so two members are brought to the same
 * state by giving each the entries that it lacks. A sync reads its own journal and those of some members, in
 * parts, takes in what was unknown here, appends to each member what it lacks, and ends when all of them have
 * all. Who does not know the shard is left out, and is not asked about it again at once.
 *
 * Takeover uses it for the union of a majority; an owner uses it for a member that was away; a node that
 * comes to a shard as a new member uses it for everything that went before.
 */
#ifndef OPTIMUS_QUEUE_SYNC_H
#define OPTIMUS_QUEUE_SYNC_H

#include "queue/call.h"
#include "queue/state.h"

enum { SYNCS_MAX = 64 /* at once */ };

/* Ends the sync with sync_end(). */
typedef void sync_done_fn(struct core *core, struct shard *shard, struct sync *sync);

/* Not while too many are under way, nor just after a member has said that it does not know the shard. */
bool sync_may_start(const struct core *core, const struct shard *shard);
/* Starts with the members whose bits are set in `members` (never this node's own). One sync a shard at a
 * time. */
struct sync *sync_start(struct core *core, struct shard *shard, uint32_t members, sync_done_fn *done);
/* Members that have, in the store, everything that was found; this node counts when its own part is written.
 */
uint32_t sync_complete(const struct sync *sync);
/* Those of them that have missed nothing since, either. */
uint32_t sync_up_to_date(const struct sync *sync);
/* These members have missed a fact that may be newer than what the sync has read. */
void sync_missed(struct sync *sync, uint32_t members);
/*
 * Whether a member may still come to its answer: it has given others no more of them than can have stood
 * before it.
 */
bool sync_waits_its_turn(const struct sync *sync);
/* This node lacked something. */
bool sync_gained(const struct sync *sync);
/* What this node lacked is in its store. */
bool sync_complete_here(const struct sync *sync);
/* The highest promise in the journals of the others, and to whom; two nodes that were promised the same
 * epoch: this node. NULL: none. */
struct peer *sync_promised(const struct sync *sync, uint32_t *ret_epoch);
void sync_end(struct core *core, struct sync *sync);

/*
 * A member may live while its store does not answer, without a limit in time, and there is room for few
 * syncs. With every heartbeat: whoever has not answered for long is left out. It is asked again after a
 * while, in one sync at a time until it answers.
 */
void sync_leave_out_mute(struct core *core, struct shard *shard);
/* Whether a sync with that peer may begin now. */
bool sync_may_ask(const struct core *core, const struct peer *peer);

void sync_peer_changed(struct core *core, struct shard *shard, struct peer *peer);
void sync_journal_loaded(struct core *core, struct shard *shard, const struct event *event);
void sync_answered(struct core *core, struct call *call, const struct peer_message *answer);
void sync_stored(struct core *core, struct write *write, int status);

/* Requests: PEER_JOURNAL. */
void sync_journal(struct core *core, struct peer *peer, const struct peer_message *request);
/* The journal that WRITE_SERVE asked for. Frees the write. */
void sync_serve_loaded(struct core *core, struct write *write, const struct event *event);

#endif
