/* SPDX-License-Identifier: MIT */
/*
 * The way of facts from the outcome server to optimusd: each one is sent until it is acknowledged.
 */
#ifndef OPTIMUS_GLUE_UPLINK_H
#define OPTIMUS_GLUE_UPLINK_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/frames.h"

struct uplink;

/*
 * Connects to the Unix socket at `path` (borrowed) as soon as somebody listens there, and again whenever the
 * connection breaks. `acked` is called once for each frame's context when optimusd has acknowledged it.
 */
struct uplink *uplink_new(const char *path, void (*acked)(void *context));

/* Queues a frame; its seq is set here. It goes out at the next uplink_flush(). */
void uplink_add(struct uplink *uplink, struct frame *frame, void *context);
/* Writes what is queued. Call it once in each turn of the event loop. */
void uplink_flush(struct uplink *uplink);
/* Frames that aren't acknowledged yet. */
size_t uplink_pending(const struct uplink *uplink);

#endif
