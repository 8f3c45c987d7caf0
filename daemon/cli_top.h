/* SPDX-License-Identifier: MIT */
/* optimus top. */
#ifndef OPTIMUS_DAEMON_CLI_TOP_H
#define OPTIMUS_DAEMON_CLI_TOP_H

#include "daemon/cli_client.h"

/* Until somebody presses q. Returns an exit code; CLI_USAGE without a terminal. */
int top_run(struct client *client);

#endif
