/* SPDX-License-Identifier: MIT */
/*
 * The private redis-server comes back whatever ends it, there is never more than one, and a full disk costs
 * nothing that was acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/redis_check.h"
#include "daemon/store_redis.h"
#include "queue/error.h"
#include "test/unit/store_fixture.h"

enum { MIB = 1024 * 1024 };

static struct fixture fixture;
static char path[128];

static int setup(void **state)
{
	(void)state;
	fixture_init(&fixture);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_done(&fixture);
	return 0;
}

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", fixture.dir, name);
	return path;
}

static unsigned int wanted_ups;

static bool is_up_again(struct fixture *f)
{
	return f->state == REDIS_SERVER_UP && f->ups >= wanted_ups;
}

static void until_up(unsigned int times)
{
	wanted_ups = times;
	fixture_until(&fixture, is_up_again);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(in_dir(name), &st), 0);
	return st.st_mode & 0777;
}

static int number_in(const char *name)
{
	FILE *file = fopen(in_dir(name), "r");
	int number = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &number), 1);
	fclose(file);
	return number;
}

/* A process that isn't our child is gone when its number is free. */
static bool is_gone(pid_t pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static void it_is_private_and_durable(void **state)
{
	char message[256] = "";

	(void)state;
	fixture_start_server(&fixture, MIB);
	assert_int_equal(mode_of("redis.conf"), 0600);
	assert_int_equal(mode_of("redis.sock"), 0700);
	assert_true(disk_ballast_exists(in_dir("ballast"), MIB));
	assert_int_equal(
	    redis_check_durability(redis_server_socket(fixture.server), message, sizeof(message)), 0);
	assert_string_equal(message, "");
	assert_false(fixture.full);
	assert_int_equal(number_in("redis.pid"), redis_server_pid(fixture.server));
}

static void it_comes_back_after_a_kill(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	fixture_start_server(&fixture, 0);
	pid = redis_server_pid(fixture.server);
	assert_true(pid > 1);
	/* What an interrupted rewrite leaves behind. */
	fd = open(in_dir("temp-rewriteaof-1.aof"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	kill(pid, SIGKILL);
	until_up(2);
	assert_true(redis_server_pid(fixture.server) != pid);
	assert_true(is_gone(pid));
	assert_int_equal(access(in_dir("temp-rewriteaof-1.aof"), F_OK), -1);
}

/* A daemon that starts a server in fixture.dir and is killed. Returns the server's pid. */
static pid_t start_and_die(void)
{
	pid_t daemon, redis = 0;
	int fds[2], status;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	daemon = fork();
	assert_true(daemon >= 0);
	if (daemon == 0) {
		uv_loop_init(&fixture.loop);
		fixture_start_server(&fixture, 0);
		redis = redis_server_pid(fixture.server);
		if (write(fds[1], &redis, sizeof(redis)) == sizeof(redis))
			raise(SIGKILL);
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &redis, sizeof(redis)), sizeof(redis));
	close(fds[0]);
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	assert_true(redis > 1);
	assert_int_equal(kill(redis, 0), 0);
	return redis;
}

static void it_is_adopted_by_the_next_daemon(void **state)
{
	pid_t pid = start_and_die();

	(void)state;
	fixture_start_server(&fixture, 0);
	assert_int_equal(redis_server_pid(fixture.server), pid);
	/* And watched like one of its own. */
	kill(pid, SIGKILL);
	until_up(2);
	assert_true(redis_server_pid(fixture.server) != pid);
}

static void an_adopted_one_is_stopped_too(void **state)
{
	pid_t pid = start_and_die();

	(void)state;
	fixture_start_server(&fixture, 0);
	assert_int_equal(redis_server_pid(fixture.server), pid);
	redis_server_stop(fixture.server);
	while (fixture.state != REDIS_SERVER_STOPPED)
		uv_run(&fixture.loop, UV_RUN_ONCE);
	assert_int_equal(access(in_dir("redis.sock"), F_OK), -1);
}

struct other {
	enum redis_server_state state;
};

static void on_other_state(void *context, enum redis_server_state state, bool full)
{
	(void)full;
	((struct other *)context)->state = state;
}

static struct other other;

static bool other_is_up(struct fixture *f)
{
	(void)f;
	return other.state == REDIS_SERVER_UP;
}

static void two_daemons_never_run_two(void **state)
{
	struct redis_server *second;

	(void)state;
	other.state = REDIS_SERVER_DOWN;
	/* Both at once, so that the second one meets a server that doesn't listen yet. */
	assert_int_equal(redis_server_new(&fixture.loop, fixture.dir, 0, on_other_state, &other, &second), 0);
	fixture_start_server(&fixture, 0);
	fixture_until(&fixture, other_is_up);
	assert_int_equal(redis_server_pid(second), redis_server_pid(fixture.server));
	for (unsigned int turn = 2; turn < 5; turn++) {
		kill(redis_server_pid(second), SIGKILL);
		other.state = REDIS_SERVER_DOWN;
		until_up(turn);
		fixture_until(&fixture, other_is_up);
		assert_int_equal(redis_server_pid(second), redis_server_pid(fixture.server));
	}
	redis_server_free(second);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
	struct redis_server *server = NULL;
	char dir[200];

	(void)state;
	memset(dir, 'x', sizeof(dir) - 1);
	dir[0] = '/';
	dir[sizeof(dir) - 1] = '\0';
	assert_int_equal(
	    redis_server_new(&fixture.loop, dir, 0, on_other_state, &other, &server), OPT_E_INVALID);
	assert_null(server);
	assert_int_equal(
	    redis_server_new(&fixture.loop, "/nonexistent", 0, on_other_state, &other, &server), OPT_E_IO);
}

/* ---- others' servers ---- */

static pid_t start_external(
    const char *name, const char *fsync, const char *policy, const char *unsynced_in_rewrites)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails before it ends this one */
		dup2(null, STDOUT_FILENO);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", in_dir(name), "--dir",
		    fixture.dir, "--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", policy,
		    "--no-appendfsync-on-rewrite", unsynced_in_rewrites, "--save", "", NULL);
		_exit(127);
	}
	return pid;
}

/* Until it answers, with a limit. */
static int check_external(const char *name, char *message, size_t size)
{
	int r = OPT_E_IO;

	for (int i = 0; i < 1000 && (r == OPT_E_IO || r == OPT_E_AGAIN); i++) {
		r = redis_check_durability(in_dir(name), message, size);
		poll(NULL, 0, 10);
	}
	return r;
}

static void end_external(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_redis_that_loses_writes_is_refused(void **state)
{
	char message[256];
	pid_t pid = start_external("weak.sock", "everysec", "noeviction", "no");

	(void)state;
	assert_int_equal(check_external("weak.sock", message, sizeof(message)), OPT_E_DENIED);
	assert_non_null(strstr(message, "appendfsync = everysec"));
	assert_non_null(strstr(message, "set appendfsync always"));
	end_external(pid);
	pid = start_external("evicts.sock", "always", "allkeys-lru", "no");
	assert_int_equal(check_external("evicts.sock", message, sizeof(message)), OPT_E_DENIED);
	assert_non_null(strstr(message, "maxmemory-policy"));
	end_external(pid);
	pid = start_external("rewrites.sock", "always", "noeviction", "yes");
	assert_int_equal(check_external("rewrites.sock", message, sizeof(message)), OPT_E_DENIED);
	assert_non_null(strstr(message, "no-appendfsync-on-rewrite = yes"));
	end_external(pid);
	pid = start_external("good.sock", "always", "noeviction", "no");
	assert_int_equal(check_external("good.sock", message, sizeof(message)), 0);
	end_external(pid);
	assert_int_equal(redis_check_durability(in_dir("none.sock"), message, sizeof(message)), OPT_E_IO);
	assert_non_null(strstr(message, "none.sock"));
}

static void a_weaker_one_in_its_place_is_replaced(void **state)
{
	char message[256];
	pid_t pid = start_external("redis.sock", "everysec", "noeviction", "no");

	(void)state;
	assert_int_equal(check_external("redis.sock", message, sizeof(message)), OPT_E_DENIED);
	fixture_start_server(&fixture, 0);
	assert_true(redis_server_pid(fixture.server) != pid);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), pid); /* had ended before the new one was started */
	assert_int_equal(check_external("redis.sock", message, sizeof(message)), 0);
}

static void one_that_refuses_to_end_is_killed(void **state)
{
	char message[256];
	pid_t pid = start_external("redis.sock", "everysec", "noeviction", "no");
	redisContext *redis;

	(void)state;
	assert_int_equal(check_external("redis.sock", message, sizeof(message)), OPT_E_DENIED);
	/* With a snapshot to save that can't be saved Redis does not heed SIGTERM. */
	assert_int_equal(mkdir(in_dir("dump.rdb"), 0700), 0);
	redis = redisConnectUnix(in_dir("redis.sock"));
	assert_true(redis != NULL && redis->err == 0);
	freeReplyObject(redisCommand(redis, "CONFIG SET save %s", "3600 1"));
	freeReplyObject(redisCommand(redis, "SET x y"));
	redisFree(redis);
	fixture_start_server(&fixture, 0);
	assert_true(redis_server_pid(fixture.server) != pid);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
}

/* ---- a full disk ---- */

enum { PIECE = 64 * 1024, PIECES = 500 };

static char piece[PIECE];

static struct effect shard_piece(uint32_t i)
{
	struct opt_id batch = {{1}};

	/* Not to be compressed away by anything. */
	for (size_t at = 0; at + 4 <= PIECE; at += 4) {
		uint32_t word = (uint32_t)(at + i * 7919) * 2654435761u;

		memcpy(piece + at, &word, 4);
	}
	return (struct effect){.type = EFFECT_STORE_SHARD,
	    .id = shard_id(&batch, i),
	    .token = 2 * i,
	    .data = piece,
	    .len = PIECE};
}

static struct effect append_piece(uint32_t i, size_t len)
{
	memcpy(piece, &i, sizeof(i));
	return (struct effect){.type = EFFECT_STORE_APPEND, .token = 2 * i + 1, .data = piece, .len = len};
}

static void assert_journal_has(uint32_t first, uint32_t last)
{
	static bool seen[FIXTURE_TOKENS];
	struct opt_id journal = {{0}};
	size_t at = 0;

	memset(seen, 0, sizeof(seen));
	assert_int_equal(fixture_read_journal(&fixture, &journal), 0);
	for (size_t i = 0; i < fixture.count; at += fixture.lens[i++]) {
		uint32_t number;

		memcpy(&number, fixture.values.data + at, sizeof(number));
		assert_true(number < FIXTURE_TOKENS);
		seen[number] = true;
	}
	for (uint32_t i = first; i < last; i++)
		assert_true(seen[i]);
}

static bool is_full_and_down(struct fixture *f)
{
	return f->full && f->state == REDIS_SERVER_DOWN && store_redis_pending(f->store) > 0;
}

static bool has_room(struct fixture *f)
{
	return !f->full && f->state == REDIS_SERVER_UP && store_redis_pending(f->store) == 0;
}

static void mount_small(void)
{
	int fd;

	if (geteuid() != 0 || mount("tmpfs", fixture.dir, "tmpfs", 0, "size=64m,mode=700") != 0)
		skip();
	fixture.mounted = true;
	/* Somebody else's file, to be removed later. */
	fd = open(in_dir("filler"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, 30 * MIB), 0);
	close(fd);
}

static void a_full_disk_costs_nothing_acknowledged(void **state)
{
	struct opt_id batch = {{1}}, none = {{0}};
	uint32_t refused = 0, count = PIECES;

	(void)state;
	mount_small();
	fixture_start_redis(&fixture, 8 * MIB);
	assert_true(disk_ballast_exists(in_dir("ballast"), 8 * MIB));

	/* An upload that is larger than the disk, while the facts of an accepted batch go on. */
	for (uint32_t i = 0; i < PIECES; i++) {
		struct effect shard = shard_piece(i), append;

		fixture_write(&fixture, &shard);
		append = append_piece(i, 200);
		fixture_write(&fixture, &append);
	}
	fixture_until_answered(&fixture, 2 * PIECES);
	assert_true(fixture.full);
	assert_int_equal(access(in_dir("ballast"), F_OK), -1);
	for (uint32_t i = 0; i < PIECES; i++) {
		struct opt_id id = shard_id(&batch, i);

		assert_int_equal(fixture.statuses[2 * i + 1], 0);
		assert_true(fixture.statuses[2 * i] == 0 || fixture.statuses[2 * i] == OPT_E_FULL);
		if (fixture.statuses[2 * i] != 0) {
			refused++;
			continue;
		}
		fixture.read = false;
		store_read_shard(fixture.store, &id, &none, fixture_read_fn, &fixture);
		fixture_until(&fixture, fixture_has_read);
		assert_int_equal(fixture.read_status, 0);
		assert_int_equal(fixture.lens[0], PIECE);
	}
	assert_true(refused > 0 && refused < PIECES);
	assert_journal_has(0, PIECES);

	/* Facts without end use up the ballast: Redis stays away, nothing is answered falsely. */
	while (!is_full_and_down(&fixture) && count < PIECES + 400) {
		struct effect append = append_piece(count++, PIECE);

		fixture_write(&fixture, &append);
		if (store_redis_pending(fixture.store) > 16)
			uv_run(&fixture.loop, UV_RUN_ONCE);
	}
	fixture_until(&fixture, is_full_and_down);
	for (uint32_t i = PIECES; i < count; i++)
		assert_true(fixture.answers[2 * i + 1] == 0 || fixture.statuses[2 * i + 1] == 0);

	/* Room again: everything that waited is written, and the ballast is back. */
	assert_int_equal(unlink(in_dir("filler")), 0);
	fixture_until_answered(&fixture, PIECES + count);
	fixture_until(&fixture, has_room);
	assert_journal_has(0, count);
	assert_true(disk_ballast_exists(in_dir("ballast"), 8 * MIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_is_private_and_durable, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_comes_back_after_a_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_is_adopted_by_the_next_daemon, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_adopted_one_is_stopped_too, setup, teardown),
	    cmocka_unit_test_setup_teardown(two_daemons_never_run_two, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_redis_that_loses_writes_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_weaker_one_in_its_place_is_replaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_that_refuses_to_end_is_killed, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_disk_costs_nothing_acknowledged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
