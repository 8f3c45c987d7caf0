/* SPDX-License-Identifier: MIT */
/*
 * What a node remembers as a home, for home.c, homesync.c and propose.c.
 */
#ifndef OPTIMUS_QUEUE_REGISTERS_H
#define OPTIMUS_QUEUE_REGISTERS_H

#include "queue/register.h"

struct registers {
	struct reg_tree tree;
	struct buffer bytes; /* of the register that is being written */
	/* As a proposer. */
	uint64_t round;  /* the highest that was used or heard of */
	uint64_t number; /* of the latest round of a proposal of ours */
	/* As one that pushes and is pushed to: homesync.c. */
	bool known;               /* this node has heard enough others to know what was decided */
	bool joined;              /* it has heard those that it was told to join */
	uint64_t mark;            /* the write of the mark that it is known; 0: none is under way */
	struct opt_id mark_for;   /* hash of the members that are in that write */
	struct opt_id marked_for; /* and of those in the durable mark */
	bool mark_stored;         /* there is a mark in the store, of these members or of others */
	uint64_t marked;          /* the write of the latest durable mark; 0: none since the start */
	struct opt_id *before;    /* members that the mark names, from before the start */
	uint32_t before_count;
	struct ring *ring; /* of all that may have decided something: homesync.c */
	bool ring_fresh;
	struct opt_id members; /* hash of those that the push is for */
	bool pushed;           /* all that is held here was pushed for them */
	bool pushing;          /* from `next` on */
	bool registers_next;   /* the records are through, the registers come */
	bool push_failed;
	bool push_all;   /* also to homes that are the same as before: the push before this one failed */
	bool push_first; /* nothing was pushed yet: `next` is unset */
	struct opt_id next;
	uint32_t push_calls;
	struct boot_time finish_looked; /* by homefinish.c */
};

#endif
