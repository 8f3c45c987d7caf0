/* SPDX-License-Identifier: MIT */
/*
 * A Postfix instance as the node's driver sees it: pickup connections that take mails, a queue that delivers
 * them once each, an outcome server that reports and blocks.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_POSTFIX_H
#define OPTIMUS_TEST_SIM_SIM_POSTFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/effect.h"
#include "queue/event.h"

struct node;
struct reply;
struct attempt;
struct pickup_item;
struct world;

enum { ENGINE_PICKUPS_MAX = 4 };

enum file_report {
	REPORT_NOTHING,
	REPORT_OUTCOME, /* blocks until the outcome is answered */
	REPORT_LEFT,    /* blocks until its end is answered */
};

/* A message in the spool. */
struct sim_file {
	struct sim_engine *engine;
	struct attempt *attempt;
	uint64_t queue_id;
	uint32_t life; /* of the Postfix it belongs to */
	enum spool_place place;
	enum file_report report;
	enum outcome_kind outcome; /* REPORT_OUTCOME */
	bool reported;             /* the delivery ended and its report began */
	bool gone;
	bool orphan; /* Postfix died, but the process that delivers this one still runs */
};

struct pickup {
	struct sim_engine *engine;
	uint32_t life;
	struct pickup_item *first, *last; /* not begun */
	struct attempt *waiting;          /* taken from the list, not begun */
	struct sim_file *writing;         /* begun, not reported */
	bool busy;
	usec last_report; /* reports keep their order */
};

struct sim_engine {
	struct node *node;
	bool alive;
	bool starting;
	bool looking; /* a look into the spool is under way: there is one at a time */
	bool look_again;
	bool ended;          /* the daemon ends, and was told what is in the spool */
	bool swept;          /* dead and every process of it too */
	uint64_t generation; /* of the spool; 0: there is none */
	uint64_t generations;
	uint32_t life;
	uint64_t queue_ids;
	struct sim_file **files;
	size_t file_count;
	size_t file_size;
	struct pickup pickups[ENGINE_PICKUPS_MAX];
	uint32_t next_pickup;
};

void engine_init(struct sim_engine *engine, struct node *node);

/* Effects. */
void engine_feed(struct sim_engine *engine, const struct effect *effect);
void engine_settle(struct sim_engine *engine);
void engine_restart(struct sim_engine *engine);
/* Deliveries under way may end; then it is down. */
void engine_stop(struct sim_engine *engine);
/* The same, because the daemon ends; what is found then is told without being asked for. */
void engine_end(struct sim_engine *engine);
void engine_remove(struct sim_engine *engine, const char *file);
/* The core's answer to a report. */
void engine_answer(struct sim_engine *engine, struct reply *reply);

/* Faults. */
void engine_die(struct sim_engine *engine);
void engine_daemon_died(struct sim_engine *engine);
void engine_power_lost(struct sim_engine *engine);
void engine_strange_report(struct sim_engine *engine);
/* The new daemon listens: what blocked is reported again. */
void engine_daemon_ready(struct sim_engine *engine);

/* What of the spool still counts against the window. */
uint32_t engine_in_flight(const struct sim_engine *engine);
bool engine_empty(const struct sim_engine *engine);

#endif
