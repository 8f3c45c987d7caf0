/* SPDX-License-Identifier: MIT */
/*
 * One node: the shell around a core, with its store and its Postfix. It carries effects out and turns what
 * happens into events; it dies and comes back.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_NODE_H
#define OPTIMUS_TEST_SIM_SIM_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/core.h"
#include "test/sim/sim_control.h"
#include "test/sim/sim_postfix.h"
#include "test/sim/sim_store.h"

struct world;
typedef void world_fn(struct world *w, void *context);
struct sim_link;
struct sim_client;
struct attempt;

enum reply_kind {
	REPLY_OUTCOME,
	REPLY_LEFT,
	REPLY_UPLOAD,
	REPLY_CONTROL,
	REPLY_QUERY,
	REPLY_FETCH,
	REPLY_FORGET,
};

/* Somebody who waits for the core's answer. */
struct reply {
	uint64_t number;
	enum reply_kind kind;
	uint32_t life;
	bool answered;
	struct sim_file *file;     /* may be NULL: nobody waits any more, an answer is due all the same */
	struct attempt *attempt;   /* REPLY_OUTCOME; NULL when nobody made it */
	enum outcome_kind outcome; /* REPLY_OUTCOME */
	struct sim_client *client; /* REPLY_UPLOAD */
	uint64_t serial;           /* REPLY_UPLOAD: of the client's connection */
	struct sim_batch *batch;   /* REPLY_CONTROL; NULL: about draining */
	enum control_what what;    /* REPLY_CONTROL */
	struct node *about;        /* REPLY_FORGET */
	struct sim_shard *shard;   /* REPLY_FETCH */
	uint32_t tries;            /* REPLY_QUERY, REPLY_FETCH */
};

struct node {
	struct world *world;
	uint32_t index;
	char *name; /* "n1" */
	struct opt_id id;
	struct core_config config;
	struct core *core; /* NULL: the daemon is down */
	struct effects effects;
	uint32_t life;           /* of the daemon: raised when it dies */
	bool ready;              /* RECOVER_DONE was stepped: reports may come */
	usec booted;             /* when the machine booted, in the world's time */
	int64_t jumped;          /* of UTC */
	struct utc_time utc_max; /* the latest that this life of the daemon has seen */
	usec utc_ahead;          /* of boot time: the most in this life */
	usec stepped;            /* when its core was stepped last */
	uint64_t timer;          /* the serial of the latest EFFECT_TIMER */
	struct boot_time deadline;
	struct sim_store store;
	struct sim_engine engine;
	struct reply **replies;
	size_t reply_count;
	size_t reply_size;
	struct commanded drain;
	/* Of a cluster. */
	bool machine_up;
	bool dead;         /* for good, and its store is lost */
	bool forget;       /* the operator wants it forgotten */
	usec forget_until; /* and looks whether it is, until then */
	bool leaving;      /* drained, and stopped once it owns nothing */
	bool ending;       /* told to end: Postfix is stopped first */
	usec end_by;       /* it waits no longer then for what is still to be stored */
	usec asleep_until; /* the daemon is stopped, by SIGSTOP */
	int64_t rate_ppm;  /* how much too fast its clocks run */
	struct sim_link **links;
	size_t link_count, link_size;
	struct presence *published, *published_before; /* NULL: nothing yet */
	bool was_recovered;                            /* the full check at the end of recovery was made */
	struct attempt *
	    *exposed; /* answered in `exposed_life`, and no majority has known of them: check_exposed.c */
	size_t exposed_count, exposed_size;
	uint32_t exposed_life;
};

void node_init(struct node *node, struct world *w, uint32_t index);
void node_done(struct node *node);
/* Starts the daemon for the first time, some time from now. */
void node_begin(struct node *node);
/* The daemon dies; with `power` the whole machine. It comes back by itself. */
void node_crash(struct node *node, bool power);
/* SIGTERM: feeds nothing more, stops Postfix, stores what that reports, takes its leave. It comes back. */
void node_end(struct node *node);
/* The daemon dies and comes back after `away`. */
void node_crash_for(struct node *node, usec away);
/* The machine is gone, with all that it had. */
void node_die(struct node *node);
/*
 * True when the daemon is stopped: then `fn` is called again when it goes on. To be asked by everything that
 * would step the core.
 */
bool node_asleep(struct node *node, world_fn *fn, void *context);
void node_sleep(struct node *node, usec how_long);
/* Steps the core with the event; fills in the times. The daemon must be up. */
void node_step(struct node *node, struct event *event);
struct reply *node_reply(struct node *node, enum reply_kind kind);
struct boot_time node_boot_time(const struct node *node);
struct utc_time node_utc(const struct node *node);
/*
 * The daemon knows another member, or is the first node and alone. Before that a daemon that was told of
 * others
 * (--bootstrap) takes no batches: it can't know who else has taken one of that name.
 */
bool node_joined(const struct node *node);
/* The daemon runs, has recovered, and its Postfix is up. */
bool node_settled(const struct node *node);

#endif
