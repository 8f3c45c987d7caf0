/* SPDX-License-Identifier: MIT */
/* optimus send: a template and a recipients file become a batch. */
#ifndef OPTIMUS_DAEMON_CLI_SEND_H
#define OPTIMUS_DAEMON_CLI_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cli_client.h"

struct send_options {
	const char *from;
	const char *template;   /* file */
	const char *recipients; /* file, "-" for standard input */
	const char *id;         /* NULL: a random one */
	long long replicas;     /* 0: the node's default */
	long long priority;
	bool has_at;
	int64_t at;           /* seconds since 1970 */
	uint64_t expire;      /* seconds, 0: the node's default */
	bool skip_invalid;    /* instead of failing */
	bool keep_duplicates; /* instead of leaving them out */
	bool watch;
	bool json;
};

/* Returns an exit code. */
int send_run(struct client *client, const struct send_options *options);

#endif
