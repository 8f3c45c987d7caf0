/* SPDX-License-Identifier: MIT */
/*
 * Presence records and directory entries say what was said, by whom it was said, to members of the cluster
 * alone; whatever else is read as one is refused and changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "dht/directory.h"
#include "dht/presence_record.h"
#include "dht/spread.h"
#include "queue/cursor.h"
#include "queue/error.h"

static const uint8_t nonce[SEAL_NONCE_SIZE] = "a nonce of 24 bytes....";
static struct identity me, other;
static struct cluster_key key = {"the key of this cluster"}, foreign = {"the key of another one"};

static void make_identity(struct identity *identity, uint8_t seed_byte)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = {seed_byte};
	struct id_hash hash;

	crypto_sign_seed_keypair(identity->public_key, identity->secret_key, seed);
	id_hash_init(&hash);
	id_hash_add(&hash, identity->public_key, sizeof(identity->public_key));
	identity->node = id_hash_done(&hash);
}

static int setup(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	make_identity(&me, 1);
	make_identity(&other, 2);
	return 0;
}

static struct presence full_presence(void)
{
	struct presence presence = {.node = me.node,
	    .incarnation = UINT64_MAX,
	    .sequence = UINT64_MAX - 1,
	    .weight = WEIGHT_MAX,
	    .flags = UINT32_MAX,
	    .level = SPREAD_LEVEL_MAX};

	memset(presence.address, 'h', PRESENCE_ADDRESS_MAX);
	memcpy(presence.address + PRESENCE_ADDRESS_MAX - 6, ":65535", 6);
	memset(presence.version, 'v', PRESENCE_VERSION_MAX);
	return presence;
}

static void assert_same(const struct presence *a, const struct presence *b)
{
	assert_true(id_equal(&a->node, &b->node));
	assert_string_equal(a->address, b->address);
	assert_string_equal(a->version, b->version);
	assert_true(a->incarnation == b->incarnation && a->sequence == b->sequence);
	assert_int_equal(a->weight, b->weight);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->level, b->level);
}

static struct sealed_record sealed(const struct presence *presence)
{
	struct sealed_record record;

	assert_int_equal(presence_encode(presence, &me, &key, nonce, &record), 0);
	return record;
}

static void a_presence_comes_back_from_under_500_bytes(void **state)
{
	struct presence presence = full_presence(), again;
	struct sealed_record record = sealed(&presence);

	(void)state;
	assert_true(record.len < 500);
	assert_int_equal(presence_decode(&key, record.bytes, record.len, &again), 0);
	assert_same(&presence, &again);
	presence = (struct presence){.node = me.node, .address = "[::1]:1", .weight = 1};
	record = sealed(&presence);
	assert_int_equal(presence_decode(&key, record.bytes, record.len, &again), 0);
	assert_same(&presence, &again);
}

static void no_record_shows_what_is_in_it(void **state)
{
	struct presence presence = full_presence();
	struct sealed_record record = sealed(&presence);

	(void)state;
	assert_null(memmem(record.bytes, record.len, "hhhh", 4));
	assert_null(memmem(record.bytes, record.len, me.public_key, 8));
	assert_null(memmem(record.bytes, record.len, key.bytes, 8));
}

/* Reads a changed record as both kinds: both must refuse, and write nothing. */
static void assert_refused(const uint8_t *bytes, size_t len)
{
	struct presence presence = full_presence();
	const struct presence before = presence;
	struct directory_entry entry = {.home_count = 3};

	assert_true(presence_decode(&key, bytes, len, &presence) < 0);
	assert_memory_equal(&presence, &before, sizeof(before));
	assert_true(directory_decode(&key, &me.node, bytes, len, &entry) < 0);
	assert_int_equal(entry.home_count, 3);
}

static void assert_no_change_passes(struct sealed_record record)
{
	uint8_t longer[SEAL_RECORD_MAX + 1] = {0};

	for (size_t len = 0; len < record.len; len++)
		assert_refused(record.bytes, len);
	for (size_t bit = 0; bit < 8 * record.len; bit++) {
		record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_refused(record.bytes, record.len);
		record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	memcpy(longer, record.bytes, record.len);
	assert_refused(longer, record.len + 1);
	assert_refused(longer, sizeof(longer));
}

static struct directory_entry full_entry(void)
{
	struct directory_entry entry = {
	    .batch = batch_key("news"), .written = {1700000000000000}, .home_count = DIRECTORY_HOMES_MAX};

	for (size_t i = 0; i < DIRECTORY_HOMES_MAX; i++)
		entry.homes[i] = shard_id(&entry.batch, (uint32_t)i);
	return entry;
}

static void no_truncation_and_no_flipped_bit_passes(void **state)
{
	struct presence presence = full_presence();
	struct directory_entry entry = full_entry();
	struct sealed_record record;

	(void)state;
	assert_no_change_passes(sealed(&presence));
	entry.batch = me.node; /* what assert_refused() asks for */
	assert_int_equal(directory_encode(&entry, &me, &key, nonce, &record), 0);
	assert_true(record.len < 500);
	assert_no_change_passes(record);
}

static void another_cluster_reads_nothing(void **state)
{
	struct presence presence = full_presence();
	struct sealed_record record = sealed(&presence);

	(void)state;
	assert_int_equal(presence_decode(&foreign, record.bytes, record.len, &presence), OPT_E_DENIED);
	assert_true(seal_network(&key) != seal_network(&foreign));
	assert_true(seal_network(&key) != 0);
}

static void nobody_speaks_for_another_node(void **state)
{
	struct presence presence = full_presence(), read;
	struct sealed_record record;
	struct identity forger = other;

	(void)state;
	assert_int_equal(presence_encode(&presence, &other, &key, nonce, &record), OPT_E_INVALID);
	/* A member that has the key of the cluster, but not that of the node whose public key it shows. */
	forger.node = me.node;
	memcpy(forger.public_key, me.public_key, sizeof(me.public_key));
	assert_int_equal(presence_encode(&presence, &forger, &key, nonce, &record), 0);
	assert_int_equal(presence_decode(&key, record.bytes, record.len, &read), OPT_E_INVALID);
	/* And one that shows its own: whatever id it claims, the record is about itself. */
	forger = other;
	forger.node = me.node;
	assert_int_equal(presence_encode(&presence, &forger, &key, nonce, &record), 0);
	assert_int_equal(presence_decode(&key, record.bytes, record.len, &read), 0);
	assert_true(id_equal(&read.node, &other.node));
}

/* Seals these items, which a member with a fault or bad intentions might, and reads them. */
static int read_items(
    const char *address, uint64_t weight, const char *version, uint64_t format, uint32_t level, size_t extra)
{
	struct sealed_record record;
	struct presence presence;
	struct buffer body;
	msgpack_packer pk;

	buffer_init(&body);
	pack_to(&pk, &body);
	msgpack_pack_array(&pk, 8);
	msgpack_pack_uint64(&pk, format);
	pack_text(&pk, address, 300);
	msgpack_pack_uint64(&pk, 1);
	msgpack_pack_uint64(&pk, 1);
	msgpack_pack_uint64(&pk, weight);
	msgpack_pack_uint64(&pk, 0);
	pack_text(&pk, version, 300);
	msgpack_pack_uint32(&pk, level);
	buffer_add(&body, "\0\0\0\0", extra);
	assert_int_equal(seal(SEAL_PRESENCE, &me, &key, nonce, body.data, body.len, &record), 0);
	buffer_done(&body);
	return presence_decode(&key, record.bytes, record.len, &presence);
}

static void a_member_that_writes_nonsense_is_refused(void **state)
{
	char long_address[PRESENCE_ADDRESS_MAX + 2], long_version[PRESENCE_VERSION_MAX + 2];

	(void)state;
	memset(long_address, 'h', sizeof(long_address));
	memcpy(long_address + sizeof(long_address) - 3, ":1", 3);
	memset(long_version, 'v', sizeof(long_version));
	long_version[sizeof(long_version) - 1] = '\0';
	assert_int_equal(read_items("a:1", 1, "0.1", 1, 0, 0), 0);
	assert_int_equal(read_items("a", 1, "0.1", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items(long_address, 1, "0.1", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 0, "0.1", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", WEIGHT_MAX + 1, "0.1", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, "0 1", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, "\x1b[2J", 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, long_version, 1, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, "0.1", 2, 0, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, "0.1", 1, SPREAD_LEVEL_MAX + 1, 0), OPT_E_INVALID);
	assert_int_equal(read_items("a:1", 1, "0.1", 1, 0, 1), OPT_E_INVALID);
}

static void a_directory_entry_comes_back_for_its_batch_alone(void **state)
{
	struct directory_entry entry = full_entry(), again;
	struct opt_id elsewhere = batch_key("other");
	struct sealed_record record;

	(void)state;
	assert_int_equal(directory_encode(&entry, &me, &key, nonce, &record), 0);
	assert_int_equal(directory_decode(&key, &entry.batch, record.bytes, record.len, &again), 0);
	assert_memory_equal(&entry, &again, sizeof(entry));
	assert_int_equal(directory_decode(&key, &elsewhere, record.bytes, record.len, &again), OPT_E_INVALID);
	assert_int_equal(
	    directory_decode(&foreign, &entry.batch, record.bytes, record.len, &again), OPT_E_DENIED);
}

static void a_batch_has_1_to_7_different_homes(void **state)
{
	struct directory_entry entry = full_entry();
	struct sealed_record record;

	(void)state;
	entry.home_count = 0;
	assert_int_equal(directory_encode(&entry, &me, &key, nonce, &record), OPT_E_INVALID);
	entry.home_count = DIRECTORY_HOMES_MAX + 1;
	assert_int_equal(directory_encode(&entry, &me, &key, nonce, &record), OPT_E_INVALID);
	entry.home_count = 2;
	entry.homes[1] = entry.homes[0];
	assert_int_equal(directory_encode(&entry, &me, &key, nonce, &record), OPT_E_INVALID);
}

static void one_kind_of_record_is_not_taken_for_another(void **state)
{
	struct unsealed_record opened;
	struct sealed_record record;

	(void)state;
	assert_int_equal(seal(SEAL_BATCH, &me, &key, nonce, "body", 4, &record), 0);
	assert_int_equal(unseal(SEAL_PRESENCE, &key, record.bytes, record.len, &opened), OPT_E_DENIED);
	assert_int_equal(unseal(SEAL_BATCH, &key, record.bytes, record.len, &opened), 0);
	assert_int_equal(opened.len, 4);
	assert_true(id_equal(&opened.writer, &me.node));
}

static void a_body_that_is_too_long_is_not_sealed(void **state)
{
	uint8_t body[SEAL_BODY_MAX + 1] = {0};
	struct sealed_record record;

	(void)state;
	assert_int_equal(seal(SEAL_BATCH, &me, &key, nonce, body, SEAL_BODY_MAX, &record), 0);
	assert_int_equal(record.len, SEAL_RECORD_MAX);
	assert_int_equal(seal(SEAL_BATCH, &me, &key, nonce, body, SEAL_BODY_MAX + 1, &record), OPT_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_presence_comes_back_from_under_500_bytes),
	    cmocka_unit_test(no_record_shows_what_is_in_it),
	    cmocka_unit_test(no_truncation_and_no_flipped_bit_passes),
	    cmocka_unit_test(another_cluster_reads_nothing),
	    cmocka_unit_test(nobody_speaks_for_another_node),
	    cmocka_unit_test(a_member_that_writes_nonsense_is_refused),
	    cmocka_unit_test(a_directory_entry_comes_back_for_its_batch_alone),
	    cmocka_unit_test(a_batch_has_1_to_7_different_homes),
	    cmocka_unit_test(one_kind_of_record_is_not_taken_for_another),
	    cmocka_unit_test(a_body_that_is_too_long_is_not_sealed),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
