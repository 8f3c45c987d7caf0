/* SPDX-License-Identifier: MIT */
/*
 * The cursor reads what msgpack-c writes, whatever its size, never past the end, and after an error nothing
 * but zeros.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/cursor.h"
#include "queue/error.h"

#define OVER(text) cursor_over(text, sizeof(text) - 1)

static const uint64_t edges[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
    0x100000000, INT64_MAX, UINT64_MAX};
enum { EDGES = sizeof(edges) / sizeof(edges[0]) };

static void unsigned_numbers_of_every_size_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < EDGES; i++) {
		struct buffer out;
		struct cursor c;
		msgpack_packer pk;

		buffer_init(&out);
		pack_to(&pk, &out);
		msgpack_pack_uint64(&pk, edges[i]);
		c = cursor_over(out.data, out.len);
		assert_true(cursor_uint(&c, edges[i]) == edges[i]);
		assert_int_equal(cursor_end(&c), 0);
		c = cursor_over(out.data, out.len);
		if (edges[i] > 0) {
			assert_int_equal(cursor_uint(&c, edges[i] - 1), 0);
			assert_int_equal(cursor_end(&c), OPT_E_INVALID);
		}
		for (size_t len = 0; len < out.len; len++) {
			c = cursor_over(out.data, len);
			assert_int_equal(cursor_uint(&c, UINT64_MAX), 0);
			assert_true(c.failed);
		}
		buffer_done(&out);
	}
}

static void signed_numbers_of_every_size_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * EDGES; i++) {
		uint64_t edge = edges[i / 2];
		int64_t number;
		struct buffer out;
		struct cursor c;
		msgpack_packer pk;

		if (edge > INT64_MAX)
			continue;
		number = i % 2 == 0 ? (int64_t)edge : -1 - (int64_t)edge;
		buffer_init(&out);
		pack_to(&pk, &out);
		msgpack_pack_int64(&pk, number);
		c = cursor_over(out.data, out.len);
		assert_true(cursor_int(&c, number, number) == number);
		assert_int_equal(cursor_end(&c), 0);
		c = cursor_over(out.data, out.len);
		if (number < INT64_MAX) {
			assert_int_equal(cursor_int(&c, number + 1, INT64_MAX), 0);
			assert_true(c.failed);
		}
		for (size_t len = 0; len < out.len; len++) {
			c = cursor_over(out.data, len);
			assert_int_equal(cursor_int(&c, INT64_MIN, INT64_MAX), 0);
			assert_true(c.failed);
		}
		buffer_done(&out);
	}
	struct cursor c = OVER("\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
	assert_int_equal(cursor_int(&c, INT64_MIN, INT64_MAX), 0);
	assert_true(c.failed);
}

static void texts_of_every_size_come_back(void **state)
{
	static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	static char text[65537];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buffer out;
		struct cursor c;
		msgpack_packer pk;
		const char *at;
		size_t len;

		buffer_init(&out);
		pack_to(&pk, &out);
		text[sizes[i]] = '\0';
		pack_text(&pk, text, sizeof(text));
		text[sizes[i]] = 'x';
		c = cursor_over(out.data, out.len);
		at = cursor_text(&c, sizes[i], &len);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(at, text, len);
		assert_int_equal(cursor_end(&c), 0);
		if (sizes[i] > 0) {
			c = cursor_over(out.data, out.len);
			assert_string_equal(cursor_text(&c, sizes[i] - 1, &len), "");
			assert_int_equal(len, 0);
			assert_true(c.failed);
		}
		for (size_t cut = 0; cut < out.len; cut += 1 + out.len / 50) {
			c = cursor_over(out.data, cut);
			assert_string_equal(cursor_text(&c, sizeof(text), &len), "");
			assert_true(c.failed);
		}
		buffer_done(&out);
	}
}

static void a_text_has_no_nul_and_is_copied_with_one(void **state)
{
	struct cursor c = OVER("\xa3"
	                       "a\0b");
	char text[4] = "???";
	size_t len;

	(void)state;
	assert_string_equal(cursor_text(&c, 10, &len), "");
	assert_true(c.failed);
	c = OVER("\xa3"
	         "abc");
	cursor_text_into(&c, text, 3);
	assert_string_equal(text, "abc");
	cursor_text_into(&c, text, 3); /* past the end */
	assert_string_equal(text, "");
	assert_true(c.failed);
}

static void a_text_is_terminated_where_it_lies(void **state)
{
	char bytes[] = "\xa3"
	               "abc\xa0\xc0\xa1z";
	struct cursor c = cursor_over(bytes, sizeof(bytes) - 1);

	(void)state;
	const char *abc = cursor_text_in_place(&c, 3), *empty = cursor_text_or_nil(&c, 0);
	assert_null(cursor_text_or_nil(&c, 3));
	assert_string_equal(cursor_text_or_nil(&c, 3), "z");
	assert_int_equal(cursor_end(&c), 0);
	/* What follows does not disturb what came before. */
	assert_string_equal(abc, "abc");
	assert_string_equal(empty, "");
	assert_string_equal(cursor_text_or_nil(&c, 3), ""); /* past the end */
	assert_int_equal(cursor_end(&c), OPT_E_INVALID);
}

static void a_text_is_written_up_to_its_limit(void **state)
{
	struct buffer out;
	msgpack_packer pk;
	struct cursor c;
	size_t len;

	(void)state;
	buffer_init(&out);
	pack_to(&pk, &out);
	pack_text(&pk, "abcdef", 4);
	c = cursor_over(out.data, out.len);
	assert_memory_equal(cursor_text(&c, 4, &len), "abcd", 4);
	assert_int_equal(len, 4);
	buffer_done(&out);
}

static void ids_are_exactly_20_bytes(void **state)
{
	struct opt_id id = {{1, 2, 3}}, again;
	struct buffer out;
	msgpack_packer pk;
	struct cursor c;

	(void)state;
	buffer_init(&out);
	pack_to(&pk, &out);
	pack_id(&pk, &id);
	c = cursor_over(out.data, out.len);
	again = cursor_id(&c);
	assert_true(id_equal(&id, &again));
	assert_int_equal(cursor_end(&c), 0);
	out.data[1] = 19;
	c = cursor_over(out.data, out.len - 1);
	again = cursor_id(&c);
	assert_true(id_is_zero(&again));
	assert_true(c.failed);
	buffer_done(&out);
	/* Long forms of a length are lengths too. */
	c = OVER("\xc6\x00\x00\x00\x02"
	         "ab");
	size_t len;
	assert_memory_equal(cursor_bytes(&c, 2, &len), "ab", 2);
	assert_int_equal(len, 2);
	assert_int_equal(cursor_end(&c), 0);
}

static void a_count_that_cannot_be_there_is_refused_before_anything_is_read(void **state)
{
	struct cursor c = OVER("\xdd\xff\xff\xff\xff\x00\x00");

	(void)state;
	assert_int_equal(cursor_array(&c, UINT32_MAX), 0);
	assert_true(c.failed);
	c = OVER("\x93\x01\x02");
	assert_int_equal(cursor_array(&c, 10), 0);
	assert_true(c.failed);
	c = OVER("\x93\x01\x02\x03");
	assert_int_equal(cursor_array(&c, 2), 0);
	assert_true(c.failed);
	c = OVER("\x93\x01\x02\x03");
	assert_int_equal(cursor_array(&c, 3), 3);
	assert_false(c.failed);
	c = OVER("\xdc\x00\x02\x01\x02");
	assert_int_equal(cursor_array(&c, 2), 2);
	c = OVER("\x92\x01\x02");
	cursor_array_of(&c, 3);
	assert_true(c.failed);
	c = OVER("\x90");
	cursor_array_of(&c, 0);
	assert_int_equal(cursor_end(&c), 0);
}

static void the_first_error_sticks(void **state)
{
	struct cursor c = OVER("\xa1x\x05\x91\x01\xc4\x01x");
	size_t len;

	(void)state;
	assert_int_equal(cursor_uint(&c, 100), 0); /* a text is no number */
	assert_int_equal(cursor_uint(&c, 100), 0);
	assert_int_equal(cursor_int(&c, -100, 100), 0);
	assert_int_equal(cursor_array(&c, 10), 0);
	assert_string_equal(cursor_text(&c, 10, &len), "");
	assert_int_equal(len, 0);
	assert_null(cursor_bytes(&c, 10, &len));
	assert_int_equal(len, 0);
	assert_int_equal(cursor_end(&c), OPT_E_INVALID);
}

static void after_an_error_no_byte_is_looked_at(void **state)
{
	(void)state;
	/* Whatever stands where the error happened. The sanitizers watch. */
	for (unsigned tag = 0; tag < 256; tag++) {
		const uint8_t bytes[10] = {(uint8_t)tag, 1, 2, 3, 4, 5, 6, 7, 8, 9};
		struct cursor c = cursor_over(bytes, sizeof(bytes));
		size_t len;

		c.failed = true;
		assert_int_equal(cursor_int(&c, INT64_MIN, INT64_MAX), 0);
		assert_int_equal(cursor_uint(&c, UINT64_MAX), 0);
		assert_int_equal(cursor_array(&c, UINT32_MAX), 0);
		assert_string_equal(cursor_text(&c, 10, &len), "");
		assert_null(cursor_bytes(&c, 10, &len));
		assert_ptr_equal(c.next, bytes);
	}
}

static void what_is_left_over_is_an_error(void **state)
{
	struct cursor c = OVER("\x05\x06");

	(void)state;
	assert_int_equal(cursor_uint(&c, 10), 5);
	assert_int_equal(cursor_end(&c), OPT_E_INVALID);
	assert_int_equal(cursor_uint(&c, 10), 6);
	assert_int_equal(cursor_end(&c), 0);
	c = cursor_over(NULL, 0);
	assert_int_equal(cursor_end(&c), 0);
	assert_int_equal(cursor_uint(&c, 10), 0);
	assert_int_equal(cursor_end(&c), OPT_E_INVALID);
}

static void no_tag_is_taken_for_another_type(void **state)
{
	(void)state;
	for (unsigned tag = 0; tag < 256; tag++) {
		const uint8_t bytes[10] = {(uint8_t)tag};
		struct cursor c = cursor_over(bytes, sizeof(bytes));
		size_t len;

		cursor_uint(&c, UINT64_MAX);
		assert_int_equal(!c.failed, tag < 0x80 || (tag >= 0xcc && tag <= 0xcf));
		c = cursor_over(bytes, sizeof(bytes));
		cursor_int(&c, INT64_MIN, INT64_MAX);
		assert_int_equal(!c.failed, tag < 0x80 || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3));
		c = cursor_over(bytes, sizeof(bytes));
		cursor_array(&c, 9);
		assert_int_equal(!c.failed, (tag >= 0x90 && tag <= 0x99) || tag == 0xdc || tag == 0xdd);
		c = cursor_over(bytes, sizeof(bytes));
		cursor_text(&c, 100, &len);
		assert_int_equal(!c.failed, tag == 0xa0 || (tag >= 0xd9 && tag <= 0xdb));
		c = cursor_over(bytes, sizeof(bytes));
		cursor_bytes(&c, 100, &len);
		assert_int_equal(!c.failed, tag >= 0xc4 && tag <= 0xc6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unsigned_numbers_of_every_size_come_back),
	    cmocka_unit_test(signed_numbers_of_every_size_come_back),
	    cmocka_unit_test(texts_of_every_size_come_back),
	    cmocka_unit_test(a_text_has_no_nul_and_is_copied_with_one),
	    cmocka_unit_test(a_text_is_terminated_where_it_lies),
	    cmocka_unit_test(a_text_is_written_up_to_its_limit),
	    cmocka_unit_test(ids_are_exactly_20_bytes),
	    cmocka_unit_test(a_count_that_cannot_be_there_is_refused_before_anything_is_read),
	    cmocka_unit_test(the_first_error_sticks),
	    cmocka_unit_test(after_an_error_no_byte_is_looked_at),
	    cmocka_unit_test(what_is_left_over_is_an_error),
	    cmocka_unit_test(no_tag_is_taken_for_another_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
