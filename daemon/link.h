/* SPDX-License-Identifier: MIT */
/*
 * Links: encrypted connections to the other nodes of the cluster, at most one to each. docs/protocol.md says
 * what goes over the wire and what an attacker can do.
 *
 * A message arrives whole or not at all. Between two nodes control messages keep their order among
 * themselves, and so do bulk messages, as long as the link stays the same; control overtakes bulk. Messages
 * that were handed over may be lost when `down` is called, and only then: whoever needs an answer asks again.
 *
 * All callbacks come from the loop, none from within a function of this page, and may call every one of them.
 */
#ifndef OPTIMUS_DAEMON_LINK_H
#define OPTIMUS_DAEMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/link_end.h"
#include "dht/identity.h"
#include "queue/id.h"

struct links;

struct links_callbacks {
	void *context;
	/* There is a link to this node. address: as dialled, or as seen of a node that dialled us. */
	void (*up)(void *context, const struct opt_id *peer, const char *address);
	/*
	 * The link is gone, and with it perhaps messages. `up` follows at once when there is another one
	 * already (why is LINK_REPLACED, or LINK_RESET when the peer was started anew).
	 */
	void (*down)(void *context, const struct opt_id *peer, enum link_end why);
	/* The host of a wanted node answered a dial and refused the port: the process is not there. */
	void (*refused)(void *context, const struct opt_id *peer);
	void (*message)(void *context, const struct opt_id *peer, const void *data, size_t len);
	/* After a bulk message was refused with OPT_E_AGAIN: the queue is under its low mark (1 MiB) again.
	 */
	void (*room)(void *context, const struct opt_id *peer);
};

struct links_numbers {
	uint64_t up;        /* nodes with a link now */
	uint64_t half_open; /* accepted connections that are in their handshake now */
	uint64_t accepted;  /* connections since the start */
	uint64_t dialled;   /* connections that were made by dialling */
	uint64_t ended[LINK_ENDS];
};

/*
 * Listens on `listen` (HOST:PORT or [IPv6]:PORT, port 0 for any; a host's name is looked up, which may block)
 * and takes what comes. Copies identity and key. All callbacks must be there. On failure `error` says why:
 * OPT_E_INVALID for an address that is none, OPT_E_IO when it can't be bound.
 */
int links_new(uv_loop_t *loop, const struct identity *identity, const struct cluster_key *key,
    const char *listen, const struct links_callbacks *callbacks, struct links **ret_links, char *error,
    size_t size);

/* Where it really listens, as numbers; lives as long as the links. */
const char *links_address(const struct links *links);

/*
 * Keeps a link to a node: dials now, and after a failure or a loss again after 0.1 s, doubling to 2 s, until
 * links_unwant(). A link that the node itself made is as good. Another address replaces the one that was
 * given before, for the next dial. Wanting oneself does nothing. OPT_E_INVALID when the address is none.
 */
int links_want(struct links *links, const struct opt_id *peer, const char *address);

/*
 * Does not dial this node any more. A link that we dialled, and that no links_dial() keeps, is closed in
 * order; one that the node dialled is its own to close.
 */
void links_unwant(struct links *links, const struct opt_id *peer);

/*
 * Dials an address of which no node is known yet: each second until somebody was there, then each 10 s
 * whenever there is no link to the node that was last found there. OPT_E_INVALID when the address is none.
 */
int links_dial(struct links *links, const char *address);
/* Whether no node of the cluster has answered there since links_dial(), not even this one itself. */
bool links_awaits(const struct links *links, const char *address);

/*
 * Sends a message of at most 1 MiB, copied. Control messages go before all bulk that is waiting.
 * OPT_E_NOT_FOUND without a link, OPT_E_LIMIT when it is too long, OPT_E_AGAIN when 4 MiB are waiting in its
 * lane already (see `room`).
 */
int links_send(struct links *links, const struct opt_id *peer, const void *data, size_t len, bool bulk);

/*
 * Ends the link to a node at once, for what its messages say: `why` is counted, and told by `down`. Messages
 * that came in one piece with the last one are still handed over. Nothing happens without a link.
 */
void links_end(struct links *links, const struct opt_id *peer, enum link_end why);

/* Bytes of bulk that wait for this node; 0 without a link. */
size_t links_queued(const struct links *links, const struct opt_id *peer);

struct links_numbers links_numbers(const struct links *links);

/*
 * Sends what is waiting, says goodbye, closes, at most 3 s long; frees `links` and calls fn. No callback
 * other than fn comes from the moment of the call.
 */
void links_close(struct links *links, void (*fn)(void *context), void *context);

#endif
