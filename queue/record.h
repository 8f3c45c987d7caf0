/* SPDX-License-Identifier: MIT */
/*
 * The batch record: what was accepted, written once, at the batch's key.
 *
 *   [ version = 1, name, upload, content hash, sender, start (us), expires (us), created (us), priority,
 *     replicas, submitter's uid, template hash, [ node, ... ], [ [count, hash], ... ] ]
 *
 * The list of nodes holds the replicas of the shards; with one replica it is this node alone.
 */
#ifndef OPTIMUS_QUEUE_RECORD_H
#define OPTIMUS_QUEUE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/id.h"
#include "queue/message/buffer.h"

enum {
	BATCH_SHARDS_MAX = 40000, /* 20 million mails */
	BATCH_SENDER_MAX = 512,
	PRIORITY_MIN = -100,
	PRIORITY_MAX = 100,
};

/* What the submitter chose. Part of the content hash, so that a repeat is recognised. */
struct batch_settings {
	char name[BATCH_NAME_MAX + 1];
	char sender[BATCH_SENDER_MAX + 1]; /* envelope sender, maybe with {{verp}} */
	struct utc_time start;             /* 0: at once */
	usec expire;                       /* from start (or acceptance) until undelivered mail expires */
	int32_t priority;
	uint32_t replicas;
	uint32_t uid; /* of the submitter; not part of the hash */
};

struct record_shard {
	uint32_t count;
	struct opt_id hash;
};

struct batch_record {
	struct batch_settings settings;
	struct opt_id upload;
	struct opt_id content;  /* hash over settings, template and shards */
	struct opt_id template; /* hash of the template */
	struct opt_id node;     /* the one replica */
	struct utc_time created;
	struct utc_time expires;
	uint32_t shard_count;
	struct record_shard *shards; /* owned */
};

void record_encode(const struct batch_record *record, struct buffer *out);
/* Any bytes may come. On success free *ret_record's insides with record_done(). */
int record_decode(const void *data, size_t len, struct batch_record *ret_record);
void record_done(struct batch_record *record);

/* The hash by which a repeated submission is recognised. */
struct opt_id record_content_hash(const struct batch_settings *settings, const struct opt_id *template_hash,
    const struct record_shard *shards, uint32_t count);

#endif
