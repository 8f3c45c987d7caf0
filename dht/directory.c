/* SPDX-License-Identifier: MIT */
/*
 * A directory entry's body, in msgpack:
 *
 *   [1, batch key bin, written uint (UTC microseconds), [home bin, ...]]
 *
 * The batch's key is inside what is signed, so that an entry moved to another key is refused.
 */
#include "dht/directory.h"

#include "queue/cursor.h"
#include "queue/error.h"

enum { DIRECTORY_FORMAT = 1, DIRECTORY_ITEMS = 4 };

static bool is_valid(const struct directory_entry *entry)
{
	if (entry->home_count == 0 || entry->home_count > DIRECTORY_HOMES_MAX)
		return false;
	for (size_t i = 0; i < entry->home_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (id_equal(&entry->homes[i], &entry->homes[j]))
				return false;
		}
	}
	return true;
}

int directory_encode(const struct directory_entry *entry, const struct identity *identity,
    const struct cluster_key *key, const uint8_t nonce[SEAL_NONCE_SIZE], struct sealed_record *ret_record)
{
	struct buffer body;
	msgpack_packer pk;
	int status;

	if (!is_valid(entry))
		return OPT_E_INVALID;
	buffer_init(&body);
	pack_to(&pk, &body);
	msgpack_pack_array(&pk, DIRECTORY_ITEMS);
	msgpack_pack_uint8(&pk, DIRECTORY_FORMAT);
	pack_id(&pk, &entry->batch);
	msgpack_pack_uint64(&pk, entry->written.us);
	msgpack_pack_array(&pk, entry->home_count);
	for (size_t i = 0; i < entry->home_count; i++)
		pack_id(&pk, &entry->homes[i]);
	status = seal(SEAL_BATCH, identity, key, nonce, body.data, body.len, ret_record);
	buffer_done(&body);
	return status;
}

int directory_decode(const struct cluster_key *key, const struct opt_id *batch, const void *record,
    size_t len, struct directory_entry *ret_entry)
{
	struct directory_entry entry = {.home_count = 0};
	struct unsealed_record opened;
	int status = unseal(SEAL_BATCH, key, record, len, &opened);
	struct cursor c;

	if (status != 0)
		return status;
	c = cursor_over(opened.body, opened.len);
	cursor_array_of(&c, DIRECTORY_ITEMS);
	if (cursor_uint(&c, DIRECTORY_FORMAT) != DIRECTORY_FORMAT)
		return OPT_E_INVALID;
	entry.batch = cursor_id(&c);
	entry.written.us = cursor_uint(&c, UINT64_MAX);
	entry.home_count = cursor_array(&c, DIRECTORY_HOMES_MAX);
	for (size_t i = 0; i < entry.home_count; i++)
		entry.homes[i] = cursor_id(&c);
	if (cursor_end(&c) != 0 || !id_equal(&entry.batch, batch) || !is_valid(&entry))
		return OPT_E_INVALID;
	*ret_entry = entry;
	return 0;
}
