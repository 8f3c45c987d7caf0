/* SPDX-License-Identifier: MIT */
/*
 * One redis-server process over a folder: made, or found and watched.
 */
#ifndef OPTIMUS_DAEMON_REDIS_PROCESS_H
#define OPTIMUS_DAEMON_REDIS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/* It has ended. code: its exit status, -1 when a signal ended it or when nobody can tell (an adopted one). */
typedef void redis_process_exit_fn(void *context, int64_t code, int signum);

struct redis_process {
	uv_loop_t *loop;
	const char *dir; /* borrowed */
	redis_process_exit_fn *fn;
	void *context;
	pid_t pid; /* 0: none */
	bool adopted;
	struct redis_watch *watch;
};

void redis_process_init(struct redis_process *process, uv_loop_t *loop, const char *dir,
    redis_process_exit_fn *fn, void *context);
/* Lets go of it without ending it. */
void redis_process_done(struct redis_process *process);

/*
 * Starts one with DIR/redis.conf. OPT_E_AGAIN when one is there already, or what is left of one. OPT_E_IO.
 */
int redis_process_spawn(struct redis_process *process);
/* Watches a process that somebody else has started. OPT_E_NOT_FOUND when it has ended. */
int redis_process_adopt(struct redis_process *process, pid_t pid);
void redis_process_signal(struct redis_process *process, int signum);

#endif
