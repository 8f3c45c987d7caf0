/* SPDX-License-Identifier: MIT */
/*
 * The connection to Redis and the queue of what it has not answered yet.
 *
 *   queue:  [ sent | sent | sent | next | ... ]      oldest first; `next` is the first that isn't sent
 *
 * The queue owns the operations. What is on the wire is bounded (WIRE_MAX), because hiredis moves its whole
 * output buffer for every part that the socket takes, and because a Redis that dies on a full disk gets all
 * of it again. The rest waits in the queue, whose size is the callers' business.
 *
 * Any doubt about a connection ends it, and all that it has not answered is repeated on the next one, in
 * order: a lost connection, a reply that makes no sense, Redis loading or busy. Repeating single operations
 * while others go on would break the order. A new connection is asked first for the settings that durability
 * stands on, for it may be another Redis than the one before, and for the `node` key, whose answer shows that
 * Redis has loaded, and that the database is still ours.
 */
#include "daemon/store_redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/redis_check.h"
#include "daemon/redis_loop.h"
#include "daemon/store_redis_op.h"
#include "queue/error.h"

enum {
	WIRE_MAX = 4 * 1024 * 1024,
	WIRE_OPS_MAX = 8192,
	RETRY_MIN_MS = 10,
	RETRY_MAX_MS = 1000,
};

TAILQ_HEAD(redis_ops, redis_op);

struct redis_store {
	struct store store;
	uv_loop_t *loop;
	char *path;
	redisAsyncContext *connection; /* NULL between two tries */
	size_t checked;                /* settings that this connection has answered */
	bool ready;                    /* the node key was answered as it should be */
	bool told;                     /* the log has said that Redis is away */
	bool weak;                     /* the log has said that Redis would lose writes */
	bool foreign;                  /* the log has said that the database isn't ours */
	uint64_t retry_ms;
	uv_timer_t retry;
	struct redis_ops queue;
	struct redis_op *next;
	size_t pending;
	size_t sent;
	size_t wire;
	/* Refused because the disk is full; answered from a fresh turn of the loop. */
	struct redis_ops refused;
	uv_timer_t refuse;
	bool full;
	bool claimed;
	struct opt_id node;
	int closing;
};

static void connect_now(struct redis_store *store);
static void send_more(struct redis_store *store);

char *redis_key(char key[KEY_SIZE], const char *name, const struct opt_id *id, const struct opt_id *upload)
{
	char hex[OPT_ID_HEX], upload_hex[OPT_ID_HEX] = "";

	if (upload != NULL)
		id_to_hex(upload, upload_hex);
	snprintf(key, KEY_SIZE, "%s:%s%s%s", name, id_to_hex(id, hex), upload != NULL ? ":" : "", upload_hex);
	return key;
}

/* ---- operations ---- */

struct redis_op *redis_op_new(struct store *store, const struct redis_op_class *class)
{
	struct redis_op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		abort();
	op->store = (struct redis_store *)store;
	op->class = class;
	buffer_init(&op->values);
	return op;
}

static void op_free(struct redis_op *op)
{
	free(op->name);
	free(op->data);
	free(op->ends);
	buffer_done(&op->values);
	free(op);
}

void redis_op_forget(struct redis_op *op)
{
	buffer_clear(&op->values);
	op->count = 0;
	op->next = 0;
}

void redis_op_keep(struct redis_op *op, const redisReply *reply)
{
	if (op->count == op->size) {
		op->size = op->size == 0 ? 16 : op->size * 2;
		op->ends = realloc(op->ends, op->size * sizeof(*op->ends));
		if (op->ends == NULL)
			abort();
	}
	buffer_add(&op->values, reply->str, reply->len);
	op->ends[op->count++] = op->values.len;
}

struct span redis_op_value(const struct redis_op *op, size_t i)
{
	size_t start = i == 0 ? 0 : op->ends[i - 1];

	if (op->ends[i] == start)
		return (struct span){.data = "", .len = 0};
	return (struct span){.data = op->values.data + start, .len = op->ends[i] - start};
}

static void refuse_op(struct redis_op *op)
{
	op->status = OPT_E_FULL;
	TAILQ_INSERT_TAIL(&op->store->refused, op, link);
}

static void on_refuse(uv_timer_t *timer)
{
	struct redis_store *store = timer->data;
	struct redis_op *op;
	struct redis_ops due;

	TAILQ_INIT(&due);
	TAILQ_CONCAT(&due, &store->refused, link);
	while ((op = TAILQ_FIRST(&due)) != NULL) {
		TAILQ_REMOVE(&due, op, link);
		store->pending--;
		op->class->end(op);
		op_free(op);
	}
}

/*
 * The disk is full: what would fill it more is refused, unless Redis is working on it right now. Without a
 * connection that includes uploads and shards which the last one has seen; they are deleted when the upload
 * is dropped, written or not, and a Redis that they have killed is not killed by them again. A commit that
 * may have been written can't be refused any more.
 */
static void refuse_queued(struct redis_store *store)
{
	struct redis_op *op = store->ready ? store->next : TAILQ_FIRST(&store->queue);
	struct redis_op *following;

	for (; op != NULL; op = following) {
		following = TAILQ_NEXT(op, link);
		if (!op->adds_batch || (op->tried && op->decides))
			continue;
		if (store->next == op)
			store->next = following;
		TAILQ_REMOVE(&store->queue, op, link);
		refuse_op(op);
	}
	if (!TAILQ_EMPTY(&store->refused))
		uv_timer_start(&store->refuse, on_refuse, 0, 0);
}

void redis_op_add(struct redis_op *op)
{
	struct redis_store *store = op->store;

	store->pending++;
	if (store->full && op->adds_batch) {
		refuse_op(op);
		uv_timer_start(&store->refuse, on_refuse, 0, 0);
		return;
	}
	TAILQ_INSERT_TAIL(&store->queue, op, link);
	if (store->next == NULL)
		store->next = op;
	send_more(store);
}

static void op_end(struct redis_op *op)
{
	struct redis_store *store = op->store;

	TAILQ_REMOVE(&store->queue, op, link);
	store->pending--;
	store->sent--;
	store->wire -= op->wire;
	op->class->end(op);
	op_free(op);
	send_more(store);
}

void redis_store_answer_write(struct redis_op *op)
{
	op->store->store.done(op->store->store.done_context, op->token, op->status);
}

/* ---- replies ---- */

static bool starts_with(const redisReply *reply, const char *word)
{
	return reply->len >= strlen(word) && memcmp(reply->str, word, strlen(word)) == 0;
}

/* Redis will take the same command in a moment. */
static bool is_passing(const redisReply *reply)
{
	return starts_with(reply, "LOADING") || starts_with(reply, "BUSY ") ||
	       starts_with(reply, "TRYAGAIN") || starts_with(reply, "MASTERDOWN") ||
	       starts_with(reply, "ERR max number of clients");
}

/* Redis has refused the command. */
static int error_status(const redisReply *reply)
{
	if (starts_with(reply, "OOM") || starts_with(reply, "MISCONF"))
		return OPT_E_FULL;
	return OPT_E_STORE;
}

/* Ends the connection; on_disconnect() does the rest. */
static void connection_drop(struct redis_store *store)
{
	if (store->connection != NULL)
		redisAsyncFree(store->connection);
}

static void note_error(struct redis_op *op, const redisReply *reply)
{
	if (op->status == 0) {
		op->status = error_status(reply);
		log_error("store_refused", "reply", reply->str, NULL);
	}
}

/* EXEC answers for each of its commands: the others are done when one has failed, but not what was asked. */
static const redisReply *error_in(const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		return reply;
	for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		if (reply->element[i]->type == REDIS_REPLY_ERROR)
			return reply->element[i];
	}
	return NULL;
}

static void on_reply(redisAsyncContext *connection, void *data, void *context)
{
	struct redis_store *store = connection->data;
	const redisReply *reply = data, *error;
	struct redis_op *op = context;

	if (reply == NULL || store->connection != connection || !store->ready)
		return; /* the connection ends: everything is repeated */
	if (reply->type == REDIS_REPLY_ERROR && is_passing(reply)) {
		store->ready = false; /* what still comes on this connection is not looked at */
		connection_drop(store);
		return;
	}
	op->waiting--;
	error = error_in(reply);
	if (error != NULL)
		note_error(op, error);
	else if (op->class->reply != NULL)
		op->class->reply(op, reply);
	if (op->waiting == 0)
		op_end(op);
}

void redis_op_send(struct redis_op *op, int argc, const char **argv, const size_t *lens)
{
	struct redis_store *store = op->store;
	size_t bytes = 0;

	for (int i = 0; i < argc; i++)
		bytes += lens[i];
	op->wire += bytes;
	store->wire += bytes;
	op->waiting++;
	/* Refused only by a connection that is about to end. */
	redisAsyncCommandArgv(store->connection, on_reply, op, argc, argv, lens);
}

static void send_more(struct redis_store *store)
{
	while (store->ready && store->next != NULL && store->wire < WIRE_MAX && store->sent < WIRE_OPS_MAX) {
		struct redis_op *op = store->next;

		store->next = TAILQ_NEXT(op, link);
		store->sent++;
		op->tried = true;
		redis_op_forget(op);
		op->class->start(op);
	}
}

/* ---- the connection ---- */

static void on_retry(uv_timer_t *timer)
{
	connect_now(timer->data);
}

static void retry_later(struct redis_store *store, const char *why)
{
	struct redis_op *op;

	TAILQ_FOREACH (op, &store->queue, link) {
		op->waiting = 0;
		op->wire = 0;
		op->status = 0;
	}
	store->next = TAILQ_FIRST(&store->queue);
	store->sent = 0;
	store->wire = 0;
	store->ready = false;
	store->connection = NULL;
	if (store->closing != 0)
		return;
	if (store->full)
		refuse_queued(store);
	if (!store->told)
		log_warning("store_away", "reason", why, "waiting", log_u64(store->pending), NULL);
	store->told = true;
	uv_timer_start(&store->retry, on_retry, store->retry_ms, 0);
	store->retry_ms = store->retry_ms * 2 < RETRY_MAX_MS ? store->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_disconnect(const redisAsyncContext *connection, int status)
{
	(void)status;
	retry_later(connection->data, connection->err != 0 ? connection->errstr : "connection ended");
}

/* Called with an error, hiredis frees the connection without calling on_disconnect(). */
static void on_connect(const redisAsyncContext *connection, int status)
{
	if (status != REDIS_OK)
		retry_later(connection->data, connection->errstr);
}

/* They come in the order in which they were asked for, and before the answer about the node. */
static void on_setting(redisAsyncContext *connection, void *data, void *context)
{
	struct redis_store *store = context;
	const redisReply *reply = data;
	char message[256];
	int r;

	if (reply == NULL || store->connection != connection)
		return;
	r = redis_check_reply(&redis_settings[store->checked++], reply, message, sizeof(message));
	if (r == 0)
		return;
	if (r == OPT_E_DENIED && !store->weak) {
		store->weak = true;
		log_error("redis_refused", "reason", message, NULL);
	}
	connection_drop(store);
}

static bool node_is_ours(const struct redis_store *store, const redisReply *reply)
{
	char hex[OPT_ID_HEX];

	if (reply->type == REDIS_REPLY_ERROR)
		return false;
	if (!store->claimed)
		return true;
	/* "format node": the claim has checked the format. */
	return reply->type == REDIS_REPLY_STRING && reply->len >= OPT_ID_HEX &&
	       reply->str[reply->len - OPT_ID_HEX] == ' ' &&
	       strcmp(reply->str + reply->len - (OPT_ID_HEX - 1), id_to_hex(&store->node, hex)) == 0;
}

static void on_node(redisAsyncContext *connection, void *data, void *context)
{
	struct redis_store *store = context;
	const redisReply *reply = data;

	if (reply == NULL || store->connection != connection)
		return;
	if (!node_is_ours(store, reply)) {
		if (reply->type == REDIS_REPLY_ERROR && !is_passing(reply))
			log_warning("store_refused", "reply", reply->str, NULL);
		else if (reply->type != REDIS_REPLY_ERROR && !store->foreign)
			log_error("store_foreign", "reason", "the database is no longer this node's", NULL);
		store->foreign = reply->type != REDIS_REPLY_ERROR;
		connection_drop(store);
		return;
	}
	if (store->told)
		log_info("store_back", "waiting", log_u64(store->pending), NULL);
	store->told = false;
	store->weak = false;
	store->foreign = false;
	store->ready = true;
	store->retry_ms = RETRY_MIN_MS;
	send_more(store);
}

static void connect_now(struct redis_store *store)
{
	redisAsyncContext *connection;

	if (redis_loop_connect(store->loop, store->path, &connection) != 0) {
		retry_later(store, "no connection");
		return;
	}
	store->connection = connection;
	connection->data = store;
	redisAsyncSetConnectCallback(connection, on_connect);
	redisAsyncSetDisconnectCallback(connection, on_disconnect);
	store->checked = 0;
	for (size_t i = 0; i < REDIS_SETTINGS; i++)
		redisAsyncCommand(connection, on_setting, store, "CONFIG GET %s", redis_settings[i].name);
	redisAsyncCommand(connection, on_node, store, "GET node");
}

/* ---- the store ---- */

void redis_store_claimed(struct redis_store *store, const struct opt_id *node)
{
	store->claimed = true;
	store->node = *node;
}

void store_redis_set_full(struct store *base, bool full)
{
	struct redis_store *store = (struct redis_store *)base;

	store->full = full;
	if (full)
		refuse_queued(store);
}

size_t store_redis_pending(const struct store *store)
{
	return ((const struct redis_store *)store)->pending;
}

static void free_queue(struct redis_ops *queue)
{
	struct redis_op *op;

	while ((op = TAILQ_FIRST(queue)) != NULL) {
		TAILQ_REMOVE(queue, op, link);
		op_free(op);
	}
}

static void on_close(uv_handle_t *handle)
{
	struct redis_store *store = handle->data;

	if (--store->closing > 0)
		return;
	free_queue(&store->queue);
	free_queue(&store->refused);
	free(store->path);
	free(store);
}

static void redis_free(struct store *base)
{
	struct redis_store *store = (struct redis_store *)base;

	store->closing = 2;
	connection_drop(store);
	uv_close((uv_handle_t *)&store->retry, on_close);
	uv_close((uv_handle_t *)&store->refuse, on_close);
}

static const struct store_table redis_table = {
    .apply = redis_apply,
    .read_journal = redis_read_journal,
    .read_shard = redis_read_shard,
    .read_template = redis_read_template,
    .read_batches = redis_read_batches,
    .read_uploads = redis_read_uploads,
    .read_registers = redis_read_registers,
    .free = redis_free,
};

struct store *store_redis_new(uv_loop_t *loop, const char *socket_path, store_done_fn *done, void *context)
{
	struct redis_store *store = calloc(1, sizeof(*store));

	if (store == NULL || (store->path = strdup(socket_path)) == NULL)
		abort();
	store->store = (struct store){.table = &redis_table, .done = done, .done_context = context};
	store->loop = loop;
	store->retry_ms = RETRY_MIN_MS;
	TAILQ_INIT(&store->queue);
	TAILQ_INIT(&store->refused);
	uv_timer_init(loop, &store->retry);
	uv_timer_init(loop, &store->refuse);
	store->retry.data = store;
	store->refuse.data = store;
	/* From the loop, so that a failure is no different from one later on. */
	uv_timer_start(&store->retry, on_retry, 0, 0);
	return &store->store;
}
