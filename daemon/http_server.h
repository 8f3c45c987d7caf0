/* SPDX-License-Identifier: MIT */
/*
 * The node's HTTP API: libmicrohttpd on the node's own loop. docs/api.md says what it answers.
 */
#ifndef OPTIMUS_DAEMON_HTTP_SERVER_H
#define OPTIMUS_DAEMON_HTTP_SERVER_H

#include <stdint.h>
#include <uv.h>

#include "daemon/http_auth.h"
#include "daemon/node.h"

struct http_server;
struct http_listener;

enum {
	HTTP_CONNECTIONS_MAX = 512,
	HTTP_CONNECTION_MEMORY = 64 * 1024, /* for headers, and for the buffers of a connection */
	HTTP_IDLE_SECONDS = 60,
};

/* Borrows both for as long as it lives. Nothing is open yet. */
struct http_server *http_server_new(struct node *node, uv_loop_t *loop);
/*
 * Opens every API address of the configuration. On failure a negative code, with the reason in the log, and
 * what is open stays open until http_server_free().
 */
int http_server_listen(struct http_server *server);
/*
 * Closes everything, with connections cut and unfinished uploads aborted. The loop must turn once more
 * before it can be closed. Takes NULL.
 */
void http_server_free(struct http_server *server);

/* For tests: who is at the other end of a Unix socket, and after how long a silent upload is aborted. */
void http_server_set_peer(struct http_server *server, http_peer_fn *peer);
void http_server_set_upload_idle(struct http_server *server, uint64_t milliseconds);

/* For pages: turns the listener's crank soon, because a connection was woken. */
void http_server_kick(struct http_listener *listener);

#endif
