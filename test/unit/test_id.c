/* SPDX-License-Identifier: MIT */
/*
 * Ids are written and read alike everywhere, and derive from names alike on every node and in every version:
 * the known answers here must never change, as they name what is in people's stores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/error.h"
#include "queue/id.h"

static void hex_comes_back_as_the_same_id(void **state)
{
	struct opt_id id, again;
	char hex[OPT_ID_HEX];

	(void)state;
	for (int i = 0; i < OPT_ID_SIZE; i++)
		id.bytes[i] = (uint8_t)(i * 13 + 7);
	assert_string_equal(id_to_hex(&id, hex), "0714212e3b4855626f7c8996a3b0bdcad7e4f1fe");
	assert_int_equal(id_from_hex(hex, &again), 0);
	assert_true(id_equal(&id, &again));
	assert_int_equal(id_from_hex("0714212E3B4855626F7C8996A3B0BDCAD7E4F1FE", &again), 0);
	assert_true(id_equal(&id, &again));
	assert_int_equal(id_from_hex("0714212e3b4855626f7c8996a3b0bdcad7e4f1fe.rest", &again), 0);
}

static void what_is_not_40_hex_digits_is_no_id(void **state)
{
	char hex[] = "0714212e3b4855626f7c8996a3b0bdcad7e4f1fe";
	struct opt_id id = {{1, 2, 3}};
	const struct opt_id before = id;

	(void)state;
	assert_int_equal(id_from_hex("", &id), OPT_E_INVALID);
	assert_int_equal(id_from_hex("0714212e3b4855626f7c8996a3b0bdcad7e4f1f", &id), OPT_E_INVALID);
	assert_int_equal(id_from_hex("0714212e3b4855626f7c8996a3b0bdcad7e4f1fe0", &id), OPT_E_INVALID);
	for (size_t i = 0; i < 40; i++) {
		static const char wrong[] = "gG/:@`x -\x80\xff";
		char right = hex[i];

		for (size_t w = 0; w < sizeof(wrong); w++) { /* the NUL too: a text cut at each place */
			hex[i] = wrong[w];
			assert_int_equal(id_from_hex(hex, &id), OPT_E_INVALID);
		}
		hex[i] = right;
	}
	assert_memory_equal(&id, &before, sizeof(id));
}

static void ids_are_ordered_as_their_bytes(void **state)
{
	struct opt_id low = {{0x7f, 0xff}}, high = {{0x80}};
	const struct opt_id zero = {{0}};

	(void)state;
	assert_true(id_compare(&low, &high) < 0);
	assert_true(id_compare(&high, &low) > 0);
	assert_int_equal(id_compare(&low, &low), 0);
	assert_false(id_equal(&low, &high));
	assert_true(id_is_zero(&zero));
	low = zero;
	low.bytes[OPT_ID_SIZE - 1] = 1;
	assert_false(id_is_zero(&low));
}

static void keys_derive_as_they_always_did(void **state)
{
	char hex[OPT_ID_HEX];
	struct opt_id key = batch_key("newsletter-2024"), shard;

	(void)state;
	assert_string_equal(id_to_hex(&key, hex), "e0e63b3020673058436c07c369e89e1f9e42eaf4");
	shard = shard_id(&key, 0);
	assert_string_equal(id_to_hex(&shard, hex), "8d9c98d100b12ec09e4a70ca8d1199e186684e65");
	shard = shard_id(&key, 0x01020304);
	assert_string_equal(id_to_hex(&shard, hex), "0705d8bd7126e8f6827f999836b2c84d6e56c957");
}

static void different_names_and_shards_have_different_keys(void **state)
{
	struct opt_id a = batch_key("a"), b = batch_key("A"), shards[300];

	(void)state;
	assert_false(id_equal(&a, &b));
	for (uint32_t i = 0; i < 300; i++) {
		shards[i] = shard_id(&a, i);
		for (uint32_t j = 0; j < i; j++)
			assert_false(id_equal(&shards[i], &shards[j]));
	}
	b = shard_id(&b, 0);
	assert_false(id_equal(&shards[0], &b));
}

static void a_hash_does_not_depend_on_how_the_bytes_are_cut(void **state)
{
	static const char text[] = "the quick brown fox";
	struct id_hash hash;
	struct opt_id whole, pieces;

	(void)state;
	id_hash_init(&hash);
	id_hash_add(&hash, text, sizeof(text));
	whole = id_hash_done(&hash);
	id_hash_init(&hash);
	for (size_t i = 0; i < sizeof(text); i++)
		id_hash_add(&hash, text + i, 1);
	pieces = id_hash_done(&hash);
	assert_true(id_equal(&whole, &pieces));
}

static void batch_names_are_safe_words_of_at_most_64_characters(void **state)
{
	static const char *const good[] = {"a", "0", "_", "News.2024-05_x", "a.", "a-", "_.-"};
	static const char *const bad[] = {
	    "", ".", "..", ".a", "-", "-a", "a b", "a/b", "a\n", "\xc3\xa9", "a:", "a{b}", "a\x7f", "a*"};
	char name[BATCH_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(batch_name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(batch_name_valid(bad[i]));
	memset(name, 'x', sizeof(name));
	name[BATCH_NAME_MAX + 1] = '\0';
	assert_false(batch_name_valid(name));
	name[BATCH_NAME_MAX] = '\0';
	assert_true(batch_name_valid(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hex_comes_back_as_the_same_id),
	    cmocka_unit_test(what_is_not_40_hex_digits_is_no_id),
	    cmocka_unit_test(ids_are_ordered_as_their_bytes),
	    cmocka_unit_test(keys_derive_as_they_always_did),
	    cmocka_unit_test(different_names_and_shards_have_different_keys),
	    cmocka_unit_test(a_hash_does_not_depend_on_how_the_bytes_are_cut),
	    cmocka_unit_test(batch_names_are_safe_words_of_at_most_64_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
