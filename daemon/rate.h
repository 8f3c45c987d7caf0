/* SPDX-License-Identifier: MIT */
/*
 * How many a second, over the last ten full seconds.
 */
#ifndef OPTIMUS_DAEMON_RATE_H
#define OPTIMUS_DAEMON_RATE_H

#include <stdint.h>

enum { RATE_SECONDS = 10 };

/* All zero to start with. */
struct rate {
	struct {
		uint64_t second;
		uint64_t count;
	} slots[RATE_SECONDS + 1];
};

/* `second`: of a clock that never goes back. */
void rate_add(struct rate *rate, uint64_t second, uint64_t count);
double rate_per_second(const struct rate *rate, uint64_t second);

#endif
