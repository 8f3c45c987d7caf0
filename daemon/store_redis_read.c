/* SPDX-License-Identifier: MIT */
/*
 * The reads, as commands of Redis.
 *
 * Values are copied out of the replies and handed over at the end, all together: a read that a lost
 * connection cuts short begins again and its caller never sees half of it.
 */
#include "daemon/store_redis_op.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/squash.h"
#include "queue/error.h"

enum { GET_GROUP = 500 };

static void hand_over(struct redis_op *op, const struct span *values, size_t count)
{
	op->read(op->context, op->status, values, op->status == 0 ? count : 0);
}

static void read_end(struct redis_op *op)
{
	struct span *values = calloc(op->count + 1, sizeof(*values));

	if (values == NULL)
		abort();
	for (size_t i = 0; i < op->count; i++)
		values[i] = redis_op_value(op, i);
	hand_over(op, values, op->count);
	free(values);
}

static void send_get(struct redis_op *op, const char *key)
{
	const char *values[] = {"GET", key};
	const size_t lens[] = {3, strlen(key)};

	redis_op_send(op, 2, values, lens);
}

/* ---- single values ---- */

static void value_reply(struct redis_op *op, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_STRING)
		redis_op_keep(op, reply);
	else
		op->status = reply->type == REDIS_REPLY_NIL ? OPT_E_NOT_FOUND : OPT_E_STORE;
}

static void shard_start(struct redis_op *op)
{
	char key[KEY_SIZE];

	send_get(op, redis_key(key, "shard", &op->id, &op->upload));
}

static const struct redis_op_class shard_class = {
    .start = shard_start, .reply = value_reply, .end = read_end};

static void template_start(struct redis_op *op)
{
	char key[KEY_SIZE];

	send_get(op, redis_key(key, "template", &op->upload, NULL));
}

static const struct redis_op_class template_class = {
    .start = template_start, .reply = value_reply, .end = read_end};

/* ---- lists and sets ---- */

static void list_reply(struct redis_op *op, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY) {
		op->status = OPT_E_STORE;
		return;
	}
	for (size_t i = 0; i < reply->elements; i++)
		redis_op_keep(op, reply->element[i]);
}

static void journal_start(struct redis_op *op)
{
	char key[KEY_SIZE];
	const char *values[] = {"LRANGE", redis_key(key, "journal", &op->id, NULL), "0", "-1"};
	const size_t lens[] = {6, strlen(key), 1, 2};

	redis_op_send(op, 4, values, lens);
}

static void journal_end(struct redis_op *op)
{
	struct squash_list list;

	squash_list_init(&list);
	for (size_t i = 0; i < op->count && op->status == 0; i++) {
		struct span entry = redis_op_value(op, i);

		if (squash_list_add(&list, entry.data, entry.len) != 0)
			op->status = OPT_E_INVALID;
	}
	hand_over(op, list.entries, list.count);
	squash_list_done(&list);
}

static const struct redis_op_class journal_class = {
    .start = journal_start, .reply = list_reply, .end = journal_end};

static void send_members(struct redis_op *op, const char *key)
{
	const char *values[] = {"SMEMBERS", key};
	const size_t lens[] = {8, strlen(key)};

	redis_op_send(op, 2, values, lens);
}

/* Fields and values of a hash in turn. */
static void send_all(struct redis_op *op, const char *key)
{
	const char *values[] = {"HGETALL", key};
	const size_t lens[] = {7, strlen(key)};

	redis_op_send(op, 2, values, lens);
}

static void uploads_start(struct redis_op *op)
{
	send_all(op, "uploads");
}

static const struct redis_op_class uploads_class = {
    .start = uploads_start, .reply = list_reply, .end = read_end};

static void registers_start(struct redis_op *op)
{
	send_all(op, "registers");
}

static const struct redis_op_class registers_class = {
    .start = registers_start, .reply = list_reply, .end = read_end};

/* ---- batches: their names, then their records in groups ---- */

static void batches_start(struct redis_op *op)
{
	free(op->data);
	op->data = NULL;
	op->len = 0;
	send_members(op, "batches");
}

static void batches_next_group(struct redis_op *op)
{
	const struct opt_id *keys = op->data;
	size_t end = op->next + GET_GROUP < op->len ? op->next + GET_GROUP : op->len;

	for (; op->next < end; op->next++) {
		char key[KEY_SIZE];

		send_get(op, redis_key(key, "batch", &keys[op->next], NULL));
	}
}

/* In op->data, as keys: one for each name that can be one. */
static void batches_names(struct redis_op *op, const redisReply *reply)
{
	struct opt_id *keys = calloc(reply->elements + 1, sizeof(*keys));

	if (keys == NULL)
		abort();
	op->data = keys;
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *name = reply->element[i];

		if (name->type != REDIS_REPLY_STRING || strlen(name->str) != name->len ||
		    !batch_name_valid(name->str))
			log_warning("store_strange_batch", "reason", "no name of a batch", NULL);
		else
			keys[op->len++] = batch_key(name->str);
	}
}

static void batches_reply(struct redis_op *op, const redisReply *reply)
{
	if (op->data == NULL && reply->type == REDIS_REPLY_ARRAY)
		batches_names(op, reply);
	else if (op->data != NULL && reply->type == REDIS_REPLY_STRING)
		redis_op_keep(op, reply);
	else if (op->data != NULL && reply->type == REDIS_REPLY_NIL)
		log_warning("store_strange_batch", "reason", "a name without a record", NULL);
	else
		op->status = OPT_E_STORE;
	if (op->waiting == 0)
		batches_next_group(op);
}

static const struct redis_op_class batches_class = {
    .start = batches_start, .reply = batches_reply, .end = read_end};

/* ---- the calls ---- */

static struct redis_op *read_op(
    struct store *store, const struct redis_op_class *class, store_read_fn *fn, void *context)
{
	struct redis_op *op = redis_op_new(store, class);

	op->read = fn;
	op->context = context;
	return op;
}

void redis_read_journal(struct store *store, const struct opt_id *id, store_read_fn *fn, void *context)
{
	struct redis_op *op = read_op(store, &journal_class, fn, context);

	op->id = *id;
	redis_op_add(op);
}

void redis_read_shard(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
    store_read_fn *fn, void *context)
{
	struct redis_op *op = read_op(store, &shard_class, fn, context);

	op->id = *shard;
	op->upload = *upload;
	redis_op_add(op);
}

void redis_read_template(struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context)
{
	struct redis_op *op = read_op(store, &template_class, fn, context);

	op->upload = *upload;
	redis_op_add(op);
}

void redis_read_batches(struct store *store, store_read_fn *fn, void *context)
{
	redis_op_add(read_op(store, &batches_class, fn, context));
}

void redis_read_uploads(struct store *store, store_read_fn *fn, void *context)
{
	redis_op_add(read_op(store, &uploads_class, fn, context));
}

void redis_read_registers(struct store *store, store_read_fn *fn, void *context)
{
	redis_op_add(read_op(store, &registers_class, fn, context));
}
