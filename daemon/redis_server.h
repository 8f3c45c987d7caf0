/* SPDX-License-Identifier: MIT */
/*
 * The node's private redis-server: started, watched, restarted, adopted.
 *
 * It may outlive the daemon (kill -9): the next daemon then finds it and goes on with it. There is never more
 * than one over the same folder.
 */
#ifndef OPTIMUS_DAEMON_REDIS_SERVER_H
#define OPTIMUS_DAEMON_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

enum redis_server_state {
	REDIS_SERVER_DOWN,    /* being started, loading, or waiting for room on the disk */
	REDIS_SERVER_UP,      /* answers */
	REDIS_SERVER_STOPPED, /* after redis_server_stop(): it has ended */
};

/*
 * At every change of either. full: the disk was full, and the ballast is not back yet: accept nothing new.
 * Never called from inside a call of this module.
 */
typedef void redis_server_state_fn(void *context, enum redis_server_state state, bool full);

struct redis_server;

/*
 * Starts one over `dir`, which must exist and be private; its socket is redis_server_socket(). `ballast`
 * bytes are set aside in DIR/ballast (0: none). OPT_E_INVALID when the path is too long for a Unix socket,
 * OPT_E_IO when its files can't be written, OPT_E_FULL when there is no room for them.
 */
int redis_server_new(uv_loop_t *loop, const char *dir, uint64_t ballast, redis_server_state_fn *fn,
    void *context, struct redis_server **ret_server);
const char *redis_server_socket(const struct redis_server *server);
/* 0 while there is none, or it isn't known yet. */
pid_t redis_server_pid(const struct redis_server *server);
/* Ends it in an orderly way: SIGTERM, SIGKILL after 10 s. REDIS_SERVER_STOPPED is told when it is gone. */
void redis_server_stop(struct redis_server *server);
/* Lets go of it without ending it. Not from inside a call back; the loop must run once more. Takes NULL. */
void redis_server_free(struct redis_server *server);

#endif
