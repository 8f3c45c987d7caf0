/* SPDX-License-Identifier: MIT */
/*
 * hiredis on a libuv loop.
 */
#ifndef OPTIMUS_DAEMON_REDIS_LOOP_H
#define OPTIMUS_DAEMON_REDIS_LOOP_H

#include <hiredis/async.h>
#include <uv.h>

/*
 * Connects to a Unix socket, driven by the loop. OPT_E_IO when it can't be reached right now; nothing is left
 * behind then. The connection ends with redisAsyncFree() or by itself.
 */
int redis_loop_connect(uv_loop_t *loop, const char *socket_path, redisAsyncContext **ret_connection);

#endif
