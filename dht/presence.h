/* SPDX-License-Identifier: MIT */
/*
 * Presence: what a node says of itself, so that the others find it.
 *
 * A node publishes a new record whenever something in it changes. Of two records of one node the one with the
 * higher (incarnation, sequence) counts, wherever it came from: the DHT, or another node that passed it on.
 */
#ifndef OPTIMUS_DHT_PRESENCE_H
#define OPTIMUS_DHT_PRESENCE_H

#include <stdint.h>

#include "queue/id.h"

enum {
	PRESENCE_ADDRESS_MAX = 128, /* "192.0.2.1:4100", "[2001:db8::1]:4100", "host.example:4100" */
	PRESENCE_VERSION_MAX = 31,
	WEIGHT_ONE = 100, /* the weight of an ordinary node: `--weight 100` */
	WEIGHT_MAX = 10000,
};

enum presence_flag {
	PRESENCE_DRAINING = 1,  /* keeps replicas, takes no ownership */
	PRESENCE_LEFT = 2,      /* stopped in order: not coming back by itself soon */
	PRESENCE_NO_ENGINE = 4, /* its Postfix or its store is down: takes no ownership */
};

struct presence {
	struct opt_id node;
	char address[PRESENCE_ADDRESS_MAX + 1]; /* where its links and its DHT listen */
	uint64_t incarnation; /* UTC microseconds of the node's start, never lower than before */
	uint64_t sequence;    /* counts the changes since then */
	uint32_t weight;      /* WEIGHT_ONE is an ordinary node */
	uint32_t flags;       /* enum presence_flag */
	char version[PRESENCE_VERSION_MAX + 1];
	uint32_t level; /* of the DHT keys it publishes on (dht/spread.h): the rendezvous fills it in */
};

#endif
