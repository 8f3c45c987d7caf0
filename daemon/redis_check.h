/* SPDX-License-Identifier: MIT */
/*
 * Whether a Redis keeps what it has acknowledged.
 */
#ifndef OPTIMUS_DAEMON_REDIS_CHECK_H
#define OPTIMUS_DAEMON_REDIS_CHECK_H

#include <hiredis/hiredis.h>
#include <stddef.h>

/* What has to be set, each to be asked for with CONFIG GET. */
struct redis_setting {
	const char *name;
	const char *value;
};
enum { REDIS_SETTINGS = 4 };
extern const struct redis_setting redis_settings[REDIS_SETTINGS];

/* What the answer to that question means; as redis_check_durability(). */
int redis_check_reply(
    const struct redis_setting *setting, const redisReply *reply, char *message, size_t size);

/*
 * Asks the Redis behind a Unix socket for all of them. Blocks, for a few seconds at most: for the start of
 * the daemon.
 *
 * 0; OPT_E_DENIED when it would lose writes; OPT_E_AGAIN while it loads; OPT_E_IO when it can't be asked.
 * Unless 0, `message` says what is wrong and what to do about it.
 */
int redis_check_durability(const char *socket_path, char *message, size_t size);

#endif
