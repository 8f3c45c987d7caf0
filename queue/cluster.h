/* SPDX-License-Identifier: MIT */
/*
 * The other nodes, as this core knows them: who they are (struct peer), who is alive (dht/view.h), what they
 * have to do (their heartbeats), and the dispatch of what they say.
 *
 * A peer exists from the first time that its id is seen, in a record, a journal or the view, and is never
 * freed: shards point to it. A heartbeat goes to every linked peer each HEARTBEAT_EVERY; it carries our load
 * and a part of the view's digest, so the view converges without a full mesh.
 */
#ifndef OPTIMUS_QUEUE_CLUSTER_H
#define OPTIMUS_QUEUE_CLUSTER_H

#include "queue/state.h"

/* At core_new() and core_free(). */
void cluster_init(struct core *core);
void cluster_free(struct core *core);

/* The peer with that id, made when it is new. */
struct peer *peer_of(struct core *core, const struct opt_id *id);
struct peer *peer_next(struct core *core, struct peer *peer); /* in the order of ids; NULL: the first */

/* There is a link, or it is this node. */
bool peer_linked(const struct core *core, const struct peer *peer);
/* Not gone: it may be heard by others. This node is always alive. */
bool peer_alive(const struct core *core, const struct peer *peer);
/* Alive, and takes ownership: its Postfix runs, it neither drains nor leaves. */
bool peer_may_own(const struct core *core, const struct peer *peer);
/* Its latest known incarnation; 0: nothing is known of it. */
uint64_t peer_incarnation(const struct core *core, const struct peer *peer);

/* Members that are alive, and members that are not forgotten, this node included. */
uint32_t cluster_alive(const struct core *core);
uint32_t cluster_members(const struct core *core);

/* The homes of a batch: the members that are not forgotten whose virtual ids are closest to its key. */
uint32_t cluster_homes(struct core *core, const struct opt_id *batch, struct peer *ret_homes[REPLICAS_MAX]);

/*
 * The placement of a batch's shards (dht/ring.h, struct spread) over the members that are alive. `replicas`
 * is what the submitter wants, 0 the default; the number used is the smaller of it and the live members, and
 * never below min(2, members): then OPT_E_AGAIN. Free with cluster_spread_free().
 */
int cluster_spread(struct core *core, uint32_t replicas, struct spread **ret_spread, uint32_t *ret_replicas);

/* Events. */
void cluster_presence(struct core *core, const struct presence *presence);
void cluster_peer_up(struct core *core, const struct opt_id *id);
void cluster_peer_down(struct core *core, const struct opt_id *id);
void cluster_peer_refused(struct core *core, const struct opt_id *id);
void cluster_frame(struct core *core, const struct opt_id *from, const void *data, size_t len);
void cluster_forget(struct core *core, uint64_t reply, const struct opt_id *node);
/* TIMER_HEARTBEAT: heartbeats, and the view's judgement. */
void cluster_tick(struct core *core);
/* Draining or Postfix's state has changed: a new presence record, at the end of the step. */
void cluster_self_changed(struct core *core);

#endif
