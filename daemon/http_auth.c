/* SPDX-License-Identifier: MIT */
/*
 * Authentication. On a Unix socket the kernel vouches for the caller (SO_PEERCRED), and the mode of the
 * socket has already decided who may connect. On a TCP port anybody on this machine may connect, also a
 * browser that some web page misuses, so there a token is asked for; only root and the node's user can read
 * its file, therefore who has it may do everything.
 *
 * The token file appears under its name only when it is complete: it is written beside it and linked.
 */
#include "daemon/http_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "queue/error.h"

static int peer_of_socket(int fd, uid_t *ret_uid)
{
	struct ucred credentials;
	socklen_t len = sizeof credentials;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0 || len != sizeof credentials ||
	    credentials.uid == (uid_t)-1)
		return OPT_E_DENIED;
	*ret_uid = credentials.uid;
	return 0;
}

void http_auth_init(struct http_auth *auth, const char *user)
{
	const struct passwd *entry = user ? getpwnam(user) : NULL;

	*auth = (struct http_auth){.peer = peer_of_socket, .own = entry ? entry->pw_uid : geteuid()};
}

void http_auth_done(struct http_auth *auth)
{
	sodium_memzero(auth->token, sizeof auth->token);
	auth->has_token = false;
}

static int write_token(const char *path)
{
	unsigned char random[32];
	char token[HTTP_TOKEN_MAX], *beside = NULL;
	int fd, status = OPT_E_IO;

	randombytes_buf(random, sizeof random);
	sodium_bin2hex(token, sizeof token, random, sizeof random);
	if (asprintf(&beside, "%s.%d", path, (int)getpid()) < 0)
		abort();
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		goto fail_name;
	/* Another start may have been faster; then its token counts. */
	if (dprintf(fd, "%s\n", token) == HTTP_TOKEN_MAX && fsync(fd) == 0 &&
	    (link(beside, path) == 0 || errno == EEXIST))
		status = 0;
	close(fd);
	unlink(beside);
fail_name:
	sodium_memzero(token, sizeof token);
	free(beside);
	return status;
}

static int read_token(const char *path, char token[HTTP_TOKEN_MAX])
{
	char text[HTTP_TOKEN_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return errno == ENOENT ? OPT_E_NOT_FOUND : OPT_E_IO;
	len = read(fd, text, sizeof text - 1);
	close(fd);
	if (len < HTTP_TOKEN_MAX - 1)
		return OPT_E_INVALID;
	text[HTTP_TOKEN_MAX - 1] = '\0';
	if (strspn(text, "0123456789abcdef") != HTTP_TOKEN_MAX - 1)
		return OPT_E_INVALID;
	memcpy(token, text, HTTP_TOKEN_MAX);
	sodium_memzero(text, sizeof text);
	return 0;
}

int http_auth_load_token(struct http_auth *auth, const char *folder)
{
	char *path = NULL;
	int status;

	if (auth->has_token)
		return 0;
	if (asprintf(&path, "%s/api.token", folder) < 0)
		abort();
	status = read_token(path, auth->token);
	if (status == OPT_E_NOT_FOUND) {
		status = write_token(path);
		if (status == 0)
			status = read_token(path, auth->token);
	}
	if (status < 0)
		log_error("api_token_failed", "file", path, "reason",
		    status == OPT_E_INVALID ? "it holds no token of 64 hexadecimal digits; remove it"
		                            : strerror(errno),
		    NULL);
	auth->has_token = status == 0;
	free(path);
	return status;
}

int http_auth_local(
    const struct http_auth *auth, struct MHD_Connection *connection, uid_t *ret_uid, bool *ret_admin)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!info || auth->peer(info->connect_fd, ret_uid) < 0)
		return OPT_E_DENIED;
	*ret_admin = *ret_uid == 0 || *ret_uid == auth->own || *ret_uid == geteuid();
	return 0;
}

int http_auth_token(
    const struct http_auth *auth, struct MHD_Connection *connection, uid_t *ret_uid, bool *ret_admin)
{
	const char *header =
	    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);

	if (!auth->has_token || !header || strncasecmp(header, "Bearer ", 7) != 0 ||
	    strlen(header + 7) != HTTP_TOKEN_MAX - 1 ||
	    sodium_memcmp(header + 7, auth->token, HTTP_TOKEN_MAX - 1) != 0)
		return OPT_E_DENIED;
	*ret_uid = auth->own;
	*ret_admin = true;
	return 0;
}
