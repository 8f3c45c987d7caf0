/* SPDX-License-Identifier: MIT */
/*
 * The writes, as commands of Redis.
 *
 * Whatever must not be seen half done is one step for Redis: a transaction where nothing has to be decided, a
 * small script where something has. All of them may be repeated. A journal only grows at its end, except for
 * the squash, which always changes its first entry: so a list that is at least as long as what was read and
 * still begins with the same entry begins with all that was read, and what came in behind it stays.
 */
#include "daemon/store_redis_op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/squash.h"
#include "queue/error.h"
#include "queue/register.h"

enum { UNLINK_GROUP = 1000, STORE_FORMAT = 2, ARGS_MAX = 12 };

static const char commit_script[] = "local old = redis.call('GET', KEYS[1]) "
                                    "if old and old ~= ARGV[1] then return 'CONFLICT' end "
                                    "if not old then redis.call('SET', KEYS[1], ARGV[1]) end "
                                    "redis.call('SADD', KEYS[2], ARGV[2]) "
                                    "redis.call('HDEL', KEYS[3], ARGV[3]) "
                                    "redis.call('HDEL', KEYS[4], ARGV[4]) "
                                    "return 'OK'";

static const char squash_script[] = "local n = tonumber(ARGV[1]) "
                                    "if redis.call('LLEN', KEYS[1]) < n or redis.call('LINDEX', KEYS[1], 0) "
                                    "~= ARGV[2] then return 'CHANGED' end "
                                    "redis.call('LTRIM', KEYS[1], n, -1) "
                                    "redis.call('LPUSH', KEYS[1], ARGV[3]) "
                                    "return 'OK'";

static const char claim_script[] = "local node = redis.call('GET', KEYS[1]) "
                                   "if node then return node end "
                                   "if redis.call('DBSIZE') > 0 then return '' end "
                                   "redis.call('SET', KEYS[1], ARGV[1]) "
                                   "return ARGV[1]";

struct args {
	const char *values[ARGS_MAX];
	size_t lens[ARGS_MAX];
	int count;
};

static void add(struct args *args, const void *data, size_t len)
{
	if (args->count >= ARGS_MAX)
		abort();
	args->values[args->count] = data != NULL ? data : "";
	args->lens[args->count++] = len;
}

static void add_text(struct args *args, const char *text)
{
	add(args, text, strlen(text));
}

static void send_args(struct redis_op *op, struct args *args)
{
	redis_op_send(op, args->count, args->values, args->lens);
}

static void send_texts(struct redis_op *op, const char *command, const char *key, const char *value)
{
	struct args args = {.count = 0};

	add_text(&args, command);
	if (key != NULL)
		add_text(&args, key);
	if (value != NULL)
		add_text(&args, value);
	send_args(op, &args);
}

/* command key data */
static void send_data(struct redis_op *op, const char *command, const char *key)
{
	struct args args = {.count = 0};

	add_text(&args, command);
	add_text(&args, key);
	add(&args, op->data, op->len);
	send_args(op, &args);
}

static bool reply_is(const redisReply *reply, const char *text)
{
	return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
	       reply->len == strlen(text) && memcmp(reply->str, text, reply->len) == 0;
}

/* ---- the sequence: a write that raises it is a transaction ---- */

static void sequence_begin(struct redis_op *op)
{
	if (op->sequence > 0)
		send_texts(op, "MULTI", NULL, NULL);
}

static void sequence_end(struct redis_op *op)
{
	const struct opt_id key = register_sequence();
	char hex[OPT_ID_HEX], number[SEQUENCE_TEXT];
	struct args args = {.count = 0};

	if (op->sequence == 0)
		return;
	add_text(&args, "HSET");
	add_text(&args, "registers");
	add_text(&args, id_to_hex(&key, hex));
	add_text(&args, register_sequence_text(op->sequence, number));
	send_args(op, &args);
	send_texts(op, "EXEC", NULL, NULL);
}

/* ---- uploads ---- */

static void upload_start(struct redis_op *op)
{
	char key[KEY_SIZE], hex[OPT_ID_HEX], batch[OPT_ID_HEX], node[OPT_ID_HEX];
	char about[2 * OPT_ID_HEX];
	struct args args = {.count = 0};

	send_texts(op, "MULTI", NULL, NULL);
	snprintf(about, sizeof(about), "%s %s", id_to_hex(&op->id, batch), id_to_hex(&op->node, node));
	add_text(&args, "HSET");
	add_text(&args, "uploads");
	add_text(&args, id_to_hex(&op->upload, hex));
	add_text(&args, about);
	send_args(op, &args);
	send_data(op, "SET", redis_key(key, "template", &op->upload, NULL));
	send_texts(op, "EXEC", NULL, NULL);
}

static const struct redis_op_class upload_class = {.start = upload_start, .end = redis_store_answer_write};

static void shard_start(struct redis_op *op)
{
	char key[KEY_SIZE];

	send_data(op, "SET", redis_key(key, "shard", &op->id, &op->upload));
}

static const struct redis_op_class shard_class = {.start = shard_start, .end = redis_store_answer_write};

static void commit_start(struct redis_op *op)
{
	char key[KEY_SIZE], hex[OPT_ID_HEX], batch[OPT_ID_HEX];
	struct args args = {.count = 0};

	add_text(&args, "EVAL");
	add(&args, commit_script, sizeof(commit_script) - 1);
	add_text(&args, "4");
	add_text(&args, redis_key(key, "batch", &op->id, NULL));
	add_text(&args, "batches");
	add_text(&args, "uploads");
	add_text(&args, "registers");
	add(&args, op->data, op->len);
	add_text(&args, op->name);
	add_text(&args, id_to_hex(&op->upload, hex));
	add_text(&args, id_to_hex(&op->id, batch));
	send_args(op, &args);
}

static void commit_reply(struct redis_op *op, const redisReply *reply)
{
	if (reply_is(reply, "CONFLICT"))
		op->status = OPT_E_CONFLICT;
	else if (!reply_is(reply, "OK"))
		op->status = OPT_E_STORE;
}

static const struct redis_op_class commit_class = {
    .start = commit_start, .reply = commit_reply, .end = redis_store_answer_write};

/* ---- registers ---- */

static void register_start(struct redis_op *op)
{
	char batch[OPT_ID_HEX];
	struct args args = {.count = 0};

	sequence_begin(op);
	add_text(&args, op->len > 0 ? "HSET" : "HDEL");
	add_text(&args, "registers");
	add_text(&args, id_to_hex(&op->id, batch));
	if (op->len > 0)
		add(&args, op->data, op->len);
	send_args(op, &args);
	sequence_end(op);
}

static const struct redis_op_class register_class = {
    .start = register_start, .end = redis_store_answer_write};

/* ---- dropping an upload ---- */

static void close_upload(struct redis_op *op)
{
	char key[KEY_SIZE], hex[OPT_ID_HEX];

	send_texts(op, "UNLINK", redis_key(key, "template", &op->upload, NULL), NULL);
	/* Last: as long as something may be left, the upload is known. */
	send_texts(op, "HDEL", "uploads", id_to_hex(&op->upload, hex));
}

static void drop_start(struct redis_op *op)
{
	static const char unlink[] = "UNLINK";
	char(*keys)[KEY_SIZE] = malloc(UNLINK_GROUP * sizeof(*keys));
	const char *values[UNLINK_GROUP + 1];
	size_t lens[UNLINK_GROUP + 1];
	uint32_t i = 0;

	if (keys == NULL)
		abort();
	values[0] = unlink;
	lens[0] = sizeof(unlink) - 1;
	while (i < op->shards) {
		int count = 1;

		for (; i < op->shards && count <= UNLINK_GROUP; i++, count++) {
			struct opt_id shard = shard_id(&op->id, i);

			values[count] = redis_key(keys[count - 1], "shard", &shard, &op->upload);
			lens[count] = strlen(values[count]);
		}
		redis_op_send(op, count, values, lens);
	}
	free(keys);
	close_upload(op);
}

static const struct redis_op_class drop_class = {.start = drop_start, .end = redis_store_answer_write};

static void send_scan(struct redis_op *op, const char *cursor)
{
	char pattern[KEY_SIZE], hex[OPT_ID_HEX];
	struct args args = {.count = 0};

	snprintf(pattern, sizeof(pattern), "shard:*:%s", id_to_hex(&op->upload, hex));
	add_text(&args, "SCAN");
	add_text(&args, cursor);
	add_text(&args, "MATCH");
	add_text(&args, pattern);
	add_text(&args, "COUNT");
	add_text(&args, "1000");
	send_args(op, &args);
}

static void scan_start(struct redis_op *op)
{
	send_scan(op, "0");
}

static void unlink_found(struct redis_op *op, const redisReply *keys)
{
	const char **values = calloc(keys->elements + 1, sizeof(*values));
	size_t *lens = calloc(keys->elements + 1, sizeof(*lens));

	if (values == NULL || lens == NULL)
		abort();
	values[0] = "UNLINK";
	lens[0] = strlen(values[0]);
	for (size_t i = 0; i < keys->elements; i++) {
		values[i + 1] = keys->element[i]->str;
		lens[i + 1] = keys->element[i]->len;
	}
	redis_op_send(op, (int)keys->elements + 1, values, lens);
	free(values);
	free(lens);
}

static void scan_reply(struct redis_op *op, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return; /* the count of an UNLINK or HDEL */
	if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY) {
		op->status = OPT_E_STORE;
		return;
	}
	if (reply->element[1]->elements > 0)
		unlink_found(op, reply->element[1]);
	if (reply_is(reply->element[0], "0"))
		close_upload(op);
	else
		send_scan(op, reply->element[0]->str);
}

static const struct redis_op_class scan_class = {
    .start = scan_start, .reply = scan_reply, .end = redis_store_answer_write};

/* ---- journals ---- */

static void append_start(struct redis_op *op)
{
	char key[KEY_SIZE];

	sequence_begin(op);
	send_data(op, "RPUSH", redis_key(key, "journal", &op->id, NULL));
	sequence_end(op);
}

static const struct redis_op_class append_class = {.start = append_start, .end = redis_store_answer_write};

static void squash_start(struct redis_op *op)
{
	char key[KEY_SIZE];
	struct args args = {.count = 0};

	add_text(&args, "LRANGE");
	add_text(&args, redis_key(key, "journal", &op->id, NULL));
	add_text(&args, "0");
	add_text(&args, "-1");
	send_args(op, &args);
}

static void send_squashed(struct redis_op *op, const redisReply *entries, const struct buffer *packed)
{
	char key[KEY_SIZE], count[24];
	struct args args = {.count = 0};

	snprintf(count, sizeof(count), "%zu", entries->elements);
	add_text(&args, "EVAL");
	add(&args, squash_script, sizeof(squash_script) - 1);
	add_text(&args, "1");
	add_text(&args, redis_key(key, "journal", &op->id, NULL));
	add_text(&args, count);
	add(&args, entries->element[0]->str, entries->element[0]->len);
	add(&args, packed->data, packed->len);
	send_args(op, &args);
}

static void squash_entries(struct redis_op *op, const redisReply *entries)
{
	struct squash_list list;
	struct buffer packed;
	int r = 0;

	squash_list_init(&list);
	buffer_init(&packed);
	for (size_t i = 0; i < entries->elements && r == 0; i++)
		r = squash_list_add(&list, entries->element[i]->str, entries->element[i]->len);
	if (r == 0)
		r = squash_pack(list.entries, list.count, &packed);
	if (r == 0)
		send_squashed(op, entries, &packed);
	else if (r != OPT_E_LIMIT) /* too long is no harm: it stays as it is */
		op->status = OPT_E_STORE;
	buffer_done(&packed);
	squash_list_done(&list);
}

static void squash_reply(struct redis_op *op, const redisReply *reply)
{
	if (reply_is(reply, "CHANGED")) {
		squash_start(op); /* somebody else has squashed it meanwhile */
	} else if (reply->type == REDIS_REPLY_ARRAY) {
		const redisReply *first = reply->elements > 0 ? reply->element[0] : NULL;

		if (first != NULL && (reply->elements > 1 || !squash_is(first->str, first->len)))
			squash_entries(op, reply);
	} else if (!reply_is(reply, "OK")) {
		op->status = OPT_E_STORE;
	}
}

static const struct redis_op_class squash_class = {
    .start = squash_start, .reply = squash_reply, .end = redis_store_answer_write};

/* ---- the node's claim ---- */

static void claim_start(struct redis_op *op)
{
	char node[64], hex[OPT_ID_HEX];
	struct args args = {.count = 0};

	snprintf(node, sizeof(node), "optimus-store %d %s", STORE_FORMAT, id_to_hex(&op->id, hex));
	add_text(&args, "EVAL");
	add(&args, claim_script, sizeof(claim_script) - 1);
	add_text(&args, "1");
	add_text(&args, "node");
	add_text(&args, node);
	send_args(op, &args);
}

static void claim_reply(struct redis_op *op, const redisReply *reply)
{
	unsigned int format;
	struct opt_id node;
	int at = 0;

	op->status = OPT_E_DENIED;
	if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
		op->message = "the Redis database holds data of something else: give this node an empty one";
	else if (sscanf(reply->str, "optimus-store %9u %n", &format, &at) != 1 || at == 0)
		op->message = "the Redis database holds data of something else: its key 'node' can't be read";
	else if (format > STORE_FORMAT)
		op->message = "the Redis database was written by a newer version of optimusd";
	else if (format < STORE_FORMAT)
		op->message =
		    "the Redis database was written by an older version of optimusd: let that one finish its "
		    "batches, then start with an empty data folder";
	else if (id_from_hex(reply->str + at, &node) != 0 || !id_equal(&node, &op->id))
		op->message =
		    "the Redis database belongs to another node: the identity in the data folder and the "
		    "database don't go together";
	else
		op->status = 0;
}

static void claim_end(struct redis_op *op)
{
	if (op->status == 0)
		redis_store_claimed(op->store, &op->id);
	op->claim(op->context, op->status, op->message != NULL ? op->message : opt_strerror(op->status));
}

static const struct redis_op_class claim_class = {
    .start = claim_start, .reply = claim_reply, .end = claim_end};

void store_redis_claim(struct store *store, const struct opt_id *node, store_claim_fn *fn, void *context)
{
	struct redis_op *op = redis_op_new(store, &claim_class);

	op->id = *node;
	op->claim = fn;
	op->context = context;
	redis_op_add(op);
}

/* ---- effects ---- */

static const struct redis_op_class *effect_class(const struct effect *effect)
{
	switch (effect->type) {
	case EFFECT_STORE_UPLOAD:
		return &upload_class;
	case EFFECT_STORE_SHARD:
		return &shard_class;
	case EFFECT_STORE_COMMIT:
		return &commit_class;
	case EFFECT_STORE_DROP_UPLOAD:
		return effect->shards == UINT32_MAX ? &scan_class : &drop_class;
	case EFFECT_STORE_REGISTER:
		return &register_class;
	case EFFECT_STORE_APPEND:
		return &append_class;
	case EFFECT_STORE_SQUASH:
		return &squash_class;
	default:
		abort(); /* not for the store */
	}
}

void redis_apply(struct store *store, const struct effect *effect)
{
	struct redis_op *op = redis_op_new(store, effect_class(effect));

	op->token = effect->token;
	op->id = effect->id;
	op->upload = effect->upload;
	op->node = effect->node;
	op->sequence = effect->sequence;
	op->shards = effect->shards;
	op->adds_batch = effect->type == EFFECT_STORE_UPLOAD || effect->type == EFFECT_STORE_SHARD ||
	                 effect->type == EFFECT_STORE_COMMIT;
	op->decides = effect->type == EFFECT_STORE_COMMIT;
	if (effect->len > 0) {
		op->data = malloc(effect->len);
		if (op->data == NULL)
			abort();
		memcpy(op->data, effect->data, effect->len);
		op->len = effect->len;
	}
	if (effect->type == EFFECT_STORE_COMMIT) {
		op->name = strdup(effect->text);
		if (op->name == NULL)
			abort();
	}
	redis_op_add(op);
}
