/* SPDX-License-Identifier: MIT */
/*
 * Sealed records: a few bytes that a node says to its cluster over a network that anybody may write to.
 * Whoever has the cluster key can read them and knows which node wrote them; to all others they are noise of
 * a length.
 *
 * Pure: the nonce comes from the caller. It must be random, and new for each record.
 */
#ifndef OPTIMUS_DHT_SEAL_H
#define OPTIMUS_DHT_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "dht/identity.h"
#include "queue/id.h"

enum {
	SEAL_NONCE_SIZE = 24,
	SEAL_OVERHEAD = SEAL_NONCE_SIZE + 32 /* public key */ + 64 /* signature */ + 16 /* tag */,
	SEAL_RECORD_MAX = 499,
	SEAL_BODY_MAX = SEAL_RECORD_MAX - SEAL_OVERHEAD,
};

/* What a record is about. One kind is never taken for another. */
enum seal_kind { SEAL_PRESENCE, SEAL_BATCH };

struct sealed_record {
	uint8_t bytes[SEAL_RECORD_MAX];
	size_t len;
};

struct unsealed_record {
	struct opt_id writer; /* the node whose key signed it */
	uint8_t body[SEAL_BODY_MAX];
	size_t len;
};

/* Signs `body` with the node's key and seals it with the cluster's. OPT_E_LIMIT when it is over
 * SEAL_BODY_MAX. */
int seal(enum seal_kind kind, const struct identity *identity, const struct cluster_key *key,
    const uint8_t nonce[SEAL_NONCE_SIZE], const void *body, size_t len, struct sealed_record *ret_record);

/*
 * Opens any bytes. OPT_E_DENIED when they were not sealed with this cluster key as this kind, or were
 * changed; OPT_E_INVALID when the signature is not that of the key in the record.
 */
int unseal(enum seal_kind kind, const struct cluster_key *key, const void *record, size_t len,
    struct unsealed_record *ret_record);

/* The DHT network of the cluster: nodes of others don't talk to ours by accident. Never 0. */
uint32_t seal_network(const struct cluster_key *key);

/* BLAKE2b-160 of `data` under the cluster key: DHT keys that only members can name. */
struct opt_id seal_key_id(const struct cluster_key *key, const void *data, size_t len);

#endif
