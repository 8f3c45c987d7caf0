/* SPDX-License-Identifier: MIT */
/*
 * Between store_redis.c, which keeps the queue, and store_redis_write.c and store_redis_read.c, which know
 * the commands. Nobody else includes this.
 *
 * An operation is what one call of the store asked for. It sends one or more commands from start(), gets each
 * reply in reply(), may send more from there, and has ended when no reply is due. After a lost connection it
 * begins again with start(), so start() must forget what an earlier try has left in it.
 */
#ifndef OPTIMUS_DAEMON_STORE_REDIS_OP_H
#define OPTIMUS_DAEMON_STORE_REDIS_OP_H

#include <bsd/sys/queue.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "daemon/store_redis.h"
#include "queue/message/buffer.h"

enum { KEY_SIZE = 96 };

struct redis_op;
struct redis_store;

struct redis_op_class {
	void (*start)(struct redis_op *op);
	/* Never an error or nothing: those are dealt with before. NULL: the replies say nothing. */
	void (*reply)(struct redis_op *op, const redisReply *reply);
	/* Tells who asked. Takes nothing; the operation is freed after it. */
	void (*end)(struct redis_op *op);
};

struct redis_op {
	TAILQ_ENTRY(redis_op) link;
	struct redis_store *store;
	const struct redis_op_class *class;
	/* What was asked. */
	uint64_t token;
	struct opt_id id;
	struct opt_id upload;
	struct opt_id node;
	uint64_t sequence; /* from this write on; 0: as it was */
	uint32_t shards;
	bool adds_batch; /* part of a batch that isn't accepted yet: refused when the disk is full */
	bool decides;    /* a commit: not refused once Redis may have seen it */
	char *name;
	void *data;
	size_t len;
	store_read_fn *read;
	store_claim_fn *claim;
	void *context;
	/* How far it is. */
	bool tried;     /* a connection has seen it */
	size_t waiting; /* replies that are due */
	size_t wire;    /* bytes of its commands */
	int status;     /* the first thing that went wrong */
	/* What came back, end to end. */
	struct buffer values;
	size_t *ends;
	size_t count;
	size_t size;
	size_t next; /* of a read in groups */
	const char *message;
};

/* store_redis.c */
struct redis_op *redis_op_new(struct store *store, const struct redis_op_class *class);
/* At the end of the queue. */
void redis_op_add(struct redis_op *op);
void redis_op_send(struct redis_op *op, int argc, const char **argv, const size_t *lens);
/* Keeps a copy of a string reply. */
void redis_op_keep(struct redis_op *op, const redisReply *reply);
struct span redis_op_value(const struct redis_op *op, size_t i);
void redis_op_forget(struct redis_op *op);
void redis_store_claimed(struct redis_store *store, const struct opt_id *node);
void redis_store_answer_write(struct redis_op *op);

/* "name:id" or, with upload, "name:id:upload". Returns key. */
char *redis_key(char key[KEY_SIZE], const char *name, const struct opt_id *id, const struct opt_id *upload);

/* store_redis_write.c, store_redis_read.c */
void redis_apply(struct store *store, const struct effect *effect);
void redis_read_journal(struct store *store, const struct opt_id *id, store_read_fn *fn, void *context);
void redis_read_shard(struct store *store, const struct opt_id *shard, const struct opt_id *upload,
    store_read_fn *fn, void *context);
void redis_read_template(struct store *store, const struct opt_id *upload, store_read_fn *fn, void *context);
void redis_read_batches(struct store *store, store_read_fn *fn, void *context);
void redis_read_uploads(struct store *store, store_read_fn *fn, void *context);
void redis_read_registers(struct store *store, store_read_fn *fn, void *context);

#endif
