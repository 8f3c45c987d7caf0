/* SPDX-License-Identifier: MIT */
/*
 * Heartbeats: each second, to every linked peer, what this node has to do and a digest of the members that it
 * knows, so that views converge without a full mesh. They are also sent at once to a peer that came up, and
 * to all when our own record has changed.
 */
#ifndef OPTIMUS_QUEUE_HEARTBEAT_H
#define OPTIMUS_QUEUE_HEARTBEAT_H

#include "queue/state.h"

#define HEARTBEAT_EVERY VIEW_BEAT

/* To one peer, and to all that are linked. */
void heartbeat_send(struct core *core, struct peer *peer);
void heartbeat_send_all(struct core *core);
/* One came. */
void heartbeat_take(struct core *core, struct peer *peer, const struct peer_message *message);

/* What this node has to do now. */
struct peer_load heartbeat_load(const struct core *core);
/* Once each HEARTBEAT_EVERY: how many mails a second this node settles. */
void heartbeat_measure(struct core *core);
/* Says so when this node's clock has become wrong (cluster_clock_wrong()), or right again. */
void heartbeat_judge_clock(struct core *core);

#endif
