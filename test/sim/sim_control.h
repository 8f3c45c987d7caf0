/* SPDX-License-Identifier: MIT */
/*
 * The operator: pauses, resumes and cancels batches, and drains the node.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_CONTROL_H
#define OPTIMUS_TEST_SIM_SIM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/effect.h"
#include "queue/journal.h"

struct node;

/* The operator's commands about a batch, or about draining a node. */
struct commanded {
	enum control_what stands; /* by the last answer */
	bool late;                /* cancelled when the batch's time was over by some clock */
	bool waiting;             /* a command was given, and its answer is not here */
	bool unknown;             /* the daemon died with a command: it may stand or not */
	bool cancel_asked;
	bool over;                /* the batch needs no more commands: it is done or cancelled */
	const struct node *asked; /* the last one that was given a command */
	uint32_t life;            /* of its daemon, then */
};

struct world;
struct reply;
struct rng;
struct sim_batch;

/* One command, drawn. */
void sim_control_strike(struct node *node, struct rng *rng);
/* The batch was accepted: a moment after it is when a command matters most. */
void sim_control_accepted(struct node *node, struct sim_batch *batch);
/* The operator says that the dead are dead. */
void sim_control_forget(struct world *w);
void sim_control_forgotten(struct node *node, const struct reply *reply, int status);
/* Drains the node; it is stopped once it owns nothing. */
void sim_control_leave(struct node *node);
/* Everything that is paused or drains goes on, however often that has to be said. */
void sim_control_heal(struct world *w);
void sim_control_answer(struct node *node, const struct reply *reply, enum control_answer what);
/* Whether a batch or node may still be held. */
bool sim_control_waiting(const struct world *w);

#endif
