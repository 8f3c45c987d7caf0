/* SPDX-License-Identifier: MIT */
/*
 * What the core asks to see of the store: journals, and the domains of a shard's recipients.
 */
#ifndef OPTIMUS_DAEMON_NODE_LOAD_H
#define OPTIMUS_DAEMON_NODE_LOAD_H

#include "daemon/node.h"

/* EFFECT_LOAD_JOURNAL; ends with EVENT_JOURNAL_LOADED. */
void node_load_journal(struct node *node, const struct opt_id *id);
/* EFFECT_LOAD_SHARD; ends with EVENT_SHARD_LOADED. */
void node_load_shard(struct node *node, const struct opt_id *shard, const struct opt_id *upload);

#endif
