/* SPDX-License-Identifier: MIT */
/*
 * Entries come back from a squashed one as they were, and bytes that are none do no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/squash.h"
#include "queue/error.h"

static const struct span entries[] = {
    {"\x93\x01 claims", 9}, {"", 0}, {"\0\0\0", 3}, {"outcomes", 8}, {"\x93", 1}};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]) };

static void pack(struct buffer *packed)
{
	buffer_init(packed);
	assert_int_equal(squash_pack(entries, ENTRIES, packed), 0);
	assert_true(squash_is(packed->data, packed->len));
}

static void entries_come_back(void **state)
{
	struct squash_list list;
	struct buffer packed;

	(void)state;
	pack(&packed);
	squash_list_init(&list);
	assert_int_equal(squash_list_add(&list, packed.data, packed.len), 0);
	assert_int_equal(squash_list_add(&list, "raw", 3), 0);
	assert_int_equal(list.count, ENTRIES + 1);
	for (size_t i = 0; i < ENTRIES; i++) {
		assert_int_equal(list.entries[i].len, entries[i].len);
		assert_memory_equal(list.entries[i].data, entries[i].data, entries[i].len);
	}
	assert_memory_equal(list.entries[ENTRIES].data, "raw", 3);
	squash_list_done(&list);
	buffer_done(&packed);
}

/* Whatever a byte turns into: refused, or read as other entries, never past the end (the sanitizers look). */
static void damaged_bytes_do_no_harm(void **state)
{
	struct buffer packed;
	size_t refused = 0;

	(void)state;
	pack(&packed);
	for (size_t at = 0; at < packed.len; at++) {
		for (unsigned int change = 1; change < 256; change++) {
			char *copy = malloc(packed.len);
			struct squash_list list;

			assert_non_null(copy);
			memcpy(copy, packed.data, packed.len);
			copy[at] = (char)(copy[at] ^ (char)change);
			squash_list_init(&list);
			if (squash_list_add(&list, copy, packed.len) != 0) {
				assert_int_equal(list.count, 0);
				refused++;
			}
			squash_list_done(&list);
			free(copy);
		}
	}
	assert_true(refused > 255 * 8); /* the head alone */
	buffer_done(&packed);
}

static void every_cut_is_refused(void **state)
{
	struct buffer packed;

	(void)state;
	pack(&packed);
	for (size_t len = 2; len < packed.len; len++) {
		char *copy = malloc(len);
		struct squash_list list;

		assert_non_null(copy);
		memcpy(copy, packed.data, len);
		squash_list_init(&list);
		assert_int_equal(squash_list_add(&list, copy, len), OPT_E_INVALID);
		squash_list_done(&list);
		free(copy);
	}
	buffer_done(&packed);
}

static void one_inside_another_is_refused(void **state)
{
	struct buffer packed, twice;
	struct squash_list list;
	struct span inner;

	(void)state;
	pack(&packed);
	buffer_init(&twice);
	inner = (struct span){packed.data, packed.len};
	assert_int_equal(squash_pack(&inner, 1, &twice), 0);
	squash_list_init(&list);
	assert_int_equal(squash_list_add(&list, twice.data, twice.len), OPT_E_INVALID);
	assert_int_equal(list.count, 0);
	squash_list_done(&list);
	buffer_done(&twice);
	buffer_done(&packed);
}

/* A claim of more than the limit costs no memory. */
static void a_bomb_is_refused(void **state)
{
	static const char zeros[SQUASH_RAW_MAX / 4];
	const struct span half[] = {{zeros, sizeof(zeros)}, {zeros, sizeof(zeros)}, {zeros, sizeof(zeros)}};
	struct squash_list list;
	struct buffer packed;

	(void)state;
	buffer_init(&packed);
	assert_int_equal(squash_pack(half, 3, &packed), 0);
	squash_list_init(&list);
	assert_int_equal(squash_list_add(&list, packed.data, packed.len), 0);
	assert_int_equal(squash_list_add(&list, packed.data, packed.len), OPT_E_LIMIT);
	assert_int_equal(list.count, 3);
	assert_int_equal(
	    squash_pack((const struct span[]){half[0], half[0], half[0], half[0]}, 4, &packed), OPT_E_LIMIT);
	squash_list_done(&list);
	buffer_done(&packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_come_back),
	    cmocka_unit_test(damaged_bytes_do_no_harm),
	    cmocka_unit_test(every_cut_is_refused),
	    cmocka_unit_test(one_inside_another_is_refused),
	    cmocka_unit_test(a_bomb_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
