/* SPDX-License-Identifier: MIT */
/*
 * What clients submit: sizes, domains, settings, and a second version of it under the same name.
 */
#ifndef OPTIMUS_TEST_SIM_SUBMISSION_H
#define OPTIMUS_TEST_SIM_SUBMISSION_H

struct world;
struct sim_batch;

void submission_draw(struct world *w, struct sim_batch *batch);

#endif
