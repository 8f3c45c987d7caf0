/* SPDX-License-Identifier: MIT */
/*
 * Opens the sockets that the HTTP API listens on. They are opened here and not by libmicrohttpd because mode
 * and group must be right from the first moment, and because only loopback addresses are let through.
 *
 * Every failure is logged with the address and what to do, since the operator sees it at start and nowhere
 * else.
 */
#include "daemon/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/log.h"
#include "queue/error.h"

enum { BACKLOG = 256 };

static int refuse(const char *address, int code, const char *reason)
{
	log_error("api_failed", "address", address, "reason", reason, NULL);
	return code;
}

/* 0 when the path is free; removes the socket of a process that is gone. */
static int make_free(const struct sockaddr_un *where)
{
	struct stat status;
	int fd, failed;

	if (lstat(where->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : refuse(where->sun_path, OPT_E_IO, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return refuse(
		    where->sun_path, OPT_E_CONFLICT, "there is a file that is not a socket; move it away");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(where->sun_path, OPT_E_IO, strerror(errno));
	failed = connect(fd, (const struct sockaddr *)where, sizeof *where) < 0 ? errno : 0;
	close(fd);
	/* A full backlog (EAGAIN) belongs to a living process too. */
	if (failed != ECONNREFUSED)
		return refuse(
		    where->sun_path, OPT_E_CONFLICT, "another process answers there; stop it first");
	if (unlink(where->sun_path) < 0)
		return refuse(where->sun_path, OPT_E_IO, strerror(errno));
	return 0;
}

/* A group that is not there is no error: then only root and the node's user can open the socket. */
static bool find_group(const char *name, gid_t *ret_group)
{
	const struct group *entry = name ? getgrnam(name) : NULL;

	if (entry)
		*ret_group = entry->gr_gid;
	else if (name)
		log_warning("api_group_missing", "group", name, NULL);
	return entry != NULL;
}

static int make_folder(const char *path, bool has_group, gid_t group)
{
	char *copy = strdup(path);
	int status = 0;

	if (!copy)
		abort();
	const char *folder = dirname(copy);

	if (mkdir(folder, 0750) == 0) {
		if (has_group && chown(folder, (uid_t)-1, group) < 0)
			log_warning("api_group_failed", "file", folder, "reason", strerror(errno), NULL);
	} else if (errno != EEXIST) {
		status = refuse(path, OPT_E_IO, strerror(errno));
	}
	free(copy);
	return status;
}

int http_listen_unix(const char *path, const char *group)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	gid_t gid = 0;
	bool has_group = find_group(group, &gid);
	mode_t mask;
	int fd, status;

	if (strlen(path) >= sizeof where.sun_path)
		return refuse(path, OPT_E_LIMIT,
		    "the path is too long for a Unix socket (107 bytes); choose a shorter one");
	strcpy(where.sun_path, path);
	if ((status = make_folder(path, has_group, gid)) < 0 || (status = make_free(&where)) < 0)
		return status;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(path, OPT_E_IO, strerror(errno));
	/* Nobody can connect before listen(2), so the group may come after the mode, which is never wider. */
	mask = umask(0117);
	status = bind(fd, (const struct sockaddr *)&where, sizeof where);
	umask(mask);
	if (status < 0)
		goto fail_socket;
	if (has_group && chown(path, (uid_t)-1, gid) < 0)
		log_warning("api_group_failed", "file", path, "reason", strerror(errno), NULL);
	if (listen(fd, BACKLOG) < 0)
		goto fail_socket;
	return fd;

fail_socket:
	refuse(path, OPT_E_IO, strerror(errno));
	close(fd);
	return OPT_E_IO;
}

/* "127.0.0.1:8025", "[::1]:8025", "localhost:8025" as a loopback address. */
static int parse_loopback(const char *text, struct sockaddr_storage *ret_where, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_where;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_where;
	const char *colon = strrchr(text, ':');
	char host[64], *end;
	unsigned long port;
	size_t len;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof host || colon[1] < '0' ||
	    colon[1] > '9')
		return OPT_E_INVALID;
	port = strtoul(colon + 1, &end, 10);
	if (strcmp(end, "/") == 0)
		end++;
	if (*end || port == 0 || port > UINT16_MAX)
		return OPT_E_INVALID;
	len = (size_t)(colon - text);
	memcpy(host, text, len);
	host[len] = '\0';
	memset(ret_where, 0, sizeof *ret_where);
	if (strcmp(host, "[::1]") == 0) {
		v6->sin6_family = AF_INET6;
		v6->sin6_addr = in6addr_loopback;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof *v6;
		return 0;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*ret_len = sizeof *v4;
	if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) != 1)
		return OPT_E_INVALID;
	return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ? 0 : OPT_E_DENIED;
}

int http_listen_tcp(const char *address)
{
	struct sockaddr_storage where;
	socklen_t len;
	int fd, on = 1, status;

	if (strncmp(address, "http://", 7) != 0)
		return refuse(address, OPT_E_INVALID, "write it as unix:PATH or http://HOST:PORT");
	status = parse_loopback(address + 7, &where, &len);
	if (status == OPT_E_DENIED)
		return refuse(address, status,
		    "only loopback addresses are allowed; put a proxy with TLS in front of it");
	if (status < 0)
		return refuse(
		    address, status, "it is not http://HOST:PORT with 127.0.0.1, [::1] or localhost");
	fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(address, OPT_E_IO, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (const struct sockaddr *)&where, len) < 0 || listen(fd, BACKLOG) < 0) {
		refuse(address, OPT_E_IO, strerror(errno));
		close(fd);
		return OPT_E_IO;
	}
	return fd;
}
