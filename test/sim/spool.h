/* SPDX-License-Identifier: MIT */
/*
 * The spool of the simulated Postfix: files, their way through the queue, their one delivery.
 */
#ifndef OPTIMUS_TEST_SIM_SPOOL_H
#define OPTIMUS_TEST_SIM_SPOOL_H

#include "test/sim/sim_postfix.h"

/* A file that cleanup has begun to write. */
struct sim_file *spool_create(struct sim_engine *engine, struct attempt *attempt);
/* It is complete and lies in incoming/; the queue manager takes it from here. */
void spool_arrive(struct sim_file *file);
/* It is no more. */
void spool_vanish(struct sim_file *file);
/* Every file is gone. */
void spool_empty(struct sim_engine *engine);
/* Postfix died: which deliveries go on without it, which attempts nobody will hear of. */
void spool_orphan(struct sim_engine *engine);
/* Every process is dead now: nothing moves any more. */
void spool_freeze(struct sim_engine *engine);
/* Writes "active/1F" into name. */
void spool_name(const struct sim_file *file, char name[32]);

#endif
