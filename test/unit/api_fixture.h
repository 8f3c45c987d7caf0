/* SPDX-License-Identifier: MIT */
/*
 * A node for tests of the HTTP API: the real core over a store in memory whose answers the test can hold
 * back, the real HTTP server on a Unix socket in a fresh folder, and a client in a thread of its own.
 */
#ifndef OPTIMUS_TEST_UNIT_API_FIXTURE_H
#define OPTIMUS_TEST_UNIT_API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <uv.h>

#include "daemon/config.h"
#include "daemon/http_server.h"
#include "queue/event.h"
#include "queue/id.h"

enum { FIXTURE_LIMIT_MS = 20000 };

struct fixture {
	uv_loop_t loop;
	struct node *node;
	struct http_server *server;
	struct config config;
	char folder[64];
	char socket[96];
	char *authorization; /* for the client: a header line, or NULL */
	char *base;          /* "http://127.0.0.1:1234": TCP instead of the socket; NULL: the socket */
};

/* What the client got. */
struct reply {
	int failed; /* libcurl's code: 0 when the answer is whole */
	long status;
	char *headers;
	char *body;
	size_t len;
	json_t *json; /* NULL when the body is none */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* The node's side. */
void fake_recovered(struct node *node, bool recovered);
void fake_room(struct node *node, int room);
void fake_hold_store(struct node *node, bool hold);  /* no answers of the store while true */
void fake_fail_store(struct node *node, int status); /* every write and read fails; 0: works again */
void fake_journal(struct node *node, const struct opt_id *id, const void *data, size_t len);
void fake_lost(struct node *node, const struct opt_id *id);           /* the store has that shard no more */
void fake_member(struct node *node, const struct presence *presence); /* another node says who it is */
unsigned fake_events(const struct node *node, enum event_type type);  /* how many there were */
unsigned fake_waiting(const struct node *node);                       /* who waits for room in the store */
size_t fake_reads(const struct node *node);                           /* reads so far */
extern uid_t fake_peer;                                               /* who the server believes is asking */

/* Sends a request and turns the loop until the answer is there. Free with reply_done(). */
struct reply fetch(
    struct fixture *fixture, const char *method, const char *path, const void *body, size_t len);
struct reply fetch_text(struct fixture *fixture, const char *method, const char *path, const char *body);
void reply_done(struct reply *reply);
/* A request whose answer must be this status; returns the body's JSON, to be freed. */
json_t *expect(struct fixture *fixture, const char *method, const char *path, const char *body, long status);
/* The same for an error: its code must be this. Checks that there is a sentence. */
void expect_error(struct fixture *fixture, const char *method, const char *path, const char *body,
    long status, const char *code);

/* A connection for tests that misbehave. */
int raw_connect(struct fixture *fixture);
void raw_send(int fd, const char *text, size_t len);

/* Turns the loop until the condition holds; fails the test after FIXTURE_LIMIT_MS. */
typedef bool condition_fn(void *context);
void turn_until(struct fixture *fixture, condition_fn *condition, void *context);

/* Step 1 with an ordinary template of one required field, `name`. Returns the upload. */
void open_upload(struct fixture *fixture, const char *name, char upload[OPT_ID_HEX]);
/* All three steps with `count` recipients r0@d0.example, r1@d1.example, ... */
void send_batch(struct fixture *fixture, const char *name, unsigned count);

#define SETTINGS                                                                                             \
	"{\"from\":\"news@example.com\",\"template\":\"From: news@example.com\\nSubject: Hi "                \
	"{{name}}\\n\\nHello "                                                                               \
	"{{name}}\\n\"}"

#endif
