/* SPDX-License-Identifier: MIT */
/*
 * Writes redis.conf. It is made anew at every start and says so; what an operator may choose about the store
 * are the daemon's own options.
 */
#include "daemon/redis_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/error.h"
#include "queue/message/buffer.h"

static const char head[] = "# Written by optimusd at every start: changes are lost.\n"
                           "port 0\n"
                           "unixsocketperm 700\n"
                           "daemonize no\n"
                           "protected-mode yes\n"
                           "databases 1\n"
                           "save \"\"\n"
                           "maxmemory 0\n"
                           "maxmemory-policy noeviction\n"
                           "stop-writes-on-bgsave-error no\n"
                           "\n"
                           "# What is acknowledged is on the disk: optimusd passes this promise on.\n"
                           "appendonly yes\n"
                           "appendfsync always\n"
                           "no-appendfsync-on-rewrite no\n"
                           "# A cut end of the file is a write that was never acknowledged: losing it is "
                           "right, not starting isn't.\n"
                           "aof-load-truncated yes\n"
                           "aof-use-rdb-preamble yes\n"
                           "auto-aof-rewrite-percentage 100\n"
                           "auto-aof-rewrite-min-size 64mb\n"
                           "# The large values are compressed already.\n"
                           "rdbcompression no\n"
                           "\n"
                           "timeout 0\n"
                           "loglevel notice\n";

/* As Redis reads it: "..." with \xHH for what isn't plain. */
static void add_path(struct buffer *out, const char *directive, const char *path)
{
	buffer_printf(out, "%s \"", directive);
	for (; *path != '\0'; path++) {
		unsigned char c = (unsigned char)*path;

		if (isascii(c) && (isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_'))
			buffer_add_char(out, *path);
		else
			buffer_printf(out, "\\x%02x", c);
	}
	buffer_add_text(out, "\"\n");
}

static int write_file(const char *path, const struct buffer *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t written;

	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? OPT_E_FULL : OPT_E_IO;
	if (fchmod(fd, 0600) != 0)
		goto fail_fd;
	written = write(fd, content->data, content->len);
	if (written >= 0 && (size_t)written < content->len)
		errno = ENOSPC;
	if (written < 0 || (size_t)written < content->len)
		goto fail_fd;
	if (close(fd) != 0)
		return OPT_E_IO;
	return 0;

fail_fd:
	close(fd);
	return errno == ENOSPC || errno == EDQUOT ? OPT_E_FULL : OPT_E_IO;
}

static char *join(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		abort();
	return path;
}

int redis_conf_write(const char *dir, const char *socket_path)
{
	char *path = join(dir, "redis.conf"), *temporary = join(dir, "redis.conf.new");
	char *pidfile = join(dir, "redis.pid");
	struct buffer content;
	int r;

	buffer_init(&content);
	buffer_add_text(&content, head);
	add_path(&content, "dir", dir);
	add_path(&content, "unixsocket", socket_path);
	add_path(&content, "pidfile", pidfile); /* for scripts; the daemon asks the kernel */
	r = write_file(temporary, &content);
	if (r == 0 && rename(temporary, path) != 0)
		r = OPT_E_IO;
	if (r != 0)
		unlink(temporary);
	buffer_done(&content);
	free(pidfile);
	free(temporary);
	free(path);
	return r;
}
