/* SPDX-License-Identifier: MIT */
/*
 * Sealing and opening frames.
 *
 * The length is associated data of its frame, so that a changed one is found out, at the latest when as many
 * bytes have come as it promises; the order of frames is in secretstream's state. Nothing is allocated
 * because a length says so: memory grows with the bytes that have come, up to a frame, and with the frames
 * that were opened, up to a message for each lane.
 */
#include "daemon/link_frame.h"

#include <assert.h>
#include <string.h>

#include "queue/error.h"

enum { HEADER_SIZE = crypto_secretstream_xchacha20poly1305_HEADERBYTES, LENGTH_SIZE = 2 };

static_assert(crypto_secretstream_xchacha20poly1305_ABYTES == LINK_SEALED_MIN - 1, "overhead of a frame");
static_assert(LINK_SEALED_MAX <= UINT16_MAX, "a length has two bytes");

void link_writer_init(struct link_writer *writer, const unsigned char key[32], struct buffer *out)
{
	unsigned char header[HEADER_SIZE];

	crypto_secretstream_xchacha20poly1305_init_push(&writer->state, header, key);
	writer->frames = 0;
	buffer_add(out, header, sizeof(header));
}

static unsigned char frame_tag(struct link_writer *writer, enum link_frame_kind kind)
{
	if (kind == FRAME_END)
		return crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	if (++writer->frames % LINK_REKEY_FRAMES == 0)
		return crypto_secretstream_xchacha20poly1305_TAG_REKEY;
	return crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
}

void link_writer_add(
    struct link_writer *writer, enum link_frame_kind kind, const void *data, size_t len, struct buffer *out)
{
	unsigned char plain[1 + LINK_CHUNK_MAX];
	unsigned char length[LENGTH_SIZE];
	size_t sealed = LINK_SEALED_MIN + len;

	if (len > LINK_CHUNK_MAX)
		opt_abort("a frame above its limit was to be sent");
	length[0] = (unsigned char)(sealed >> 8);
	length[1] = (unsigned char)(sealed & 0xff);
	plain[0] = (unsigned char)kind;
	if (len > 0)
		memcpy(plain + 1, data, len);
	buffer_add(out, length, sizeof(length));
	crypto_secretstream_xchacha20poly1305_push(&writer->state,
	    (unsigned char *)buffer_reserve(out, sealed), NULL, plain, 1 + len, length, sizeof(length),
	    frame_tag(writer, kind));
	out->len += sealed;
}

void link_writer_wipe(struct link_writer *writer)
{
	sodium_memzero(writer, sizeof(*writer));
}

void link_reader_init(struct link_reader *reader, const unsigned char key[32])
{
	memset(reader, 0, sizeof(*reader));
	memcpy(reader->key, key, sizeof(reader->key));
	buffer_init(&reader->input);
	for (int lane = 0; lane < LANES; lane++)
		buffer_init(&reader->lanes[lane]);
}

void link_reader_feed(struct link_reader *reader, const void *data, size_t len)
{
	if (reader->at > 0) {
		buffer_consume(&reader->input, reader->at);
		reader->at = 0;
	}
	buffer_add(&reader->input, data, len);
}

static size_t waiting(const struct link_reader *reader)
{
	return reader->input.len - reader->at;
}

static const unsigned char *next_bytes(const struct link_reader *reader)
{
	return (const unsigned char *)reader->input.data + reader->at;
}

/* 1 when the header has been taken. */
static int take_header(struct link_reader *reader, enum link_end *ret_why)
{
	if (waiting(reader) < HEADER_SIZE)
		return 0;
	if (crypto_secretstream_xchacha20poly1305_init_pull(
	        &reader->state, next_bytes(reader), reader->key) != 0) {
		*ret_why = LINK_DAMAGED;
		return OPT_E_INVALID;
	}
	sodium_memzero(reader->key, sizeof(reader->key));
	reader->at += HEADER_SIZE;
	reader->begun = true;
	return 1;
}

/* Opens the next frame into `plain`: 1, with the length of the data behind its kind. */
static int open_frame(struct link_reader *reader, unsigned char plain[1 + LINK_CHUNK_MAX], size_t *ret_len,
    enum link_end *ret_why)
{
	const unsigned char *length = next_bytes(reader);
	unsigned char tag;
	size_t sealed;

	if (waiting(reader) < LENGTH_SIZE)
		return 0;
	sealed = (size_t)length[0] << 8 | length[1];
	*ret_why = sealed > LINK_SEALED_MAX ? LINK_OVERSIZED : LINK_MALFORMED;
	if (sealed > LINK_SEALED_MAX || sealed < LINK_SEALED_MIN)
		return OPT_E_INVALID;
	if (waiting(reader) < LENGTH_SIZE + sealed)
		return 0;
	*ret_why = LINK_DAMAGED;
	if (crypto_secretstream_xchacha20poly1305_pull(
	        &reader->state, plain, NULL, &tag, length + LENGTH_SIZE, sealed, length, LENGTH_SIZE) != 0)
		return OPT_E_INVALID;
	*ret_why = LINK_MALFORMED;
	if (plain[0] >= FRAME_KINDS ||
	    (plain[0] == FRAME_END) != (tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL))
		return OPT_E_INVALID;
	reader->at += LENGTH_SIZE + sealed;
	*ret_len = sealed - LINK_SEALED_MIN;
	return 1;
}

/* What an opened frame means: 1 for the last one of a message, 0 for any other. */
static int take_frame(struct link_reader *reader, enum link_frame_kind kind, const void *data, size_t len,
    struct buffer **ret_message, enum link_end *ret_why)
{
	bool last = kind == FRAME_CONTROL_LAST || kind == FRAME_BULK_LAST;
	enum link_lane lane = kind == FRAME_BULK_PART || kind == FRAME_BULK_LAST ? LANE_BULK : LANE_CONTROL;
	struct buffer *message = &reader->lanes[lane];

	*ret_why = LINK_MALFORMED;
	if (kind == FRAME_END) {
		if (len != 0)
			return OPT_E_INVALID;
		reader->ended = true;
		return OPT_E_CLOSED;
	}
	if (len == 0 && !last)
		return OPT_E_INVALID;
	*ret_why = LINK_OVERSIZED;
	if (message->len + len > LINK_MESSAGE_MAX)
		return OPT_E_INVALID;
	buffer_add(message, data, len);
	*ret_message = message;
	reader->given[lane] = last;
	return last ? 1 : 0;
}

/* A large message's memory goes with it; a small one's serves the next. */
static void drop_given(struct link_reader *reader)
{
	for (int lane = 0; lane < LANES; lane++) {
		if (!reader->given[lane])
			continue;
		reader->given[lane] = false;
		buffer_clear(&reader->lanes[lane]);
		if (reader->lanes[lane].size > (size_t)4 * LINK_CHUNK_MAX) {
			buffer_done(&reader->lanes[lane]);
			buffer_init(&reader->lanes[lane]);
		}
	}
}

int link_reader_next(
    struct link_reader *reader, const void **ret_data, size_t *ret_len, enum link_end *ret_why)
{
	unsigned char plain[1 + LINK_CHUNK_MAX];
	struct buffer *message = NULL;
	size_t len = 0;
	int status = reader->begun ? 1 : take_header(reader, ret_why);

	drop_given(reader);
	while (status == 1) {
		if (reader->ended) {
			*ret_why = LINK_MALFORMED;
			return waiting(reader) > 0 ? OPT_E_INVALID : OPT_E_CLOSED;
		}
		status = open_frame(reader, plain, &len, ret_why);
		if (status != 1)
			break;
		status = take_frame(reader, plain[0], plain + 1, len, &message, ret_why);
		if (status == 1) {
			*ret_data = message->data;
			*ret_len = message->len;
			return 1;
		}
		status = status == 0 ? 1 : status;
	}
	return status;
}

bool link_reader_in_frame(const struct link_reader *reader)
{
	return waiting(reader) > 0;
}

void link_reader_done(struct link_reader *reader)
{
	sodium_memzero(&reader->state, sizeof(reader->state));
	sodium_memzero(reader->key, sizeof(reader->key));
	buffer_done(&reader->input);
	for (int lane = 0; lane < LANES; lane++)
		buffer_done(&reader->lanes[lane]);
}
