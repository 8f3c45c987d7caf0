/* SPDX-License-Identifier: MIT */
/*
 * For tests around the store: a fresh folder, a loop with a limit of time, a store with its answers.
 */
#ifndef OPTIMUS_TEST_STORE_FIXTURE_H
#define OPTIMUS_TEST_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/redis_server.h"
#include "daemon/store.h"
#include "queue/message/buffer.h"

enum { FIXTURE_LIMIT_MS = 30000, FIXTURE_TOKENS = 20000 };

struct fixture {
	uv_loop_t loop;
	char dir[64];
	bool mounted;                /* something to unmount at the end */
	struct redis_server *server; /* NULL: the store is in memory, or Redis is the test's own business */
	enum redis_server_state state;
	bool full;
	unsigned int ups;
	struct store *store;
	/* Of writes, by token. */
	uint8_t answers[FIXTURE_TOKENS];
	int statuses[FIXTURE_TOKENS];
	size_t answered;
	/* Of the last read. */
	bool read;
	int read_status;
	struct buffer values;
	size_t lens[FIXTURE_TOKENS];
	size_t count;
};

/* A new folder under TMPDIR; ends the test on failure. */
void fixture_init(struct fixture *fixture);
/* The server alone, without a store. */
void fixture_start_server(struct fixture *fixture, uint64_t ballast);
void fixture_start_memory(struct fixture *fixture);
/* Starts a Redis of its own in the folder, waits until it is up, and connects a store to it. */
void fixture_start_redis(struct fixture *fixture, uint64_t ballast);
/* Ends the server and the store, and removes the folder. */
void fixture_done(struct fixture *fixture);

/* Runs the loop until `condition` holds; fails the test after FIXTURE_LIMIT_MS. */
void fixture_until(struct fixture *fixture, bool (*condition)(struct fixture *fixture));
bool fixture_is_up(struct fixture *fixture);
bool fixture_has_read(struct fixture *fixture);
void fixture_until_answered(struct fixture *fixture, size_t count);

void fixture_write(struct fixture *fixture, const struct effect *effect);
/* Writes and waits for the status. */
int fixture_write_now(struct fixture *fixture, struct effect effect);
void fixture_read_fn(void *context, int status, const struct span *values, size_t count);
/* The i-th value of the last read. */
struct span fixture_value(const struct fixture *fixture, size_t i);
/* Reads, and waits for the end: the status, or the number of values. Ids are store_id()s. */
int fixture_read_shard(struct fixture *fixture, uint8_t batch, uint32_t index, uint8_t upload);
size_t fixture_read_batches(struct fixture *fixture);
int fixture_read_journal(struct fixture *fixture, const struct opt_id *id);

#endif
