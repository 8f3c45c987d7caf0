/* SPDX-License-Identifier: MIT */
/*
 * Rendezvous: how the nodes of a cluster find each other and the homes of a batch, over a DHT that they make
 * up themselves. Any member's address is enough to join.
 *
 * It is a notice board, neither an authority nor a failure detector: a record stays up to 10 minutes after
 * its node died, everybody on the network can put bytes there, and an answer may be incomplete. What is
 * passed on was sealed with the cluster key and signed by the node that it is about. Records may come again,
 * late and in any order: keep the highest (incarnation, sequence) of each node.
 *
 * All calls and callbacks are on the loop's thread. Callbacks may call anything here, rendezvous_close() too.
 */
#ifndef OPTIMUS_DHT_RENDEZVOUS_H
#define OPTIMUS_DHT_RENDEZVOUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "dht/directory.h"
#include "dht/identity.h"
#include "dht/presence.h"

struct rendezvous;

enum { RENDEZVOUS_GETS_MAX = 256 /* that OpenDHT has not ended */ };

struct rendezvous_callbacks {
	void *context;
	/* A record of any member, this node and those that left included. Borrowed for the call. */
	void (*presence)(void *context, const struct presence *presence);
	/* true: another node answers. false: none has for 30 s. Starts as false. */
	void (*joined)(void *context, bool joined);
};

struct rendezvous_counts {
	uint64_t records;  /* received, repeated ones included */
	uint64_t rejected; /* that no member sealed, or that make no sense */
	uint64_t dropped;  /* too long, or faster than the loop took them */
	uint64_t gets;     /* under way, those answered included that OpenDHT goes on with */
};

/* status: 0, OPT_E_NOT_FOUND (no entry seen, which is no proof), OPT_E_AGAIN (could not ask). Borrowed. */
typedef void rendezvous_homes_fn(void *context, int status, const struct opt_id *homes, size_t count);

/*
 * Starts on UDP `port`, IPv4 and IPv6; 0: a free one. Copies identity and key. Takes 5 to 20 ms. OPT_E_IO,
 * with the reason in `error`, when the port can't be had. Call it early: OpenDHT can't use file numbers over
 * 1023. All files of the process that are open now, but the standard ones, are closed to child processes.
 */
int rendezvous_new(uv_loop_t *loop, const struct identity *identity, const struct cluster_key *key,
    uint16_t port, const struct rendezvous_callbacks *callbacks, struct rendezvous **ret_rendezvous,
    char *error, size_t size);
uint16_t rendezvous_port(const struct rendezvous *rendezvous);

/*
 * HOST:PORT of a member, up or not: pinged each second until another node answers, later among others every 5
 * to 10 s. What is no HOST:PORT is ignored.
 */
void rendezvous_bootstrap(struct rendezvous *rendezvous, const char *address);
/* A member that was heard of elsewhere, for the rotation of pings. Those seen here are in it anyway. */
void rendezvous_known(struct rendezvous *rendezvous, const struct opt_id *node, const char *address);

/* A member that is gone for good: no pings, and it counts no more for the number of keys (dht/spread.h). */
void rendezvous_forget(struct rendezvous *rendezvous, const struct opt_id *node);

/*
 * Says this to all from now on. Each call that changes something takes a sequence of its own. Meant for rare
 * changes: after a burst of 4 there is one publication a minute, of the newest state.
 * OPT_E_INVALID when the presence is not this node's or can't be encoded.
 */
int rendezvous_publish(struct rendezvous *rendezvous, const struct presence *presence);
/*
 * Says goodbye with `tombstone`, a presence with PRESENCE_LEFT and a higher sequence, and ends what was
 * published. `done` comes when others have it, at most 3 s later; not after rendezvous_close(). Errors as
 * above.
 */
int rendezvous_leave(
    struct rendezvous *rendezvous, const struct presence *tombstone, void (*done)(void *), void *context);

/*
 * Keeps the entry of a batch in the DHT until it is dropped or this node ends; its copies live 10 minutes
 * longer. `batch` is batch_key(). Again with other homes: replaces it. OPT_E_INVALID: see directory_encode().
 */
int rendezvous_put_batch(
    struct rendezvous *rendezvous, const struct opt_id *batch, const struct opt_id *homes, size_t count);
void rendezvous_drop_batch(struct rendezvous *rendezvous, const struct opt_id *batch);
/*
 * Asks for the homes of a batch. Answers within 7 s, usually in a few ms; not after rendezvous_close(). With
 * RENDEZVOUS_GETS_MAX under way, which happens to nodes that are cut off, the answer is OPT_E_AGAIN.
 */
void rendezvous_get_batch(
    struct rendezvous *rendezvous, const struct opt_id *batch, rendezvous_homes_fn *fn, void *context);

struct rendezvous_counts rendezvous_counts(struct rendezvous *rendezvous);

/*
 * Ends without a word to the others; calls nobody back but `fn`, when all is freed. Operations under way get
 * up to 1.5 s; a host name that is being resolved may take longer.
 */
void rendezvous_close(struct rendezvous *rendezvous, void (*fn)(void *), void *context);

#endif
