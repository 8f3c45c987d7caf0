/* SPDX-License-Identifier: MIT */
/* optimus status, optimus nodes, and the live display of a batch. */
#ifndef OPTIMUS_DAEMON_CLI_STATUS_H
#define OPTIMUS_DAEMON_CLI_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/cli_client.h"

struct status_options {
	const char *batch; /* NULL: all of them */
	bool watch;        /* go on until the batch has ended */
	bool json;         /* print what the API gave */
	FILE *out;
};

/* Returns an exit code; CLI_ENDED_OTHERWISE when a watched batch ended and was not "done". */
int status_run(struct client *client, const struct status_options *options);

/* The tables of both, for top too; heads in bold when `bold`. */
void status_draw_list(FILE *out, const json_t *batches, bool bold);
void nodes_draw(FILE *out, const json_t *nodes, bool bold);

int nodes_run(struct client *client, bool json);

#endif
