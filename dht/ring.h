/* SPDX-License-Identifier: MIT */
/*
 * The ring: which nodes are closest to a key, and how the shards of one batch spread over them.
 *
 * Each node stands on the 160-bit space at its virtual ids, RING_POINTS of them for an ordinary weight:
 *
 *   virtual id k = BLAKE2b-160("optimus point" | node | k as big-endian u32)
 *
 * The distance of a key to a node is the XOR of the key with the nearest of these, as in Kademlia. So every
 * node that knows the same members computes the same places, and a node that joins takes places from all the
 * others without moving anything between them.
 *
 * A spread places the shards of one batch as they come. Distance alone would leave the nodes unevenly loaded,
 * so loads are bounded (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016): a node
 * that has its share is passed over, and the next one on the ring takes the place. The result is written in
 * each shard's header; nobody needs to compute it again.
 */
#ifndef OPTIMUS_DHT_RING_H
#define OPTIMUS_DHT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/id.h"

enum {
	RING_POINTS = 64,        /* virtual ids of a node of WEIGHT_ONE; every node has at least one */
	RING_REPLICAS_MAX = 16,  /* most replicas that a spread places */
	RING_NODES_MAX = 100000, /* most nodes of a ring */
};

struct ring;
struct spread;

struct ring_node {
	struct opt_id node;
	uint32_t weight; /* WEIGHT_ONE is an ordinary node; taken as at least 1 and at most WEIGHT_MAX */
};

/*
 * A ring of these nodes, in any order; of a node named twice the lighter entry counts. Fails on nothing but
 * memory (which aborts) and more than RING_NODES_MAX nodes (NULL). What `before`, which may be NULL, has in
 * common with the new ring is taken from it instead of hashed and sorted again; the result is the same.
 * Borrows its arguments; the caller holds the reference that it returns.
 */
struct ring *ring_new(const struct ring_node *nodes, size_t count, const struct ring *before);
/* One more reference to it. Returns ring. */
struct ring *ring_ref(struct ring *ring);
/* Gives a reference back. Takes NULL. */
void ring_free(struct ring *ring);

size_t ring_count(const struct ring *ring);

/*
 * The `count` nodes closest to the key, the closest first, or all of them when there are fewer. Writes to
 * ret_nodes, which has room for `count`, and returns how many.
 */
size_t ring_closest(
    const struct ring *ring, const struct opt_id *key, size_t count, struct opt_id *ret_nodes);

/* Where a node stands for the k-th time. */
struct opt_id ring_virtual_id(const struct opt_id *node, uint32_t k);

/*
 * A new spread for one batch whose shards get `replicas` places each (1 to RING_REPLICAS_MAX; fewer where the
 * ring has fewer nodes). Keeps a reference to the ring.
 */
struct spread *spread_new(struct ring *ring, uint32_t replicas);
void spread_free(struct spread *spread);

/*
 * From now on this node owns no further shard of the batch (it drains, or its Postfix is down) but still
 * takes replicas. False when the ring does not have it.
 */
bool spread_rest(struct spread *spread, const struct opt_id *node);

/*
 * Places the next shard: writes its replicas to ret_nodes, which has room for RING_REPLICAS_MAX, and returns
 * their number. The first is the owner, the others follow in ring order. Zero when no node may own.
 *
 * With m shards placed so far, this one included, and a share that is a node's weight among those that may
 * own:
 * - no node owns more than ceil(1.1 x share x m), nor much more than share x m + m/50;
 * - the replicas are the closest ones that hold less than 1.1 times their share of replicas;
 * - of these, the owner is the one that is furthest below its share of ownership, in whole shards, and then
 * the closest;
 * - a node elsewhere that is more than a shard behind, and further than these, takes the shard from the
 * furthest replica; so does the closest node that may own, where none of the replicas may.
 */
size_t spread_next(struct spread *spread, const struct opt_id *shard, struct opt_id *ret_nodes);

#endif
