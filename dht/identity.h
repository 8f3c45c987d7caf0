/* SPDX-License-Identifier: MIT */
/*
 * Who a node is: its Ed25519 key pair, and the cluster key that its cluster shares.
 */
#ifndef OPTIMUS_DHT_IDENTITY_H
#define OPTIMUS_DHT_IDENTITY_H

#include "queue/id.h"

enum { CLUSTER_KEY_SIZE = 32 };

struct identity {
	unsigned char public_key[32];
	unsigned char secret_key[64];
	struct opt_id node; /* BLAKE2b-160 of the public key */
};

struct cluster_key {
	unsigned char bytes[CLUSTER_KEY_SIZE];
};

/*
 * Reads the identity from `path`, or makes one there (0600) when there is none. `error`, of `size` bytes,
 * says what is wrong on failure: OPT_E_IO, or OPT_E_INVALID when the file is none of ours.
 */
int identity_load(const char *path, struct identity *ret_identity, char *error, size_t size);

/* Reads a key made by `optimus keygen`. Refuses a file that others may read. Errors as above. */
int cluster_key_load(const char *path, struct cluster_key *ret_key, char *error, size_t size);

/* Wipes secrets from memory. */
void identity_wipe(struct identity *identity);
void cluster_key_wipe(struct cluster_key *key);

#endif
