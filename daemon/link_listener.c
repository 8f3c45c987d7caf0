/* SPDX-License-Identifier: MIT */
/*
 * One TCP socket, bound to the first address that the name to listen on stands for. The look-up blocks: it
 * happens once, at the start of the node. What arrives is handed on unseen; who may come, and how many at
 * once, is the business of link_connection.c. A listener that can't be had is an error for the operator, and
 * is never tried again here.
 */
#include "daemon/link_listener.h"

#include <stdio.h>

#include "queue/error.h"

enum { BACKLOG = 512 };

static void incoming(uv_stream_t *stream, int status)
{
	struct link_listener *listener = stream->data;

	if (status == 0)
		connection_accept(listener->ground, stream);
}

static int look_up_listen(const char *listen, struct addrinfo **ret_found, char *error, size_t size)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct link_address address;
	int status;

	if (link_address_parse(listen, &address) != 0) {
		snprintf(error, size, "%s is not HOST:PORT or [IPV6]:PORT", listen);
		return OPT_E_INVALID;
	}
	status = getaddrinfo(address.host, address.port, &hints, ret_found);
	if (status != 0) {
		snprintf(error, size, "can't find %s: %s", address.host, gai_strerror(status));
		return OPT_E_INVALID;
	}
	return 0;
}

int listener_open(
    struct link_listener *listener, struct link_ground *ground, const char *listen, char *error, size_t size)
{
	struct sockaddr_storage bound = {0};
	struct addrinfo *found = NULL;
	int len = sizeof(bound);
	int status = look_up_listen(listen, &found, error, size);

	if (status != 0)
		return status;
	listener->ground = ground;
	uv_tcp_init(ground->loop, &listener->tcp);
	listener->tcp.data = listener;
	listener->open = true;
	status = uv_tcp_bind(&listener->tcp, found->ai_addr, 0);
	if (status == 0)
		status = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, incoming);
	if (status == 0)
		status = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&bound, &len);
	freeaddrinfo(found);
	if (status != 0) {
		snprintf(error, size, "can't listen on %s: %s", listen, uv_strerror(status));
		return OPT_E_IO;
	}
	link_address_text((struct sockaddr *)&bound, listener->address);
	return 0;
}

static void listener_closed(uv_handle_t *handle)
{
	struct link_listener *listener = handle->data;

	listener->open = false;
	listener->ground->events->settled(listener->ground->context);
}

void listener_close(struct link_listener *listener)
{
	uv_close((uv_handle_t *)&listener->tcp, listener_closed);
}
