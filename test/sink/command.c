/* SPDX-License-Identifier: MIT */
/*
 * Parses paths and parameters of SMTP commands, as generously as a server on the Internet has to: a quoted
 * local part may hold blanks and angle brackets, bytes above 127 pass. It does not judge addresses.
 */
#include "test/sink/command.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "queue/error.h"

int command_parse_path(const char *text, struct command_path *ret_path)
{
	while (*text == ' ')
		text++;
	if (*text++ != '<')
		return OPT_E_INVALID;
	if (*text == '@') {
		/* A source route: obsolete, to be accepted and ignored. */
		text = strchr(text, ':');
		if (text == NULL)
			return OPT_E_INVALID;
		text++;
	}
	bool quoted = false;
	const char *p = text;
	for (; *p != '\0' && (quoted || *p != '>'); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && p[1] != '\0')
			p++;
		else if (*p == ' ' && !quoted)
			return OPT_E_INVALID;
	}
	if (*p != '>')
		return OPT_E_INVALID;
	size_t len = (size_t)(p - text);
	if (len >= COMMAND_ADDRESS_MAX)
		return OPT_E_LIMIT;
	memcpy(ret_path->address, text, len);
	ret_path->address[len] = '\0';
	ret_path->params = p + 1;
	return 0;
}

void command_param(const char *params, const char *key, char value[COMMAND_PARAM_MAX])
{
	size_t key_len = strlen(key);
	value[0] = '\0';
	while (*params != '\0') {
		while (*params == ' ')
			params++;
		size_t len = strcspn(params, " ");
		if (len > key_len && params[key_len] == '=' && strncasecmp(params, key, key_len) == 0) {
			size_t size = len - key_len - 1;
			if (size >= COMMAND_PARAM_MAX)
				size = COMMAND_PARAM_MAX - 1;
			memcpy(value, params + key_len + 1, size);
			value[size] = '\0';
			return;
		}
		params += len;
	}
}
