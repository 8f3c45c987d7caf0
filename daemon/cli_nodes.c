/* SPDX-License-Identifier: MIT */
/*
 * optimus nodes: the cluster's members as one node sees them, in a table or as the API gave them.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_say.h"
#include "daemon/cli_status.h"
#include "daemon/cli_table.h"
#include "daemon/cli_time.h"

enum { SHORT_ID = 12 };

static const char *member(const json_t *node, const char *name)
{
	const char *value = json_string_value(json_object_get(node, name));

	return value != NULL && value[0] != '\0' ? value : "-";
}

/* `postfix` may be a text or true and false. */
static const char *postfix(const json_t *node)
{
	const json_t *value = json_object_get(node, "postfix");

	if (json_is_boolean(value))
		return json_is_true(value) ? "up" : "down";
	return member(node, "postfix");
}

static void add_number(struct table *table, const json_t *node, const char *name)
{
	const json_t *value = json_object_get(node, name);

	if (json_is_real(value))
		table_addf(table, "%.4g", json_real_value(value));
	else
		table_addf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

static void add_node(struct table *table, const json_t *node)
{
	char rate[CLI_TIME_TEXT];

	/* Twelve digits of 160 bits tell 2,000 nodes apart; --json has them all. */
	table_addf(table, "%.*s", (int)SHORT_ID, member(node, "id"));
	table_add(table, member(node, "address"));
	table_add(table, member(node, "state"));
	add_number(table, node, "weight");
	add_number(table, node, "owned");
	add_number(table, node, "replicas");
	add_number(table, node, "in_flight");
	add_number(table, node, "sent");
	table_add(table, cli_rate_format(json_number_value(json_object_get(node, "rate")), rate));
	table_add(table, postfix(node));
	table_add(table, member(node, "version"));
}

void nodes_draw(FILE *out, const json_t *nodes, bool bold)
{
	static const char *const heads[] = {"NODE", "ADDRESS", "STATE", ">WEIGHT", ">OWNED", ">REPLICAS",
	    ">IN FLIGHT", ">SENT", ">RATE", "POSTFIX", "VERSION"};
	struct table *table = table_new(heads, sizeof heads / sizeof heads[0]);
	json_t *node;
	size_t i;

	json_array_foreach (nodes, i, node) {
		add_node(table, node);
	}
	table_print(table, out, bold);
	table_free(table);
}

int nodes_run(struct client *client, bool json)
{
	struct client_answer answer = {0};
	int rc = client_call_patiently(client, "GET", "/v1/nodes", NULL, 0, &answer);

	if (rc == CLI_OK && !json_is_array(json_object_get(answer.json, "nodes"))) {
		snprintf(answer.error, sizeof answer.error, "the node's answer holds no nodes");
		rc = CLI_PROTOCOL;
	}
	if (rc != CLI_OK) {
		say("%s", answer.error);
	} else if (json) {
		json_dumpf(answer.json, stdout, JSON_COMPACT);
		putchar('\n');
		rc = say_flush(NULL);
	} else {
		nodes_draw(stdout, json_object_get(answer.json, "nodes"), say_colour(stdout));
		rc = say_flush(NULL);
	}
	client_answer_done(&answer);
	return rc;
}
