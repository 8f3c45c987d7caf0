/* SPDX-License-Identifier: MIT */
/*
 * Whether a Redis keeps what it has acknowledged.
 */
#ifndef OPTIMUS_DAEMON_REDIS_CHECK_H
#define OPTIMUS_DAEMON_REDIS_CHECK_H

#include <stddef.h>

/*
 * Asks the Redis behind a Unix socket for its configuration: appendonly yes, appendfsync always, and
 * maxmemory-policy noeviction are needed. Blocks, for a few seconds at most: for the start of the daemon.
 *
 * 0; OPT_E_DENIED when it would lose writes; OPT_E_AGAIN while it loads; OPT_E_IO when it can't be asked.
 * Unless 0, `message` says what is wrong and what to do about it.
 */
int redis_check_durability(const char *socket_path, char *message, size_t size);

#endif
