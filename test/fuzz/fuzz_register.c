/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a register that a home keeps. What is read holds every limit, is written and read
 * again as the same, and merging it into another one, twice, changes nothing the second time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/register.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_round_trip(const struct reg *reg)
{
	struct buffer one, two;
	struct reg again;

	buffer_init(&one);
	buffer_init(&two);
	register_encode(reg, &one);
	if (register_decode(one.data, one.len, &again) != 0)
		abort();
	register_encode(&again, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	register_done(&again);
	buffer_done(&one);
	buffer_done(&two);
}

static void check_merge(const struct reg *reg)
{
	struct buffer one, two;
	struct reg into = {.len = 0};

	buffer_init(&one);
	buffer_init(&two);
	register_merge(&into, reg);
	register_encode(&into, &one);
	register_merge(&into, reg);
	register_encode(&into, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	for (uint32_t i = 0; i < reg->aborted_count; i++) {
		if (!register_has_aborted(&into, &reg->aborted[i]))
			abort();
	}
	register_done(&into);
	buffer_done(&one);
	buffer_done(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reg reg;

	if (register_decode(data, len, &reg) != 0)
		return 0;
	if (reg.len > PEER_MESSAGE_MAX || reg.aborted_count > REGISTER_ABORTED_MAX)
		abort();
	check_round_trip(&reg);
	check_merge(&reg);
	register_done(&reg);
	return 0;
}
