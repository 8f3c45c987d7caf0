/* SPDX-License-Identifier: MIT */
/*
 * Keeps a redis-server running over a folder.
 *
 *   start -> spawn, or adopt the one that is there -> PING until it answers -> UP
 *     ^                                                                       |
 *     +--- wait: 50 ms, 100, ... 5 s <--- free the ballast if the disk is full <--- it has ended
 *
 * With appendfsync always, Redis ends when it can't write (disk full): that is right, since it must not
 * acknowledge. Then the ballast is freed and Redis started again; what was accepted goes on, and `full` tells
 * the daemon to accept nothing more. When even the ballast is used up, Redis stays down until there is room,
 * and what waits in the store waits. When there is room for the ballast again it is made anew, and all is
 * well. This is the one thing that is polled (every second, only while the ballast is missing): a file system
 * tells nobody that it has room again.
 */
#include "daemon/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/log.h"
#include "daemon/redis_check.h"
#include "daemon/redis_conf.h"
#include "daemon/redis_loop.h"
#include "daemon/redis_process.h"
#include "queue/error.h"

enum {
	RESTART_MIN_MS = 50,
	RESTART_MAX_MS = 5000,
	PROBE_MIN_MS = 10,
	PROBE_MAX_MS = 200,
	SETTLED_MS = 10000, /* up for so long: the next end is a new story */
	KILL_MS = 10000,
	ROOM_CHECK_MS = 1000,
	FULL_MARGIN =
	    8 * 1024 * 1024, /* less than this is no room: more than is on the wire to Redis at once */
};

struct redis_server {
	uv_loop_t *loop;
	char *dir;
	char *socket;
	char *ballast_path;
	char *log_path;
	uint64_t ballast;
	redis_server_state_fn *fn;
	void *context;
	struct redis_process process;
	redisAsyncContext *probe;
	uv_timer_t timer;      /* the next step */
	uv_timer_t room_timer; /* runs while full */
	uint64_t restart_ms;
	uint64_t probe_ms;
	uint64_t up_since;
	enum redis_server_state state;
	bool full;
	bool told_full;
	bool told;
	bool ending; /* this one was told to end, for another to take its place */
	bool stopping;
	int closing;
};

static void on_timer(uv_timer_t *timer);

static void next_step(struct redis_server *server, uint64_t ms)
{
	if (server->closing == 0)
		uv_timer_start(&server->timer, on_timer, ms, 0);
}

static void tell(struct redis_server *server, enum redis_server_state state)
{
	if (server->told && server->state == state && server->told_full == server->full)
		return;
	server->told = true;
	server->state = state;
	server->told_full = server->full;
	server->fn(server->context, state, server->full);
}

/* ---- the disk ---- */

static void on_room_timer(uv_timer_t *timer)
{
	struct redis_server *server = timer->data;
	int r;

	if (server->stopping)
		return;
	if (server->ballast > 0)
		r = disk_ballast_create(server->ballast_path, server->ballast);
	else
		r = disk_room(server->dir, 2 * FULL_MARGIN);
	if (r != 0)
		return;
	uv_timer_stop(timer);
	server->full = false;
	log_info("disk_has_room", NULL);
	tell(server, server->state);
}

static void disk_is_full(struct redis_server *server)
{
	if (disk_ballast_free(server->ballast_path) == 0)
		log_error("disk_full", "action", "ballast freed, no new batches", NULL);
	else if (!server->full)
		log_error("disk_full", "action", "no new batches", NULL);
	server->full = true;
	uv_timer_start(&server->room_timer, on_room_timer, ROOM_CHECK_MS, ROOM_CHECK_MS);
}

/* Redis tells it in its log, when there was room for that. */
static bool log_says_full(const struct redis_server *server)
{
	static const char *const signs[] = {
	    "No space left on device", "Disk quota exceeded", "Short write while writing"};
	char tail[4097];
	ssize_t len = -1;
	off_t size;
	int fd;

	fd = open(server->log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	size = lseek(fd, 0, SEEK_END);
	if (size >= 0)
		len = pread(fd, tail, sizeof(tail) - 1, size > 4096 ? size - 4096 : 0);
	close(fd);
	if (len < 0)
		return false;
	tail[len] = '\0';
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(tail, signs[i]) != NULL)
			return true;
	return false;
}

static bool has_no_room(const struct redis_server *server)
{
	return disk_room(server->dir, FULL_MARGIN) == OPT_E_FULL;
}

/* ---- is it there, does it answer ---- */

static void probe_end(struct redis_server *server)
{
	redisAsyncContext *probe = server->probe;

	server->probe = NULL;
	if (probe != NULL)
		redisAsyncFree(probe);
}

static void probe_again(struct redis_server *server)
{
	probe_end(server);
	if (server->stopping)
		return; /* the timer is there to kill */
	next_step(server, server->probe_ms);
	server->probe_ms = server->probe_ms * 2 < PROBE_MAX_MS ? server->probe_ms * 2 : PROBE_MAX_MS;
}

/* An adopted one was configured by another daemon, maybe by an older version of it. */
static bool is_trusted(struct redis_server *server)
{
	char message[256];

	if (!server->process.adopted || redis_check_durability(server->socket, message, sizeof(message)) == 0)
		return true;
	log_warning("redis_restarted", "reason", message, NULL);
	return false;
}

static void on_pong(redisAsyncContext *probe, void *data, void *context)
{
	struct redis_server *server = context;
	const redisReply *reply = data;

	if (server->probe != probe)
		return;
	if (reply == NULL || reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "PONG") != 0) {
		if (reply == NULL)
			server->probe = NULL; /* hiredis is freeing it */
		probe_again(server);
		return;
	}
	probe_end(server);
	if (server->stopping)
		return;
	if (!is_trusted(server)) {
		server->ending = true;
		redis_process_signal(&server->process, SIGTERM);
		next_step(server, KILL_MS);
		return;
	}
	server->up_since = uv_now(server->loop);
	log_info("redis_up", "pid", log_int(server->process.pid), "adopted",
	    server->process.adopted ? "yes" : "no", NULL);
	tell(server, REDIS_SERVER_UP);
}

/* The kernel knows who listens at the other end. Its answer to PING then shows that the pidfd is of the same.
 */
static void adopt(struct redis_server *server)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(server->probe->c.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 1)
		redis_process_adopt(&server->process, peer.pid);
}

static void ping(struct redis_server *server)
{
	if (server->process.pid == 0)
		adopt(server);
	if (server->process.pid == 0) {
		probe_again(server);
		return;
	}
	redisAsyncCommand(server->probe, on_pong, server, "PING");
}

static bool connect_probe(struct redis_server *server)
{
	return redis_loop_connect(server->loop, server->socket, &server->probe) == 0;
}

static void probe(struct redis_server *server)
{
	if (connect_probe(server))
		ping(server);
	else
		probe_again(server);
}

/* ---- start, end ---- */

static void start(struct redis_server *server)
{
	int r;

	if (server->full && has_no_room(server)) {
		tell(server, REDIS_SERVER_DOWN);
		next_step(server, ROOM_CHECK_MS);
		return;
	}
	/* Whoever listens there is the one, even if he was started by hand and holds no lock. */
	if (connect_probe(server)) {
		ping(server);
		return;
	}
	r = redis_process_spawn(&server->process);
	if (r == 0)
		log_info("redis_started", "pid", log_int(server->process.pid), NULL);
	if (r == 0 || r == OPT_E_AGAIN) {
		probe_again(server);
		return;
	}
	next_step(server, server->restart_ms);
	server->restart_ms =
	    server->restart_ms * 2 < RESTART_MAX_MS ? server->restart_ms * 2 : RESTART_MAX_MS;
}

static void on_timer(uv_timer_t *timer)
{
	struct redis_server *server = timer->data;

	if (server->stopping && server->process.pid == 0) {
		tell(server, REDIS_SERVER_STOPPED);
	} else if (server->process.pid != 0 && (server->stopping || server->ending)) {
		log_warning("redis_killed", "reason", "it did not end by itself", NULL);
		redis_process_signal(&server->process, SIGKILL);
	} else if (server->process.pid != 0) {
		probe(server);
	} else {
		start(server);
	}
}

static void on_exit_of_redis(void *context, int64_t code, int signum)
{
	struct redis_server *server = context;
	bool settled =
	    server->state == REDIS_SERVER_UP && uv_now(server->loop) - server->up_since >= SETTLED_MS;

	probe_end(server);
	server->ending = false;
	if (server->stopping) {
		log_info("redis_stopped", NULL);
		next_step(server, 0);
		return;
	}
	log_warning(
	    "redis_ended", "code", log_int(code), "signal", log_int(signum), "see", server->log_path, NULL);
	if (signum == 0 && code != 0 && (has_no_room(server) || log_says_full(server)))
		disk_is_full(server);
	if (settled)
		server->restart_ms = RESTART_MIN_MS;
	server->probe_ms = PROBE_MIN_MS;
	tell(server, REDIS_SERVER_DOWN);
	next_step(server, server->restart_ms);
	server->restart_ms =
	    server->restart_ms * 2 < RESTART_MAX_MS ? server->restart_ms * 2 : RESTART_MAX_MS;
}

/* ---- for the daemon ---- */

static char *join(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		abort();
	return path;
}

static int write_conf(struct redis_server *server)
{
	char *path = join(server->dir, "redis.conf");
	int r = redis_conf_write(server->dir, server->socket);

	if (r == OPT_E_FULL) {
		disk_is_full(server);
		r = redis_conf_write(server->dir, server->socket);
	}
	if (r == OPT_E_FULL && access(path, R_OK) == 0)
		r = 0; /* an old one is as good */
	free(path);
	return r;
}

static void on_close(uv_handle_t *handle)
{
	struct redis_server *server = handle->data;

	if (--server->closing > 0)
		return;
	free(server->dir);
	free(server->socket);
	free(server->ballast_path);
	free(server->log_path);
	free(server);
}

int redis_server_new(uv_loop_t *loop, const char *dir, uint64_t ballast, redis_server_state_fn *fn,
    void *context, struct redis_server **ret_server)
{
	struct redis_server *server = calloc(1, sizeof(*server));
	int r;

	if (server == NULL || (server->dir = strdup(dir)) == NULL)
		abort();
	server->loop = loop;
	server->socket = join(dir, "redis.sock");
	server->ballast_path = join(dir, "ballast");
	server->log_path = join(dir, "redis.log");
	server->ballast = ballast;
	server->fn = fn;
	server->context = context;
	server->restart_ms = RESTART_MIN_MS;
	server->probe_ms = PROBE_MIN_MS;
	redis_process_init(&server->process, loop, server->dir, on_exit_of_redis, server);
	uv_timer_init(loop, &server->timer);
	uv_timer_init(loop, &server->room_timer);
	server->timer.data = server;
	server->room_timer.data = server;
	r = OPT_E_INVALID;
	if (strlen(server->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		log_error("redis_path", "reason", "too long for a Unix socket", "path", server->socket, NULL);
		goto fail_server;
	}
	r = write_conf(server);
	if (r != 0) {
		log_error("redis_conf", "reason", opt_strerror(r), "folder", dir, NULL);
		goto fail_server;
	}
	if (!server->full && disk_ballast_create(server->ballast_path, ballast) != 0)
		disk_is_full(server);
	next_step(server, 0);
	*ret_server = server;
	return 0;

fail_server:
	redis_server_free(server);
	return r;
}

const char *redis_server_socket(const struct redis_server *server)
{
	return server->socket;
}

pid_t redis_server_pid(const struct redis_server *server)
{
	return server->process.pid;
}

void redis_server_stop(struct redis_server *server)
{
	if (server->stopping)
		return;
	server->stopping = true;
	redis_process_signal(&server->process, SIGTERM);
	next_step(server, server->process.pid != 0 ? KILL_MS : 0);
}

void redis_server_free(struct redis_server *server)
{
	if (server == NULL)
		return;
	server->closing = 2;
	probe_end(server);
	redis_process_done(&server->process);
	uv_close((uv_handle_t *)&server->timer, on_close);
	uv_close((uv_handle_t *)&server->room_timer, on_close);
}
