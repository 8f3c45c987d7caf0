/* SPDX-License-Identifier: MIT */
/*
 * Two sides with the same cluster key agree on keys and know who the other is; any other pair of messages, be
 * it altered in a single bit, recorded, or made with another key, gets nothing but silence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sodium.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/link_handshake.h"
#include "queue/error.h"

static struct link_self nodes[2];
static struct handshake dialler, listener;
static struct buffer first, second, third, none;
static enum link_end why;
static size_t used;

static int set_up(void **state)
{
	(void)state;
	assert_true(sodium_init() >= 0);
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < 2; i++) {
		struct id_hash hash;

		crypto_sign_keypair(nodes[i].identity.public_key, nodes[i].identity.secret_key);
		id_hash_init(&hash);
		id_hash_add(&hash, nodes[i].identity.public_key, 32);
		nodes[i].identity.node = id_hash_done(&hash);
		randombytes_buf(nodes[i].instance, sizeof(nodes[i].instance));
	}
	buffer_init(&first);
	buffer_init(&second);
	buffer_init(&third);
	buffer_init(&none);
	handshake_begin(&dialler, &nodes[0], true, 7, &none);
	handshake_begin(&listener, &nodes[1], false, 0, &first);
	assert_int_equal(none.len, 0);
	assert_int_equal(first.len, LINK_FIRST_SIZE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buffer_done(&first);
	buffer_done(&second);
	buffer_done(&third);
	buffer_done(&none);
	handshake_wipe(&dialler);
	handshake_wipe(&listener);
	return 0;
}

static void both_sides_agree(void **state)
{
	(void)state;
	assert_int_equal(handshake_take(&dialler, first.data, first.len, &used, &second, &why), 0);
	assert_int_equal(second.len, LINK_SECOND_SIZE);
	assert_int_equal(handshake_take(&listener, second.data, second.len, &used, &third, &why), 1);
	assert_int_equal(third.len, LINK_THIRD_SIZE);
	buffer_add_text(&third, "frames");
	assert_int_equal(handshake_take(&dialler, third.data, third.len, &used, &none, &why), 1);
	assert_int_equal(used, LINK_THIRD_SIZE);
	assert_true(id_equal(&dialler.peer.node, &nodes[1].identity.node));
	assert_true(id_equal(&listener.peer.node, &nodes[0].identity.node));
	assert_int_equal(listener.peer.number, 7);
	assert_memory_equal(listener.peer.instance, nodes[0].instance, LINK_INSTANCE_SIZE);
	assert_memory_equal(dialler.send_key, listener.receive_key, 32);
	assert_memory_equal(dialler.receive_key, listener.send_key, 32);
	assert_memory_not_equal(dialler.send_key, dialler.receive_key, 32);
	/* What could open the recording is no longer there. */
	assert_true(sodium_is_zero(dialler.secret, 32) && sodium_is_zero(listener.secret, 32));
	assert_true(sodium_is_zero(dialler.master, 32) && sodium_is_zero(listener.master, 32));
}

static void bytes_may_come_one_by_one(void **state)
{
	int status = 0;

	(void)state;
	for (size_t i = 0; i < first.len; i++)
		assert_int_equal(handshake_take(&dialler, first.data + i, 1, &used, &second, &why), 0);
	for (size_t i = 0; i < second.len; i++) {
		assert_int_equal(status, 0);
		status = handshake_take(&listener, second.data + i, 1, &used, &third, &why);
	}
	assert_int_equal(status, 1);
}

static void every_flipped_bit_of_the_second_message_is_found(void **state)
{
	(void)state;
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	for (size_t bit = 0; bit < second.len * 8; bit++) {
		struct handshake copy = listener;

		/* X25519 ignores the top bit of a point; the transcript does not. */
		second.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(
		    handshake_take(&copy, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
		assert_int_equal(why, bit < 8 ? LINK_VERSION : LINK_FOREIGN);
		assert_int_equal(third.len, 0);
		second.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(handshake_take(&listener, second.data, second.len, &used, &third, &why), 1);
}

static void every_flipped_bit_of_the_third_message_is_found(void **state)
{
	(void)state;
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	handshake_take(&listener, second.data, second.len, &used, &third, &why);
	for (size_t bit = 0; bit < third.len * 8; bit++) {
		struct handshake copy = dialler;

		third.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(
		    handshake_take(&copy, third.data, third.len, &used, &none, &why), OPT_E_INVALID);
		assert_int_equal(why, LINK_FOREIGN);
		third.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

static void a_changed_first_message_is_found_by_the_listener(void **state)
{
	(void)state;
	first.data[5] ^= 1;
	assert_int_equal(handshake_take(&dialler, first.data, first.len, &used, &second, &why), 0);
	assert_int_equal(
	    handshake_take(&listener, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_FOREIGN);
}

static void a_recorded_second_message_is_worth_nothing(void **state)
{
	struct handshake again;
	struct buffer other;

	(void)state;
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	assert_int_equal(handshake_take(&listener, second.data, second.len, &used, &third, &why), 1);
	buffer_init(&other);
	handshake_begin(&again, &nodes[1], false, 0, &other);
	assert_memory_not_equal(other.data + 1, first.data + 1, 32);
	assert_int_equal(handshake_take(&again, second.data, second.len, &used, &none, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_FOREIGN);
	assert_int_equal(none.len, 0);
	buffer_done(&other);
}

static void another_cluster_key_is_refused(void **state)
{
	struct link_self stranger = nodes[0];

	(void)state;
	stranger.key.bytes[0] ^= 1;
	handshake_begin(&dialler, &stranger, true, 1, &none);
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	assert_int_equal(
	    handshake_take(&listener, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_FOREIGN);
}

/* Who has the cluster key but not the identity's secret. */
static void a_stolen_identity_is_refused(void **state)
{
	struct link_self thief = nodes[0];
	unsigned char other_public[32];

	(void)state;
	crypto_sign_keypair(other_public, thief.identity.secret_key);
	handshake_begin(&dialler, &thief, true, 1, &none);
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	assert_int_equal(
	    handshake_take(&listener, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_SIGNATURE);
	assert_int_equal(third.len, 0);
}

static void a_point_of_small_order_is_refused(void **state)
{
	(void)state;
	memset(first.data + 1, 0, 32);
	assert_int_equal(
	    handshake_take(&dialler, first.data, first.len, &used, &second, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_FOREIGN);
}

static void more_than_the_message_is_refused(void **state)
{
	(void)state;
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	buffer_add_char(&second, 'x');
	assert_int_equal(
	    handshake_take(&listener, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
	assert_int_equal(third.len, 0);
}

static void oneself_is_recognised(void **state)
{
	(void)state;
	handshake_begin(&dialler, &nodes[1], true, 1, &none);
	handshake_take(&dialler, first.data, first.len, &used, &second, &why);
	assert_int_equal(
	    handshake_take(&listener, second.data, second.len, &used, &third, &why), OPT_E_INVALID);
	assert_int_equal(why, LINK_SELF);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(both_sides_agree),
	    TEST(bytes_may_come_one_by_one),
	    TEST(every_flipped_bit_of_the_second_message_is_found),
	    TEST(every_flipped_bit_of_the_third_message_is_found),
	    TEST(a_changed_first_message_is_found_by_the_listener),
	    TEST(a_recorded_second_message_is_worth_nothing),
	    TEST(another_cluster_key_is_refused),
	    TEST(a_stolen_identity_is_refused),
	    TEST(a_point_of_small_order_is_refused),
	    TEST(more_than_the_message_is_refused),
	    TEST(oneself_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
