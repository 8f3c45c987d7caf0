/* SPDX-License-Identifier: MIT */
/*
 * Templates and shards from the local Redis.
 *
 * A feed names a shard and the upload that it belongs to. The template is compiled once per upload and the
 * shard is unpacked once; both stay in small caches, the least recently used one goes. Values under these
 * keys never change, so a cached one is never stale.
 *
 * Redis may be restarted at any time by the daemon that owns it. Then the connection breaks, and we try again
 * for a few seconds before we give up; whoever asked keeps the mail. A value that is missing or can't be read
 * is reported and not cached: it may arrive later.
 *
 * Nothing is ever written to Redis here.
 */
#include "postfix-glue/source.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>
#include <zstd.h>

#include "queue/error.h"
#include "queue/message/buffer.h"

enum {
	TEMPLATES_KEPT = 8,
	SHARDS_KEPT = 64,
	REDIS_TIMEOUT_S = 5,  /* for one command */
	REDIS_PATIENCE_S = 8, /* for Redis to come back */
	REDIS_PAUSE_MS = 100,
	SHARD_VALUE_MAX = 2 * SHARD_BYTES_MAX,
	TEMPLATE_VALUE_MAX = 2 * TEMPLATE_SIZE_MAX,
};

struct cached_template {
	struct opt_id upload;
	struct template *template;
	uint64_t used;
};

struct cached_shard {
	struct opt_id shard;
	struct opt_id upload;
	struct recipients *recipients;
	uint64_t used;
};

struct source {
	const char *socket;
	bool (*keep_trying)(void *context);
	void *context;
	redisContext *redis;
	uint64_t clock; /* counts uses, for the age of cache entries */
	struct cached_template templates[TEMPLATES_KEPT];
	struct cached_shard shards[SHARDS_KEPT];
};

struct source *source_new(const char *socket, bool (*keep_trying)(void *context), void *context)
{
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		abort();
	source->socket = socket;
	source->keep_trying = keep_trying;
	source->context = context;
	return source;
}

void source_free(struct source *source)
{
	if (!source)
		return;
	for (size_t i = 0; i < TEMPLATES_KEPT; i++)
		template_free(source->templates[i].template);
	for (size_t i = 0; i < SHARDS_KEPT; i++)
		recipients_free(source->shards[i].recipients);
	if (source->redis)
		redisFree(source->redis);
	free(source);
}

static redisReply *get_once(struct source *source, const char *key)
{
	redisReply *reply;

	if (!source->redis) {
		const struct timeval timeout = {.tv_sec = REDIS_TIMEOUT_S};

		source->redis = redisConnectUnixWithTimeout(source->socket, timeout);
		if (!source->redis)
			abort();
		if (source->redis->err || redisSetTimeout(source->redis, timeout) != REDIS_OK)
			goto fail_redis;
	}
	reply = redisCommand(source->redis, "GET %s", key);
	/* An error reply is LOADING while Redis reads its log back: as good as being away. */
	if (reply && reply->type != REDIS_REPLY_ERROR)
		return reply;
	if (reply)
		freeReplyObject(reply);
fail_redis:
	redisFree(source->redis);
	source->redis = NULL;
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The value under key, or NULL when Redis stayed away. */
static redisReply *get(struct source *source, const char *key)
{
	uint64_t deadline = 0;

	for (;;) {
		redisReply *reply = get_once(source, key);

		if (reply)
			return reply;
		if (!deadline)
			deadline = now_ms() + REDIS_PATIENCE_S * 1000;
		if (now_ms() >= deadline || !source->keep_trying(source->context))
			return NULL;
		poll(NULL, 0, REDIS_PAUSE_MS);
	}
}

/* Unpacks a zstd frame of at most max bytes. The frame need not state its size. */
static int unpack(const void *data, size_t len, size_t max, struct buffer *out)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = {.src = data, .size = len};
	size_t left = 1;
	int err = 0;

	if (!stream)
		abort();
	while (left > 0) {
		size_t room = ZSTD_DStreamOutSize();
		ZSTD_outBuffer chunk = {.dst = buffer_reserve(out, room), .size = room};

		left = ZSTD_decompressStream(stream, &chunk, &in);
		out->len += chunk.pos;
		if (ZSTD_isError(left) || (left > 0 && chunk.pos == 0 && in.pos == in.size)) {
			err = OPT_E_INVALID;
			break;
		}
		if (out->len > max) {
			err = OPT_E_LIMIT;
			break;
		}
	}
	ZSTD_freeDStream(stream);
	return err;
}

static int load_template(struct source *source, const struct opt_id *upload, struct template **ret_template,
    const char **ret_reason)
{
	char hex[OPT_ID_HEX];
	char key[sizeof("template:") + OPT_ID_HEX];
	struct template_error error;
	struct buffer text;
	redisReply *reply;
	int err;

	snprintf(key, sizeof(key), "template:%s", id_to_hex(upload, hex));
	reply = get(source, key);
	if (!reply) {
		*ret_reason = "the local store is away";
		return OPT_E_STORE;
	}
	buffer_init(&text);
	if (reply->type != REDIS_REPLY_STRING) {
		*ret_reason = "the template is not in the local store";
		err = OPT_E_NOT_FOUND;
	} else if (reply->len > TEMPLATE_VALUE_MAX ||
	           unpack(reply->str, reply->len, TEMPLATE_SIZE_MAX, &text) != 0 ||
	           template_compile(text.data ? text.data : "", text.len, ret_template, &error) != 0) {
		*ret_reason = "the template in the local store can't be read";
		err = OPT_E_INVALID;
	} else {
		err = 0;
	}
	buffer_done(&text);
	freeReplyObject(reply);
	return err;
}

static int load_shard(struct source *source, const struct opt_id *upload, const struct opt_id *shard,
    struct recipients **ret_recipients, const char **ret_reason)
{
	char shard_hex[OPT_ID_HEX];
	char upload_hex[OPT_ID_HEX];
	char key[sizeof("shard::") + 2 * OPT_ID_HEX];
	redisReply *reply;
	int err;

	snprintf(key, sizeof(key), "shard:%s:%s", id_to_hex(shard, shard_hex), id_to_hex(upload, upload_hex));
	reply = get(source, key);
	if (!reply) {
		*ret_reason = "the local store is away";
		return OPT_E_STORE;
	}
	if (reply->type != REDIS_REPLY_STRING) {
		*ret_reason = "the shard is not in the local store";
		err = OPT_E_NOT_FOUND;
	} else if (reply->len > SHARD_VALUE_MAX ||
	           recipients_open(reply->str, reply->len, ret_recipients) != 0) {
		*ret_reason = "the shard in the local store can't be read";
		err = OPT_E_INVALID;
	} else {
		err = 0;
	}
	freeReplyObject(reply);
	return err;
}

static int find_template(struct source *source, const struct opt_id *upload,
    const struct template **ret_template, const char **ret_reason)
{
	struct cached_template *oldest = &source->templates[0];
	struct template *loaded;
	int err;

	for (size_t i = 0; i < TEMPLATES_KEPT; i++) {
		struct cached_template *entry = &source->templates[i];

		if (entry->template && id_equal(&entry->upload, upload)) {
			entry->used = ++source->clock;
			*ret_template = entry->template;
			return 0;
		}
		if (entry->used < oldest->used)
			oldest = entry;
	}
	err = load_template(source, upload, &loaded, ret_reason);
	if (err)
		return err;
	template_free(oldest->template);
	*oldest = (struct cached_template){.upload = *upload, .template = loaded, .used = ++source->clock};
	*ret_template = loaded;
	return 0;
}

static int find_shard(struct source *source, const struct opt_id *upload, const struct opt_id *shard,
    const struct recipients **ret_recipients, const char **ret_reason)
{
	struct cached_shard *oldest = &source->shards[0];
	struct recipients *loaded;
	int err;

	for (size_t i = 0; i < SHARDS_KEPT; i++) {
		struct cached_shard *entry = &source->shards[i];

		if (entry->recipients && id_equal(&entry->shard, shard) && id_equal(&entry->upload, upload)) {
			entry->used = ++source->clock;
			*ret_recipients = entry->recipients;
			return 0;
		}
		if (entry->used < oldest->used)
			oldest = entry;
	}
	err = load_shard(source, upload, shard, &loaded, ret_reason);
	if (err)
		return err;
	recipients_free(oldest->recipients);
	*oldest = (struct cached_shard){
	    .shard = *shard, .upload = *upload, .recipients = loaded, .used = ++source->clock};
	*ret_recipients = loaded;
	return 0;
}

int source_open(struct source *source, const struct opt_id *upload, const struct opt_id *shard,
    struct source_shard *ret_shard, const char **ret_reason)
{
	struct source_shard found;
	int err;

	err = find_template(source, upload, &found.template, ret_reason);
	if (err)
		return err;
	err = find_shard(source, upload, shard, &found.recipients, ret_reason);
	if (err)
		return err;
	if (recipients_fields(found.recipients) != template_field_count(found.template)) {
		*ret_reason = "the shard and the template in the local store don't fit together";
		return OPT_E_INVALID;
	}
	*ret_shard = found;
	return 0;
}
