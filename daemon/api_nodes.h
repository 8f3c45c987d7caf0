/* SPDX-License-Identifier: MIT */
/*
 * The pages that show the nodes, and this node's links to the others.
 */
#ifndef OPTIMUS_DAEMON_API_NODES_H
#define OPTIMUS_DAEMON_API_NODES_H

#include "daemon/api_request.h"

void api_nodes_list(struct api_request *request);
/* Connections to the other nodes, and why those that are no more ended. */
void api_links_show(struct api_request *request);

/* NODE of docs/api.md, a new reference. */
json_t *api_node_json(const struct node *node, const struct member_view *member);

/*
 * The member that the path names: "self", its address, or enough of its id. False when the answer was given:
 * there is none, or more than one. The view is valid until the node's next event.
 */
bool api_node_find(struct api_request *request, struct member_view *ret_member);

#endif
