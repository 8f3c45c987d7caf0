/* SPDX-License-Identifier: MIT */
/*
 * Ballots: the numbers of proposals for the register of a batch (queue/home.h). The higher round counts, and
 * of two nodes in one round the one with the higher id, so that no two proposals have the same number.
 *
 *   [round, node]
 */
#ifndef OPTIMUS_QUEUE_BALLOT_H
#define OPTIMUS_QUEUE_BALLOT_H

#include <stdint.h>

#include "queue/cursor.h"
#include "queue/id.h"

/* Round 0: none. */
struct ballot {
	uint64_t round;
	struct opt_id node;
};

/* Below 0, 0 or above, as for memcmp(). */
int ballot_compare(const struct ballot *a, const struct ballot *b);
void ballot_pack(msgpack_packer *pk, const struct ballot *ballot);
struct ballot ballot_read(struct cursor *c);

#endif
