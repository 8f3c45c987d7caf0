/* SPDX-License-Identifier: MIT */
/*
 * A sealed record:
 *
 *   +-----------+-----------------------------------------------------------+---------+
 *   | nonce, 24 | public key, 32 | signature, 64 | body, up to 363          | tag, 16 |
 *   +-----------+-----------------------------------------------------------+---------+
 *               |<------- XChaCha20-Poly1305, the word of the kind as ------>|
 *                         associated data
 *
 *   key of the seal = BLAKE2b-256(cluster key; "optimus seal")
 *   signature       = Ed25519(word of the kind, 16 bytes with NULs | body)
 *   writer          = BLAKE2b-160(public key), so no node id is written and none can be forged
 *
 * The public key comes before anything that a reader believes, and the seal before that: who has no cluster
 * key costs us one failed tag, no signature check. A member can replay an old record of another one; records
 * therefore carry a sequence, and the reader keeps the highest.
 */
#include "dht/seal.h"

#include <assert.h>
#include <sodium/crypto_aead_xchacha20poly1305.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_sign.h>
#include <sodium/utils.h>
#include <string.h>

#include "queue/error.h"

enum {
	WORD_SIZE = 16,
	KEY_SIZE = crypto_sign_PUBLICKEYBYTES,
	SIGNATURE_SIZE = crypto_sign_BYTES,
	TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	HEAD_SIZE = KEY_SIZE + SIGNATURE_SIZE,
};

static_assert(SEAL_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce size");
static_assert(SEAL_OVERHEAD == SEAL_NONCE_SIZE + HEAD_SIZE + TAG_SIZE, "overhead");

static const char words[][WORD_SIZE] = {
    [SEAL_PRESENCE] = "presence 1",
    [SEAL_BATCH] = "batch 1",
};

static void derive(const struct cluster_key *key, const void *data, size_t len, void *out, size_t out_len)
{
	if (crypto_generichash(out, out_len, data, len, key->bytes, sizeof(key->bytes)) != 0)
		opt_abort("seal: BLAKE2b refused");
}

static void seal_key(const struct cluster_key *key, uint8_t out[crypto_aead_xchacha20poly1305_ietf_KEYBYTES])
{
	derive(key, "optimus seal", 12, out, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
}

/* What is signed. Returns its length. */
static size_t signed_text(
    enum seal_kind kind, const void *body, size_t len, uint8_t text[WORD_SIZE + SEAL_BODY_MAX])
{
	memcpy(text, words[kind], WORD_SIZE);
	memcpy(text + WORD_SIZE, body, len);
	return WORD_SIZE + len;
}

int seal(enum seal_kind kind, const struct identity *identity, const struct cluster_key *key,
    const uint8_t nonce[SEAL_NONCE_SIZE], const void *body, size_t len, struct sealed_record *ret_record)
{
	uint8_t plain[HEAD_SIZE + SEAL_BODY_MAX], text[WORD_SIZE + SEAL_BODY_MAX];
	uint8_t secret[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
	struct sealed_record record;

	if (len > SEAL_BODY_MAX)
		return OPT_E_LIMIT;
	memcpy(plain, identity->public_key, KEY_SIZE);
	crypto_sign_detached(
	    plain + KEY_SIZE, NULL, text, signed_text(kind, body, len, text), identity->secret_key);
	memcpy(plain + HEAD_SIZE, body, len);
	memcpy(record.bytes, nonce, SEAL_NONCE_SIZE);
	seal_key(key, secret);
	crypto_aead_xchacha20poly1305_ietf_encrypt(record.bytes + SEAL_NONCE_SIZE, NULL, plain,
	    HEAD_SIZE + len, (const uint8_t *)words[kind], WORD_SIZE, NULL, nonce, secret);
	sodium_memzero(secret, sizeof(secret));
	record.len = SEAL_OVERHEAD + len;
	*ret_record = record;
	return 0;
}

int unseal(enum seal_kind kind, const struct cluster_key *key, const void *record, size_t len,
    struct unsealed_record *ret_record)
{
	uint8_t plain[HEAD_SIZE + SEAL_BODY_MAX], text[WORD_SIZE + SEAL_BODY_MAX];
	uint8_t secret[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
	const uint8_t *bytes = record;
	struct unsealed_record opened;
	struct id_hash hash;
	int status;

	if (len < SEAL_OVERHEAD || len > SEAL_RECORD_MAX)
		return OPT_E_DENIED;
	seal_key(key, secret);
	status = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, bytes + SEAL_NONCE_SIZE,
	    len - SEAL_NONCE_SIZE, (const uint8_t *)words[kind], WORD_SIZE, bytes, secret);
	sodium_memzero(secret, sizeof(secret));
	if (status != 0)
		return OPT_E_DENIED;
	opened.len = len - SEAL_OVERHEAD;
	memcpy(opened.body, plain + HEAD_SIZE, opened.len);
	if (crypto_sign_verify_detached(
	        plain + KEY_SIZE, text, signed_text(kind, opened.body, opened.len, text), plain) != 0)
		return OPT_E_INVALID;
	id_hash_init(&hash);
	id_hash_add(&hash, plain, KEY_SIZE);
	opened.writer = id_hash_done(&hash);
	*ret_record = opened;
	return 0;
}

uint32_t seal_network(const struct cluster_key *key)
{
	uint8_t bytes[crypto_generichash_BYTES_MIN];
	uint32_t network = 0;

	derive(key, "optimus network", 15, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(network); i++)
		network = network << 8 | bytes[i];
	return network == 0 ? 1 : network;
}

struct opt_id seal_key_id(const struct cluster_key *key, const void *data, size_t len)
{
	struct opt_id id;

	derive(key, data, len, id.bytes, OPT_ID_SIZE);
	return id;
}
