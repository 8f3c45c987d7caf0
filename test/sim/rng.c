/* SPDX-License-Identifier: MIT */
/*
 * Chance for the simulator: integers only, so that no compiler's floating point changes a seed.
 */
#include "test/sim/rng.h"

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t state = seed * UINT64_C(0xd1342543de82ef95) + stream * UINT64_C(0xaf251af3b0f025b5) + 1;

	for (int i = 0; i < 4; i++)
		rng->s[i] = splitmix(&state);
}

static uint64_t rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return n == 0 ? 0 : rng_next(rng) % n;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
	return low + rng_below(rng, high - low + 1);
}

bool rng_chance(struct rng *rng, uint32_t per_million)
{
	return per_million > 0 && rng_below(rng, 1000000) < per_million;
}

usec rng_delay(struct rng *rng, usec typical)
{
	usec base = rng_below(rng, 2 * typical + 1);

	return rng_chance(rng, 20000) ? base * rng_below(rng, 20) : base;
}

struct opt_id rng_id(struct rng *rng)
{
	struct opt_id id;

	for (int i = 0; i < OPT_ID_SIZE; i++)
		id.bytes[i] = (uint8_t)(rng_next(rng) >> 32);
	return id;
}
