/* SPDX-License-Identifier: MIT */
/*
 * What flows over a link after its handshake: messages, cut into sealed frames.
 *
 *   stream = header 24 | frame | frame | ...
 *   frame  = length 2, big-endian, of what follows | sealed: kind 1, data 0..16384 | of secretstream: tag 1,
 * mac 16
 */
#ifndef OPTIMUS_DAEMON_LINK_FRAME_H
#define OPTIMUS_DAEMON_LINK_FRAME_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/link_end.h"
#include "queue/message/buffer.h"

enum {
	LINK_MESSAGE_MAX = 1024 * 1024,
	LINK_CHUNK_MAX = 16384,
	LINK_SEALED_MIN = 1 + 17,
	LINK_SEALED_MAX = LINK_SEALED_MIN + LINK_CHUNK_MAX,
	LINK_REKEY_FRAMES = 256, /* the sender moves on to a new key after so many frames */
};

enum link_lane { LANE_CONTROL, LANE_BULK, LANES };

enum link_frame_kind {
	FRAME_CONTROL_PART, /* of a control message, more follows */
	FRAME_CONTROL_LAST,
	FRAME_BULK_PART,
	FRAME_BULK_LAST,
	FRAME_END, /* the sender says nothing more; without data, and the stream's final frame */
	FRAME_KINDS
};

struct link_writer {
	crypto_secretstream_xchacha20poly1305_state state;
	uint64_t frames;
};

struct link_reader {
	crypto_secretstream_xchacha20poly1305_state state;
	unsigned char key[32];
	bool begun; /* the header has come */
	bool ended;
	struct buffer input;
	size_t at; /* how much of the input is used */
	struct buffer lanes[LANES];
	bool given[LANES]; /* the lane's content was a message, already given out */
};

/* Appends the stream's header to `out`. */
void link_writer_init(struct link_writer *writer, const unsigned char key[32], struct buffer *out);
/* Appends a frame with at most LINK_CHUNK_MAX bytes of data. */
void link_writer_add(
    struct link_writer *writer, enum link_frame_kind kind, const void *data, size_t len, struct buffer *out);
void link_writer_wipe(struct link_writer *writer);

void link_reader_init(struct link_reader *reader, const unsigned char key[32]);
void link_reader_feed(struct link_reader *reader, const void *data, size_t len);
/*
 * The next whole message, borrowed until the next call: 1. 0 when more bytes are needed. OPT_E_CLOSED when
 * the other side has said all. OPT_E_INVALID with the cause when the stream can't go on; it stays so.
 */
int link_reader_next(
    struct link_reader *reader, const void **ret_data, size_t *ret_len, enum link_end *ret_why);
/* Whether the stream stands in the middle of a frame. */
bool link_reader_in_frame(const struct link_reader *reader);
/* Wipes and frees. */
void link_reader_done(struct link_reader *reader);

#endif
