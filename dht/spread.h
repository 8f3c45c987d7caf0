/* SPDX-License-Identifier: MIT */
/*
 * Under which DHT keys the members of a cluster publish their presence, and which they listen to.
 *
 * A key serves about 40 values well and 2,000 not at all, and nobody knows how many members there are before
 * they have listened. So there are levels: level L has 2^L keys, and a node's key there is named by the first
 * L bits of its id. A node that knows n members publishes on the lowest level whose keys hold no more than 40
 * each, its home level. On each level above (towards 0) every second one of those one level below publishes
 * too, chosen by the last bits of its id, so that a key of any level holds 20 to 40 of a large cluster.
 *
 * Each record tells its writer's home level. A node listens to all levels up to the highest of which it has
 * heard, its own included: a newcomer begins with the one key of level 0, where it meets some tens of
 * members, and knows from any of them where the others are.
 *
 *   members      keys listened to    keys published on (average)
 *   up to 40     1                   1
 *   up to 80     3                   1.5
 *   up to 640    31                  1.9
 *   up to 2560   127                 2
 */
#ifndef OPTIMUS_DHT_SPREAD_H
#define OPTIMUS_DHT_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/identity.h"
#include "queue/id.h"

enum {
	SPREAD_PER_KEY = 40,
	SPREAD_LEVEL_MAX = 8,
};

/* The level that a node publishes on when it knows of `members`, itself included. */
unsigned int spread_home_level(uint32_t members);
/* Whether a node with this home level publishes on this level too. */
bool spread_publishes(const struct opt_id *node, unsigned int home_level, unsigned int level);
/* The number of the node's key on a level: 0 to 2^level - 1. */
uint32_t spread_index(const struct opt_id *node, unsigned int level);
/* The DHT key. Only members can name it. */
struct opt_id spread_key(const struct cluster_key *key, unsigned int level, uint32_t index);

#endif
