/* SPDX-License-Identifier: MIT */
/*
 * The handshake of a link, without sockets: bytes in, bytes out. docs/protocol.md gives the reasons.
 *
 * The listener speaks first, so that nothing recorded is of use against it:
 *
 *   1  listener -> dialler   version 1 | fresh X25519 key 32
 *   2  dialler -> listener   version 1 | fresh X25519 key 32 | sealed claim 120+16
 *   3  listener -> dialler   sealed claim 120+16
 */
#ifndef OPTIMUS_DAEMON_LINK_HANDSHAKE_H
#define OPTIMUS_DAEMON_LINK_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/link_end.h"
#include "dht/identity.h"
#include "queue/id.h"
#include "queue/message/buffer.h"

enum {
	LINK_PROTOCOL = 1, /* the version byte */
	LINK_KEY_SIZE = 32,
	LINK_INSTANCE_SIZE = 16,
	LINK_CLAIM_SIZE = 32 + LINK_INSTANCE_SIZE + 8 + 64,
	LINK_FIRST_SIZE = 1 + LINK_KEY_SIZE,
	LINK_SECOND_SIZE = 1 + LINK_KEY_SIZE + LINK_CLAIM_SIZE + 16,
	LINK_THIRD_SIZE = LINK_CLAIM_SIZE + 16,
};

/* Who this node is to the others. */
struct link_self {
	struct identity identity;
	struct cluster_key key;
	uint8_t instance[LINK_INSTANCE_SIZE]; /* random, new with each start of the process */
};

/* What the other side has proven. */
struct link_claim {
	struct opt_id node;
	uint8_t instance[LINK_INSTANCE_SIZE];
	uint64_t number; /* counts the dialler's dials; 0 of a listener */
};

struct handshake {
	const struct link_self *self; /* borrowed */
	bool dialler;
	bool said_second;
	bool done;
	uint64_t number;
	size_t have; /* of the message that is expected */
	unsigned char input[LINK_SECOND_SIZE];
	unsigned char secret[LINK_KEY_SIZE]; /* of our fresh key pair */
	unsigned char public[LINK_KEY_SIZE];
	unsigned char transcript[32];
	unsigned char master[32];
	/* When done: */
	struct link_claim peer;
	unsigned char send_key[LINK_KEY_SIZE];
	unsigned char receive_key[LINK_KEY_SIZE];
};

/* Begins; a listener appends the first message to `out`. `number` is that of this dial, 0 for a listener. */
void handshake_begin(struct handshake *handshake, const struct link_self *self, bool dialler, uint64_t number,
    struct buffer *out);

/*
 * Takes bytes from the other side, *ret_used of them, and appends the answer to `out`. 1 when done, 0 when
 * more bytes are needed, OPT_E_INVALID with the cause in *ret_why when this is not a node of the cluster
 * (nothing was appended then). Once done, what was not used belongs to the frames.
 */
int handshake_take(struct handshake *handshake, const void *data, size_t len, size_t *ret_used,
    struct buffer *out, enum link_end *ret_why);

/* Wipes all secrets. */
void handshake_wipe(struct handshake *handshake);

#endif
