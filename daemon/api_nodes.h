/* SPDX-License-Identifier: MIT */
/*
 * The page that shows the nodes.
 */
#ifndef OPTIMUS_DAEMON_API_NODES_H
#define OPTIMUS_DAEMON_API_NODES_H

#include "daemon/api_request.h"

void api_nodes_list(struct api_request *request);

/* NODE of docs/api.md for the node that answers, a new reference. */
json_t *api_node_json(const struct node *node);

#endif
