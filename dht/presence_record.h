/* SPDX-License-Identifier: MIT */
/*
 * The presence of a node as the record that it leaves in the DHT: sealed with the cluster key, signed by the
 * node, under 500 bytes.
 */
#ifndef OPTIMUS_DHT_PRESENCE_RECORD_H
#define OPTIMUS_DHT_PRESENCE_RECORD_H

#include "dht/presence.h"
#include "dht/seal.h"

/*
 * Seals the node's own presence. `nonce` is random and new. OPT_E_INVALID when the presence is another
 * node's, or its address, weight, version or level is none.
 */
int presence_encode(const struct presence *presence, const struct identity *identity,
    const struct cluster_key *key, const uint8_t nonce[SEAL_NONCE_SIZE], struct sealed_record *ret_record);

/*
 * Reads any bytes. `node` is the one that signed them. OPT_E_DENIED when a member of this cluster did not
 * write them, OPT_E_INVALID when one did but they make no sense.
 */
int presence_decode(
    const struct cluster_key *key, const void *record, size_t len, struct presence *ret_presence);

#endif
