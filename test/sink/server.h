/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the sink share: one loop, one ledger, the rules, the counters, the open sessions.
 */
#ifndef OPTIMUS_SINK_SERVER_H
#define OPTIMUS_SINK_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "test/sink/attempts.h"
#include "test/sink/ledger.h"
#include "test/sink/rules.h"

struct session;
TAILQ_HEAD(session_list, session);

enum { SERVER_READ_MAX = 64 * 1024 };

struct server_stats {
	uint64_t connections; /* ever accepted */
	uint64_t refused;     /* by max-connections */
	uint64_t messages;    /* accepted and answered */
	uint64_t recipients;
	uint64_t bytes;
	uint64_t rejected; /* RCPT or content, 5xx */
	uint64_t tempfailed;
	uint64_t dropped_before;
	uint64_t dropped_after;
	uint64_t dropped_mid;
	uint64_t gone;
};

struct server {
	uv_loop_t *loop;
	struct ledger *ledger;
	struct attempts *attempts;
	struct rules *rules;  /* NULL: accept everything */
	const char *save_dir; /* NULL: do not save */
	size_t max_size;
	bool dsn;
	uint64_t sequence; /* of the last message accepted */
	size_t open;       /* sessions */
	struct session_list sessions;
	struct session_list dirty; /* with output or an end that waits for the ledger */
	struct server_stats stats;
	char read_buffer[SERVER_READ_MAX]; /* of whatever session is being read */
};

/* Stops listening, ends all sessions and the control socket; the loop then runs out. */
void server_stop(struct server *server);

#endif
