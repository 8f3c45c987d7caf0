/* SPDX-License-Identifier: MIT */
/*
 * What one seed is about: which faults at which rate, how large and how fast everything is, how the core is
 * configured. Drawn once, before the world begins, so that it can be printed and cut down.
 */
#ifndef OPTIMUS_TEST_SIM_PLAN_H
#define OPTIMUS_TEST_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "queue/clock.h"
#include "queue/core.h"

enum fault {
	/* At moments of their own, every[] apart on average. */
	FAULT_DAEMON,  /* optimusd dies and comes back */
	FAULT_REDIS,   /* Redis dies; the shell repeats what was not answered */
	FAULT_POWER,   /* the machine loses power: the spool is gone */
	FAULT_SLOW,    /* the disk is slow for a while */
	FAULT_POSTFIX, /* all of Postfix dies */
	FAULT_PICKUP,  /* one connection of pickup dies */
	FAULT_CLOCK,   /* UTC jumps */
	FAULT_STRANGE, /* Postfix reports attempts that nobody ever made */
	FAULT_COMMAND, /* no fault: an operator pauses, resumes, cancels or drains */
	/* Of several nodes. */
	FAULT_ZOMBIE, /* optimusd dies and stays away for a while; its Postfix goes on */
	FAULT_DEATH,  /* a node dies for good, and its store with it */
	FAULT_PAUSE,  /* optimusd is stopped for 1 to 60 seconds */
	FAULT_CUT,    /* a partition */
	FAULT_FLAP,   /* a partition that comes and goes */
	FAULT_LEAVE,  /* no fault: a node is drained, stopped, and started again */
	/* Of any number of nodes. */
	FAULT_END, /* no fault: a node is stopped in order, with mails on their way, and started again */
	/* Of several nodes. */
	FAULT_AWAY, /* Redis is away for up to ten minutes, while optimusd lives */
	FAULTS_TIMED,
	/* At occasions, with chance[] of a million. */
	FAULT_STORE_ERROR = FAULTS_TIMED, /* a write is refused */
	FAULT_LOAD_ERROR,                 /* a read fails */
	FAULT_NOT_NOW,                    /* pickup does not take a mail */
	FAULT_REFUSED,                    /* a mail can't be rendered, ever */
	FAULT_UNCERTAIN,                  /* cleanup's connection dies after the end of a message */
	FAULT_DEFER,                      /* the remote server defers */
	FAULT_BOUNCE,                     /* the remote server refuses */
	FAULT_SUSPENDED,                  /* qmgr gives a mail back untried */
	FAULT_SMTP_BEFORE,                /* smtp(8) dies before the remote server has the mail */
	FAULT_SMTP_AFTER,                 /* smtp(8) dies after it */
	FAULT_FINAL_DOT, /* the connection dies after the final dot: delivered, reported as deferred */
	FAULT_ASIDE,     /* qmgr puts a file into deferred/ or hold/ and says nothing */
	FAULT_REPEATED,  /* a report reaches the core twice */
	FAULT_LATE,      /* a report of a dead Postfix arrives late */
	FAULT_ABORT,     /* a client goes away in the middle of an upload */
	/* Of several nodes. */
	FAULT_LOSS,      /* a message between nodes is lost */
	FAULT_DUPLICATE, /* it arrives twice */
	FAULT_REORDER,   /* it arrives late, after others */
	FAULT_PRESENCE,  /* the DHT does not find a record */
	FAULT_DRIFT,     /* the clocks of a node run up to 5 % too fast or too slow */
	FAULT_JOIN,      /* no fault: a node is started some time later than the others */
	FAULTS,
};

enum { MANY_NODES = 16 /* above it a world is short */ };

const char *fault_name(enum fault fault);

struct plan {
	uint64_t seed;
	const char *mood; /* "calm", "rough", "wild" */
	usec every[FAULTS_TIMED];
	uint32_t chance[FAULTS];
	usec fault_phase;    /* faults end here and healing begins */
	bool reads_overtake; /* reads may miss writes that are not answered yet */
	uint32_t drift_ppm;  /* of the UTC clock */
	usec store_latency;
	usec feed_latency;
	usec queue_latency;
	usec remote_latency;
	usec slow_latency; /* of the slow destination */
	usec down_time;    /* how long what died stays away */
	uint32_t nodes;
	usec net_latency;
	usec dht_latency;
	uint32_t batches;
	uint32_t pickups;          /* connections to pickup */
	uint32_t repeats;          /* chance in a million that a batch is submitted again */
	struct core_config config; /* of each node, but for its names */
};

/* `nodes`: 0, as the seed says. */
void plan_draw(struct plan *plan, uint64_t seed, uint32_t nodes);
void plan_switch_off(struct plan *plan, enum fault fault);
bool plan_has(const struct plan *plan, enum fault fault);
void plan_print(const struct plan *plan, FILE *out);

#endif
