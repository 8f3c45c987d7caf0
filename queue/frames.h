/* SPDX-License-Identifier: MIT */
/*
 * Frames between optimusd and its two servers inside Postfix, over Unix-domain sockets of one machine.
 *
 *   +---------+----------------------+
 *   | u32 len | msgpack array        |      len: bytes of the array, big-endian, at most FRAME_MAX
 *   +---------+----------------------+
 *
 *   optimusd -> pickup
 *       [1 FEED,   batch name, batch key, upload, shard, epoch, node, sender pattern,
 *                  created (us, UTC), [ [index, attempt], ... ] ]
 *   pickup -> optimusd
 *       [2 BEGUN,  shard, index, epoch, node, attempt, queue id]         before any content
 *       [3 FED,    shard, index, epoch, node, attempt, status, reason]
 *   outcome -> optimusd
 *       [4 APPEND, seq, queue id, attempt text, dsn, action, relay, reason]
 *       [5 DONE,   seq, queue id, attempt text]                          it is about to leave the spool
 *   optimusd -> outcome
 *       [6 ACK,    seq]
 *
 * Ids travel as bin of 20 bytes, texts as str, numbers as unsigned.
 */
#ifndef OPTIMUS_QUEUE_FRAMES_H
#define OPTIMUS_QUEUE_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/id.h"
#include "queue/mail.h"
#include "queue/message/buffer.h"

enum { FRAME_MAX = 1024 * 1024, FRAME_MAILS_MAX = 500 };

enum frame_type {
	FRAME_FEED = 1,
	FRAME_BEGUN = 2,
	FRAME_FED = 3,
	FRAME_APPEND = 4,
	FRAME_DONE = 5,
	FRAME_ACK = 6,
};

/* What became of one mail on its way into Postfix. */
enum fed_status {
	FED_QUEUED = 0,    /* cleanup(8) has it safely in the incoming queue */
	FED_NOT_NOW = 1,   /* it has not; nothing was queued; trying again makes sense */
	FED_REFUSED = 2,   /* it never will (too large, can't be rendered) */
	FED_UNCERTAIN = 3, /* the connection died after the end of the message was sent */
	FED_DEFERRED = 4,  /* this one can't be taken for now (a milter says so); others can */
};

struct frame_mail {
	uint32_t index;
	uint32_t attempt;
};

/* A decoded frame. Strings and arrays are borrowed from the decoder until it is fed or asked for the next
 * one. */
struct frame {
	enum frame_type type;
	struct attempt_key key;         /* BEGUN, FED; of FEED: shard, epoch, node */
	const char *batch;              /* FEED: the batch's name */
	struct opt_id batch_key;        /* FEED */
	struct opt_id upload;           /* FEED */
	const char *sender;             /* FEED: the envelope sender, maybe with {{verp}} */
	struct utc_time created;        /* FEED: when the batch was accepted */
	const struct frame_mail *mails; /* FEED */
	size_t mail_count;              /* FEED */
	const char *queue_id;           /* BEGUN, APPEND, DONE */
	enum fed_status status;         /* FED */
	uint64_t seq;                   /* APPEND, DONE, ACK */
	const char *attempt_text;       /* APPEND, DONE: may be anything that Postfix handed back */
	const char *dsn;                /* APPEND: "2.0.0" */
	const char *action;             /* APPEND: "delivered", "relayed", "failed", "delayed", ... */
	const char *relay;              /* APPEND */
	const char *reason;             /* APPEND, FED */
};

/* Appends the frame, with its length, to `out`. Text is cut at its field's limit. */
void frame_encode(const struct frame *frame, struct buffer *out);

/* Decodes the frames of one connection. */
struct frame_decoder;

struct frame_decoder *frame_decoder_new(void);
void frame_decoder_free(struct frame_decoder *decoder);
/* Copies received bytes in. */
void frame_decoder_feed(struct frame_decoder *decoder, const void *data, size_t len);
/*
 * 1 and *ret_frame when a whole frame is there, 0 when more bytes are needed, OPT_E_INVALID or, for one that
 * is too large, OPT_E_LIMIT: then close the connection.
 */
int frame_decoder_next(struct frame_decoder *decoder, struct frame *ret_frame);

#endif
