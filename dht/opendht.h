/* SPDX-License-Identifier: MIT */
/*
 * OpenDHT on a libuv loop. OpenDHT calls back on a thread of its own with its mutex held; here everything
 * arrives on the loop's thread, in order, and every function is called from there. Knows nothing of what the
 * values mean.
 *
 * The only file that includes OpenDHT is this one's .c: OpenDHT is under the GPL, and only optimusd may link
 * it.
 */
#ifndef OPTIMUS_DHT_OPENDHT_H
#define OPTIMUS_DHT_OPENDHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "queue/id.h"

struct opendht;
struct opendht_put;

/* `data` is borrowed for the call. */
typedef void opendht_value_fn(void *context, const uint8_t *data, size_t len);
typedef void opendht_done_fn(void *context, bool ok);

/*
 * Starts a DHT node with this id on UDP `port` of all addresses, IPv4 and IPv6; 0: a free one. Values over
 * `value_max` bytes are dropped and counted. Takes 5 to 20 ms. On failure `error` says why: OPT_E_IO. OpenDHT
 * uses select(2): call this before the process has a thousand files open.
 */
int opendht_new(uv_loop_t *loop, const struct opt_id *node, uint32_t network, uint16_t port, size_t value_max,
    struct opendht **ret_dht, char *error, size_t size);
uint16_t opendht_port(const struct opendht *dht);

/* Every value on `key`, now and later, until the end. Values may come several times. */
void opendht_listen(struct opendht *dht, const struct opt_id *key, opendht_value_fn *fn, void *context);

/* Asks the node at `address` whether it lives, which also makes it known to the DHT. Takes up to 3 s. */
void opendht_ping(struct opendht *dht, const struct sockaddr *address, opendht_done_fn *fn, void *context);

/*
 * Puts a value on `key`, for 10 minutes, or until opendht_cancel() when permanent. `fn` may be NULL; a
 * permanent put that failed is tried again by itself. What is returned is gone when a put that is not
 * permanent is done.
 */
struct opendht_put *opendht_put(struct opendht *dht, const struct opt_id *key, const void *data, size_t len,
    bool permanent, opendht_done_fn *fn, void *context);

/* Ends a permanent put; its `fn` is not called any more. The copies on other nodes live on for 10 minutes. */
void opendht_cancel(struct opendht_put *put);

/* The values on `key`, then `done`, which may take 10 s, or for ever while no other node is found. */
void opendht_get(struct opendht *dht, const struct opt_id *key, opendht_value_fn *fn, opendht_done_fn *done,
    void *context);

/* Values that were too long, or came faster than the loop took them. */
uint64_t opendht_dropped(struct opendht *dht);

/* Gives operations under way up to 1.5 s to finish, then frees everything and calls `fn`. No other callback
 * any more. */
void opendht_close(struct opendht *dht, void (*fn)(void *), void *context);

#endif
