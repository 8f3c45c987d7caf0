/* SPDX-License-Identifier: MIT */
/*
 * The listener of a node: where the dials of the other nodes arrive.
 */
#ifndef OPTIMUS_DAEMON_LINK_LISTENER_H
#define OPTIMUS_DAEMON_LINK_LISTENER_H

#include "daemon/link_connection.h"

struct link_listener {
	struct link_ground *ground;
	uv_tcp_t tcp;
	bool open; /* libuv has it */
	char address[LINK_ADDRESS_SIZE];
};

/*
 * Listens on HOST:PORT, looks the host up, which may block, and gives what comes to connection_accept(). On
 * failure `error` says why: OPT_E_INVALID for an address that is none, OPT_E_IO when it can't be bound. When
 * `open` is set then, it is to be closed all the same.
 */
int listener_open(
    struct link_listener *listener, struct link_ground *ground, const char *listen, char *error, size_t size);
/* Takes nothing any more. ground->events->settled comes when libuv is done with it. */
void listener_close(struct link_listener *listener);

#endif
