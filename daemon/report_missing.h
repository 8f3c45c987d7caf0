/* SPDX-License-Identifier: MIT */
/*
 * The shards that a report lacks, in words: "shards 3, 7-9 of 40 (2000 mails) are on no node that answers".
 */
#ifndef OPTIMUS_DAEMON_REPORT_MISSING_H
#define OPTIMUS_DAEMON_REPORT_MISSING_H

#include <stdint.h>

#include "queue/message/buffer.h"

/* The trailer of a report that is not complete. */
#define REPORT_MISSING_TRAILER "Optimus-Missing"

struct report_missing {
	uint32_t count;
	uint32_t ranges;
	uint32_t first, last; /* the range that is open */
	struct buffer list;   /* those before it */
	struct buffer text;
};

void report_missing_init(struct report_missing *missing);
void report_missing_done(struct report_missing *missing);

/* In ascending order; `shard` counts from 0, people from 1. */
void report_missing_add(struct report_missing *missing, uint32_t shard);
/* The words; `mails` are in the missing shards. Borrowed, until the next call. */
const char *report_missing_text(struct report_missing *missing, uint32_t shards, uint64_t mails);

#endif
