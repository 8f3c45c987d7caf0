/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: one per object, in an ordered set; no polling.
 *
 * There are two sets of them, one for boot time and one for UTC, since the start and the end of a batch are
 * moments in UTC, and all else is a time to wait: also a retry, whose fact has it in UTC (queue/shard.c).
 * Equal deadlines fire in the order in which they were armed, so that a seed of the simulator replays.
 */
#ifndef OPTIMUS_QUEUE_TIMER_H
#define OPTIMUS_QUEUE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/tree.h"

enum timer_kind {
	TIMER_SHARD_RETRY, /* owner: struct shard */
	TIMER_BATCH,       /* owner: struct batch; its start or its expiry */
	TIMER_BATCH_REST,  /* owner: struct batch */
	TIMER_HOP,         /* owner: struct hop */
	TIMER_FEED_HOLD,   /* owner: the core */
	TIMER_STORE_RETRY, /* owner: the core */
	TIMER_SPOOL_CHECK, /* owner: the core */
	TIMER_CLAIMS,      /* owner: struct write */
	TIMER_HEARTBEAT,   /* owner: the core */
	TIMER_CALL,        /* owner: struct call */
	TIMER_TAKEOVER,    /* owner: struct shard */
	TIMER_DOUBT,       /* owner: struct shard */
	TIMER_HOME,        /* owner: struct proposal */
	TIMER_STAGE,       /* owner: struct stage */
	TIMER_QUERY,       /* owner: struct query */
};

struct timer {
	RB_ENTRY(timer) node;
	uint64_t due; /* microseconds, boot time or UTC by the set it is in */
	uint64_t order;
	bool armed;
	enum timer_kind kind;
	void *owner; /* borrowed; disarm before it is freed */
};

RB_HEAD(timer_tree, timer);

struct timers {
	struct timer_tree tree;
	uint64_t next_order;
};

void timers_init(struct timers *timers);
void timer_init(struct timer *timer, enum timer_kind kind, void *owner);
/* Sets or moves the deadline. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t due);
void timer_disarm(struct timers *timers, struct timer *timer);
/* The earliest, or NULL. */
struct timer *timers_first(struct timers *timers);

#endif
