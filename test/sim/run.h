/* SPDX-License-Identifier: MIT */
/*
 * Running one seed, with what the command line changes about it.
 */
#ifndef OPTIMUS_TEST_SIM_RUN_H
#define OPTIMUS_TEST_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "test/sim/arena.h"
#include "test/sim/plan.h"

struct journal_reader;

struct run_options {
	uint32_t broken_rule;
	uint64_t off;         /* 1 << fault: switched off */
	uint32_t batches_max; /* 0: as the plan says */
	uint32_t nodes;       /* 0: as the plan says */
	FILE *live;           /* prints the trace as it comes */
	FILE *report;         /* prints failures, with the end of the trace */
};

struct run_result {
	bool good;
	uint64_t hash;
	uint64_t steps;
	uint64_t mails;
	char failure[400];
};

struct runner {
	struct arena arena;
	struct journal_reader *reader;
};

void runner_init(struct runner *runner);
void runner_done(struct runner *runner);
struct run_result run_seed(struct runner *runner, uint64_t seed, const struct run_options *options);
/*
 * A seed that fails: switches off what it can do without and still fails in the same way. Prints what is left
 * and the end of that trace.
 */
void run_shrink(struct runner *runner, uint64_t seed, const struct run_options *options);

#endif
