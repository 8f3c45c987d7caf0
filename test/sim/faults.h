/* SPDX-License-Identifier: MIT */
/*
 * The faults that come at moments of their own. (Those that come at occasions are drawn where they strike.)
 */
#ifndef OPTIMUS_TEST_SIM_FAULTS_H
#define OPTIMUS_TEST_SIM_FAULTS_H

struct world;

void faults_start(struct world *w);
/* The world becomes kind: clocks are right, disks fast. */
void faults_heal(struct world *w);

#endif
