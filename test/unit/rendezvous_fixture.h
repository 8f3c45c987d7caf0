/* SPDX-License-Identifier: MIT */
/*
 * Some nodes of one cluster in one process and on one loop, each with a DHT node of its own on loopback, and
 * what each of them was told.
 */
#ifndef OPTIMUS_TEST_RENDEZVOUS_FIXTURE_H
#define OPTIMUS_TEST_RENDEZVOUS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "dht/rendezvous.h"

enum { NODES_MAX = 16 };

struct node {
	struct rendezvous *rendezvous;
	struct identity identity;
	struct presence presence; /* its own, as last published */
	char address[32];
	bool joined, left;
	struct presence seen[NODES_MAX]; /* the highest of each node, by number; weight 0: none */
	uint64_t calls;                  /* of presence() */
};

struct found {
	bool answered;
	int status;
	size_t count;
	struct opt_id homes[DIRECTORY_HOMES_MAX];
};

extern uv_loop_t fixture_loop;
extern struct node fixture_nodes[NODES_MAX];
extern struct cluster_key fixture_key;

void fixture_begin(void);
/* Closes all nodes and the loop; fails when a handle is left. */
void fixture_end(void);
/* Starts node `number` on a port, 0 for a free one, and publishes its presence. */
void fixture_start(int number, uint16_t port);
void fixture_start_with_key(int number, uint16_t port, const struct cluster_key *key);
void fixture_bootstrap(int number, int seed);
/* Publishes again with the next sequence. */
void fixture_change(int number, uint32_t weight, uint32_t flags);
void fixture_close(int number);
/* Runs the loop until `condition` holds; fails after 60 s. */
void fixture_until(bool (*condition)(void *), void *context);
/* Until each node from `first` to `last` has the present state of all of these. */
void fixture_until_all_see_all(int first, int last);
/* Whether the node has the present state of the other one. */
bool fixture_sees(int number, int other);
struct found fixture_get(int number, const struct opt_id *batch);
/* Asks again and again until the batch has so many homes; fails after 60 s. */
struct found fixture_until_homes(int number, const struct opt_id *batch, size_t count);

#endif
