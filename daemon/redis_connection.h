/* SPDX-License-Identifier: MIT */
/*
 * A connection to Redis that is made again whenever it is lost, and that carries commands only to a Redis
 * that was checked: it keeps what it acknowledges, it has loaded, and its database is this node's.
 */
#ifndef OPTIMUS_DAEMON_REDIS_CONNECTION_H
#define OPTIMUS_DAEMON_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "queue/id.h"

struct redis_connection;

struct redis_connection_events {
	/* A new connection was checked and takes commands. */
	void (*ready)(void *context);
	/* It is gone, or could not be made: what it has not answered it never will. The next try comes by
	 * itself. */
	void (*lost)(void *context, const char *why);
	/* To a command, perhaps an error. Borrowed. */
	void (*reply)(void *command, const redisReply *reply);
};

/* The first try comes from the loop, like all others. Borrows the events. */
struct redis_connection *redis_connection_new(
    uv_loop_t *loop, const char *socket_path, const struct redis_connection_events *events, void *context);
/* From now on the database has to be this node's. */
void redis_connection_claimed(struct redis_connection *connection, const struct opt_id *node);
bool redis_connection_is_ready(const struct redis_connection *connection);
/* To be called while it is ready. */
void redis_connection_send(
    struct redis_connection *connection, void *command, int argc, const char **argv, const size_t *lens);
/* Whether an error begins with this word. */
bool redis_error_is(const redisReply *error, const char *word);
/*
 * Nothing but fn is called any more, once libuv is done with it: the loop must run once more. Not from inside
 * a call back.
 */
void redis_connection_close(struct redis_connection *connection, void (*fn)(void *context), void *context);

#endif
