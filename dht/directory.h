/* SPDX-License-Identifier: MIT */
/*
 * The directory entry of a batch: which nodes keep its record. It lies in the DHT at the batch's key, put
 * there by its home nodes, so that every node can answer for every batch. Of several entries of a batch the
 * newest counts.
 */
#ifndef OPTIMUS_DHT_DIRECTORY_H
#define OPTIMUS_DHT_DIRECTORY_H

#include "dht/seal.h"
#include "queue/clock.h"
#include "queue/id.h"

enum { DIRECTORY_HOMES_MAX = 7 };

struct directory_entry {
	struct opt_id batch; /* batch_key() */
	struct utc_time written;
	size_t home_count; /* 1 to DIRECTORY_HOMES_MAX */
	struct opt_id homes[DIRECTORY_HOMES_MAX];
};

/* OPT_E_INVALID when the homes are none, too many, or one of them twice. `nonce` is random and new. */
int directory_encode(const struct directory_entry *entry, const struct identity *identity,
    const struct cluster_key *key, const uint8_t nonce[SEAL_NONCE_SIZE], struct sealed_record *ret_record);

/*
 * Reads any bytes as an entry of `batch`. OPT_E_DENIED when a member of this cluster did not write them,
 * OPT_E_INVALID when one did, but not this or nothing that makes sense.
 */
int directory_decode(const struct cluster_key *key, const struct opt_id *batch, const void *record,
    size_t len, struct directory_entry *ret_entry);

#endif
