/* SPDX-License-Identifier: MIT */
/* optimus pause, resume, cancel, drain, undrain, forget. */
#ifndef OPTIMUS_DAEMON_CLI_CONTROL_H
#define OPTIMUS_DAEMON_CLI_CONTROL_H

#include <stdbool.h>

#include "daemon/cli_client.h"

/* `verb` is the command's name, and the page's. Both return an exit code. */
int control_batch_run(struct client *client, const char *verb, const char *batch);
/* `node` NULL: the one that is asked. */
int control_node_run(struct client *client, const char *verb, const char *node);

/* Whether the text can name a node: "self", its address, or enough of its id. */
bool control_node_valid(const char *text);

#endif
