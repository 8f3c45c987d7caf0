/* SPDX-License-Identifier: MIT */
/*
 * Calls: requests to other nodes, repeated until they are answered.
 *
 * A call lives from call_start() until its answer has been taken or call_end(). It is sent when there is a
 * link, again after CALL_REPEAT without an answer (twice as long each time, up to CALL_REPEAT_MAX), and again
 * when the link comes back. It never gives up by itself: whoever started it ends it when nobody needs it any
 * more. The answer goes to the part of the core that its kind names, and after that the call is gone, unless
 * its handler said call_again() or call_hold().
 *
 * A call that is held waits for call_release(): nothing sends it before that.
 */
#ifndef OPTIMUS_QUEUE_CALL_H
#define OPTIMUS_QUEUE_CALL_H

#include "queue/peer.h"
#include "queue/state.h"

#define CALL_REPEAT      (1 * USEC_PER_SEC)
#define CALL_REPEAT_MAX  (8 * USEC_PER_SEC)
#define CALL_REPEAT_BULK (4 * USEC_PER_SEC) /* the first time, of what may have to wait in the link */

enum { CALL_SMALL = 32 * 1024 /* an answer longer than this is bulk */ };

enum call_kind {
	CALL_STAGE,         /* owner: struct upload; a part of its template or a shard */
	CALL_ANNOUNCE,      /* struct announce */
	CALL_PUSH,          /* the registers */
	CALL_PREPARE,       /* struct proposal */
	CALL_ACCEPT,        /* struct proposal */
	CALL_READ,          /* struct homeread */
	CALL_DECISION,      /* struct stage */
	CALL_APPEND,        /* struct write */
	CALL_PROMISE,       /* struct shard */
	CALL_JOURNAL,       /* struct shard */
	CALL_UNION,         /* struct shard: an append of a sync */
	CALL_CLAIMS,        /* struct shard: a node's own claims (queue/doubt.c) */
	CALL_CATCH_UP,      /* struct shard */
	CALL_TAKE,          /* struct shard */
	CALL_GIVE,          /* the core */
	CALL_JOIN,          /* struct shard */
	CALL_CONFIG,        /* struct shard */
	CALL_JOIN_FETCH,    /* struct join */
	CALL_CONTROL,       /* struct batch */
	CALL_COMMAND,       /* struct query */
	CALL_STATUS,        /* struct query */
	CALL_ENDS,          /* struct peer */
	CALL_RECORD,        /* struct query */
	CALL_FETCH,         /* struct query */
	CALL_FETCH_JOURNAL, /* struct query */
};

struct call {
	RB_ENTRY(call) node; /* by token */
	TAILQ_ENTRY(call) link;
	uint64_t token;
	struct peer *peer;
	enum call_kind kind;
	enum peer_type type;
	void *owner;
	uint64_t number; /* for the owner */
	bool bulk;
	bool answered; /* its answer is being taken */
	bool held;     /* not to be sent before call_release() */
	void *data;
	size_t len;
	usec wait;
	struct timer timer; /* boot time */
};

/*
 * Sends the request to `peer`, never this node itself. Sets its token. `owner` is what the kind's handler
 * gets back; it ends the call before it is freed. `bulk`: large, may wait behind others.
 */
struct call *call_start(struct core *core, struct peer *peer, enum call_kind kind, void *owner,
    struct peer_message *request, bool bulk);
/* The same, held. */
struct call *call_start_held(struct core *core, struct peer *peer, enum call_kind kind, void *owner,
    struct peer_message *request, bool bulk);
/* Ends a call; nobody hears of its answer. From the handler of its own answer it does nothing. */
void call_end(struct core *core, struct call *call);
/* For the handler of an answer, PEER_BUSY mostly: the call goes on as if nothing had come. */
void call_again(struct call *call);
/* The same, but it is not sent again before it is released. */
void call_hold(struct core *core, struct call *call);
/* Sends a call that was held. */
void call_release(struct core *core, struct call *call);

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
/* A message that has no answer: PEER_HEARTBEAT. */
void call_notice(struct core *core, struct peer *peer, const struct peer_message *message);
/* To every linked peer that is not to be left out. */
void call_notice_all(
    struct core *core, const struct peer_message *message, bool (*left_out)(const struct peer *peer));

/* At core_free(), after all owners. */
void calls_free(struct core *core);

#endif
