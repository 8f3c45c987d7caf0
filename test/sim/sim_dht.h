/* SPDX-License-Identifier: MIT */
/*
 * The DHT as the nodes see it: presence records and the directory of batches, late, lossy, and sometimes old.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_DHT_H
#define OPTIMUS_TEST_SIM_SIM_DHT_H

#include "queue/effect.h"
#include "test/sim/idmap.h"

struct world;
struct node;

struct sim_dht {
	struct idmap directory; /* batch key -> struct dht_entry */
};

void dht_init(struct world *w);
/* Effects. */
void dht_publish(struct node *node, const struct effect *effect);
void dht_put(struct node *node, const struct effect *effect);
void dht_get(struct node *node, const struct effect *effect);
/* The daemon has started: from now on it looks for the others, now and then again. */
void dht_start(struct node *node);

#endif
