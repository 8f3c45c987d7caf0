/* SPDX-License-Identifier: MIT */
/*
 * The batch record: what was accepted, written once, at the batch's key.
 *
 *   [ version = 2, name, sender, start (us), expire (us), priority, replicas, submitter's uid, upload,
 *     content hash, template hash, created (us), expires (us), [ node, ... ], [ home, ... ],
 *     [ [count, hash, [ replica, ... ]], ... ] ]
 *
 * Homes and replicas are numbers of the list of nodes. A shard's first replica is its first owner, in epoch 1
 * and configuration 1; later ones are in the shard's journal.
 */
#ifndef OPTIMUS_QUEUE_RECORD_H
#define OPTIMUS_QUEUE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/id.h"
#include "queue/message/buffer.h"

enum {
	BATCH_SHARDS_MAX =
	    24000, /* 12 million mails; fewer where many replicas are named: record_shards_max() */
	BATCH_NODES_MAX = 4096,
	REPLICAS_MAX = 7,
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
	uint16_t replicas[REPLICAS_MAX]; /* numbers of record.nodes, the first owner first */
	uint8_t replica_count;           /* 1 or more */
};

struct batch_record {
	struct batch_settings settings;
	struct opt_id upload;
	struct opt_id content;  /* hash over settings, template and shards */
	struct opt_id template; /* hash of the template */
	struct opt_id *nodes;   /* owned */
	uint32_t node_count;
	uint16_t homes[REPLICAS_MAX]; /* numbers of nodes */
	uint8_t home_count;           /* 1 or more */
	struct utc_time created;
	struct utc_time expires;
	uint32_t shard_count;
	struct record_shard *shards; /* owned */
};

void record_encode(const struct batch_record *record, struct buffer *out);
/* Any bytes may come. On success free *ret_record's insides with record_done(). */
int record_decode(const void *data, size_t len, struct batch_record *ret_record);
void record_done(struct batch_record *record);
/* The number of the node in the record's list, added when it is new; OPT_E_LIMIT when there are too many. */
int record_node(struct batch_record *record, const struct opt_id *node, uint16_t *ret_number);

/*
 * How many shards of so many replicas a record that names so many nodes has room for, whatever their numbers,
 * so that it is not longer than `bytes`. At most BATCH_SHARDS_MAX.
 */
uint32_t record_shards_max(uint32_t replicas, uint32_t nodes, size_t bytes);

/* The hash by which a repeated submission is recognised. */
struct opt_id record_content_hash(const struct batch_settings *settings, const struct opt_id *template_hash,
    const struct record_shard *shards, uint32_t count);

#endif
