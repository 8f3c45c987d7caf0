/* SPDX-License-Identifier: MIT */
/*
 * A new connection is asked first for the settings that durability stands on, for it may be another Redis
 * than the one before, and for the `node` key, whose answer shows that Redis has loaded, and that the
 * database is still ours. Before that it carries nothing.
 *
 * Any doubt about a connection ends it: a reply that makes no sense, Redis loading or busy. After it, as
 * after one that could not be made, the next is tried 10 ms later, then 20, up to every second. What was on
 * its way is the owner's to repeat; nothing is kept here.
 */
#include "daemon/redis_connection.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/redis_check.h"
#include "daemon/redis_loop.h"
#include "queue/error.h"

enum { RETRY_MIN_MS = 10, RETRY_MAX_MS = 1000 };

struct redis_connection {
	uv_loop_t *loop;
	char *path;
	const struct redis_connection_events *events;
	void *context;
	redisAsyncContext *redis; /* NULL between two tries */
	size_t checked;           /* settings that it has answered */
	bool ready;               /* the node key was answered as it should be */
	bool weak;                /* the log has said that Redis would lose writes */
	bool foreign;             /* the log has said that the database isn't ours */
	bool claimed;
	struct opt_id node;
	uint64_t retry_ms;
	uv_timer_t retry;
	void (*closed)(void *context); /* set: closing */
	void *closed_context;
};

static void connect_now(struct redis_connection *connection);

bool redis_error_is(const redisReply *error, const char *word)
{
	return error->len >= strlen(word) && memcmp(error->str, word, strlen(word)) == 0;
}

/* Redis will take the same command in a moment. */
static bool is_passing(const redisReply *reply)
{
	return redis_error_is(reply, "LOADING") || redis_error_is(reply, "BUSY ") ||
	       redis_error_is(reply, "TRYAGAIN") || redis_error_is(reply, "MASTERDOWN") ||
	       redis_error_is(reply, "ERR max number of clients");
}

/* Ends the connection; on_disconnect() does the rest. */
static void connection_drop(struct redis_connection *connection)
{
	if (connection->redis != NULL)
		redisAsyncFree(connection->redis);
}

static void on_reply(redisAsyncContext *redis, void *data, void *command)
{
	struct redis_connection *connection = redis->data;
	const redisReply *reply = data;

	if (reply == NULL || connection->redis != redis || !connection->ready)
		return; /* the connection ends */
	if (reply->type == REDIS_REPLY_ERROR && is_passing(reply)) {
		connection->ready = false; /* what still comes on this connection is not looked at */
		connection_drop(connection);
		return;
	}
	connection->events->reply(command, reply);
}

void redis_connection_send(
    struct redis_connection *connection, void *command, int argc, const char **argv, const size_t *lens)
{
	/* Refused only by a connection that is about to end. */
	redisAsyncCommandArgv(connection->redis, on_reply, command, argc, argv, lens);
}

static void on_retry(uv_timer_t *timer)
{
	connect_now(timer->data);
}

static void retry_later(struct redis_connection *connection, const char *why)
{
	connection->ready = false;
	connection->redis = NULL;
	if (connection->closed != NULL)
		return;
	connection->events->lost(connection->context, why);
	uv_timer_start(&connection->retry, on_retry, connection->retry_ms, 0);
	connection->retry_ms =
	    connection->retry_ms * 2 < RETRY_MAX_MS ? connection->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
	(void)status;
	retry_later(redis->data, redis->err != 0 ? redis->errstr : "connection ended");
}

/* Called with an error, hiredis frees the connection without calling on_disconnect(). */
static void on_connect(const redisAsyncContext *redis, int status)
{
	if (status != REDIS_OK)
		retry_later(redis->data, redis->errstr);
}

/* They come in the order in which they were asked for, and before the answer about the node. */
static void on_setting(redisAsyncContext *redis, void *data, void *context)
{
	struct redis_connection *connection = context;
	const redisReply *reply = data;
	char message[256];
	int r;

	if (reply == NULL || connection->redis != redis)
		return;
	r = redis_check_reply(&redis_settings[connection->checked++], reply, message, sizeof(message));
	if (r == 0)
		return;
	if (r == OPT_E_DENIED && !connection->weak) {
		connection->weak = true;
		log_error("redis_refused", "reason", message, NULL);
	}
	connection_drop(connection);
}

static bool node_is_ours(const struct redis_connection *connection, const redisReply *reply)
{
	char hex[OPT_ID_HEX];

	if (reply->type == REDIS_REPLY_ERROR)
		return false;
	if (!connection->claimed)
		return true;
	/* "format node": the claim has checked the format. */
	return reply->type == REDIS_REPLY_STRING && reply->len >= OPT_ID_HEX &&
	       reply->str[reply->len - OPT_ID_HEX] == ' ' &&
	       strcmp(reply->str + reply->len - (OPT_ID_HEX - 1), id_to_hex(&connection->node, hex)) == 0;
}

static void on_node(redisAsyncContext *redis, void *data, void *context)
{
	struct redis_connection *connection = context;
	const redisReply *reply = data;

	if (reply == NULL || connection->redis != redis)
		return;
	if (!node_is_ours(connection, reply)) {
		if (reply->type == REDIS_REPLY_ERROR && !is_passing(reply))
			log_warning("store_refused", "reply", reply->str, NULL);
		else if (reply->type != REDIS_REPLY_ERROR && !connection->foreign)
			log_error("store_foreign", "reason", "the database is no longer this node's", NULL);
		connection->foreign = reply->type != REDIS_REPLY_ERROR;
		connection_drop(connection);
		return;
	}
	connection->weak = false;
	connection->foreign = false;
	connection->ready = true;
	connection->retry_ms = RETRY_MIN_MS;
	connection->events->ready(connection->context);
}

static void connect_now(struct redis_connection *connection)
{
	redisAsyncContext *redis;

	if (redis_loop_connect(connection->loop, connection->path, &redis) != 0) {
		retry_later(connection, "no connection");
		return;
	}
	connection->redis = redis;
	redis->data = connection;
	redisAsyncSetConnectCallback(redis, on_connect);
	redisAsyncSetDisconnectCallback(redis, on_disconnect);
	connection->checked = 0;
	for (size_t i = 0; i < REDIS_SETTINGS; i++)
		redisAsyncCommand(redis, on_setting, connection, "CONFIG GET %s", redis_settings[i].name);
	redisAsyncCommand(redis, on_node, connection, "GET node");
}

void redis_connection_claimed(struct redis_connection *connection, const struct opt_id *node)
{
	connection->claimed = true;
	connection->node = *node;
}

bool redis_connection_is_ready(const struct redis_connection *connection)
{
	return connection->ready;
}

static void on_close(uv_handle_t *handle)
{
	struct redis_connection *connection = handle->data;
	void (*fn)(void *context) = connection->closed;
	void *context = connection->closed_context;

	free(connection->path);
	free(connection);
	fn(context);
}

void redis_connection_close(struct redis_connection *connection, void (*fn)(void *context), void *context)
{
	connection->closed = fn;
	connection->closed_context = context;
	connection_drop(connection);
	uv_close((uv_handle_t *)&connection->retry, on_close);
}

struct redis_connection *redis_connection_new(
    uv_loop_t *loop, const char *socket_path, const struct redis_connection_events *events, void *context)
{
	struct redis_connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL || (connection->path = strdup(socket_path)) == NULL)
		abort();
	connection->loop = loop;
	connection->events = events;
	connection->context = context;
	connection->retry_ms = RETRY_MIN_MS;
	uv_timer_init(loop, &connection->retry);
	connection->retry.data = connection;
	/* From the loop, so that a failure is no different from one later on. */
	uv_timer_start(&connection->retry, on_retry, 0, 0);
	return connection;
}
