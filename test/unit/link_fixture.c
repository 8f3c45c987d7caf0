/* SPDX-License-Identifier: MIT */
#include "link_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { KIND_NUMBER = 'n', KIND_TIME = 't' };

static int log_fd, stderr_fd;

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_up(void *context, const struct opt_id *peer, const char *address)
{
	struct link_node *node = context;

	(void)peer;
	node->ups++;
	snprintf(node->address, sizeof(node->address), "%s", address);
}

static void on_down(void *context, const struct opt_id *peer, enum link_end why)
{
	struct link_node *node = context;

	(void)peer;
	node->downs++;
	node->why = why;
}

static void on_refused(void *context, const struct opt_id *peer)
{
	struct link_node *node = context;

	(void)peer;
	node->refused++;
}

static void on_message(void *context, const struct opt_id *peer, const void *data, size_t len)
{
	struct link_node *node = context;
	const unsigned char *bytes = data;
	uint64_t value;

	node->messages++;
	node->bytes += len;
	/* As the node does with what its core can't read. */
	if (len > 0 && bytes[0] == LINK_NONSENSE)
		links_end(node->links, peer, LINK_MALFORMED);
	if (len < 9)
		return;
	memcpy(&value, bytes + 1, sizeof(value));
	if (bytes[0] == KIND_TIME) {
		uint64_t delay = node->world->probe_clock() - value;

		if (delay > node->worst_delay)
			node->worst_delay = delay;
		return;
	}
	node->last_number = value;
	for (size_t i = 9; i < len; i++)
		if (bytes[i] != (unsigned char)(value + i)) {
			node->damaged++;
			return;
		}
}

static void on_room(void *context, const struct opt_id *peer)
{
	struct link_node *node = context;

	(void)peer;
	node->rooms++;
}

static int compare_identities(const void *a, const void *b)
{
	return id_compare(&((const struct identity *)a)->node, &((const struct identity *)b)->node);
}

void link_world_init(struct link_world *world)
{
	struct identity identities[LINK_NODES];

	assert_true(sodium_init() >= 0);
	memset(world, 0, sizeof(*world));
	assert_int_equal(uv_loop_init(&world->loop), 0);
	randombytes_buf(world->key.bytes, sizeof(world->key.bytes));
	for (unsigned int i = 0; i < LINK_NODES; i++) {
		struct id_hash hash;

		crypto_sign_keypair(identities[i].public_key, identities[i].secret_key);
		id_hash_init(&hash);
		id_hash_add(&hash, identities[i].public_key, sizeof(identities[i].public_key));
		identities[i].node = id_hash_done(&hash);
	}
	qsort(identities, LINK_NODES, sizeof(identities[0]), compare_identities);
	for (unsigned int i = 0; i < LINK_NODES; i++) {
		world->nodes[i].identity = identities[i];
		world->nodes[i].world = world;
	}
	world->probe_clock = now_us;
}

void link_node_start(struct link_world *world, unsigned int node, const struct cluster_key *key)
{
	struct link_node *each = &world->nodes[node];
	const struct links_callbacks callbacks = {each, on_up, on_down, on_refused, on_message, on_room};
	char error[200] = "";

	if (links_new(&world->loop, &each->identity, key, "127.0.0.1:0", &callbacks, &each->links, error,
	        sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void on_closed(void *context)
{
	struct link_world *world = context;

	world->closed++;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

void link_turn(struct link_world *world)
{
	uv_timer_t timer;

	/* So that a turn of the loop ends although nothing happens; again and again, for the loop's time may
	 * be old: then the first tick is due before it looks for events, and it would sleep until somebody
	 * else's. */
	uv_timer_init(&world->loop, &timer);
	uv_timer_start(&timer, on_tick, 2, 2);
	uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&world->loop, UV_RUN_NOWAIT);
}

void link_node_close(struct link_world *world, unsigned int node)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
	unsigned int before = world->closed;

	links_close(world->nodes[node].links, on_closed, world);
	world->nodes[node].links = NULL;
	while (world->closed == before) {
		assert_true(now_us() < limit);
		link_turn(world);
	}
}

void link_world_done(struct link_world *world)
{
	unsigned int expected = world->closed;

	for (unsigned int i = 0; i < LINK_NODES; i++) {
		if (world->nodes[i].links == NULL)
			continue;
		expected++;
		links_close(world->nodes[i].links, on_closed, world);
	}
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->closed, expected);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

void link_want(struct link_world *world, unsigned int from, unsigned int to)
{
	const struct link_node *node = &world->nodes[to];

	assert_int_equal(
	    links_want(world->nodes[from].links, &node->identity.node, links_address(node->links)), 0);
}

bool link_has(const struct link_world *world, unsigned int from, unsigned int to)
{
	/* An empty message goes over every link that there is. */
	return links_send(world->nodes[from].links, &world->nodes[to].identity.node, "", 0, false) == 0;
}

void link_connect(struct link_world *world, unsigned int from, unsigned int to)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);

	link_want(world, from, to);
	while (!link_has(world, from, to) || !link_has(world, to, from)) {
		assert_true(now_us() < limit);
		link_turn(world);
	}
}

void link_until(struct link_world *world, const uint64_t *now, uint64_t wanted)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);

	while (*now < wanted) {
		if (now_us() > limit)
			fail_msg("waited for %lu, have %lu", (unsigned long)wanted, (unsigned long)*now);
		link_turn(world);
	}
}

void link_until_ended(struct link_world *world, unsigned int node, enum link_end why, uint64_t count)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);

	while (links_numbers(world->nodes[node].links).ended[why] < count) {
		if (now_us() > limit)
			fail_msg("nothing ended as %s", link_end_name(why));
		link_turn(world);
	}
}

int link_send_number(
    struct link_world *world, unsigned int from, unsigned int to, uint64_t number, bool bulk, size_t len)
{
	unsigned char *data = malloc(len);
	int status;

	assert_non_null(data);
	data[0] = KIND_NUMBER;
	memcpy(data + 1, &number, sizeof(number));
	for (size_t i = 9; i < len; i++)
		data[i] = (unsigned char)(number + i);
	status = links_send(world->nodes[from].links, &world->nodes[to].identity.node, data, len, bulk);
	free(data);
	return status;
}

int link_send_time(struct link_world *world, unsigned int from, unsigned int to)
{
	unsigned char data[9] = {KIND_TIME};
	uint64_t now = world->probe_clock();

	memcpy(data + 1, &now, sizeof(now));
	return links_send(
	    world->nodes[from].links, &world->nodes[to].identity.node, data, sizeof(data), false);
}

void link_check_works(struct link_world *world, unsigned int from, unsigned int to)
{
	uint64_t number = randombytes_random();

	world->nodes[to].last_number = UINT64_MAX;
	assert_int_equal(link_send_number(world, from, to, number, false, 100), 0);
	for (uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
	     world->nodes[to].last_number != number;) {
		assert_true(now_us() < limit);
		link_turn(world);
	}
}

int attacker_connect(const struct link_world *world, unsigned int node)
{
	const char *address = links_address(world->nodes[node].links);
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	where.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	return fd;
}

void attacker_read(struct link_world *world, int fd, void *data, size_t len)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
	size_t have = 0;

	while (have < len) {
		ssize_t got = recv(fd, (char *)data + have, len - have, MSG_DONTWAIT);

		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		assert_true(now_us() < limit);
		if (got > 0)
			have += (size_t)got;
		else
			link_turn(world);
	}
}

void attacker_write(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

size_t attacker_until_closed(struct link_world *world, int fd)
{
	uint64_t limit = now_us() + LINK_LIMIT_MS * UINT64_C(1000);
	size_t came = 0;

	for (;;) {
		char data[4096];
		ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		assert_true(now_us() < limit);
		if (got > 0)
			came += (size_t)got;
		else
			link_turn(world);
	}
	close(fd);
	return came;
}

void link_log_begin(void)
{
	char path[] = "/tmp/test_link.XXXXXX";

	log_fd = mkostemp(path, O_CLOEXEC);
	stderr_fd = dup(STDERR_FILENO);
	assert_true(log_fd >= 0 && stderr_fd >= 0);
	unlink(path);
	assert_true(dup2(log_fd, STDERR_FILENO) >= 0);
}

void link_log_end(void)
{
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(log_fd);
}

unsigned int link_log_lines(const char *word)
{
	static char text[65536];
	ssize_t len = pread(log_fd, text, sizeof(text) - 1, 0);
	unsigned int count = 0;

	assert_true(len >= 0);
	text[len] = '\0';
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		count++;
	return count;
}
