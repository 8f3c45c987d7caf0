/* SPDX-License-Identifier: MIT */
/*
 * The driver's word on a mail whose connection is let go: it must never call unfed what pickup may feed. The
 * test plays pickup, and writes down what the core would be told.
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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/driver.h"
#include "queue/error.h"
#include "queue/frames.h"

enum { FIRST = 7, SECOND = 8 };

static struct {
	struct config config;
	struct opt_id id;
	char dir[64];
	uv_loop_t loop;
	struct driver *driver;
	int listener, pickup;
	unsigned int fed[FED_DEFERRED + 1];
	bool begin_second; /* pickup comes to it when all that it wrote was read */
	bool second_begun; /* and optimusd was told so, as far as pickup can know */
	enum fed_status said_of_second;
} world;

/* The driver's neighbours. */

const struct config *node_config(const struct node *node)
{
	(void)node;
	return &world.config;
}

const struct opt_id *node_id(const struct node *node)
{
	(void)node;
	return &world.id;
}

static bool pickup_writes(const struct frame *frame)
{
	struct buffer bytes;
	bool written;

	buffer_init(&bytes);
	frame_encode(frame, &bytes);
	written = send(world.pickup, bytes.data, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len;
	assert_true(written || errno == EPIPE);
	buffer_done(&bytes);
	return written;
}

static struct attempt_key key_of(uint32_t index)
{
	struct attempt_key key = {.index = index, .epoch = 1, .node = world.id, .attempt = 1};

	memset(&key.shard, 1, sizeof(key.shard));
	return key;
}

static bool begin(uint32_t index)
{
	return pickup_writes(
	    &(struct frame){.type = FRAME_BEGUN, .key = key_of(index), .queue_id = "4gBxyz"});
}

static void queued(uint32_t index)
{
	assert_true(pickup_writes(
	    &(struct frame){.type = FRAME_FED, .key = key_of(index), .status = FED_QUEUED, .reason = ""}));
}

/* Pickup goes on while what it wrote is read, and after. */
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
	const ssize_t got = __real_read(fd, bytes, size);
	const int error = errno;

	if (world.begin_second && got <= 0)
		world.second_begun = begin(SECOND);
	errno = error;
	return got;
}

void node_event(struct node *node, struct event *event)
{
	(void)node;
	assert_int_equal(event->type, EVENT_FED);
	world.fed[event->fed.status]++;
	if (event->fed.key.index == SECOND)
		world.said_of_second = event->fed.status;
}

/* The tests. */

static void listen_for_the_driver(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[128];

	snprintf(path, sizeof(path), "%s/spool", world.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/spool/private", world.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/spool/private/optimus-pickup", world.dir);
	world.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(world.listener >= 0);
	assert_int_equal(bind(world.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(world.listener, 1), 0);
}

static int set_up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(&world.id, 2, sizeof(world.id));
	snprintf(world.dir, sizeof(world.dir), "/tmp/optimus-driver-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	listen_for_the_driver();
	world.config.postfix_dir = world.dir;
	world.config.pickups = 1;
	assert_int_equal(uv_loop_init(&world.loop), 0);
	world.driver = driver_new(&world.loop, NULL);
	driver_start(world.driver);
	world.pickup = accept(world.listener, NULL, NULL);
	assert_true(world.pickup >= 0);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"spool/private/optimus-pickup", "spool/private", "spool", ""};
	char path[128];

	(void)state;
	driver_free(world.driver);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	close(world.pickup);
	close(world.listener);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", world.dir, files[i]);
		remove(path);
	}
	assert_int_not_equal(access(world.dir, F_OK), 0);
	return 0;
}

static void give(size_t count)
{
	struct frame_mail mails[] = {{.index = FIRST, .attempt = 1}, {.index = SECOND, .attempt = 1}};
	struct effect feed = {.type = EFFECT_FEED,
	    .id = key_of(FIRST).shard,
	    .epoch = 1,
	    .text = "news",
	    .sender = "a@example.com",
	    .mails = mails,
	    .mail_count = count};

	driver_feed(world.driver, &feed);
	uv_run(&world.loop, UV_RUN_NOWAIT);
}

static void feed(size_t count)
{
	char bytes[4096];

	give(count);
	assert_true(recv(world.pickup, bytes, sizeof(bytes), 0) > 0);
}

static void a_mail_that_has_begun_is_not_called_unfed(void **state)
{
	(void)state;
	feed(1);
	assert_true(begin(FIRST));
	driver_stop(world.driver); /* before the loop has read it */
	assert_int_equal(world.fed[FED_NOT_NOW], 0);
	assert_int_equal(world.fed[FED_UNCERTAIN], 1);
}

static void what_pickup_said_before_a_stop_is_exact(void **state)
{
	(void)state;
	feed(2);
	assert_true(begin(FIRST));
	queued(FIRST);
	driver_stop(world.driver);
	assert_int_equal(world.fed[FED_QUEUED], 1);
	assert_int_equal(world.fed[FED_NOT_NOW], 1); /* an orderly stop puts nothing in doubt */
	assert_int_equal(world.said_of_second, FED_NOT_NOW);
}

/* After all was read, and before the socket is closed: no mail may begin that is then called unfed. */
static void no_mail_begins_behind_the_back_of_a_stop(void **state)
{
	(void)state;
	feed(2);
	world.begin_second = true;
	driver_stop(world.driver);
	assert_int_equal(world.fed[FED_NOT_NOW] + world.fed[FED_UNCERTAIN], 2);
	assert_true(!world.second_begun || world.said_of_second == FED_UNCERTAIN);
}

/* Nobody knows what it has begun besides. */
static void nothing_is_certain_of_a_pickup_that_writes_nonsense(void **state)
{
	(void)state;
	feed(1);
	assert_int_equal(send(world.pickup, "\377\377\377\377nonsense", 12, MSG_NOSIGNAL), 12);
	while (world.fed[FED_UNCERTAIN] == 0 && world.fed[FED_NOT_NOW] == 0)
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.fed[FED_UNCERTAIN], 1);
}

/* Killed with something of optimusd's unread, which gives optimusd an error behind what it wrote. */
static void what_a_dead_pickup_wrote_is_exact(void **state)
{
	(void)state;
	give(2);
	assert_true(begin(FIRST));
	close(world.pickup);
	driver_stop(world.driver);
	assert_int_equal(world.fed[FED_UNCERTAIN], 1);
	assert_int_equal(world.said_of_second, FED_NOT_NOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_mail_that_has_begun_is_not_called_unfed, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_pickup_said_before_a_stop_is_exact, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(no_mail_begins_behind_the_back_of_a_stop, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        nothing_is_certain_of_a_pickup_that_writes_nonsense, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_a_dead_pickup_wrote_is_exact, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
