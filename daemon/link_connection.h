/* SPDX-License-Identifier: MIT */
/*
 * One TCP connection to another node, from connect or accept to its end.
 *
 *   CONNECTING --> HANDSHAKE --> OPEN --> DRAINING --> GONE
 *
 * A connection that drains takes no more messages; it sends what it has, then its goodbye, still gives out
 * what comes, and is gone when the other side has said goodbye too, or after LINK_DRAIN_MS. Any other end
 * leads straight to GONE.
 */
#ifndef OPTIMUS_DAEMON_LINK_CONNECTION_H
#define OPTIMUS_DAEMON_LINK_CONNECTION_H

#include <uv.h>

#include "daemon/link_address.h"
#include "daemon/link_end.h"
#include "daemon/link_handshake.h"
#include "daemon/link_queue.h"
#include "queue/tree.h"

enum {
	LINK_CONNECT_MS = 3000,
	LINK_HANDSHAKE_MS = 10000,
	LINK_DRAIN_MS = 3000,
	LINK_SILENCE_MS = 5000,    /* TCP gives up after so long without an answer */
	LINK_BATCH = 65536,        /* bytes handed to the kernel at once */
	LINK_BATCH_BULK = 2,       /* bulk frames among them */
	LINK_UNSENT_MAX = 32768,   /* bytes that the kernel holds back unsent */
	LINK_HALF_OPEN_MAX = 256,  /* accepted connections in their handshake */
	LINK_HALF_OPEN_SOURCE = 32 /* of these from one source */
};

enum connection_state {
	CONNECTION_CONNECTING,
	CONNECTION_HANDSHAKE,
	CONNECTION_OPEN,
	CONNECTION_DRAINING,
	CONNECTION_GONE
};

struct link_connection;

struct link_connection_events {
	/* The handshake is complete; connection->peer says with whom. */
	void (*proven)(void *context, struct link_connection *connection);
	void (*message)(void *context, struct link_connection *connection, const void *data, size_t len);
	/* The bulk lane was full, and has room again. */
	void (*room)(void *context, struct link_connection *connection);
	/* It was open and takes no more messages: connection->why. */
	void (*ended)(void *context, struct link_connection *connection);
	/* The last word; the connection is freed when this returns. */
	void (*gone)(void *context, struct link_connection *connection);
	/* Another dialler or look-up is done with (ground->diallers), or the listener. */
	void (*settled)(void *context);
};

TAILQ_HEAD(link_connections, link_connection);

/* What the connections of one node share. */
struct link_ground {
	uv_loop_t *loop;
	struct link_self self;
	struct link_account account;
	const struct link_connection_events *events;
	void *context;
	struct link_connections all;
	struct link_connections half_open; /* accepted, in their handshake, oldest first */
	size_t half_open_count;
	uint64_t dials; /* numbers them */
	uint64_t accepted;
	size_t diallers;   /* with their look-ups, until libuv is done with them */
	char input[65536]; /* of the connection that is being read */
};

struct link_connection {
	TAILQ_ENTRY(link_connection) link;
	TAILQ_ENTRY(link_connection) half_open_link;
	struct link_ground *ground;
	void *owner; /* the dialler, NULL when it was accepted */
	enum connection_state state;
	enum link_end why;
	enum link_end break_why;
	bool dialled;
	bool accepted_half_open; /* is in ground->half_open */
	bool counted;            /* its end is in the account */
	bool peer_ended;         /* the peer has said goodbye */
	bool said_end;           /* so have we, or have it in `out` */
	bool writing;
	bool timer_open, tcp_open;
	struct link_claim peer; /* once proven */
	uint64_t number;        /* of its dialler's dials, once proven */
	struct link_source source;
	char address[LINK_ADDRESS_SIZE]; /* of the other side */
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connect;
	uv_write_t write;
	struct handshake *handshake; /* NULL once done */
	struct link_writer writer;
	struct link_reader reader;
	struct link_queue queue;
	struct buffer out;    /* what goes with the next write */
	struct buffer flying; /* what the current write sends */
};

/* Begins a connection to an address. Its end comes through `gone`, never from within. */
struct link_connection *connection_dial(
    struct link_ground *ground, const struct sockaddr *address, void *owner);
/* Takes what the listener has. */
void connection_accept(struct link_ground *ground, uv_stream_t *listener);
/* As link_queue_push(); OPT_E_NOT_FOUND when it is not open. */
int connection_send(struct link_connection *connection, const void *data, size_t len, enum link_lane lane);
/* Ends an open connection in order. */
void connection_drain(struct link_connection *connection, enum link_end why);
/* Whether the goodbyes of both sides were exchanged, so that nothing was lost. */
bool connection_is_clean(const struct link_connection *connection);
/* Ends it as soon as the loop runs again: whoever calls this does not expect the end before it returns. */
void connection_break(struct link_connection *connection, enum link_end why);
/* Ends it now. */
void connection_end(struct link_connection *connection, enum link_end why);

#endif
