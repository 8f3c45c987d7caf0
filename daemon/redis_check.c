/* SPDX-License-Identifier: MIT */
/*
 * Refuses a Redis that would acknowledge what a crash then takes away. An accepted batch is a promise, and
 * the store passes Redis's word on. With no-appendfsync-on-rewrite a Redis acknowledges unsynced while a
 * child of it rewrites the file, whatever appendfsync says.
 *
 * redis_check_durability() uses hiredis's blocking half with a time limit; nothing else runs yet when it is
 * called.
 */
#include "daemon/redis_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "queue/error.h"

const struct redis_setting redis_settings[REDIS_SETTINGS] = {
    {"appendonly", "yes"},
    {"appendfsync", "always"},
    {"no-appendfsync-on-rewrite", "no"},
    {"maxmemory-policy", "noeviction"},
};

static bool is_loading(const redisReply *reply)
{
	return strncmp(reply->str, "LOADING", 7) == 0;
}

int redis_check_reply(
    const struct redis_setting *setting, const redisReply *reply, char *message, size_t size)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		snprintf(message, size, "Redis refuses CONFIG GET %s: %s", setting->name, reply->str);
		return is_loading(reply) ? OPT_E_AGAIN : OPT_E_DENIED;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[1]->type != REDIS_REPLY_STRING) {
		snprintf(message, size, "Redis does not know the setting %s", setting->name);
		return OPT_E_DENIED;
	}
	if (strcmp(reply->element[1]->str, setting->value) == 0)
		return 0;
	snprintf(message, size,
	    "Redis has %s = %s and would lose accepted mail in a crash: set %s %s in its redis.conf and "
	    "restart it, or leave out --redis",
	    setting->name, reply->element[1]->str, setting->name, setting->value);
	return OPT_E_DENIED;
}

static int check_setting(redisContext *redis, const struct redis_setting *setting, char *message, size_t size)
{
	redisReply *reply = redisCommand(redis, "CONFIG GET %s", setting->name);
	int r;

	if (reply == NULL) {
		snprintf(message, size, "Redis does not answer: %s", redis->errstr);
		return OPT_E_IO;
	}
	r = redis_check_reply(setting, reply, message, size);
	freeReplyObject(reply);
	return r;
}

int redis_check_durability(const char *socket_path, char *message, size_t size)
{
	const struct timeval limit = {.tv_sec = 5};
	redisContext *redis = redisConnectUnixWithTimeout(socket_path, limit);
	int r = 0;

	if (redis == NULL || redis->err != 0) {
		snprintf(message, size, "no connection to Redis at %s: %s", socket_path,
		    redis != NULL ? redis->errstr : "out of memory");
		r = OPT_E_IO;
		goto fail_redis;
	}
	redisSetTimeout(redis, limit);
	for (size_t i = 0; i < REDIS_SETTINGS && r == 0; i++)
		r = check_setting(redis, &redis_settings[i], message, size);

fail_redis:
	if (redis != NULL)
		redisFree(redis);
	return r;
}
