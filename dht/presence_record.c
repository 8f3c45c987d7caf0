/* SPDX-License-Identifier: MIT */
/*
 * A presence record's body, in msgpack:
 *
 *   [1, address str, incarnation uint, sequence uint, weight uint, flags uint, version str, level uint]
 *
 * The node id is not in it: it is the hash of the key that signed the record (dht/seal.c). Flags that this
 * version does not know are kept, so that a newer node is not invisible to older ones.
 */
#include "dht/presence_record.h"

#include <string.h>

#include "dht/endpoint.h"
#include "dht/spread.h"
#include "queue/cursor.h"
#include "queue/error.h"

enum { PRESENCE_FORMAT = 1, PRESENCE_ITEMS = 8 };

static bool is_valid(const struct presence *presence)
{
	struct endpoint endpoint;

	if (endpoint_parse(presence->address, &endpoint) != 0)
		return false;
	for (const char *c = presence->version; *c != '\0'; c++) {
		if (*c < '!' || *c > '~')
			return false;
	}
	return presence->weight >= 1 && presence->weight <= WEIGHT_MAX && presence->level <= SPREAD_LEVEL_MAX;
}

int presence_encode(const struct presence *presence, const struct identity *identity,
    const struct cluster_key *key, const uint8_t nonce[SEAL_NONCE_SIZE], struct sealed_record *ret_record)
{
	struct buffer body;
	msgpack_packer pk;
	int status;

	if (!id_equal(&presence->node, &identity->node) || !is_valid(presence))
		return OPT_E_INVALID;
	buffer_init(&body);
	pack_to(&pk, &body);
	msgpack_pack_array(&pk, PRESENCE_ITEMS);
	msgpack_pack_uint8(&pk, PRESENCE_FORMAT);
	pack_text(&pk, presence->address, PRESENCE_ADDRESS_MAX);
	msgpack_pack_uint64(&pk, presence->incarnation);
	msgpack_pack_uint64(&pk, presence->sequence);
	msgpack_pack_uint32(&pk, presence->weight);
	msgpack_pack_uint32(&pk, presence->flags);
	pack_text(&pk, presence->version, PRESENCE_VERSION_MAX);
	msgpack_pack_uint32(&pk, presence->level);
	status = seal(SEAL_PRESENCE, identity, key, nonce, body.data, body.len, ret_record);
	buffer_done(&body);
	return status;
}

int presence_decode(
    const struct cluster_key *key, const void *record, size_t len, struct presence *ret_presence)
{
	struct presence presence = {.weight = 0};
	struct unsealed_record opened;
	int status = unseal(SEAL_PRESENCE, key, record, len, &opened);
	struct cursor c;

	if (status != 0)
		return status;
	c = cursor_over(opened.body, opened.len);
	cursor_array_of(&c, PRESENCE_ITEMS);
	if (cursor_uint(&c, PRESENCE_FORMAT) != PRESENCE_FORMAT)
		return OPT_E_INVALID;
	presence.node = opened.writer;
	cursor_text_into(&c, presence.address, PRESENCE_ADDRESS_MAX);
	presence.incarnation = cursor_uint(&c, UINT64_MAX);
	presence.sequence = cursor_uint(&c, UINT64_MAX);
	presence.weight = (uint32_t)cursor_uint(&c, WEIGHT_MAX);
	presence.flags = (uint32_t)cursor_uint(&c, UINT32_MAX);
	cursor_text_into(&c, presence.version, PRESENCE_VERSION_MAX);
	presence.level = (uint32_t)cursor_uint(&c, SPREAD_LEVEL_MAX);
	if (cursor_end(&c) != 0 || !is_valid(&presence))
		return OPT_E_INVALID;
	*ret_presence = presence;
	return 0;
}
