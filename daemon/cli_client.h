/* SPDX-License-Identifier: MIT */
/*
 * A client of a node's HTTP API (docs/api.md), over a Unix-domain socket or TCP.
 */
#ifndef OPTIMUS_DAEMON_CLI_CLIENT_H
#define OPTIMUS_DAEMON_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CLIENT_DEFAULT_API "unix:/run/optimus/api.sock"

enum { CLIENT_ANSWER_MAX = 64 * 1024 * 1024, CLIENT_ERROR_MAX = 1024 };

struct client;

/* `api` is unix:PATH or http://HOST:PORT. NULL when it is neither. */
struct client *client_new(const char *api);
void client_free(struct client *client);

/* What came back. Zero it first; client_answer_done() frees the JSON. */
struct client_answer {
	long status;                  /* of HTTP, 0 when nothing came back */
	json_t *json;                 /* NULL when the answer was none */
	char code[32];                /* of the node's error, "" when it gave none */
	char error[CLIENT_ERROR_MAX]; /* one sentence, fit for a terminal, when the call failed */
	char field[65];               /* that the error names, "" for none */
	long long line;               /* of the template, that it names, 0 for none */
	long long row;                /* that the error names, 0 for none */
	unsigned retry_after;         /* seconds, 0 when the node didn't say */
	bool sent;                    /* the request may have reached the node although no answer came */
};
void client_answer_done(struct client_answer *answer);

/*
 * One request. `body` may be NULL. Returns an exit code of cli_say.h: CLI_OK when the node answered 2xx with
 * JSON (or with nothing, to a DELETE); otherwise answer->error is set, and nothing has been printed.
 */
int client_call(struct client *client, const char *method, const char *path, const char *body, size_t len,
    struct client_answer *answer);
/* The same, again while the node answers "again", for at most half a minute. */
int client_call_patiently(struct client *client, const char *method, const char *path, const char *body,
    size_t len, struct client_answer *answer);

/* Fills `data` with at most `size` bytes of the request's body: their number, 0 at its end, -1 to give up. */
typedef long (*client_produce)(void *context, char *data, size_t size);
/* POST of NDJSON that is produced on the way. */
int client_upload(struct client *client, const char *path, client_produce produce, void *context,
    struct client_answer *answer);

/* Takes a piece of the answer's body; false to stop, which client_stream() then reports as CLI_OK. */
typedef bool (*client_consume)(void *context, const char *data, size_t len);
/* GET of a long answer that is consumed on the way; of an error answer nothing is. CLI_AGAIN also when the
 * node says at its end what it lacks. */
int client_stream(struct client *client, const char *path, client_consume consume, void *context,
    struct client_answer *answer);

#endif
