/* SPDX-License-Identifier: MIT */
/*
 * Shows the nodes as JSON: today the one that answers. It answers also while the node is still reading its
 * store, because a script that starts a node wants to see it come.
 */
#include "daemon/api_nodes.h"

#include <math.h>

static json_t *text_or_empty(const char *text)
{
	json_t *value = text ? json_string(text) : NULL;

	return value ? value : json_string("");
}

json_t *api_node_json(const struct node *node)
{
	const struct config *config = node_config(node);
	struct core_numbers numbers = core_numbers(node_core(node));
	char hex[OPT_ID_HEX];

	return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:s}", "id",
	    id_to_hex(node_id(node), hex), "address", text_or_empty(config->listen), "state",
	    numbers.draining ? "draining" : "up", "weight", (json_int_t)config->weight, "owned",
	    (json_int_t)numbers.owned, "replicas", (json_int_t)numbers.replicas, "in_flight",
	    (json_int_t)numbers.in_flight, "sent", (json_int_t)numbers.sent, "rate",
	    round(node_rate(node) * 10) / 10, "postfix", node_postfix_state(node), "version",
	    OPTIMUS_VERSION);
}

void api_nodes_list(struct api_request *request)
{
	api_answer(request, MHD_HTTP_OK, json_pack("{s:[o]}", "nodes", api_node_json(request->node)));
}
