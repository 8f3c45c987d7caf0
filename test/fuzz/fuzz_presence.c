/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a sealed record, and, sealed by a member as a presence or as a directory entry, as
 * the body of one: the first byte chooses. What is accepted holds every limit and comes back the same when it
 * is written again.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dht/directory.h"
#include "dht/endpoint.h"
#include "dht/presence_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t nonce[SEAL_NONCE_SIZE];
static const struct cluster_key key;
static const struct opt_id batch;

static void make_identity(struct identity *identity)
{
	static const uint8_t seed[crypto_sign_SEEDBYTES];
	struct id_hash hash;

	crypto_sign_seed_keypair(identity->public_key, identity->secret_key, seed);
	id_hash_init(&hash);
	id_hash_add(&hash, identity->public_key, sizeof(identity->public_key));
	identity->node = id_hash_done(&hash);
}

static void check_presence(const struct identity *identity, const struct sealed_record *record)
{
	struct presence presence, again;
	struct sealed_record written;
	struct endpoint endpoint;

	if (presence_decode(&key, record->bytes, record->len, &presence) != 0)
		return;
	if (!id_equal(&presence.node, &identity->node) || endpoint_parse(presence.address, &endpoint) != 0 ||
	    presence.weight == 0 || presence.weight > WEIGHT_MAX ||
	    strlen(presence.version) > PRESENCE_VERSION_MAX)
		abort();
	if (presence_encode(&presence, identity, &key, nonce, &written) != 0 ||
	    presence_decode(&key, written.bytes, written.len, &again) != 0 ||
	    strcmp(presence.address, again.address) != 0 || strcmp(presence.version, again.version) != 0 ||
	    presence.incarnation != again.incarnation || presence.sequence != again.sequence ||
	    presence.weight != again.weight || presence.flags != again.flags || presence.level != again.level)
		abort();
}

static void check_entry(const struct identity *identity, const struct sealed_record *record)
{
	struct directory_entry entry, again;
	struct sealed_record written;

	if (directory_decode(&key, &batch, record->bytes, record->len, &entry) != 0)
		return;
	if (entry.home_count == 0 || entry.home_count > DIRECTORY_HOMES_MAX)
		abort();
	if (directory_encode(&entry, identity, &key, nonce, &written) != 0 ||
	    directory_decode(&key, &batch, written.bytes, written.len, &again) != 0 ||
	    again.home_count != entry.home_count || again.written.us != entry.written.us ||
	    memcmp(again.homes, entry.homes, entry.home_count * sizeof(entry.homes[0])) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct identity identity;
	struct unsealed_record opened;
	struct sealed_record record;

	if (len == 0)
		return 0;
	make_identity(&identity);
	if (unseal(SEAL_PRESENCE, &key, data + 1, len - 1, &opened) == 0 && opened.len > SEAL_BODY_MAX)
		abort();
	if (data[0] % 2 == 0 && seal(SEAL_PRESENCE, &identity, &key, nonce, data + 1, len - 1, &record) == 0)
		check_presence(&identity, &record);
	if (data[0] % 2 == 1 && seal(SEAL_BATCH, &identity, &key, nonce, data + 1, len - 1, &record) == 0)
		check_entry(&identity, &record);
	return 0;
}
