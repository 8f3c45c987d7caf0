/* SPDX-License-Identifier: MIT */
/*
 * The outcome server: reports of deliveries, blocked until the core answers, repeated when the daemon died.
 */
#ifndef OPTIMUS_TEST_SIM_REPORT_H
#define OPTIMUS_TEST_SIM_REPORT_H

#include "test/sim/sim_postfix.h"

/* The delivery ended as file->report and file->outcome say. */
void report_begin(struct sim_file *file);
/* Postfix is dead but the process that delivered is not: its report may come late, or never. */
void report_late(struct sim_file *file);
/* Everything that is blocked is reported to the new daemon. */
void report_again(struct sim_engine *engine);

#endif
