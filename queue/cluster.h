/* SPDX-License-Identifier: MIT */
/*
 * The members of the cluster, as this core knows them: who is alive (dht/view.h), whom the two rings choose,
 * and what comes and goes over the links.
 *
 * Each of them is a struct peer (queue/peers.h). Heartbeats are queue/heartbeat.h, who gets a link is
 * queue/mesh.h, who takes which request queue/requests.h.
 *
 * A node that never met another one has no timer here, sends nothing and says nothing but its presence record
 * when it has an address.
 */
#ifndef OPTIMUS_QUEUE_CLUSTER_H
#define OPTIMUS_QUEUE_CLUSTER_H

#include "queue/peers.h"
#include "queue/state.h"

/* At core_new() and core_free(). */
void cluster_init(struct core *core);
void cluster_free(struct core *core);

/* Members that are alive, and members that are not forgotten, this node included. */
uint32_t cluster_alive(const struct core *core);
uint32_t cluster_members(const struct core *core);
/*
 * There are other members, as the shell was told, and this node has not heard of any since it started: it
 * can't know what they have decided, so it decides nothing alone.
 */
bool cluster_lonely(const struct core *core);

/* The live members that are closest to the key, the closest first, up to `count`. Returns their number. */
uint32_t cluster_closest(
    struct core *core, const struct opt_id *key, uint32_t count, struct peer *ret_peers[]);

/* The homes of a batch: the members that are not forgotten whose virtual ids are closest to its key. */
uint32_t cluster_homes(struct core *core, const struct opt_id *batch, struct peer *ret_homes[REPLICAS_MAX]);

/* The homes and the members that follow them on their ring: the closest first, up to `count`. */
enum { CLUSTER_NEAR_MAX = 32 };
uint32_t cluster_near(
    struct core *core, const struct opt_id *batch, uint32_t count, struct peer *ret_peers[]);

/* A hash over the members that are not forgotten: who sees the same members has the same. */
struct opt_id cluster_hash(const struct core *core);

/*
 * The placement of a batch's shards (dht/ring.h, struct spread) over the members that are alive and stay. The
 * number of replicas is what the submitter wants (0: the default), at most as many as there are such members,
 * and at least min(2, members): where there are fewer, OPT_E_AGAIN. Free with spread_free().
 */
int cluster_spread(struct core *core, uint32_t replicas, struct spread **ret_spread, uint32_t *ret_replicas);

/*
 * Whether this node's UTC is further than CLUSTER_CLOCK_OFF from the median of its own and its peers' (rule
 * 9): it neither expires mail nor starts any then.
 */
#define CLUSTER_CLOCK_OFF (30 * USEC_PER_SEC)
bool cluster_clock_wrong(const struct core *core);
/* A peer's clock was heard since this node's start, or all peers are known to be dead (alone_dead()). */
bool cluster_clock_compared(const struct core *core);

/* Events. */
void cluster_presence(struct core *core, const struct presence *presence);
void cluster_peer_up(struct core *core, const struct opt_id *id);
void cluster_peer_down(struct core *core, const struct opt_id *id);
void cluster_peer_refused(struct core *core, const struct opt_id *id);
void cluster_frame(struct core *core, const struct opt_id *from, const void *data, size_t len);
void cluster_forget(struct core *core, uint64_t reply, const struct opt_id *node);
/* The journals are read. Who shares shards with others misses them also when it hears of none. */
void cluster_recovered(struct core *core);
/* The node stops in order: its peers hear of it in this step. */
void cluster_leave(struct core *core);
/* TIMER_HEARTBEAT */
void cluster_tick(struct core *core);
/*
 * At the end of each step: a new presence record when something in it has changed, the view's judgement when
 * it is due, links that are needed or not any more.
 */
void cluster_run(struct core *core);

#endif
