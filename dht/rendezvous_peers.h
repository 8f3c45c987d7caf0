/* SPDX-License-Identifier: MIT */
/*
 * Whom a node pings to be in the DHT and to stay in one DHT with everybody: seeds, which are addresses that
 * were configured, and known members. A part of dht/rendezvous.c.
 */
#ifndef OPTIMUS_DHT_RENDEZVOUS_PEERS_H
#define OPTIMUS_DHT_RENDEZVOUS_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "dht/opendht.h"
#include "dht/presence.h"

enum { PEERS_MAX = 16384, PEER_SEEDS_MAX = 64 };

struct peers;

/* Borrows `dht`. `fn` hears when the first other node answers, and when none has for 30 s. */
struct peers *peers_new(
    uv_loop_t *loop, struct opendht *dht, const struct opt_id *self, void (*fn)(void *, bool), void *context);
/* An address to be pinged for ever. One that is no HOST:PORT, or is there already, is ignored. */
void peers_add_seed(struct peers *peers, const char *address);
/* A member, wherever it was heard of; also a dead one. Ourselves, and what is no HOST:PORT, are ignored. */
void peers_add(struct peers *peers, const struct opt_id *node, const char *address);
/* The same from its presence. An older one than before changes nothing, one that left ends its pings. */
void peers_add_presence(struct peers *peers, const struct presence *presence);
/* One that is gone for good. It counts as having left until a newer presence, or peers_add(), says otherwise.
 */
void peers_forget(struct peers *peers, const struct opt_id *node);
/* How many members are known, ourselves included. */
uint32_t peers_count(const struct peers *peers);
/* Once a second. */
void peers_tick(struct peers *peers);
/* No calls any more; `fn` when all is freed. Keep `dht` until then. */
void peers_close(struct peers *peers, void (*fn)(void *), void *context);

#endif
