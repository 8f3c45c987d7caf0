/* SPDX-License-Identifier: MIT */
/* optimus report: a batch's recipients, one line each, as they arrive. */
#ifndef OPTIMUS_DAEMON_CLI_REPORT_H
#define OPTIMUS_DAEMON_CLI_REPORT_H

#include "daemon/cli_client.h"

/* `only` is NULL or a state's name. Returns an exit code. */
int report_run(struct client *client, const char *batch, const char *format, const char *only);

#endif
