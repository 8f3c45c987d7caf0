/* SPDX-License-Identifier: MIT */
/*
 * Runs libmicrohttpd on the libuv loop.
 *
 * Each API address has a listener: a socket, an MHD daemon without a thread, a uv_poll on the daemon's epoll
 * descriptor and a timer for MHD's own timeouts. Whenever one of the two fires, MHD_run() does what there is
 * to do and calls back into on_request(). One MHD_run() is one round of reads and writes, so that a fast
 * uploader can't keep the loop from the rest of the node.
 *
 * A struct api_request lives from the first callback of a request to on_completed(), which MHD promises to
 * call exactly once. MHD does not look at a suspended connection: whoever suspends one must wake it, also
 * when nothing came of it. At the end, all are woken and then cut.
 *
 * An error found in the middle of a body is sent after the body: a client that still writes would not read
 * it.
 */
#include "daemon/http_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api_pages.h"
#include "daemon/api_request.h"
#include "daemon/http_listen.h"
#include "daemon/intake.h"
#include "daemon/log.h"
#include "queue/error.h"

struct http_listener {
	struct http_server *server;
	struct http_listener *next;
	struct MHD_Daemon *daemon;
	struct api_request *requests;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* that are not closed yet */
	bool local;       /* a Unix socket */
	char *path;       /* of the socket, to be removed */
};

struct http_server {
	struct node *node;
	uv_loop_t *loop;
	struct http_listener *listeners;
	struct http_auth auth;
	struct intakes *intakes;
};

static void turn(struct http_listener *listener);

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	turn(poll->data);
}

static void turn(struct http_listener *listener)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (!listener->daemon)
		return;
	MHD_run(listener->daemon);
	if (MHD_get_timeout(listener->daemon, &timeout) == MHD_YES)
		uv_timer_start(&listener->timer, on_timer, timeout, 0);
	else
		uv_timer_stop(&listener->timer);
}

void http_server_kick(struct http_listener *listener)
{
	uv_timer_start(&listener->timer, on_timer, 0, 0);
}

static void unlink_request(struct api_request *request)
{
	if (request->previous)
		request->previous->next = request->next;
	else
		request->listener->requests = request->next;
	if (request->next)
		request->next->previous = request->previous;
}

static struct api_request *new_request(struct http_listener *listener, struct MHD_Connection *connection)
{
	struct api_request *request = calloc(1, sizeof *request);

	if (!request)
		abort();
	request->listener = listener;
	request->node = listener->server->node;
	request->intakes = listener->server->intakes;
	request->connection = connection;
	request->next = listener->requests;
	if (request->next)
		request->next->previous = request;
	listener->requests = request;
	return request;
}

/* The headers are there: who asks, for what? */
static void begin(struct api_request *request, const char *url, const char *method)
{
	struct http_server *server = request->listener->server;
	int status;

	if (request->listener->local)
		status = http_auth_local(&server->auth, request->connection, &request->uid, &request->admin);
	else
		status = http_auth_token(&server->auth, request->connection, &request->uid, &request->admin);
	if (status < 0) {
		api_fail(request, API_DENIED, "%s",
		    request->listener->local
		        ? "the node can't tell which user is asking; use its Unix socket on the same machine"
		        : "the token is missing or wrong; send `Authorization: Bearer TOKEN` with the "
		          "content of "
		          "the node's api.token");
		return;
	}
	request->page = api_page_find(request, url, method);
	if (request->page && request->page->begin)
		request->page->begin(request);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *data_len, void **state)
{
	struct api_request *request = *state;

	(void)version;
	if (!request) {
		request = new_request(context, connection);
		*state = request;
		begin(request, url, method);
		return MHD_YES;
	}
	if (*data_len > 0) {
		if (!request->response && request->page->body)
			request->page->body(request, data, *data_len);
		*data_len = 0;
		return MHD_YES;
	}
	if (!request->response && !request->ended) {
		request->ended = true;
		request->page->end(request);
	}
	if (request->response)
		return MHD_queue_response(connection, request->status, request->response);
	api_rest(request);
	return MHD_YES;
}

static void on_completed(
    void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct api_request *request = *state;

	(void)context;
	(void)connection;
	if (!request)
		return;
	if (request->reply)
		node_forget(request->node, request->reply);
	if (request->page && request->page->gone)
		request->page->gone(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	if (request->response)
		MHD_destroy_response(request->response);
	unlink_request(request);
	free(request);
	*state = NULL;
}

struct http_server *http_server_new(struct node *node, uv_loop_t *loop)
{
	struct http_server *server = calloc(1, sizeof *server);

	if (!server)
		abort();
	server->node = node;
	server->loop = loop;
	server->intakes = intakes_new(node, loop);
	http_auth_init(&server->auth, node_config(node)->user);
	return server;
}

static int start(struct http_listener *listener, int fd)
{
	uv_loop_t *loop = listener->server->loop;
	const union MHD_DaemonInfo *info;

	listener->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
	    on_request, listener, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)HTTP_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
	    (size_t)(HTTP_CONNECTION_MEMORY / 2), MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!listener->daemon)
		return OPT_E_IO;
	info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || uv_poll_init(loop, &listener->poll, info->epoll_fd) < 0)
		return OPT_E_IO;
	listener->poll.data = listener;
	listener->handles++;
	uv_timer_init(loop, &listener->timer);
	listener->timer.data = listener;
	listener->handles++;
	uv_poll_start(&listener->poll, UV_READABLE, on_poll);
	http_server_kick(listener);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct http_listener *listener = handle->data;

	if (--listener->handles == 0)
		free(listener);
}

static void stop(struct http_listener *listener)
{
	struct MHD_Daemon *daemon = listener->daemon;

	if (listener->path) {
		unlink(listener->path);
		free(listener->path);
	}
	/* The handles go first: the poll must not outlive the descriptor that it watches. */
	if (listener->handles > 0) {
		uv_close((uv_handle_t *)&listener->poll, on_closed);
		uv_close((uv_handle_t *)&listener->timer, on_closed);
	}
	for (struct api_request *request = listener->requests; request; request = request->next)
		api_wake(request);
	listener->daemon = NULL;
	if (daemon)
		MHD_stop_daemon(daemon);
	if (listener->handles == 0)
		free(listener);
}

static int listen_on(struct http_server *server, const char *address)
{
	const struct config *config = node_config(server->node);
	struct http_listener *listener = calloc(1, sizeof *listener);
	int fd, status;

	if (!listener)
		abort();
	listener->server = server;
	if (strncmp(address, "unix:", 5) == 0) {
		listener->local = true;
		fd = http_listen_unix(address + 5, config->group);
		if (fd >= 0)
			listener->path = strdup(address + 5);
	} else {
		fd = http_auth_load_token(&server->auth, config->data);
		if (fd == 0)
			fd = http_listen_tcp(address);
	}
	if (fd < 0) {
		free(listener);
		return fd;
	}
	status = start(listener, fd);
	if (status < 0) {
		log_error("api_failed", "address", address, "reason", "the HTTP server did not start", NULL);
		stop(listener);
		return status;
	}
	listener->next = server->listeners;
	server->listeners = listener;
	log_info("api_open", "address", address, NULL);
	return 0;
}

int http_server_listen(struct http_server *server)
{
	const struct config *config = node_config(server->node);

	for (size_t i = 0; i < config->api.count; i++) {
		int status = listen_on(server, config->api.items[i]);

		if (status < 0)
			return status;
	}
	return 0;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	while (server->listeners) {
		struct http_listener *listener = server->listeners;

		server->listeners = listener->next;
		stop(listener);
	}
	intakes_free(server->intakes);
	http_auth_done(&server->auth);
	free(server);
}

void http_server_set_peer(struct http_server *server, http_peer_fn *peer)
{
	server->auth.peer = peer;
}

void http_server_set_upload_idle(struct http_server *server, uint64_t milliseconds)
{
	intakes_set_idle(server->intakes, milliseconds);
}
