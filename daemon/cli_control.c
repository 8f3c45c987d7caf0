/* SPDX-License-Identifier: MIT */
/*
 * Commands about batches and nodes. Each is one request, which may be repeated, so it is while the node says
 * "again". Nothing goes to standard output; what was reached is said on standard error.
 */
#include "daemon/cli_control.h"

#include <string.h>

#include "daemon/cli_say.h"

enum { NODE_ID_SHORT = 4, NODE_ID_LEN = 40, ADDRESS_LEN = 128, PATH_LEN = 512 };

bool control_node_valid(const char *text)
{
	static const char address[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_[]%";
	size_t len = strlen(text);

	if (strcmp(text, "self") == 0)
		return true;
	if (strchr(text, ':') != NULL)
		return len <= ADDRESS_LEN && strspn(text, address) == len;
	return len >= NODE_ID_SHORT && len <= NODE_ID_LEN && strspn(text, "0123456789abcdef") == len;
}

/* A name as a part of a URL's path. Brackets and percent signs stand in addresses of IPv6. */
static void escape(const char *name, char *out)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *name != '\0'; name++) {
		if (strchr("[]%", *name) == NULL) {
			*out++ = *name;
			continue;
		}
		*out++ = '%';
		*out++ = hex[(unsigned char)*name >> 4];
		*out++ = hex[*name & 15];
	}
	*out = '\0';
}

static const char *state_of(const json_t *json, char *copy, size_t size)
{
	const char *state = json_string_value(json_object_get(json, "state"));

	return state != NULL ? say_clean(state, copy, size) : NULL;
}

static int post(
    struct client *client, const char *kind, const char *name, const char *verb, struct client_answer *answer)
{
	char path[PATH_LEN], escaped[3 * ADDRESS_LEN + 1];
	int rc;

	escape(name, escaped);
	snprintf(path, sizeof path, "/v1/%s/%s/%s", kind, escaped, verb);
	rc = client_call_patiently(client, "POST", path, "", 0, answer);
	if (rc == CLI_CONFLICT)
		rc = CLI_DATA; /* nothing is in the way of another id here: the batch is over */
	if (rc == CLI_OK && !json_is_string(json_object_get(answer->json, "state"))) {
		snprintf(answer->error, sizeof answer->error, "the node's answer holds no state");
		rc = CLI_PROTOCOL;
	}
	if (rc != CLI_OK)
		say("%s", answer->error);
	return rc;
}

int control_batch_run(struct client *client, const char *verb, const char *batch)
{
	struct client_answer answer = {0};
	int rc = post(client, "batches", batch, verb, &answer);
	json_int_t left;
	char copy[64];

	if (rc == CLI_OK) {
		left = json_integer_value(json_object_get(answer.json, "claimed"));
		if (left > 0 && strcmp(verb, "resume") != 0)
			say_plain("%s is %s; %" JSON_INTEGER_FORMAT " of its mails are in Postfix and go on",
			    batch, state_of(answer.json, copy, sizeof copy), left);
		else
			say_plain("%s is %s", batch, state_of(answer.json, copy, sizeof copy));
	}
	client_answer_done(&answer);
	return rc;
}

int control_node_run(struct client *client, const char *verb, const char *node)
{
	struct client_answer answer = {0};
	const char *name = node != NULL ? node : "self";
	int rc = post(client, "nodes", name, verb, &answer);
	char copy[64];

	if (rc == CLI_OK)
		say_plain("%s is %s", node != NULL ? node : "the node",
		    strcmp(verb, "forget") == 0 ? "forgotten" : state_of(answer.json, copy, sizeof copy));
	client_answer_done(&answer);
	return rc;
}
