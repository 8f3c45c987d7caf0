/* SPDX-License-Identifier: MIT */
/*
 * The directory's side of the rendezvous: entries that say which nodes keep a batch, kept in the DHT and
 * looked up there. A part of dht/rendezvous.c.
 */
#ifndef OPTIMUS_DHT_RENDEZVOUS_BATCHES_H
#define OPTIMUS_DHT_RENDEZVOUS_BATCHES_H

#include <stddef.h>
#include <uv.h>

#include "dht/identity.h"
#include "dht/opendht.h"
#include "dht/rendezvous.h"

struct batches;

/* Borrows all; `counts` is where records and gets are counted. */
struct batches *batches_new(uv_loop_t *loop, struct opendht *dht, const struct identity *identity,
    const struct cluster_key *key, struct rendezvous_counts *counts);
/* As rendezvous_put_batch(), rendezvous_drop_batch(), rendezvous_get_batch(). */
int batches_put(
    struct batches *batches, const struct opt_id *batch, const struct opt_id *homes, size_t count);
void batches_drop(struct batches *batches, const struct opt_id *batch);
void batches_get(struct batches *batches, const struct opt_id *batch, rendezvous_homes_fn *fn, void *context);
/* Once a second. */
void batches_tick(struct batches *batches);
/* Nobody is answered any more. */
void batches_mute(struct batches *batches);
/* Once OpenDHT is closed. */
void batches_free(struct batches *batches);

#endif
