/* SPDX-License-Identifier: MIT */
/*
 * What the outcome servers inside Postfix hear of their reports. The test plays one of them, and the core.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/outcome_server.h"
#include "queue/frames.h"

/* Together their acknowledgements are more than a socket takes at once. */
enum { REPORTS = 60000 };

static const uint64_t first_seq = UINT64_C(1) << 60;

static struct {
	uv_loop_t loop;
	char dir[64], path[80];
	struct outcome_server *server;
	int client;
	node_answer_fn *answer[REPORTS];
	void *context[REPORTS];
	size_t expected;
} world;

/* The server's neighbours. */

uint64_t node_expect(struct node *node, node_answer_fn *fn, void *context)
{
	(void)node;
	assert_true(world.expected < REPORTS);
	world.answer[world.expected] = fn;
	world.context[world.expected] = context;
	return ++world.expected;
}

void node_forget(struct node *node, uint64_t reply)
{
	(void)node;
	(void)reply;
}

void node_event(struct node *node, struct event *event)
{
	(void)node;
	assert_int_equal(event->type, EVENT_LEFT_SPOOL);
}

/* The tests. */

static int set_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	memset(&world, 0, sizeof(world));
	snprintf(world.dir, sizeof(world.dir), "/tmp/optimus-outcomes-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	snprintf(world.path, sizeof(world.path), "%s/sock", world.dir);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	assert_int_equal(outcome_server_new(&world.loop, NULL, world.path, &world.server), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", world.path);
	world.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(world.client >= 0);
	assert_int_equal(connect(world.client, (struct sockaddr *)&address, sizeof(address)), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(world.client);
	outcome_server_free(world.server);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	assert_int_equal(rmdir(world.dir), 0);
	return 0;
}

static void report_all(void)
{
	const struct attempt_key key = {.epoch = 1, .attempt = 1};
	char attempt[ATTEMPT_TEXT_MAX];
	struct frame frame = {.type = FRAME_DONE, .queue_id = "4gBxyz", .attempt_text = attempt};
	struct buffer bytes;
	size_t done = 0;

	attempt_to_text(&key, attempt);
	buffer_init(&bytes);
	for (uint64_t i = 0; i < REPORTS; i++) {
		frame.seq = first_seq + i;
		frame_encode(&frame, &bytes);
	}
	while (done < bytes.len) {
		ssize_t n = send(world.client, bytes.data + done, bytes.len - done, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		uv_run(&world.loop, UV_RUN_NOWAIT);
	}
	buffer_done(&bytes);
	while (world.expected < REPORTS)
		uv_run(&world.loop, UV_RUN_ONCE);
}

/* Reads what has come. Each acknowledgement is the next one. */
static void take_acknowledgements(struct frame_decoder *decoder, uint64_t *count)
{
	char bytes[65536];
	struct frame frame;
	ssize_t n = recv(world.client, bytes, sizeof(bytes), 0);
	int status;

	assert_true(n > 0 || (n < 0 && errno == EAGAIN));
	if (n > 0)
		frame_decoder_feed(decoder, bytes, (size_t)n);
	while ((status = frame_decoder_next(decoder, &frame)) == 1) {
		assert_int_equal(frame.type, FRAME_ACK);
		assert_int_equal(frame.seq, first_seq + *count);
		++*count;
	}
	assert_int_equal(status, 0);
}

static void a_flood_of_acknowledgements_arrives_whole_and_once(void **state)
{
	struct frame_decoder *decoder = frame_decoder_new();
	uint64_t count = 0;

	(void)state;
	report_all();
	for (size_t i = 0; i < REPORTS; i++)
		world.answer[i](world.context[i], NULL);
	while (count < REPORTS) {
		uv_run(&world.loop, UV_RUN_NOWAIT);
		take_acknowledgements(decoder, &count);
	}
	frame_decoder_free(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_flood_of_acknowledgements_arrives_whole_and_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
