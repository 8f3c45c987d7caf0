/* SPDX-License-Identifier: MIT */
/*
 * The shell around the core: it brings events in and hands effects out.
 *
 * Whoever in the daemon learns something fills a struct event and calls node_event(); times are filled in
 * there. The node steps the core and passes each effect to the store, to the Postfix driver, or back to
 * whoever asked (node_expect()). node_event() may be called from anywhere on the loop's thread, also from
 * inside a callback of an effect: events that come during a step wait in a queue until it is over.
 */
#ifndef OPTIMUS_DAEMON_NODE_H
#define OPTIMUS_DAEMON_NODE_H

#include <stdint.h>

#include "daemon/config.h"
#include "daemon/link.h"
#include "daemon/store.h"
#include "queue/core.h"

struct node;
struct driver;

typedef void node_answer_fn(void *context, const struct effect *effect);

/* An event; node fills in its times. Borrows what the event points to until it returns or, when a step is on,
 * copies. */
void node_event(struct node *node, struct event *event);

/* A number for `reply` in an event: the answer's effect goes to fn, once. node_forget() when the asker goes
 * away first. */
uint64_t node_expect(struct node *node, node_answer_fn *fn, void *context);
void node_forget(struct node *node, uint64_t reply);

const struct core *node_core(const struct node *node);
struct store *node_store(const struct node *node);
const struct config *node_config(const struct node *node);
const struct opt_id *node_id(const struct node *node);
/* "up", "starting", "settling", "down" or "none": Postfix as `optimus nodes` shows it. */
const char *node_postfix_state(const struct node *node);
/* Mails sent per second, over the last ten seconds. */
double node_rate(const struct node *node);
/* Of its connections to the other nodes, since its start. */
struct links_numbers node_links(const struct node *node);
/* 0 when there is room for new batches, OPT_E_FULL when the disk is nearly full. */
int node_room(const struct node *node);

/*
 * Calls fn(context) after the next event: for readers of uploads that stopped because core_upload_pending()
 * was high. The store may make room, or another node. One call, then ask again; fn brings in no events.
 */
void node_wait_store(struct node *node, void (*fn)(void *context), void *context);
void node_wait_store_cancel(struct node *node, void *context);

#endif
