/* SPDX-License-Identifier: MIT */
/* A ring of seconds: a slot is reused when its second comes round again. */
#include "daemon/rate.h"

#include <stddef.h>

void rate_add(struct rate *rate, uint64_t second, uint64_t count)
{
	size_t slot = second % (RATE_SECONDS + 1);

	if (rate->slots[slot].second != second) {
		rate->slots[slot].second = second;
		rate->slots[slot].count = 0;
	}
	rate->slots[slot].count += count;
}

double rate_per_second(const struct rate *rate, uint64_t second)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= RATE_SECONDS; i++) {
		if (rate->slots[i].second < second && rate->slots[i].second + RATE_SECONDS >= second)
			sum += rate->slots[i].count;
	}
	return (double)sum / RATE_SECONDS;
}
