/* SPDX-License-Identifier: MIT */
/*
 * Never two Redis servers over one append-only file: they would destroy it.
 *
 * A lock (flock) on DIR/redis.lock is taken before Redis is started. The descriptor is inherited by it, and
 * by the child that it forks to rewrite its file, and closed here: so the lock lasts exactly as long as
 * anything of that Redis lives, whatever happens to the daemon. Who can't have the lock looks for the process
 * behind the socket and watches that one through a pidfd, which a reused process number can't deceive.
 *
 * Redis leads its own process group. When it has ended, what is left of the group (a rewrite that nobody
 * waits for any more) is killed, and its half-written files, which may be what fills the disk, are removed.
 */
#include "daemon/redis_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"
#include "queue/error.h"

enum { LOG_SIZE_MAX = 1024 * 1024, PATH_SIZE = 4096 };

/* The handle of the one way or the other; outlives the process's end until libuv has closed it. */
struct redis_watch {
	union {
		uv_handle_t any;
		uv_process_t child;
		uv_poll_t poll;
	} handle;
	int pidfd; /* -1: a child */
	struct redis_process *process;
};

void redis_process_init(
    struct redis_process *process, uv_loop_t *loop, const char *dir, redis_process_exit_fn *fn, void *context)
{
	*process = (struct redis_process){.loop = loop, .dir = dir, .fn = fn, .context = context};
}

static struct redis_watch *watch_new(struct redis_process *process)
{
	struct redis_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		abort();
	watch->pidfd = -1;
	watch->process = process;
	return watch;
}

static void on_close(uv_handle_t *handle)
{
	struct redis_watch *watch = handle->data;

	if (watch->pidfd >= 0)
		close(watch->pidfd);
	free(watch);
}

static void watch_close(struct redis_watch *watch)
{
	watch->handle.any.data = watch;
	uv_close(&watch->handle.any, on_close);
}

static void remove_leftovers(const char *dir)
{
	DIR *folder = opendir(dir);
	const struct dirent *entry;

	if (folder == NULL)
		return;
	/* cppcheck-suppress readdirCalled ; the stream is ours alone */
	while ((entry = readdir(folder)) != NULL)
		if (strncmp(entry->d_name, "temp-", 5) == 0)
			unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
}

static void process_ended(struct redis_process *process, int64_t code, int signum)
{
	kill(-process->pid, SIGKILL);
	remove_leftovers(process->dir);
	watch_close(process->watch);
	process->watch = NULL;
	process->pid = 0;
	process->fn(process->context, code, signum);
}

static void on_child_exit(uv_process_t *child, int64_t code, int signum)
{
	struct redis_watch *watch = child->data;

	process_ended(watch->process, signum == 0 ? code : -1, signum);
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
	struct redis_watch *watch = poll->data;

	(void)status;
	(void)events;
	process_ended(watch->process, -1, 0);
}

/* -1 with errno EWOULDBLOCK when somebody has it. */
static int take_lock(const char *dir)
{
	char path[PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), "%s/redis.lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* What Redis says goes to DIR/redis.log, and to nowhere when that can't be had on a full disk. */
static int open_log(const char *dir)
{
	char path[PATH_SIZE], old[PATH_SIZE];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/redis.log", dir);
	snprintf(old, sizeof(old), "%s/redis.log.old", dir);
	if (stat(path, &st) == 0 && st.st_size > LOG_SIZE_MAX)
		rename(path, old);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fd;
}

int redis_process_spawn(struct redis_process *process)
{
	char conf[PATH_SIZE];
	char *argv[] = {"redis-server", conf, NULL};
	int lock = take_lock(process->dir), log, r;
	struct redis_watch *watch;

	if (lock < 0)
		return errno == EWOULDBLOCK ? OPT_E_AGAIN : OPT_E_IO;
	log = open_log(process->dir);
	snprintf(conf, sizeof(conf), "%s/redis.conf", process->dir);
	uv_stdio_container_t stdio[] = {
	    {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = log},
	    {.flags = UV_INHERIT_FD, .data.fd = log},
	    {.flags = UV_INHERIT_FD, .data.fd = lock},
	};
	const uv_process_options_t options = {
	    .exit_cb = on_child_exit,
	    .file = argv[0],
	    .args = argv,
	    .cwd = process->dir,
	    .flags = UV_PROCESS_DETACHED, /* a session and a group of its own */
	    .stdio = stdio,
	    .stdio_count = sizeof(stdio) / sizeof(stdio[0]),
	};
	watch = watch_new(process);
	r = uv_spawn(process->loop, &watch->handle.child, &options);
	if (log >= 0)
		close(log);
	close(lock);
	if (r != 0) {
		log_error("redis_not_started", "reason", uv_strerror(r), NULL);
		watch_close(watch);
		return OPT_E_IO;
	}
	watch->handle.child.data = watch;
	process->watch = watch;
	process->pid = watch->handle.child.pid;
	process->adopted = false;
	return 0;
}

int redis_process_adopt(struct redis_process *process, pid_t pid)
{
	struct redis_watch *watch;
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		return OPT_E_NOT_FOUND;
	watch = watch_new(process);
	watch->pidfd = fd;
	if (uv_poll_init(process->loop, &watch->handle.poll, fd) != 0)
		abort();
	watch->handle.poll.data = watch;
	uv_poll_start(&watch->handle.poll, UV_READABLE, on_pidfd);
	process->watch = watch;
	process->pid = pid;
	process->adopted = true;
	return 0;
}

void redis_process_signal(struct redis_process *process, int signum)
{
	if (process->watch == NULL)
		return;
	if (process->watch->pidfd >= 0)
		pidfd_send_signal(process->watch->pidfd, signum, NULL, 0);
	else
		uv_process_kill(&process->watch->handle.child, signum);
}

void redis_process_done(struct redis_process *process)
{
	if (process->watch != NULL)
		watch_close(process->watch);
	process->watch = NULL;
	process->pid = 0;
}
