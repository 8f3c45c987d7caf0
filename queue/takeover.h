/* SPDX-License-Identifier: MIT */
/*
 * Takeover (rule 4): how a replica becomes the owner.
 *
 *   wanted → promises of a majority for a higher epoch → union of their journals → written back → owner
 *
 * Wanted by the first live member in the shard's order when the owner is gone or its Postfix is down; by the
 * owner itself when it has restarted; by whom the owner asked to take over (drain, rebalancing). A promise is
 * durable before it is given and is given once for each epoch, so at most one node owns an epoch. Whoever
 * can't get a majority tries again later with a higher epoch. A union may take long, with large journals over
 * a slow link: it ends when it stands still, and those who have promised are told meanwhile that it goes on.
 */
#ifndef OPTIMUS_QUEUE_TAKEOVER_H
#define OPTIMUS_QUEUE_TAKEOVER_H

#include "queue/call.h"
#include "queue/state.h"

/* Its owner, or who was promised a higher epoch and so is about to own it, or does already. */
struct peer *takeover_expected(const struct shard *shard);
/* Whether this node should own the shard now; starts, goes on or arms its timer. Call when anything changed.
 */
void takeover_consider(struct core *core, struct shard *shard);
/* Starts at once, by consent of the owner. */
void takeover_start(struct core *core, struct shard *shard);
void takeover_cancel(struct core *core, struct shard *shard);
/* Something of the shard's journal was read, came from a member or was stored: a union is not standing still.
 */
void takeover_progress(struct core *core, struct shard *shard);
/* TIMER_TAKEOVER */
void takeover_due(struct core *core, struct shard *shard);

/* Requests: PEER_PROMISE, PEER_TAKE. Answers to CALL_PROMISE. */
void takeover_promise(struct core *core, struct peer *peer, const struct peer_message *request);
void takeover_promise_stored(struct core *core, struct write *write, int status);
void takeover_promised(struct core *core, struct call *call, const struct peer_message *answer);
void takeover_take(struct core *core, struct peer *peer, const struct peer_message *request);

#endif
