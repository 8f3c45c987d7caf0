/* SPDX-License-Identifier: MIT */
/*
 * Three messages that make two nodes sure of each other and give them fresh keys.
 *
 * t is the hash of all that was said so far, beginning with a label. master = BLAKE2b-256 under the cluster
 * key of (label, t after both fresh keys, X25519 of them): only a holder of the cluster key who made one of
 * the fresh keys can compute it. It opens the sealed claims:
 *
 *   | Ed25519 public key 32 | instance 16 | number 8, big-endian | signature 64 of (role, t, what precedes) |
 *
 * each under a key of its own that is used once, with t as associated data. The keys of the two streams come
 * from master and the hash of everything, the listener's claim included.
 *
 * Nothing that comes from outside can make this fail other than by a cause; a failed handshake says nothing
 * to the other side. Secrets are wiped as soon as they have served.
 */
#include "daemon/link_handshake.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "queue/error.h"

enum { PRE_AUTHENTICATION_MAX = 4096, TAG_SIZE = crypto_aead_chacha20poly1305_ietf_ABYTES };
enum {
	SUBKEY_DIALLER_CLAIM = 1,
	SUBKEY_LISTENER_CLAIM = 2,
	SUBKEY_FROM_DIALLER = 1,
	SUBKEY_FROM_LISTENER = 2
};

static_assert((int)LINK_SECOND_SIZE <= (int)PRE_AUTHENTICATION_MAX, "limit before authentication");
static_assert((int)LINK_SECOND_SIZE >= (int)LINK_THIRD_SIZE, "input holds every message");
static_assert(crypto_kdf_KEYBYTES == 32 && crypto_scalarmult_BYTES == LINK_KEY_SIZE, "sizes");

static const char subkey_context[crypto_kdf_CONTEXTBYTES + 1] = "opt-link";

/* t = H(t | data) */
static void transcript_add(struct handshake *handshake, const void *data, size_t len)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(handshake->transcript));
	crypto_generichash_update(&state, handshake->transcript, sizeof(handshake->transcript));
	crypto_generichash_update(&state, data, len);
	crypto_generichash_final(&state, handshake->transcript, sizeof(handshake->transcript));
}

/* H under `key` of (label, t, data) */
static void derive(const struct handshake *handshake, const unsigned char key[32], const char *label,
    const void *data, size_t len, unsigned char out[32])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, key, 32, 32);
	crypto_generichash_update(&state, (const unsigned char *)label, strlen(label));
	crypto_generichash_update(&state, handshake->transcript, sizeof(handshake->transcript));
	crypto_generichash_update(&state, data, len);
	crypto_generichash_final(&state, out, 32);
	sodium_memzero(&state, sizeof(state));
}

static int make_master(struct handshake *handshake, const unsigned char *their_public)
{
	unsigned char shared[crypto_scalarmult_BYTES];
	/* Fails for points of small order, with which the result would not depend on our secret. */
	int status = crypto_scalarmult(shared, handshake->secret, their_public);

	if (status == 0)
		derive(handshake, handshake->self->key.bytes, "optimus link master", shared, sizeof(shared),
		    handshake->master);
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(handshake->secret, sizeof(handshake->secret));
	return status == 0 ? 0 : OPT_E_INVALID;
}

static const char *role_label(bool dialler)
{
	return dialler ? "optimus link dialler" : "optimus link listener";
}

/* What is signed: the role, t, and the claim without its signature. */
static size_t signed_text(
    const struct handshake *handshake, bool dialler, const unsigned char *claim, unsigned char text[160])
{
	const char *label = role_label(dialler);
	size_t len = strlen(label);
	size_t body = LINK_CLAIM_SIZE - crypto_sign_BYTES;

	memcpy(text, label, len);
	memcpy(text + len, handshake->transcript, sizeof(handshake->transcript));
	len += sizeof(handshake->transcript);
	memcpy(text + len, claim, body);
	return len + body;
}

static void claim_key(const struct handshake *handshake, bool dialler, unsigned char key[32])
{
	crypto_kdf_derive_from_key(key, 32, dialler ? SUBKEY_DIALLER_CLAIM : SUBKEY_LISTENER_CLAIM,
	    subkey_context, handshake->master);
}

/* Appends our sealed claim to `out`, and to t. */
static void seal_claim(struct handshake *handshake, struct buffer *out)
{
	static const unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	const struct link_self *self = handshake->self;
	unsigned char claim[LINK_CLAIM_SIZE], text[160], key[32];
	unsigned char sealed[LINK_CLAIM_SIZE + TAG_SIZE];
	size_t len;

	memcpy(claim, self->identity.public_key, 32);
	memcpy(claim + 32, self->instance, LINK_INSTANCE_SIZE);
	for (unsigned int i = 0; i < 8; i++)
		claim[32 + LINK_INSTANCE_SIZE + i] = (unsigned char)(handshake->number >> (56 - 8 * i));
	len = signed_text(handshake, handshake->dialler, claim, text);
	crypto_sign_detached(claim + 32 + LINK_INSTANCE_SIZE + 8, NULL, text, len, self->identity.secret_key);
	claim_key(handshake, handshake->dialler, key);
	crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, claim, sizeof(claim), handshake->transcript,
	    sizeof(handshake->transcript), NULL, nonce, key);
	sodium_memzero(key, sizeof(key));
	transcript_add(handshake, sealed, sizeof(sealed));
	buffer_add(out, sealed, sizeof(sealed));
}

/* Opens and checks the other side's claim, and adds it to t. */
static int open_claim(struct handshake *handshake, const unsigned char *sealed, enum link_end *ret_why)
{
	static const unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	unsigned char claim[LINK_CLAIM_SIZE], text[160], key[32];
	struct id_hash hash;
	size_t len;
	int status;

	*ret_why = LINK_FOREIGN;
	claim_key(handshake, !handshake->dialler, key);
	status = crypto_aead_chacha20poly1305_ietf_decrypt(claim, NULL, NULL, sealed,
	    LINK_CLAIM_SIZE + TAG_SIZE, handshake->transcript, sizeof(handshake->transcript), nonce, key);
	sodium_memzero(key, sizeof(key));
	if (status != 0)
		return OPT_E_INVALID;
	len = signed_text(handshake, !handshake->dialler, claim, text);
	*ret_why = LINK_SIGNATURE;
	if (crypto_sign_verify_detached(claim + 32 + LINK_INSTANCE_SIZE + 8, text, len, claim) != 0)
		return OPT_E_INVALID;
	if (sodium_memcmp(claim, handshake->self->identity.public_key, 32) == 0) {
		*ret_why = LINK_SELF;
		return OPT_E_INVALID;
	}
	id_hash_init(&hash);
	id_hash_add(&hash, claim, 32);
	handshake->peer.node = id_hash_done(&hash);
	memcpy(handshake->peer.instance, claim + 32, LINK_INSTANCE_SIZE);
	handshake->peer.number = 0;
	for (unsigned int i = 0; i < 8; i++)
		handshake->peer.number = handshake->peer.number << 8 | claim[32 + LINK_INSTANCE_SIZE + i];
	transcript_add(handshake, sealed, LINK_CLAIM_SIZE + TAG_SIZE);
	return 0;
}

static void make_stream_keys(struct handshake *handshake)
{
	unsigned char streams[32];
	bool dialler = handshake->dialler;

	derive(handshake, handshake->master, "optimus link streams", "", 0, streams);
	crypto_kdf_derive_from_key(handshake->send_key, LINK_KEY_SIZE,
	    dialler ? SUBKEY_FROM_DIALLER : SUBKEY_FROM_LISTENER, subkey_context, streams);
	crypto_kdf_derive_from_key(handshake->receive_key, LINK_KEY_SIZE,
	    dialler ? SUBKEY_FROM_LISTENER : SUBKEY_FROM_DIALLER, subkey_context, streams);
	sodium_memzero(streams, sizeof(streams));
	sodium_memzero(handshake->master, sizeof(handshake->master));
	handshake->done = true;
}

void handshake_begin(struct handshake *handshake, const struct link_self *self, bool dialler, uint64_t number,
    struct buffer *out)
{
	static const char label[] = "optimus link transcript";
	unsigned char first[LINK_FIRST_SIZE] = {LINK_PROTOCOL};

	memset(handshake, 0, sizeof(*handshake));
	handshake->self = self;
	handshake->dialler = dialler;
	handshake->number = number;
	crypto_box_keypair(handshake->public, handshake->secret);
	crypto_generichash(handshake->transcript, sizeof(handshake->transcript), (const unsigned char *)label,
	    sizeof(label) - 1, NULL, 0);
	if (dialler)
		return;
	memcpy(first + 1, handshake->public, LINK_KEY_SIZE);
	transcript_add(handshake, first, sizeof(first));
	buffer_add(out, first, sizeof(first));
}

/* Message 1 has come to the dialler, who says message 2. */
static int answer_first(struct handshake *handshake, struct buffer *out)
{
	unsigned char second[LINK_FIRST_SIZE] = {LINK_PROTOCOL};

	transcript_add(handshake, handshake->input, LINK_FIRST_SIZE);
	memcpy(second + 1, handshake->public, LINK_KEY_SIZE);
	transcript_add(handshake, second, sizeof(second));
	if (make_master(handshake, handshake->input + 1) != 0)
		return OPT_E_INVALID;
	buffer_add(out, second, sizeof(second));
	seal_claim(handshake, out);
	handshake->said_second = true;
	handshake->have = 0;
	return 0;
}

/* Message 2 has come to the listener, who says message 3 and is done. */
static int answer_second(struct handshake *handshake, struct buffer *out, enum link_end *ret_why)
{
	transcript_add(handshake, handshake->input, LINK_FIRST_SIZE);
	if (make_master(handshake, handshake->input + 1) != 0)
		return OPT_E_INVALID;
	if (open_claim(handshake, handshake->input + LINK_FIRST_SIZE, ret_why) != 0)
		return OPT_E_INVALID;
	seal_claim(handshake, out);
	make_stream_keys(handshake);
	return 1;
}

static size_t expected_size(const struct handshake *handshake)
{
	if (!handshake->dialler)
		return LINK_SECOND_SIZE;
	return handshake->said_second ? LINK_THIRD_SIZE : LINK_FIRST_SIZE;
}

static int answer(struct handshake *handshake, struct buffer *out, enum link_end *ret_why)
{
	if (!handshake->dialler)
		return answer_second(handshake, out, ret_why);
	if (!handshake->said_second)
		return answer_first(handshake, out);
	if (open_claim(handshake, handshake->input, ret_why) != 0)
		return OPT_E_INVALID;
	make_stream_keys(handshake);
	return 1;
}

int handshake_take(struct handshake *handshake, const void *data, size_t len, size_t *ret_used,
    struct buffer *out, enum link_end *ret_why)
{
	const unsigned char *bytes = data;
	size_t used = 0;
	int status = 0;

	while (status == 0 && used < len) {
		size_t part = expected_size(handshake) - handshake->have;

		if (part > len - used)
			part = len - used;
		memcpy(handshake->input + handshake->have, bytes + used, part);
		handshake->have += part;
		used += part;
		*ret_why = LINK_VERSION;
		if (!handshake->said_second && handshake->input[0] != LINK_PROTOCOL)
			return OPT_E_INVALID;
		if (handshake->have < expected_size(handshake))
			break;
		*ret_why = LINK_FOREIGN;
		/* A dialler can't say more than message 2 before it knows the answer. */
		if (!handshake->dialler && used < len)
			return OPT_E_INVALID;
		status = answer(handshake, out, ret_why);
	}
	if (status >= 0)
		*ret_used = used;
	return status;
}

void handshake_wipe(struct handshake *handshake)
{
	sodium_memzero(handshake, sizeof(*handshake));
}
