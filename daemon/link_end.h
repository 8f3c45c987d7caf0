/* SPDX-License-Identifier: MIT */
/*
 * Why a connection between nodes ended: counted for each cause, and the causes that an operator should look
 * into are logged, the first time at once and then at most once a minute for each cause.
 */
#ifndef OPTIMUS_DAEMON_LINK_END_H
#define OPTIMUS_DAEMON_LINK_END_H

#include <stdint.h>

enum link_end {
	LINK_CLOSED,      /* in order, by one of the two sides */
	LINK_REPLACED,    /* another link to the same node is kept instead */
	LINK_RESET,       /* it broke, or ended without a goodbye: the peer's process died */
	LINK_TIMEOUT,     /* the host no longer answers, or its process takes nothing any more */
	LINK_REFUSED,     /* the host answered and refused the port */
	LINK_UNREACHABLE, /* no such name, no route, no answer to a dial */
	LINK_SELF,        /* this node reached itself */
	LINK_WRONG_NODE,  /* a node of the cluster, but another one than was dialled */
	LINK_SLOW,        /* no complete handshake within LINK_HANDSHAKE_MS */
	LINK_CROWDED,     /* too many half-open connections: the oldest went */
	LINK_VERSION,     /* the other side speaks another version */
	LINK_FOREIGN,     /* the handshake is not of this cluster: other key, replay, altered, too long */
	LINK_SIGNATURE,   /* of this cluster, but the identity is not proven */
	LINK_CUT,         /* the other side closed in the middle of the handshake or of a frame */
	LINK_OVERSIZED,   /* a frame or message above its limit */
	LINK_DAMAGED,     /* a frame that is not what the peer sealed, in its place */
	LINK_MALFORMED,   /* a frame that the peer sealed but that says nothing */
	LINK_ENDS
};

/* One word, static memory. */
const char *link_end_name(enum link_end why);

struct link_account {
	uint64_t ended[LINK_ENDS];
	uint64_t logged[LINK_ENDS]; /* boot time in seconds, 0 for never */
	uint64_t silent[LINK_ENDS]; /* not logged since then */
};

/* Counts the end of a connection; `address` is the other side's, for the log. */
void link_account_end(struct link_account *account, enum link_end why, const char *address);

#endif
