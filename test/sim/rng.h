/* SPDX-License-Identifier: MIT */
/*
 * The simulator's own generator (xoshiro256** seeded by splitmix64), so that a seed means the same
 * everywhere.
 */
#ifndef OPTIMUS_TEST_SIM_RNG_H
#define OPTIMUS_TEST_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/id.h"

struct rng {
	uint64_t s[4];
};

/* Streams of one seed are independent: switching one source of chance off leaves the others as they were. */
void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *rng);
/* 0 .. n - 1; 0 for n = 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);
/* low .. high, both included. */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high);
bool rng_chance(struct rng *rng, uint32_t per_million);
/* Mostly 0 to twice `typical`, now and then up to twenty times that. */
usec rng_delay(struct rng *rng, usec typical);
struct opt_id rng_id(struct rng *rng);

#endif
