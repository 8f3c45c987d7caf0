/* SPDX-License-Identifier: MIT */
/*
 * Step two of sending: the rows of a file, checked, stripped of duplicates, and sent while they are read.
 */
#ifndef OPTIMUS_DAEMON_CLI_UPLOAD_H
#define OPTIMUS_DAEMON_CLI_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cli_client.h"
#include "daemon/cli_rows.h"

struct upload_options {
	const char *file; /* its name, for messages */
	uint64_t size;    /* of the file, for the progress bar; 0 where it isn't known */
	bool skip_invalid;
	bool keep_duplicates;
};

struct upload;

/* Borrows all of them. `path` is the API's page that takes the rows. */
struct upload *upload_new(
    struct client *client, const char *path, struct rows *rows, const struct upload_options *options);
void upload_free(struct upload *upload);

/*
 * Sends all rows. Returns an exit code, CLI_OK with the number of rows in *ret_rows; every problem has been
 * reported on standard error. After a failure the caller gives the upload up.
 */
int upload_run(struct upload *upload, uint64_t *ret_rows);

#endif
