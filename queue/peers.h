/* SPDX-License-Identifier: MIT */
/*
 * Nodes by their id, this one included, and what can be said of one of them.
 *
 * A peer exists from the first time that its id is seen, in a record, a journal or the view, and is never
 * freed: shards point to it. Whether it is alive is the view's word (dht/view.h), and changes only when that
 * judges, at the end of a step (queue/cluster.h). What it says of itself comes with its presence record; what
 * two of them say to each other is queue/peer.h.
 */
#ifndef OPTIMUS_QUEUE_PEERS_H
#define OPTIMUS_QUEUE_PEERS_H

#include "queue/state.h"

/* The peer with that id, made when it is new. */
struct peer *peer_of(struct core *core, const struct opt_id *id);
struct peer *peer_find(struct core *core, const struct opt_id *id); /* NULL: there is none */
struct peer *peer_next(struct core *core, struct peer *peer);       /* in the order of ids; NULL: the first */

/* There is a link, or it is this node. */
bool peer_linked(const struct core *core, const struct peer *peer);
/* Not gone: it may be heard by others. This node is always alive. */
bool peer_alive(const struct core *core, const struct peer *peer);
/* The operator has said that it will not come back, and it has not. */
bool peer_forgotten(const struct core *core, const struct peer *peer);
/* Alive, and takes ownership: its Postfix runs, it neither drains nor leaves. */
bool peer_may_own(const struct core *core, const struct peer *peer);
/* Its latest known incarnation; 0: nothing is known of it. */
uint64_t peer_incarnation(const struct core *core, const struct peer *peer);

/* A Postfix that is away for longer, or a store that does not answer for longer, makes a node own nothing. */
#define HEALTH_PATIENCE (2 * USEC_PER_SEC)
/* What this node's presence record has to say of it now: PRESENCE_DRAINING and so on. */
uint32_t peer_self_flags(const struct core *core);
/* Of a member of the view, or NULL: neither gone nor forgotten. */
bool peer_member_alive(const struct member *member);

/* At core_free(). */
void peers_free(struct core *core);

#endif
