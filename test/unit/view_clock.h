/* SPDX-License-Identifier: MIT */
/* A clock that the test turns, and records of nodes by number, for the tests of the view. */
#ifndef OPTIMUS_TEST_UNIT_VIEW_CLOCK_H
#define OPTIMUS_TEST_UNIT_VIEW_CLOCK_H

#include "dht/view.h"

static uint64_t now_ms;

static inline struct boot_time now(void)
{
	return (struct boot_time){now_ms * USEC_PER_MSEC};
}

static inline struct opt_id node(uint32_t number)
{
	struct opt_id id = {{0}};

	for (size_t i = 0; i < 4; i++)
		id.bytes[i] = (uint8_t)(number >> (24 - 8 * i));
	return id;
}

static inline struct presence record(uint32_t number, uint64_t incarnation, uint64_t sequence)
{
	struct presence presence = {.node = node(number),
	    .address = "192.0.2.1:4100",
	    .incarnation = incarnation,
	    .sequence = sequence,
	    .weight = WEIGHT_ONE,
	    .version = "0.1"};

	return presence;
}

#endif
