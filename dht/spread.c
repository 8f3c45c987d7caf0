/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of the levels. A node id is a hash, so its first and last bits are random and independent.
 * Level 0 of a cluster that needs more levels holds 20 to 40 members; that it holds none has a chance of 2 in
 * a thousand million.
 */
#include "dht/spread.h"

#include <string.h>

#include "dht/seal.h"

unsigned int spread_home_level(uint32_t members)
{
	unsigned int level = 0;

	while (level < SPREAD_LEVEL_MAX && members > (uint32_t)SPREAD_PER_KEY << level)
		level++;
	return level;
}

bool spread_publishes(const struct opt_id *node, unsigned int home_level, unsigned int level)
{
	uint32_t last = (uint32_t)node->bytes[OPT_ID_SIZE - 2] << 8 | node->bytes[OPT_ID_SIZE - 1];
	uint32_t mask;

	if (level > home_level)
		return false;
	mask = (UINT32_C(1) << (home_level - level)) - 1;
	return (last & mask) == 0;
}

uint32_t spread_index(const struct opt_id *node, unsigned int level)
{
	uint32_t first = (uint32_t)node->bytes[0] << 8 | node->bytes[1];

	return first >> (16 - level);
}

struct opt_id spread_key(const struct cluster_key *key, unsigned int level, uint32_t index)
{
	uint8_t text[20] = "optimus members";

	text[15] = (uint8_t)level;
	for (int i = 0; i < 4; i++)
		text[16 + i] = (uint8_t)(index >> (8 * (3 - i)));
	return seal_key_id(key, text, sizeof(text));
}
