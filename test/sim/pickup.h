/* SPDX-License-Identifier: MIT */
/*
 * The way into Postfix: connections to pickup, each of which takes one mail after the other to cleanup.
 */
#ifndef OPTIMUS_TEST_SIM_PICKUP_H
#define OPTIMUS_TEST_SIM_PICKUP_H

#include "test/sim/sim_postfix.h"

void pickup_feed(struct pickup *pickup, struct attempt *attempt);
/*
 * The connection is lost. With `tell` the shell reports it: NOT_NOW for what had not begun, UNCERTAIN for
 * what had; without, the daemon itself is dead. With `dead` nothing that is half written can be finished
 * later.
 */
void pickup_break(struct pickup *pickup, bool tell, bool dead);
/*
 * The shell closes it while Postfix lives on, and what has begun may still get in and go out. It has read all
 * BEGUNs by then, or calls everything uncertain.
 */
void pickup_let_go(struct pickup *pickup);
/* Mails that wait in the connection. */
uint32_t pickup_waiting(const struct pickup *pickup);
/* When the last report of all connections will have arrived. */
usec pickup_last_report(const struct sim_engine *engine);

#endif
