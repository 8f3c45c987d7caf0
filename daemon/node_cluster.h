/* SPDX-License-Identifier: MIT */
/*
 * The node's connections with the others: links (daemon/link.h) carry what the cores say to each other, the
 * rendezvous (dht/rendezvous.h) tells who is there. Both are turned into events here, and effects about other
 * nodes into calls of theirs.
 */
#ifndef OPTIMUS_DAEMON_NODE_CLUSTER_H
#define OPTIMUS_DAEMON_NODE_CLUSTER_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/config.h"
#include "daemon/node.h"
#include "dht/identity.h"

struct node_cluster;

/*
 * Listens on config->listen, TCP and UDP. Borrows config. On failure OPT_E_IO or OPT_E_INVALID with the
 * reason in `error`; *ret_cluster is there to be closed all the same.
 */
int node_cluster_new(uv_loop_t *loop, const struct config *config, const struct identity *identity,
    const struct cluster_key *key, struct node_cluster **ret_cluster, char *error, size_t size);
/* Who gets the events. Before the loop runs. */
void node_cluster_attach(struct node_cluster *cluster, struct node *node);
/* Where others reach this node: HOST:PORT with the port that was really bound. */
const char *node_cluster_address(const struct node_cluster *cluster);
/* Whether this node was told of other members, now or in an earlier life. */
bool node_cluster_has_company(const struct node_cluster *cluster);
/* For core_config.joins: there are nodes to join. */
bool node_cluster_joins(const struct node_cluster *cluster);
/* The core has its records: dial config->bootstrap and the members of before. */
void node_cluster_begin(struct node_cluster *cluster);
/* Carries out an effect about other nodes. */
struct links_numbers node_cluster_links(const struct node_cluster *cluster);
void node_cluster_effect(struct node_cluster *cluster, const struct effect *effect);
/* Says goodbye to the others and closes all; fn(context) at the end, within 4 s. Frees the cluster. */
void node_cluster_close(struct node_cluster *cluster, void (*fn)(void *context), void *context);

#endif
