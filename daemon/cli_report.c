/* SPDX-License-Identifier: MIT */
/*
 * Passes the node's report on to standard output byte by byte, so that ten million lines need no memory.
 *
 * A reader that goes away (head, less) ends it quietly. A report that breaks off ends with an error, because
 * what was printed looks complete. The batch and the state were checked by the caller and are safe in a URL.
 */
#include <stdio.h>

#include "daemon/cli_report.h"
#include "daemon/cli_say.h"

static bool print_piece(void *context, const char *data, size_t len)
{
	(void)context;
	return fwrite(data, 1, len, stdout) == len && fflush(stdout) == 0;
}

int report_run(struct client *client, const char *batch, const char *format, const char *only)
{
	struct client_answer answer = {0};
	char path[256];
	int rc, flushed;

	snprintf(path, sizeof path, "/v1/batches/%s/report?format=%s%s%s", batch, format,
	    only != NULL ? "&only=" : "", only != NULL ? only : "");
	rc = client_stream(client, path, print_piece, NULL, &answer);
	flushed = say_flush(NULL);
	if (rc != CLI_OK)
		say("%s%s", answer.error, answer.status == 200 ? "; the report is not complete" : "");
	client_answer_done(&answer);
	return rc != CLI_OK ? rc : flushed;
}
