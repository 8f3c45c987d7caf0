/* SPDX-License-Identifier: MIT */
/*
 * An attacker's sockets are closed, counted and logged once a cause, and the link between two honest nodes
 * notices nothing of it. All that is logged goes to a file while a test runs: at its end each cause that
 * happened has its one line, however often it came.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/link_connection.h"
#include "link_fixture.h"

enum { ATTACKS = 5 /* of each kind */ };

static struct link_world world;

/* What an attacker holds who does have the cluster key: a socket, and both streams. */
struct insider {
	struct link_self self;
	struct handshake handshake;
	struct link_writer writer;
	struct buffer out;
	int fd;
};

static unsigned int count_why(enum link_end why)
{
	char word[64];

	snprintf(word, sizeof(word), " event=link_ended why=%s ", link_end_name(why));
	return link_log_lines(word);
}

static int set_up(void **state)
{
	(void)state;
	link_log_begin();
	link_world_init(&world);
	link_node_start(&world, 0, &world.key);
	link_node_start(&world, 1, &world.key);
	link_connect(&world, 0, 1);
	link_check_works(&world, 0, 1);
	return 0;
}

/* The honest link is the one that was there before. */
static void check_undisturbed(void)
{
	link_check_works(&world, 0, 1);
	link_check_works(&world, 1, 0);
	assert_int_equal(world.nodes[0].downs + world.nodes[1].downs, 0);
}

/* One line of each node to which it happened; none of the everyday causes, which come before these. */
static unsigned int lines_wanted(enum link_end why)
{
	unsigned int nodes = 0;

	for (int i = 0; why >= LINK_WRONG_NODE && i < LINK_NODES; i++)
		if (world.nodes[i].links != NULL && links_numbers(world.nodes[i].links).ended[why] > 0)
			nodes++;
	return nodes;
}

/* Standard error is back before anything can fail. */
static int tear_down(void **state)
{
	unsigned int wanted[LINK_ENDS], lines[LINK_ENDS];

	(void)state;
	for (int why = 0; why < LINK_ENDS; why++) {
		wanted[why] = lines_wanted(why);
		lines[why] = count_why(why);
	}
	link_log_end();
	for (int why = 0; why < LINK_ENDS; why++)
		if (lines[why] != wanted[why])
			fail_msg("%u lines of %s, wanted %u", lines[why], link_end_name(why), wanted[why]);
	check_undisturbed();
	link_world_done(&world);
	return 0;
}

static uint64_t ended(enum link_end why)
{
	return links_numbers(world.nodes[0].links).ended[why];
}

/* Each attack ends for that cause and, by tear_down(), all of them in one line of the log. */
static void again_and_again(void (*attack)(void), enum link_end why)
{
	for (uint64_t i = 1; i <= ATTACKS; i++) {
		attack();
		assert_int_equal(ended(why), i);
	}
	assert_int_equal(count_why(why), 1);
}

static void insider_begin(struct insider *insider, const struct cluster_key *key)
{
	memset(insider, 0, sizeof(*insider));
	insider->self.identity = world.nodes[2].identity;
	insider->self.key = *key;
	buffer_init(&insider->out);
	insider->fd = attacker_connect(&world, 0);
	handshake_begin(&insider->handshake, &insider->self, true, 1, &insider->out);
}

/* Reads message 1; message 2 is in `out`. */
static void insider_answer(struct insider *insider)
{
	unsigned char first[LINK_FIRST_SIZE];
	enum link_end why;
	size_t used;

	attacker_read(&world, insider->fd, first, sizeof(first));
	assert_int_equal(
	    handshake_take(&insider->handshake, first, sizeof(first), &used, &insider->out, &why), 0);
}

static void insider_send(struct insider *insider)
{
	if (insider->out.len > 0)
		attacker_write(insider->fd, insider->out.data, insider->out.len);
	buffer_clear(&insider->out);
}

/* Up to an open link, with the stream's header in `out`. */
static void insider_open(struct insider *insider)
{
	unsigned char third[LINK_THIRD_SIZE];
	enum link_end why;
	size_t used;

	insider_begin(insider, &world.key);
	insider_answer(insider);
	insider_send(insider);
	attacker_read(&world, insider->fd, third, sizeof(third));
	assert_int_equal(
	    handshake_take(&insider->handshake, third, sizeof(third), &used, &insider->out, &why), 1);
	link_writer_init(&insider->writer, insider->handshake.send_key, &insider->out);
}

static void insider_done(struct insider *insider)
{
	buffer_done(&insider->out);
}

/* All that came from the node was its first message. */
static void expect_silence(int fd)
{
	assert_int_equal(attacker_until_closed(&world, fd), 0);
}

static void knock_without_the_key(void)
{
	struct insider stranger;
	struct cluster_key key = world.key;

	key.bytes[31] ^= 0x80;
	insider_begin(&stranger, &key);
	insider_answer(&stranger);
	insider_send(&stranger);
	expect_silence(stranger.fd);
	insider_done(&stranger);
}

static void without_the_cluster_key_there_is_only_silence(void **state)
{
	(void)state;
	again_and_again(knock_without_the_key, LINK_FOREIGN);
}

static void a_whole_node_with_another_key_gets_no_link(void **state)
{
	struct cluster_key key;

	(void)state;
	randombytes_buf(key.bytes, sizeof(key.bytes));
	link_node_start(&world, 2, &key);
	link_want(&world, 2, 0);
	link_until_ended(&world, 0, LINK_FOREIGN, 2);
	link_until_ended(&world, 2, LINK_CUT, 2);
	link_want(&world, 0, 2);
	link_until_ended(&world, 2, LINK_FOREIGN, 2);
	assert_int_equal(world.nodes[2].ups, 0);
}

static void replay(void)
{
	unsigned char first[LINK_FIRST_SIZE], record[LINK_SECOND_SIZE];
	struct insider insider;
	uint64_t ups = world.nodes[0].ups;
	int fd;

	insider_begin(&insider, &world.key);
	insider_answer(&insider);
	assert_int_equal(insider.out.len, sizeof(record));
	memcpy(record, insider.out.data, sizeof(record));
	insider_send(&insider);
	link_until(&world, &world.nodes[0].ups, ups + 1);
	fd = attacker_connect(&world, 0);
	attacker_read(&world, fd, first, sizeof(first));
	attacker_write(fd, record, sizeof(record));
	expect_silence(fd);
	close(insider.fd);
	link_until(&world, &world.nodes[0].downs, 1);
	world.nodes[0].downs = 0;
	insider_done(&insider);
}

static void a_recorded_handshake_opens_nothing(void **state)
{
	(void)state;
	again_and_again(replay, LINK_FOREIGN);
}

static void flip_a_bit_of_the_handshake(void)
{
	struct insider insider;

	insider_begin(&insider, &world.key);
	insider_answer(&insider);
	insider.out.data[100] ^= 4;
	insider_send(&insider);
	expect_silence(insider.fd);
	insider_done(&insider);
}

static void a_flipped_bit_in_the_handshake_ends_it(void **state)
{
	(void)state;
	again_and_again(flip_a_bit_of_the_handshake, LINK_FOREIGN);
}

static void speak_another_version(void)
{
	unsigned char first[LINK_FIRST_SIZE];
	int fd = attacker_connect(&world, 0);

	attacker_read(&world, fd, first, sizeof(first));
	assert_int_equal(first[0], LINK_PROTOCOL);
	attacker_write(fd, "\x02", 1);
	expect_silence(fd);
}

static void another_version_is_refused(void **state)
{
	(void)state;
	again_and_again(speak_another_version, LINK_VERSION);
}

static void flood_the_handshake(void)
{
	unsigned char first[LINK_FIRST_SIZE], flood[8192] = {LINK_PROTOCOL};
	int fd = attacker_connect(&world, 0);

	attacker_read(&world, fd, first, sizeof(first));
	attacker_write(fd, flood, sizeof(flood));
	expect_silence(fd);
}

static void more_bytes_than_a_handshake_has_end_it(void **state)
{
	(void)state;
	again_and_again(flood_the_handshake, LINK_FOREIGN);
}

static void cut_the_handshake(void)
{
	struct insider insider;

	insider_begin(&insider, &world.key);
	insider_answer(&insider);
	attacker_write(insider.fd, insider.out.data, insider.out.len / 2);
	shutdown(insider.fd, SHUT_WR);
	expect_silence(insider.fd);
	insider_done(&insider);
}

static void a_handshake_that_is_cut_is_counted(void **state)
{
	(void)state;
	again_and_again(cut_the_handshake, LINK_CUT);
}

/* The insider's link ends for this cause when it sends what is in `out`. */
static void expect_link_end(struct insider *insider, enum link_end why)
{
	insider_send(insider);
	link_until(&world, &world.nodes[0].downs, 1);
	assert_int_equal(world.nodes[0].why, why);
	world.nodes[0].downs = 0;
	attacker_until_closed(&world, insider->fd);
	insider_done(insider);
}

static void flip_a_bit_of_a_frame(void)
{
	struct insider insider;

	insider_open(&insider);
	link_writer_add(&insider.writer, FRAME_CONTROL_LAST, "hello", 5, &insider.out);
	insider.out.data[insider.out.len - 1] ^= 1;
	expect_link_end(&insider, LINK_DAMAGED);
}

static void a_flipped_bit_in_a_frame_ends_the_link(void **state)
{
	(void)state;
	again_and_again(flip_a_bit_of_a_frame, LINK_DAMAGED);
}

static void send_an_oversized_frame(void)
{
	struct insider insider;

	insider_open(&insider);
	buffer_add(&insider.out, "\xff\xff", 2);
	expect_link_end(&insider, LINK_OVERSIZED);
}

static void an_oversized_frame_ends_the_link(void **state)
{
	(void)state;
	again_and_again(send_an_oversized_frame, LINK_OVERSIZED);
}

static void cut_a_frame(void)
{
	struct insider insider;

	insider_open(&insider);
	link_writer_add(&insider.writer, FRAME_CONTROL_LAST, "hello", 5, &insider.out);
	insider.out.len -= 3;
	insider_send(&insider);
	shutdown(insider.fd, SHUT_WR);
	expect_link_end(&insider, LINK_CUT);
}

static void a_truncated_frame_ends_the_link(void **state)
{
	(void)state;
	again_and_again(cut_a_frame, LINK_CUT);
}

static void send_a_frame_without_meaning(void)
{
	struct insider insider;

	insider_open(&insider);
	link_writer_add(&insider.writer, FRAME_BULK_PART, "", 0, &insider.out);
	expect_link_end(&insider, LINK_MALFORMED);
}

static void a_frame_without_meaning_ends_the_link(void **state)
{
	(void)state;
	again_and_again(send_a_frame_without_meaning, LINK_MALFORMED);
}

/* The second one came with it. */
static void send_nonsense(void)
{
	const uint8_t nonsense = LINK_NONSENSE;
	struct insider insider;
	uint64_t before = world.nodes[0].messages;

	insider_open(&insider);
	for (int i = 0; i < 2; i++)
		link_writer_add(&insider.writer, FRAME_CONTROL_LAST, &nonsense, 1, &insider.out);
	expect_link_end(&insider, LINK_MALFORMED);
	assert_true(world.nodes[0].messages > before);
}

static void a_message_that_the_core_can_not_read_ends_the_link(void **state)
{
	(void)state;
	again_and_again(send_nonsense, LINK_MALFORMED);
}

static void who_is_slow_is_closed_after_ten_seconds(void **state)
{
	unsigned char first[LINK_FIRST_SIZE];
	uint64_t begin = now_us();
	int fds[ATTACKS];

	(void)state;
	for (int i = 0; i < ATTACKS; i++)
		fds[i] = attacker_connect(&world, 0);
	for (int i = 0; i < ATTACKS; i++)
		attacker_read(&world, fds[i], first, sizeof(first));
	for (uint64_t next = begin; ended(LINK_SLOW) < ATTACKS; link_turn(&world)) {
		/* A byte now and then does not help. */
		if (now_us() >= next) {
			for (int i = 0; i < ATTACKS; i++)
				(void)send(fds[i], "\x01", 1, MSG_NOSIGNAL);
			next += 500000;
		}
		assert_true(ended(LINK_SLOW) == 0 || now_us() - begin >= 9900000);
		assert_true(now_us() - begin < LINK_LIMIT_MS * UINT64_C(1000));
	}
	for (int i = 0; i < ATTACKS; i++)
		expect_silence(fds[i]);
}

static void a_flood_of_half_open_connections_displaces_only_itself(void **state)
{
	enum { FLOOD = 200 };
	int fds[FLOOD];

	(void)state;
	for (int i = 0; i < FLOOD; i++) {
		fds[i] = attacker_connect(&world, 0);
		link_turn(&world);
	}
	link_until_ended(&world, 0, LINK_CROWDED, FLOOD - LINK_HALF_OPEN_SOURCE);
	assert_int_equal(links_numbers(world.nodes[0].links).half_open, LINK_HALF_OPEN_SOURCE);
	/* An honest node from the same address comes through. */
	link_node_start(&world, 2, &world.key);
	link_connect(&world, 2, 0);
	link_check_works(&world, 2, 0);
	for (int i = 0; i < FLOOD; i++)
		close(fds[i]);
	for (uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
	     links_numbers(world.nodes[0].links).half_open > 0;) {
		assert_true(now_us() < limit);
		link_turn(&world);
	}
}

static int log_set_up(void **state)
{
	(void)state;
	link_log_begin();
	return 0;
}

static int log_tear_down(void **state)
{
	(void)state;
	link_log_end();
	return 0;
}

static void after_a_minute_it_is_logged_again_and_how_often_it_was_not(void **state)
{
	struct link_account account = {.silent = {0}};

	(void)state;
	for (int i = 0; i < 20; i++)
		link_account_end(&account, LINK_FOREIGN, "192.0.2.1:7400");
	assert_int_equal(count_why(LINK_FOREIGN), 1);
	account.logged[LINK_FOREIGN] -= 30;
	link_account_end(&account, LINK_FOREIGN, "192.0.2.1:7400");
	account.logged[LINK_FOREIGN] -= 30;
	link_account_end(&account, LINK_FOREIGN, "192.0.2.1:7400");
	link_account_end(&account, LINK_FOREIGN, "192.0.2.1:7400");
	assert_int_equal(count_why(LINK_FOREIGN), 2);
	assert_int_equal(link_log_lines(" not_logged=20\n"), 1);
	assert_int_equal(account.ended[LINK_FOREIGN], 23);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(without_the_cluster_key_there_is_only_silence),
	    TEST(a_whole_node_with_another_key_gets_no_link),
	    TEST(a_recorded_handshake_opens_nothing),
	    TEST(a_flipped_bit_in_the_handshake_ends_it),
	    TEST(another_version_is_refused),
	    TEST(more_bytes_than_a_handshake_has_end_it),
	    TEST(a_handshake_that_is_cut_is_counted),
	    TEST(a_flipped_bit_in_a_frame_ends_the_link),
	    TEST(an_oversized_frame_ends_the_link),
	    TEST(a_truncated_frame_ends_the_link),
	    TEST(a_frame_without_meaning_ends_the_link),
	    TEST(a_message_that_the_core_can_not_read_ends_the_link),
	    TEST(who_is_slow_is_closed_after_ten_seconds),
	    TEST(a_flood_of_half_open_connections_displaces_only_itself),
	    cmocka_unit_test_setup_teardown(
	        after_a_minute_it_is_logged_again_and_how_often_it_was_not, log_set_up, log_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
