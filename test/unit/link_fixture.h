/* SPDX-License-Identifier: MIT */
/*
 * For tests of links: some nodes in one loop, what was heard of each, and a socket for an attacker.
 */
#ifndef OPTIMUS_TEST_LINK_FIXTURE_H
#define OPTIMUS_TEST_LINK_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/link.h"

enum { LINK_NODES = 3, LINK_LIMIT_MS = 30000 };

struct link_world;

/* A message that begins so ends its link, as one does that the core can't read. */
enum { LINK_NONSENSE = 0xff };

struct link_node {
	struct link_world *world;
	struct identity identity;
	struct links *links;
	uint64_t ups, downs, refused, rooms;
	uint64_t messages, bytes, damaged;
	uint64_t last_number; /* of the messages that link_send_number() sent */
	uint64_t worst_delay; /* microseconds, of messages that link_send_time() sent */
	enum link_end why;    /* of the last `down` */
	char address[300];    /* of the last `up` */
};

struct link_world {
	uv_loop_t loop;
	struct cluster_key key;
	struct link_node nodes[LINK_NODES];
	unsigned int closed;
	/* Microseconds, for link_send_time(). now_us() unless a test sets a clock that a busy machine can't
	 * push on. */
	uint64_t (*probe_clock)(void);
};

/* Sorts the identities, so that node 0 has the smallest id. No node is started. */
void link_world_init(struct link_world *world);
void link_node_start(struct link_world *world, unsigned int node, const struct cluster_key *key);
void link_node_close(struct link_world *world, unsigned int node);
/* Closes all nodes and checks that the loop has nothing left. */
void link_world_done(struct link_world *world);

/* Node `from` wants a link to `to`. */
void link_want(struct link_world *world, unsigned int from, unsigned int to);
/* Waits until both have a link to each other. */
void link_connect(struct link_world *world, unsigned int from, unsigned int to);

/* Runs the loop until `now` is `wanted` or more; fails the test after LINK_LIMIT_MS. */
void link_until(struct link_world *world, const uint64_t *now, uint64_t wanted);
void link_until_ended(struct link_world *world, unsigned int node, enum link_end why, uint64_t count);
bool link_has(const struct link_world *world, unsigned int from, unsigned int to);
/* Runs what can be run now, and at most a moment of waiting. */
void link_turn(struct link_world *world);

int link_send_number(
    struct link_world *world, unsigned int from, unsigned int to, uint64_t number, bool bulk, size_t len);
int link_send_time(struct link_world *world, unsigned int from, unsigned int to);
/* A message goes from one to the other and arrives. */
void link_check_works(struct link_world *world, unsigned int from, unsigned int to);

/* A plain socket, non-blocking, connected to the node. */
int attacker_connect(const struct link_world *world, unsigned int node);
/* Reads exactly `len` bytes while the loop runs. */
void attacker_read(struct link_world *world, int fd, void *data, size_t len);
void attacker_write(int fd, const void *data, size_t len);
/* Waits until the node has closed the socket; returns how many bytes came before. Closes fd. */
size_t attacker_until_closed(struct link_world *world, int fd);

/* From here to the end what is logged, and all else on standard error, goes to a file. */
void link_log_begin(void);
void link_log_end(void);
/* How often the word is in it. */
unsigned int link_log_lines(const char *word);

uint64_t now_us(void);

#endif
