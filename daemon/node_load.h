/* SPDX-License-Identifier: MIT */
/*
 * What the core asks to see of the store: journals, and the domains of a shard's recipients.
 */
#ifndef OPTIMUS_DAEMON_NODE_LOAD_H
#define OPTIMUS_DAEMON_NODE_LOAD_H

#include "daemon/node.h"

/* EFFECT_LOAD_JOURNAL; ends with EVENT_JOURNAL_LOADED. */
void node_load_journal(struct node *node, const struct opt_id *id, uint64_t token);
/* EFFECT_LOAD_VALUE: EVENT_VALUE_LOADED. */
void node_load_value(struct node *node, const struct effect *effect);
/* EFFECT_LOAD_SHARD; ends with EVENT_SHARD_LOADED. */
void node_load_shard(struct node *node, const struct effect *effect);

#endif
