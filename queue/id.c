/* SPDX-License-Identifier: MIT */
/*
 * 160-bit ids: comparing, writing, reading, deriving. BLAKE2b with an output of 20 bytes is libsodium's
 * crypto_generichash; each use starts with a word of its own, so that a batch and a shard never share a key
 * by chance of their inputs.
 */
#include "queue/id.h"
#include "queue/error.h"

#include <assert.h>
#include <sodium/crypto_generichash.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(crypto_generichash_state) <= sizeof(struct id_hash), "id_hash is too small");

bool id_is_zero(const struct opt_id *id)
{
	static const struct opt_id zero;

	return id_equal(id, &zero);
}

char *id_to_hex(const struct opt_id *id, char hex[OPT_ID_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < OPT_ID_SIZE; i++) {
		hex[2 * i] = digits[id->bytes[i] >> 4];
		hex[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	hex[2 * OPT_ID_SIZE] = '\0';
	return hex;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int id_from_hex(const char *hex, struct opt_id *ret_id)
{
	struct opt_id id;

	for (int i = 0; i < OPT_ID_SIZE; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (low < 0)
			return OPT_E_INVALID;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (hex_digit(hex[2 * OPT_ID_SIZE]) >= 0)
		return OPT_E_INVALID;
	*ret_id = id;
	return 0;
}

bool batch_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > BATCH_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

void id_hash_init(struct id_hash *hash)
{
	if (crypto_generichash_init((crypto_generichash_state *)hash->opaque, NULL, 0, OPT_ID_SIZE) != 0)
		abort();
}

void id_hash_add(struct id_hash *hash, const void *data, size_t len)
{
	if (crypto_generichash_update((crypto_generichash_state *)hash->opaque, data, len) != 0)
		abort();
}

struct opt_id id_hash_done(struct id_hash *hash)
{
	struct opt_id id;

	if (crypto_generichash_final((crypto_generichash_state *)hash->opaque, id.bytes, OPT_ID_SIZE) != 0)
		abort();
	return id;
}

struct opt_id batch_key(const char *name)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus batch", 13);
	id_hash_add(&hash, name, strlen(name));
	return id_hash_done(&hash);
}

struct opt_id shard_id(const struct opt_id *batch, uint32_t index)
{
	const uint8_t big_endian[4] = {
	    (uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8), (uint8_t)index};
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus shard", 13);
	id_hash_add(&hash, batch->bytes, OPT_ID_SIZE);
	id_hash_add(&hash, big_endian, sizeof(big_endian));
	return id_hash_done(&hash);
}
