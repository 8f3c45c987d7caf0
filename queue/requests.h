/* SPDX-License-Identifier: MIT */
/*
 * Who takes the requests of other nodes: every part of the core that takes some has its lines in requests.c.
 * Answers go to whoever asked (queue/call.h), heartbeats to queue/heartbeat.h.
 */
#ifndef OPTIMUS_QUEUE_REQUESTS_H
#define OPTIMUS_QUEUE_REQUESTS_H

#include "queue/state.h"

void requests_take(struct core *core, struct peer *peer, const struct peer_message *message);

#endif
