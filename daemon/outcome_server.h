/* SPDX-License-Identifier: MIT */
/*
 * The socket on which the outcome servers inside Postfix report what became of mails.
 */
#ifndef OPTIMUS_DAEMON_OUTCOME_SERVER_H
#define OPTIMUS_DAEMON_OUTCOME_SERVER_H

#include <uv.h>

#include "daemon/node.h"

struct outcome_server;

/* Listens at `path`, for the own user only. Call when every batch record is known to the core. OPT_E_IO with
 * a log line. */
int outcome_server_new(
    uv_loop_t *loop, struct node *node, const char *path, struct outcome_server **ret_server);
/* Closes all; run the loop once more. Takes NULL. */
void outcome_server_free(struct outcome_server *server);

#endif
