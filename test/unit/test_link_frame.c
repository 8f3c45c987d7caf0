/* SPDX-License-Identifier: MIT */
/*
 * Frames: whatever pieces they come in, messages come out whole; what was altered, swapped, repeated, left
 * out or is above its limit ends the stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/link_frame.h"
#include "queue/error.h"

enum { HEADER = 24 };

static unsigned char key[32];
static struct link_writer writer;
static struct link_reader reader;
static struct buffer out;
static const void *data;
static size_t len;
static enum link_end why;
static unsigned char large[LINK_CHUNK_MAX];

static int set_up(void **state)
{
	(void)state;
	assert_true(sodium_init() >= 0);
	randombytes_buf(key, sizeof(key));
	buffer_init(&out);
	link_writer_init(&writer, key, &out);
	link_reader_init(&reader, key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	link_reader_done(&reader);
	buffer_done(&out);
	return 0;
}

static void add(enum link_frame_kind kind, const char *text)
{
	link_writer_add(&writer, kind, text, strlen(text), &out);
}

static int next(void)
{
	return link_reader_next(&reader, &data, &len, &why);
}

static void expect_message(const char *text)
{
	assert_int_equal(next(), 1);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void expect_end(enum link_end expected)
{
	assert_int_equal(next(), OPT_E_INVALID);
	assert_int_equal(why, expected);
	/* And it stays so. */
	assert_int_equal(next(), OPT_E_INVALID);
}

static void lanes_are_put_together_apart(void **state)
{
	(void)state;
	add(FRAME_BULK_PART, "bu");
	add(FRAME_CONTROL_LAST, "now");
	add(FRAME_CONTROL_PART, "co");
	add(FRAME_BULK_LAST, "lk");
	add(FRAME_CONTROL_LAST, "ntrol");
	add(FRAME_END, "");
	link_reader_feed(&reader, out.data, out.len);
	expect_message("now");
	expect_message("bulk");
	expect_message("control");
	assert_int_equal(next(), OPT_E_CLOSED);
	assert_false(link_reader_in_frame(&reader));
}

static void pieces_of_any_size_are_the_same(void **state)
{
	(void)state;
	/* Over several changes of the key. */
	for (int i = 0; i < 3 * LINK_REKEY_FRAMES; i++)
		add(FRAME_CONTROL_LAST, "message");
	for (size_t at = 0, found = 0; at < out.len; at += 7) {
		link_reader_feed(&reader, out.data + at, out.len - at < 7 ? out.len - at : 7);
		while (next() == 1)
			found++;
		if (at + 7 >= out.len)
			assert_int_equal(found, 3 * LINK_REKEY_FRAMES);
	}
}

static void every_flipped_bit_is_found(void **state)
{
	(void)state;
	add(FRAME_CONTROL_LAST, "x");
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		struct link_reader each;
		int status;

		out.data[bit / 8] ^= (char)(1 << bit % 8);
		link_reader_init(&each, key);
		link_reader_feed(&each, out.data, out.len);
		status = link_reader_next(&each, &data, &len, &why);
		/* A length that grew waits for what it promises, which does not open either. */
		if (status == 0) {
			assert_true(link_reader_in_frame(&each));
			link_reader_feed(&each, large, sizeof(large));
			link_reader_feed(&each, large, sizeof(large));
			status = link_reader_next(&each, &data, &len, &why);
		}
		assert_int_equal(status, OPT_E_INVALID);
		link_reader_done(&each);
		out.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

static void frames_that_change_places_are_found(void **state)
{
	size_t frame = 2 + LINK_SEALED_MIN + 1;

	(void)state;
	add(FRAME_CONTROL_LAST, "a");
	add(FRAME_CONTROL_LAST, "b");
	link_reader_feed(&reader, out.data, HEADER);
	link_reader_feed(&reader, out.data + HEADER + frame, frame);
	expect_end(LINK_DAMAGED);
}

static void a_repeated_frame_is_found(void **state)
{
	(void)state;
	add(FRAME_CONTROL_LAST, "a");
	link_reader_feed(&reader, out.data, out.len);
	link_reader_feed(&reader, out.data + HEADER, out.len - HEADER);
	expect_message("a");
	expect_end(LINK_DAMAGED);
}

static void an_oversized_length_is_refused_before_its_bytes_come(void **state)
{
	(void)state;
	buffer_add(&out, "\xff\xff", 2);
	link_reader_feed(&reader, out.data, out.len);
	expect_end(LINK_OVERSIZED);
}

static void a_message_above_its_limit_is_refused(void **state)
{
	(void)state;
	link_reader_feed(&reader, out.data, out.len);
	for (size_t sent = 0; sent < LINK_MESSAGE_MAX; sent += sizeof(large)) {
		buffer_clear(&out);
		link_writer_add(&writer, FRAME_BULK_PART, large, sizeof(large), &out);
		link_reader_feed(&reader, out.data, out.len);
		assert_int_equal(next(), 0);
	}
	buffer_clear(&out);
	add(FRAME_BULK_LAST, "x");
	link_reader_feed(&reader, out.data, out.len);
	assert_int_equal(next(), OPT_E_INVALID);
	assert_int_equal(why, LINK_OVERSIZED);
}

static void what_says_nothing_is_refused(void **state)
{
	(void)state;
	add(FRAME_CONTROL_PART, "");
	link_reader_feed(&reader, out.data, out.len);
	assert_int_equal(next(), OPT_E_INVALID);
	assert_int_equal(why, LINK_MALFORMED);
}

static void an_unknown_kind_is_refused(void **state)
{
	(void)state;
	add(FRAME_KINDS, "x");
	link_reader_feed(&reader, out.data, out.len);
	assert_int_equal(next(), OPT_E_INVALID);
	assert_int_equal(why, LINK_MALFORMED);
}

static void nothing_comes_after_the_end(void **state)
{
	(void)state;
	add(FRAME_END, "");
	add(FRAME_CONTROL_LAST, "x");
	link_reader_feed(&reader, out.data, out.len);
	assert_int_equal(next(), OPT_E_CLOSED);
	expect_end(LINK_MALFORMED);
}

static void a_length_below_the_least_is_refused(void **state)
{
	(void)state;
	buffer_add(&out, "\x00\x05hello", 7);
	link_reader_feed(&reader, out.data, out.len);
	expect_end(LINK_MALFORMED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(lanes_are_put_together_apart),
	    TEST(pieces_of_any_size_are_the_same),
	    TEST(every_flipped_bit_is_found),
	    TEST(frames_that_change_places_are_found),
	    TEST(a_repeated_frame_is_found),
	    TEST(an_oversized_length_is_refused_before_its_bytes_come),
	    TEST(a_message_above_its_limit_is_refused),
	    TEST(what_says_nothing_is_refused),
	    TEST(an_unknown_kind_is_refused),
	    TEST(nothing_comes_after_the_end),
	    TEST(a_length_below_the_least_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
