/* SPDX-License-Identifier: MIT */
/*
 * Making, starting and ending a node: for main.c, which puts the parts together.
 */
#ifndef OPTIMUS_DAEMON_NODE_START_H
#define OPTIMUS_DAEMON_NODE_START_H

#include <uv.h>

#include "daemon/node.h"

struct engine;
struct node_cluster;

/*
 * Borrows config until node_free(). `cluster` carries the effects about other nodes and may be NULL;
 * `incarnation` is that of this start, and `address` where the others reach this node, "" for nowhere.
 */
struct node *node_new(uv_loop_t *loop, const struct config *config, const struct opt_id *id,
    struct node_cluster *cluster, const char *address, uint64_t incarnation);
/* Gives it its hands: borrowed, freed by the caller after node_stop(). */
void node_attach(struct node *node, struct store *store, struct engine *engine, struct driver *driver);
/* Reads the store; what was going on goes on. fn(context) is called once every batch record is known to the
 * core. */
void node_recover(struct node *node, void (*fn)(void *context), void *context);
/* Closes its timer; the loop has to run once more before node_free(). */
void node_stop(struct node *node);
void node_free(struct node *node);

/* What store and timer call. */
void node_store_done(void *context, uint64_t token, int status);
void node_timer_fired(uv_timer_t *timer);

#endif
