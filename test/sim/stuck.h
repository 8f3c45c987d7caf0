/* SPDX-License-Identifier: MIT */
/* What the nodes of a world that stands still know of what is not over, as lines of the trace. */
#ifndef OPTIMUS_TEST_SIM_STUCK_H
#define OPTIMUS_TEST_SIM_STUCK_H

struct world;

void stuck_trace(struct world *w);

#endif
