/* SPDX-License-Identifier: MIT */
/*
 * Nodes of one cluster find, keep and replace their links; what is handed over arrives whole; bulk never
 * holds up control messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/link_queue.h"
#include "link_fixture.h"
#include "queue/error.h"

static struct link_world world;

static int set_up(void **state)
{
	(void)state;
	link_world_init(&world);
	for (unsigned int i = 0; i < LINK_NODES; i++)
		link_node_start(&world, i, &world.key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	link_world_done(&world);
	return 0;
}

static void a_wanted_link_comes_up_and_carries_messages_both_ways(void **state)
{
	(void)state;
	link_connect(&world, 0, 1);
	assert_string_equal(world.nodes[0].address, links_address(world.nodes[1].links));
	link_check_works(&world, 0, 1);
	link_check_works(&world, 1, 0);
	assert_false(link_has(&world, 0, 2));
	assert_int_equal(
	    links_send(world.nodes[0].links, &world.nodes[2].identity.node, "x", 1, true), OPT_E_NOT_FOUND);
}

static void messages_of_every_length_arrive_whole(void **state)
{
	const size_t lengths[] = {9, 10, LINK_CHUNK_MAX - 1, LINK_CHUNK_MAX, LINK_CHUNK_MAX + 1,
	    2 * LINK_CHUNK_MAX, LINK_MESSAGE_MAX - 1, LINK_MESSAGE_MAX};
	uint64_t bytes = 0;

	(void)state;
	link_connect(&world, 0, 1);
	link_check_works(&world, 0, 1);
	bytes = world.nodes[1].bytes;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int bulk = 0; bulk < 2; bulk++) {
			assert_int_equal(link_send_number(&world, 0, 1, i, bulk, lengths[i]), 0);
			bytes += lengths[i];
		}
	assert_int_equal(link_send_number(&world, 0, 1, 0, true, LINK_MESSAGE_MAX + 1), OPT_E_LIMIT);
	link_until(&world, &world.nodes[1].bytes, bytes);
	assert_int_equal(world.nodes[1].damaged, 0);
}

static void two_that_dial_each_other_keep_the_link_of_the_smaller_id(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 10; round++) {
		link_want(&world, 0, 1);
		link_connect(&world, 1, 0);
		for (uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
		     links_numbers(world.nodes[0].links).ended[LINK_REPLACED] !=
		     links_numbers(world.nodes[1].links).ended[LINK_REPLACED];) {
			assert_true(now_us() < limit);
			link_turn(&world);
		}
		assert_int_equal(world.nodes[0].downs, round);
		link_check_works(&world, 0, 1);
		link_check_works(&world, 1, 0);
		/* Node 0 has dialled what was kept: it is node 0's to close. */
		links_unwant(world.nodes[1].links, &world.nodes[0].identity.node);
		for (int i = 0; i < 20; i++)
			link_turn(&world);
		assert_true(link_has(&world, 0, 1) && link_has(&world, 1, 0));
		links_unwant(world.nodes[0].links, &world.nodes[1].identity.node);
		link_until(&world, &world.nodes[0].downs, round + 1);
		link_until(&world, &world.nodes[1].downs, round + 1);
		assert_int_equal(world.nodes[1].why, LINK_CLOSED);
	}
	assert_true(links_numbers(world.nodes[0].links).ended[LINK_REPLACED] > 0);
}

/* Node 1's link is up and in use when that of node 0, the better one, comes. */
static void what_the_replaced_link_took_arrives(void **state)
{
	const char *address = links_address(world.nodes[1].links);
	uint64_t count = 0;

	(void)state;
	link_connect(&world, 1, 0);
	link_check_works(&world, 1, 0);
	world.nodes[0].messages = world.nodes[1].messages = 0;
	for (; count < 8; count++) {
		assert_int_equal(link_send_number(&world, 1, 0, count, true, LINK_MESSAGE_MAX / 2), 0);
		assert_int_equal(link_send_number(&world, 0, 1, count, true, LINK_MESSAGE_MAX / 2), 0);
	}
	/* As a bootstrap address, since node 0 has what it wants. */
	assert_int_equal(links_dial(world.nodes[0].links, address), 0);
	link_until_ended(&world, 0, LINK_REPLACED, 1);
	link_until(&world, &world.nodes[0].messages, count);
	link_until(&world, &world.nodes[1].messages, count);
	assert_int_equal(world.nodes[0].damaged + world.nodes[1].damaged, 0);
	assert_int_equal(world.nodes[0].ups, 1);
	assert_int_equal(world.nodes[1].ups, 1);
	link_check_works(&world, 1, 0);
	link_check_works(&world, 0, 1);
	assert_int_equal(world.nodes[0].downs + world.nodes[1].downs, 0);
}

/* Both nodes are this process. */
static uint64_t process_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void bulk_does_not_hold_up_control(void **state)
{
	const uint64_t total = 50 * 1024 * 1024;
	uint64_t sent = 0, next = 0, probes = 0, number = 0;

	(void)state;
	link_connect(&world, 0, 1);
	link_check_works(&world, 0, 1);
	world.probe_clock = process_clock;
	world.nodes[1].bytes = world.nodes[1].messages = 0;
	for (uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000); world.nodes[1].bytes < total;) {
		assert_true(now_us() < limit);
		while (sent < total && link_send_number(&world, 0, 1, number, true, LINK_MESSAGE_MAX) == 0) {
			sent += LINK_MESSAGE_MAX;
			number++;
		}
		assert_true(links_queued(world.nodes[0].links, &world.nodes[1].identity.node) <=
		            LINK_QUEUE_HIGH + LINK_MESSAGE_MAX + 100);
		if (now_us() >= next) {
			next = now_us() + 5000;
			probes++;
			assert_int_equal(link_send_time(&world, 0, 1), 0);
		}
		uv_run(&world.loop, UV_RUN_ONCE);
	}
	link_until(&world, &world.nodes[1].messages, number + probes);
	assert_int_equal(world.nodes[1].damaged, 0);
	assert_true(probes > 2);
	assert_true(world.nodes[0].rooms > 0);
	print_message("%lu probes, the slowest took %lu us\n", (unsigned long)probes,
	    (unsigned long)world.nodes[1].worst_delay);
	assert_true(world.nodes[1].worst_delay < 100000);
}

struct relay_lane {
	unsigned char data[65536];
	size_t from, to; /* what of it has still to go */
};

/*
 * A narrow path between two nodes: every 2 ms at most 64 KiB go from the dialler to the listener. Its time
 * goes on by 2 ms for each of these turns: so a machine that stops this process for a while does not count as
 * a slow link.
 */
static struct relay {
	int listener, dialler, node;
	struct relay_lane there, back;
	uint64_t next, turns;
	char address[64];
} relay;

enum { RELAY_TURN_US = 2000 };

static uint64_t relay_clock(void)
{
	return relay.turns * RELAY_TURN_US;
}

static void relay_start(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(where);
	int small = 65536;

	memset(&relay, 0, sizeof(relay));
	relay.dialler = -1;
	relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(relay.listener >= 0);
	setsockopt(relay.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(relay.listener, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(listen(relay.listener, 1), 0);
	assert_int_equal(getsockname(relay.listener, (struct sockaddr *)&where, &len), 0);
	snprintf(relay.address, sizeof(relay.address), "127.0.0.1:%u", ntohs(where.sin_port));
}

/* What the other side has no room for waits here: to block would stop the node that should make room. */
static void relay_pass(struct relay_lane *lane, int from, int to)
{
	ssize_t done;

	if (lane->from == lane->to) {
		done = recv(from, lane->data, sizeof(lane->data), MSG_DONTWAIT);
		lane->from = 0;
		lane->to = done > 0 ? (size_t)done : 0;
	}
	if (lane->from == lane->to)
		return;
	done = send(to, lane->data + lane->from, lane->to - lane->from, MSG_NOSIGNAL | MSG_DONTWAIT);
	assert_true(done > 0 || errno == EAGAIN);
	if (done > 0)
		lane->from += (size_t)done;
}

static void relay_turn(void)
{
	if (relay.dialler < 0) {
		relay.dialler = accept(relay.listener, NULL, NULL);
		if (relay.dialler < 0)
			return;
		relay.node = attacker_connect(&world, 1);
	}
	relay_pass(&relay.back, relay.node, relay.dialler);
	if (now_us() < relay.next)
		return;
	relay.next = now_us() + RELAY_TURN_US;
	relay.turns++;
	relay_pass(&relay.there, relay.dialler, relay.node);
}

static void relay_done(void)
{
	close(relay.listener);
	close(relay.dialler);
	close(relay.node);
}

static void control_overtakes_bulk_on_a_narrow_path(void **state)
{
	const uint64_t total = 12 * 1024 * 1024;
	uint64_t sent = 0, next = 0, probes = 0;
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);

	(void)state;
	relay_start();
	world.probe_clock = relay_clock;
	links_want(world.nodes[0].links, &world.nodes[1].identity.node, relay.address);
	for (; world.nodes[1].bytes < total; link_turn(&world)) {
		assert_true(now_us() < limit);
		relay_turn();
		while (sent < total && link_send_number(&world, 0, 1, sent, true, LINK_MESSAGE_MAX) == 0)
			sent += LINK_MESSAGE_MAX;
		if (relay_clock() >= next && link_send_time(&world, 0, 1) == 0) {
			next = relay_clock() + 20000;
			probes++;
		}
	}
	assert_true(probes > 5);
	assert_true(world.nodes[1].worst_delay > 0);
	print_message("%lu probes, the slowest took %lu us of the path's time\n", (unsigned long)probes,
	    (unsigned long)world.nodes[1].worst_delay);
	assert_true(world.nodes[1].worst_delay < 100000);
	relay_done();
}

static void a_full_queue_says_so_and_when_there_is_room(void **state)
{
	uint64_t taken = 0;
	int status;

	(void)state;
	link_connect(&world, 0, 1);
	world.nodes[1].messages = 0;
	while ((status = link_send_number(&world, 0, 1, taken, true, 100000)) == 0)
		taken++;
	assert_int_equal(status, OPT_E_AGAIN);
	assert_true(taken >= LINK_QUEUE_HIGH / 100000);
	assert_int_equal(world.nodes[0].rooms, 0);
	/* Control has a lane of its own. */
	assert_int_equal(link_send_time(&world, 0, 1), 0);
	link_until(&world, &world.nodes[0].rooms, 1);
	assert_true(links_queued(world.nodes[0].links, &world.nodes[1].identity.node) <= LINK_QUEUE_LOW);
	link_until(&world, &world.nodes[1].messages, taken + 1);
	assert_int_equal(world.nodes[0].rooms, 1);
}

static void a_bootstrap_address_finds_the_node_that_listens_there(void **state)
{
	(void)state;
	assert_int_equal(links_dial(world.nodes[2].links, links_address(world.nodes[0].links)), 0);
	assert_int_equal(links_dial(world.nodes[2].links, "nonsense"), OPT_E_INVALID);
	link_until(&world, &world.nodes[0].ups, 1);
	link_until(&world, &world.nodes[2].ups, 1);
	link_check_works(&world, 2, 0);
	link_check_works(&world, 0, 2);
}

static void a_name_is_looked_up(void **state)
{
	char address[64] = "localhost";

	(void)state;
	strcat(address, strrchr(links_address(world.nodes[1].links), ':'));
	links_want(world.nodes[0].links, &world.nodes[1].identity.node, address);
	link_until(&world, &world.nodes[0].ups, 1);
	link_check_works(&world, 0, 1);
}

static void a_node_that_reaches_itself_hangs_up(void **state)
{
	(void)state;
	assert_int_equal(links_dial(world.nodes[0].links, links_address(world.nodes[0].links)), 0);
	link_until_ended(&world, 0, LINK_SELF, 1);
	assert_int_equal(world.nodes[0].ups, 0);
}

static void another_node_than_the_dialled_one_is_a_link_to_that_one(void **state)
{
	(void)state;
	links_want(world.nodes[0].links, &world.nodes[1].identity.node, links_address(world.nodes[2].links));
	link_until_ended(&world, 0, LINK_WRONG_NODE, 1);
	link_until(&world, &world.nodes[0].ups, 1);
	link_until(&world, &world.nodes[2].ups, 1);
	link_check_works(&world, 2, 0);
	assert_int_equal(world.nodes[1].ups, 0);
	/* The right address replaces the wrong one. */
	link_connect(&world, 0, 1);
	assert_int_equal(world.nodes[0].ups, 2);
}

static void dials_for_a_node_whose_address_another_one_has_break_no_link(void **state)
{
	(void)state;
	link_connect(&world, 0, 2);
	links_want(world.nodes[0].links, &world.nodes[1].identity.node, links_address(world.nodes[2].links));
	link_until_ended(&world, 0, LINK_WRONG_NODE, 1);
	link_check_works(&world, 0, 2);
	link_check_works(&world, 2, 0);
	assert_int_equal(world.nodes[0].downs, 0);
	assert_int_equal(world.nodes[2].downs, 0);
}

static void a_process_that_is_gone_is_seen_refused_and_found_again(void **state)
{
	char address[64];

	(void)state;
	link_connect(&world, 0, 1);
	snprintf(address, sizeof(address), "%s", links_address(world.nodes[1].links));
	link_node_close(&world, 1);
	link_until(&world, &world.nodes[0].downs, 1);
	assert_int_equal(world.nodes[0].why, LINK_CLOSED);
	link_until(&world, &world.nodes[0].refused, 1);
	link_node_start(&world, 1, &world.key);
	link_want(&world, 0, 1);
	link_until(&world, &world.nodes[0].ups, 2);
	link_check_works(&world, 0, 1);
}

static void three_nodes_have_links_of_their_own(void **state)
{
	(void)state;
	link_connect(&world, 0, 1);
	link_connect(&world, 1, 2);
	link_connect(&world, 2, 0);
	for (unsigned int from = 0; from < 3; from++)
		link_check_works(&world, from, (from + 1) % 3);
	link_node_close(&world, 2);
	link_until(&world, &world.nodes[0].downs, 1);
	link_until(&world, &world.nodes[1].downs, 1);
	link_check_works(&world, 0, 1);
	assert_int_equal(links_numbers(world.nodes[0].links).up, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_wanted_link_comes_up_and_carries_messages_both_ways),
	    TEST(messages_of_every_length_arrive_whole),
	    TEST(two_that_dial_each_other_keep_the_link_of_the_smaller_id),
	    TEST(what_the_replaced_link_took_arrives),
	    TEST(bulk_does_not_hold_up_control),
	    TEST(control_overtakes_bulk_on_a_narrow_path),
	    TEST(a_full_queue_says_so_and_when_there_is_room),
	    TEST(a_bootstrap_address_finds_the_node_that_listens_there),
	    TEST(a_name_is_looked_up),
	    TEST(a_node_that_reaches_itself_hangs_up),
	    TEST(another_node_than_the_dialled_one_is_a_link_to_that_one),
	    TEST(dials_for_a_node_whose_address_another_one_has_break_no_link),
	    TEST(a_process_that_is_gone_is_seen_refused_and_found_again),
	    TEST(three_nodes_have_links_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
