/* SPDX-License-Identifier: MIT */
/*
 * The arguments of MAIL and RCPT.
 */
#ifndef OPTIMUS_SINK_COMMAND_H
#define OPTIMUS_SINK_COMMAND_H

#include <stddef.h>

enum { COMMAND_ADDRESS_MAX = 512, COMMAND_PARAM_MAX = 256 };

struct command_path {
	char address[COMMAND_ADDRESS_MAX]; /* without angle brackets and source route; "" for <> */
	const char *params;                /* what follows the path, in the line that was parsed */
};

/*
 * Parses "<path> params" behind "FROM:" or "TO:". The line is NUL-terminated. OPT_E_INVALID when it is no
 * path, OPT_E_LIMIT when the address is too long.
 */
int command_parse_path(const char *text, struct command_path *ret_path);

/* Copies the value of "KEY=value" among the parameters, "" when it is not there; cut at the limit. */
void command_param(const char *params, const char *key, char value[COMMAND_PARAM_MAX]);

#endif
