/* SPDX-License-Identifier: MIT */
/*
 * However many members there are, no key holds many more than 40, and a newcomer that begins with one key
 * hears there where the others are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dht/spread.h"

enum { MEMBERS_MAX = 4000, KEYS_MAX = 1 << SPREAD_LEVEL_MAX };

static struct opt_id nodes[MEMBERS_MAX];

static int setup(void **state)
{
	const struct opt_id seed = {{1}};

	(void)state;
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		nodes[i] = shard_id(&seed, i);
	return 0;
}

/* How many of the first `members` publish on each key of a level. */
static uint32_t fullest_key(uint32_t members, unsigned int home, unsigned int level)
{
	uint32_t counts[KEYS_MAX] = {0}, most = 0;

	for (uint32_t i = 0; i < members; i++) {
		if (spread_publishes(&nodes[i], home, level))
			counts[spread_index(&nodes[i], level)]++;
	}
	for (uint32_t i = 0; i < KEYS_MAX; i++)
		most = counts[i] > most ? counts[i] : most;
	return most;
}

/* What somebody knows who listens to the levels up to `last`. */
static uint32_t known_at(uint32_t members, unsigned int home, unsigned int last)
{
	uint32_t known = 0;

	for (uint32_t i = 0; i < members; i++) {
		bool heard = false;

		for (unsigned int level = 0; level <= last; level++)
			heard = heard || spread_publishes(&nodes[i], home, level);
		known += heard;
	}
	return known;
}

static void small_clusters_use_one_key(void **state)
{
	(void)state;
	for (uint32_t members = 1; members <= SPREAD_PER_KEY; members++)
		assert_int_equal(spread_home_level(members), 0);
	assert_int_equal(spread_home_level(SPREAD_PER_KEY + 1), 1);
	assert_int_equal(spread_home_level(UINT32_MAX), SPREAD_LEVEL_MAX);
	assert_true(spread_publishes(&nodes[0], 0, 0));
	assert_false(spread_publishes(&nodes[0], 0, 1));
}

static void no_key_holds_many_more_than_40(void **state)
{
	static const uint32_t sizes[] = {40, 41, 80, 81, 200, 640, 1000, 2000, 4000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned int home = spread_home_level(sizes[i]);

		for (unsigned int level = 0; level <= home; level++)
			assert_true(fullest_key(sizes[i], home, level) <= 65);
	}
}

static void everybody_publishes_on_the_home_level(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
		for (unsigned int home = 0; home <= SPREAD_LEVEL_MAX; home++) {
			assert_true(spread_publishes(&nodes[i], home, home));
			assert_true(spread_index(&nodes[i], home) < 1u << home);
		}
	}
}

static void a_newcomer_meets_some_on_level_0_and_then_all(void **state)
{
	(void)state;
	for (uint32_t members = 1; members <= MEMBERS_MAX; members++) {
		unsigned int home = spread_home_level(members);

		assert_true(known_at(members, home, 0) >= (members < 10 ? members : 10));
		if (members % 64 == 0)
			assert_int_equal(known_at(members, home, home), members);
	}
}

static void every_key_and_cluster_has_its_own_name(void **state)
{
	struct cluster_key one = {"one"}, two = {"two"};
	struct opt_id keys[1 + 2 + 4 + 8], other = spread_key(&two, 0, 0);
	size_t count = 0;

	(void)state;
	for (unsigned int level = 0; level < 4; level++) {
		for (uint32_t index = 0; index < 1u << level; index++) {
			keys[count] = spread_key(&one, level, index);
			for (size_t i = 0; i < count; i++)
				assert_false(id_equal(&keys[i], &keys[count]));
			assert_false(id_equal(&keys[count++], &other));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(small_clusters_use_one_key),
	    cmocka_unit_test(no_key_holds_many_more_than_40),
	    cmocka_unit_test(everybody_publishes_on_the_home_level),
	    cmocka_unit_test(a_newcomer_meets_some_on_level_0_and_then_all),
	    cmocka_unit_test(every_key_and_cluster_has_its_own_name),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
