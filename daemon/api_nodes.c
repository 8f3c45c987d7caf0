/* SPDX-License-Identifier: MIT */
/*
 * Shows the nodes as JSON: every member of the cluster, as this node sees it. It answers also while the node
 * is still reading its store, because a script that starts a node wants to see it come.
 *
 * What others do is known from their heartbeats. Of a node that is gone the number of mails that it had sent
 * is shown, and the shards that wait for it; nothing of the rest is true any more.
 */
#include "daemon/api_nodes.h"

#include <math.h>
#include <string.h>

#include "queue/error.h"

enum { PREFIX_MIN = 4 /* digits of an id that may stand for it */ };

static json_t *text_json(const char *text)
{
	json_t *value = text ? json_string(text) : NULL;

	return value ? value : json_string("");
}

static const char *postfix(const struct node *node, const struct member_view *member, bool known)
{
	if (member->self)
		return node_postfix_state(node);
	if (!known)
		return "unknown";
	return member->postfix ? "up" : "down";
}

json_t *api_node_json(const struct node *node, const struct member_view *member)
{
	bool gone = strcmp(member->state, "gone") == 0;
	bool known = member->load_known && !gone;
	double rate = member->self ? node_rate(node) : known ? member->rate : 0;
	char hex[OPT_ID_HEX];

	return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:o}", "id",
	    id_to_hex(&member->id, hex), "address", text_json(member->address), "state", member->state,
	    "weight", (json_int_t)member->weight, "owned", (json_int_t)(known || gone ? member->owned : 0),
	    "replicas", (json_int_t)(known || gone ? member->replicas : 0), "in_flight",
	    (json_int_t)(known ? member->in_flight : 0), "sent", (json_int_t)member->sent, "rate",
	    round(rate * 10) / 10, "postfix", postfix(node, member, known), "version",
	    text_json(member->version));
}

void api_nodes_list(struct api_request *request)
{
	const struct core *core = node_core(request->node);
	json_t *list = json_array();
	struct member_view member;
	struct opt_id after;

	for (int status = core_member_next(core, NULL, &member); status == 0;
	     status = core_member_next(core, &after, &member)) {
		after = member.id;
		json_array_append_new(list, api_node_json(request->node, &member));
	}
	api_answer(request, MHD_HTTP_OK, json_pack("{s:o}", "nodes", list));
}

void api_links_show(struct api_request *request)
{
	const struct links_numbers numbers = node_links(request->node);
	json_t *ended = json_object();

	for (unsigned int why = 0; why < LINK_ENDS; why++)
		json_object_set_new(
		    ended, link_end_name((enum link_end)why), json_integer((json_int_t)numbers.ended[why]));
	api_answer(request, MHD_HTTP_OK,
	    json_pack("{s:I, s:I, s:I, s:I, s:o}", "up", (json_int_t)numbers.up, "half_open",
	        (json_int_t)numbers.half_open, "accepted", (json_int_t)numbers.accepted, "dialled",
	        (json_int_t)numbers.dialled, "ended", ended));
}

static bool is_named(const struct member_view *member, const char *name)
{
	size_t len = strlen(name);
	char hex[OPT_ID_HEX];

	if (strcmp(name, "self") == 0)
		return member->self;
	if (member->address && strcmp(name, member->address) == 0)
		return true;
	return len >= PREFIX_MIN && strncmp(name, id_to_hex(&member->id, hex), len) == 0;
}

bool api_node_find(struct api_request *request, struct member_view *ret_member)
{
	const struct core *core = node_core(request->node);
	struct member_view member;
	struct opt_id after;
	unsigned found = 0;

	for (int status = core_member_next(core, NULL, &member); status == 0;
	     status = core_member_next(core, &after, &member)) {
		after = member.id;
		if (!is_named(&member, request->name))
			continue;
		*ret_member = member;
		found++;
	}
	if (found == 0)
		api_fail(request, API_NOT_FOUND, "there is no such node %s; `optimus nodes` lists them",
		    request->name);
	else if (found > 1)
		api_fail(request, API_CONFLICT, "%u nodes are called %s; give more digits of the id", found,
		    request->name);
	return found == 1;
}
