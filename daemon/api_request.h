/* SPDX-License-Identifier: MIT */
/*
 * One request to the HTTP API, and how a page answers it.
 *
 * A page is a row of a table: begin() when the headers are there, body() for each piece of the body, end()
 * after it, gone() when all is over. Each may answer, once; end() may also leave the answer for later, then
 * the connection rests until api_answer... is called. After an answer the rest of the body is read and thrown
 * away.
 */
#ifndef OPTIMUS_DAEMON_API_REQUEST_H
#define OPTIMUS_DAEMON_API_REQUEST_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/api_error.h"
#include "daemon/node.h"
#include "queue/core.h"
#include "queue/id.h"

enum {
	API_BUSY_SECONDS = 5, /* what Retry-After says when others must finish first */
	API_NAME_MAX = PRESENCE_ADDRESS_MAX,
};

struct api_page;
struct api_request;
struct http_server;
struct intakes;

/* The node's answer has come. */
typedef void api_answered_fn(struct api_request *request, const struct effect *effect);
/* The batch in the path, valid until this returns. */
typedef void api_batch_fn(struct api_request *request, const struct batch_view *view);

struct api_request {
	const struct api_page *page;
	struct node *node;
	struct intakes *intakes;
	struct MHD_Connection *connection;
	uid_t uid;
	bool admin;                  /* root or the node's own user: may do everything */
	char name[API_NAME_MAX + 1]; /* the batch or node in the path; "" where the page has none */
	void *state;                 /* the page's own */
	uint64_t reply;              /* of the node, that is waited for (api_expect()); 0: none */
	api_answered_fn *answered;
	api_batch_fn *found;
	/* The server's. */
	struct http_listener *listener;
	struct MHD_Response *response;
	unsigned status;
	bool ended;
	bool suspended;
	struct api_request *next;
	struct api_request *previous;
};

struct api_page {
	const char *method;
	const char *path; /* a part that is "*" is the batch's id; "@": the node's id or address */
	void (*begin)(struct api_request *request);
	void (*body)(
	    struct api_request *request, const char *data, size_t len); /* NULL: the body is thrown away */
	void (*end)(struct api_request *request);
	void (*gone)(
	    struct api_request *request, bool completed); /* completed: the client has the whole answer */
};

/* The answer. The first takes `body`, the second takes the response. */
void api_answer(struct api_request *request, unsigned status, json_t *body);
void api_answer_with(struct api_request *request, unsigned status, struct MHD_Response *response);
void api_answer_error(struct api_request *request, const struct api_error *error);
__attribute__((format(printf, 3, 4))) void api_fail(
    struct api_request *request, enum api_code code, const char *format, ...);
/* For the codes API_AGAIN: with Retry-After. */
__attribute__((format(printf, 3, 4))) void api_fail_again(
    struct api_request *request, unsigned seconds, const char *format, ...);

/* The disk is full; another upload of the batch is in the way; the store refused, for whichever reason; too
 * few nodes answer. */
void api_fail_full(struct api_request *request);
void api_fail_busy(struct api_request *request);
void api_fail_store(struct api_request *request);
void api_fail_nodes(struct api_request *request);

/* Stops reading from, or writing to, the client, until api_wake(). For body() and readers of a response. */
void api_rest(struct api_request *request);
void api_wake(struct api_request *request);

/* The value of ?key=..., NULL when it is not there. */
const char *api_query(struct api_request *request, const char *key);

/* A number for `reply` in an event: the answer goes to fn, unless the client goes away first. One at a time.
 */
uint64_t api_expect(struct api_request *request, api_answered_fn *fn);
/*
 * Asks the cluster for the batch in the path and calls fn if the caller may see it. Otherwise the answer is
 * given: the node is still starting, there is no such batch for this caller, or too few nodes answer. For
 * end().
 */
void api_batch(struct api_request *request, api_batch_fn *fn);
/* False, and answered, while the node is still reading its store. */
bool api_recovered(struct api_request *request);

#endif
