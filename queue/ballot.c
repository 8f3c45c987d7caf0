/* SPDX-License-Identifier: MIT */
/* See ballot.h. */
#include "queue/ballot.h"

int ballot_compare(const struct ballot *a, const struct ballot *b)
{
	if (a->round != b->round)
		return a->round < b->round ? -1 : 1;
	return id_compare(&a->node, &b->node);
}

void ballot_pack(msgpack_packer *pk, const struct ballot *ballot)
{
	msgpack_pack_array(pk, 2);
	msgpack_pack_uint64(pk, ballot->round);
	pack_id(pk, &ballot->node);
}

struct ballot ballot_read(struct cursor *c)
{
	struct ballot ballot;

	cursor_array_of(c, 2);
	ballot.round = cursor_uint(c, INT64_MAX);
	ballot.node = cursor_id(c);
	return ballot;
}
