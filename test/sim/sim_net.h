/* SPDX-License-Identifier: MIT */
/*
 * The network between the nodes: links that come up and break, messages that are late, lost, doubled and out
 * of order, and partitions.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_NET_H
#define OPTIMUS_TEST_SIM_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/effect.h"
#include "queue/event.h"
#include "test/sim/idmap.h"

struct world;
struct node;
struct rng;
struct sim_link;
struct net_buffer;
struct peer_reader;

enum { NET_CUTS_MAX = 4, NET_BUFFER_CLASSES = 24 };

/* A partition. A message is cut off when its two ends are on different sides. */
struct net_cut {
	bool drawn;
	bool active;
	bool one_way;   /* only what side 0 says to side 1 */
	uint8_t *sides; /* of each node; SIDE_BOTH: a bridge */
	usec until;
	usec flap; /* 0, or how often it comes and goes */
};

struct sim_net {
	struct idmap links; /* ids of the two ends, the lower index first -> struct sim_link */
	struct net_cut cuts[NET_CUTS_MAX];
	uint32_t active_cuts;
	struct net_buffer *free[NET_BUFFER_CLASSES];
	struct peer_reader *reader; /* for the trace */
	uint64_t sent, lost;
};

void net_init(struct world *w);
void net_done(struct world *w);

/* Effects. */
void net_send(struct node *node, const struct effect *effect);
void net_want(struct node *node, const struct effect *effect);
void net_unwant(struct node *node, const struct effect *effect);

/* The daemon has died; with `silent` the machine too, so that nobody resets its connections. */
void net_daemon_died(struct node *node, bool silent);
/* Whether the network carries what one says to the other. */
bool net_open(const struct world *w, const struct node *from, const struct node *to);
/* A new partition, drawn. */
void net_cut(struct world *w, struct rng *rng, bool flapping);
/* Every partition ends. */
void net_heal(struct world *w);

#endif
