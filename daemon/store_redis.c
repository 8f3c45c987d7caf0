/* SPDX-License-Identifier: MIT */
/*
 * The queue of what Redis has not answered yet, over a connection that redis_connection.c keeps.
 *
 *   queue:  [ sent | sent | sent | next | ... ]      oldest first; `next` is the first that isn't sent
 *
 * The queue owns the operations. What is on the wire is bounded (WIRE_MAX), because hiredis moves its whole
 * output buffer for every part that the socket takes, and because a Redis that dies on a full disk gets all
 * of it again. The rest waits in the queue, whose size is the callers' business.
 *
 * When the connection is lost, all that it has not answered is repeated on the next one, in order. Repeating
 * single operations while others go on would break the order.
 */
#include "daemon/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/redis_connection.h"
#include "daemon/store_redis_op.h"
#include "queue/error.h"

enum {
	WIRE_MAX = 4 * 1024 * 1024,
	WIRE_OPS_MAX = 8192,
};

TAILQ_HEAD(redis_ops, redis_op);

struct redis_store {
	struct store store;
	struct redis_connection *connection;
	bool told; /* the log has said that Redis is away */
	struct redis_ops queue;
	struct redis_op *next;
	size_t pending;
	size_t sent;
	size_t wire;
	/* Refused because the disk is full; answered from a fresh turn of the loop. */
	struct redis_ops refused;
	uv_timer_t refuse;
	bool full;
	int open_parts; /* after redis_free(): that have yet to say that they are closed */
};

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
	struct redis_op *op =
	    redis_connection_is_ready(store->connection) ? store->next : TAILQ_FIRST(&store->queue);
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

/* Redis has refused the command. */
static int error_status(const redisReply *reply)
{
	if (redis_error_is(reply, "OOM") || redis_error_is(reply, "MISCONF"))
		return OPT_E_FULL;
	return OPT_E_STORE;
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

static void on_reply(void *command, const redisReply *reply)
{
	struct redis_op *op = command;
	const redisReply *error = error_in(reply);

	op->waiting--;
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
	redis_connection_send(store->connection, op, argc, argv, lens);
}

static void send_more(struct redis_store *store)
{
	while (redis_connection_is_ready(store->connection) && store->next != NULL &&
	       store->wire < WIRE_MAX && store->sent < WIRE_OPS_MAX) {
		struct redis_op *op = store->next;

		store->next = TAILQ_NEXT(op, link);
		store->sent++;
		op->tried = true;
		redis_op_forget(op);
		op->class->start(op);
	}
}

/* ---- the connection ---- */

static void on_lost(void *context, const char *why)
{
	struct redis_store *store = context;
	struct redis_op *op;

	TAILQ_FOREACH (op, &store->queue, link) {
		op->waiting = 0;
		op->wire = 0;
		op->status = 0;
	}
	store->next = TAILQ_FIRST(&store->queue);
	store->sent = 0;
	store->wire = 0;
	if (store->full)
		refuse_queued(store);
	if (!store->told)
		log_warning("store_away", "reason", why, "waiting", log_u64(store->pending), NULL);
	store->told = true;
}

static void on_ready(void *context)
{
	struct redis_store *store = context;

	if (store->told)
		log_info("store_back", "waiting", log_u64(store->pending), NULL);
	store->told = false;
	send_more(store);
}

static const struct redis_connection_events connection_events = {
    .ready = on_ready, .lost = on_lost, .reply = on_reply};

/* ---- the store ---- */

void redis_store_claimed(struct redis_store *store, const struct opt_id *node)
{
	redis_connection_claimed(store->connection, node);
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

static void on_part_closed(void *context)
{
	struct redis_store *store = context;

	if (--store->open_parts > 0)
		return;
	free_queue(&store->queue);
	free_queue(&store->refused);
	free(store);
}

static void on_refuse_closed(uv_handle_t *handle)
{
	on_part_closed(handle->data);
}

static void redis_free(struct store *base)
{
	struct redis_store *store = (struct redis_store *)base;

	store->open_parts = 2;
	redis_connection_close(store->connection, on_part_closed, store);
	uv_close((uv_handle_t *)&store->refuse, on_refuse_closed);
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

	if (store == NULL)
		abort();
	store->store = (struct store){.table = &redis_table, .done = done, .done_context = context};
	TAILQ_INIT(&store->queue);
	TAILQ_INIT(&store->refused);
	uv_timer_init(loop, &store->refuse);
	store->refuse.data = store;
	store->connection = redis_connection_new(loop, socket_path, &connection_events, store);
	return &store->store;
}
