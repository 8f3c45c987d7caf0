/* SPDX-License-Identifier: MIT */
/*
 * Who is asking: the uid behind a Unix socket, or the holder of the node's token.
 */
#ifndef OPTIMUS_DAEMON_HTTP_AUTH_H
#define OPTIMUS_DAEMON_HTTP_AUTH_H

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/types.h>

enum { HTTP_TOKEN_MAX = 65 /* 64 hex digits and a NUL */ };

/* The uid of the process at the other end of the Unix socket: 0 or OPT_E_DENIED. */
typedef int http_peer_fn(int fd, uid_t *ret_uid);

struct http_auth {
	http_peer_fn *peer;
	uid_t own; /* the node's own user */
	bool has_token;
	char token[HTTP_TOKEN_MAX];
};

/* `user` is the name of the node's user, or NULL: the one that this process runs as. */
void http_auth_init(struct http_auth *auth, const char *user);
/* Forgets the token. */
void http_auth_done(struct http_auth *auth);

/* Reads FOLDER/api.token, which it makes at the first time. OPT_E_IO or OPT_E_INVALID, with the reason in the
 * log. */
int http_auth_load_token(struct http_auth *auth, const char *folder);

/* 0, or OPT_E_DENIED. */
int http_auth_local(
    const struct http_auth *auth, struct MHD_Connection *connection, uid_t *ret_uid, bool *ret_admin);
int http_auth_token(
    const struct http_auth *auth, struct MHD_Connection *connection, uid_t *ret_uid, bool *ret_admin);

#endif
