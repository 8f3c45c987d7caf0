/* SPDX-License-Identifier: MIT */
/*
 * Calls: requests to other nodes, repeated until they are answered.
 *
 * A call lives from call_start() until its answer has been taken or call_end(). It is sent when there is a
 * link, again after CALL_REPEAT without an answer (twice as long each time, up to CALL_REPEAT_MAX), and again
 * when the link comes back. It never gives up by itself: whoever started it ends it when nobody needs it any
 * more. The answer goes to the part of the core that its kind names.
 */
#ifndef OPTIMUS_QUEUE_CALL_H
#define OPTIMUS_QUEUE_CALL_H

#include "queue/peer.h"
#include "queue/state.h"

/*
 * Sends the request to `peer`, never this node itself. Sets its token. `owner` is what the kind's handler
 * gets back; it ends the call before it is freed. `bulk`: large, may wait behind others.
 */
struct call *call_start(struct core *core, struct peer *peer, enum call_kind kind, void *owner,
    struct peer_message *request, bool bulk);
void call_end(struct core *core, struct call *call);

/* An answer has come in. One whose call is over is dropped. */
void call_answered(struct core *core, struct peer *peer, const struct peer_message *answer);
/* TIMER_CALL */
void call_due(struct core *core, struct call *call);
/* There is a link to the peer again: what waits is sent. */
void calls_peer_up(struct core *core, struct peer *peer);

/* For handlers of requests: answers `request` of `peer`. `answer` has its fields set; type, token are filled
 * in. */
void call_reply(struct core *core, struct peer *peer, const struct peer_message *request,
    enum peer_status status, struct peer_message *answer);
/* The same when the answer comes in a later step and only the token was kept. */
void call_reply_to(struct core *core, struct peer *peer, enum peer_type type, uint64_t token,
    enum peer_status status, struct peer_message *answer);

#endif
