/* SPDX-License-Identifier: MIT */
/*
 * What the core knows of a shard that is not over, in a line: for the simulator and the tests, when
 * something stands still and nobody knows why.
 *
 *   53e9bd7f of b2: closed, epoch 3 of n2, promised 4 to n1, config 64: n1 n2 n3-, mine, synced; takeover in
 * 1s
 *
 * Members that are behind have a '-', those that are gone a '!'.
 */
#ifndef OPTIMUS_QUEUE_DESCRIBE_H
#define OPTIMUS_QUEUE_DESCRIBE_H

#include "queue/core.h"

enum { DESCRIBE_MAX = 512 };

/* A short name of a node. The text is used at once. */
typedef const char *describe_name_fn(void *context, const struct opt_id *node);

/*
 * Shards of which this node is a member and that are not finished, or with members behind, in the order of
 * their ids: `after` is NULL for the first one. OPT_E_NOT_FOUND at the end.
 */
int describe_open_shard(const struct core *core, const struct opt_id *after, describe_name_fn *name,
    void *context, struct opt_id *ret_id, char ret_text[DESCRIBE_MAX]);
/* Whether a member that is alive is being told of facts, or is known to lack some. */
bool describe_spreading(const struct core *core);

#endif
