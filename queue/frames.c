/* SPDX-License-Identifier: MIT */
/*
 * Packs and unpacks the frames between optimusd and its servers inside Postfix.
 *
 * The texts in these frames come from remote mail servers by way of Postfix, so both sides hold to the
 * limits: the encoder cuts, the decoder refuses. A decoder belongs to one connection. Its buffer holds at
 * most one frame that is not complete and what was fed after it; bytes of frames that are done with are
 * dropped when they are more than half of the buffer, so each byte is moved a constant number of times.
 *
 * After an error the decoder is of no more use: close the connection.
 */
#include "queue/frames.h"

#include <stdlib.h>
#include <string.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/message/address.h"
#include "queue/message/utf8.h"
#include "queue/outcome.h"

enum {
	LENGTH_SIZE = 4,
	FIELDS_MAX = 16, /* elements of the outer array */
	SENDER_MAX = ADDRESS_MAX + 64,
	QUEUE_ID_MAX = 100,
	ATTEMPT_MAX = 256, /* longer than any of ours: what Postfix hands back may be anything */
	ACTION_MAX = 32,
	INDEX_LIMIT = UINT16_MAX, /* of a mail in its shard */
};

struct frame_decoder {
	struct buffer bytes;
	size_t used; /* bytes of frames that were handed out */
	struct frame_mail mails[FRAME_MAILS_MAX];
};

/* Text up to its limit, no character cut. */
static void pack_cut(msgpack_packer *packer, const char *text, size_t max)
{
	size_t len = text == NULL ? 0 : strnlen(text, max + 1);

	len = utf8_cut(text, len, max);
	msgpack_pack_str(packer, len);
	msgpack_pack_str_body(packer, text, len);
}

/* shard, index, epoch, node, attempt */
static void pack_key(msgpack_packer *packer, const struct attempt_key *key)
{
	pack_id(packer, &key->shard);
	msgpack_pack_uint32(packer, key->index);
	msgpack_pack_uint32(packer, key->epoch);
	pack_id(packer, &key->node);
	msgpack_pack_uint32(packer, key->attempt);
}

static void pack_feed(msgpack_packer *packer, const struct frame *frame)
{
	size_t count = frame->mail_count < FRAME_MAILS_MAX ? frame->mail_count : FRAME_MAILS_MAX;

	pack_cut(packer, frame->batch, BATCH_NAME_MAX);
	pack_id(packer, &frame->batch_key);
	pack_id(packer, &frame->upload);
	pack_id(packer, &frame->key.shard);
	msgpack_pack_uint32(packer, frame->key.epoch);
	pack_id(packer, &frame->key.node);
	pack_cut(packer, frame->sender, SENDER_MAX);
	msgpack_pack_uint64(packer, frame->created.us);
	msgpack_pack_array(packer, count);
	for (size_t i = 0; i < count; i++) {
		msgpack_pack_array(packer, 2);
		msgpack_pack_uint32(packer, frame->mails[i].index);
		msgpack_pack_uint32(packer, frame->mails[i].attempt);
	}
}

/* How many elements a frame of this type has, its type included; 0 for no type. */
static size_t field_count(uint64_t type)
{
	static const uint8_t counts[] = {
	    [FRAME_FEED] = 10,
	    [FRAME_BEGUN] = 7,
	    [FRAME_FED] = 8,
	    [FRAME_APPEND] = 8,
	    [FRAME_DONE] = 4,
	    [FRAME_ACK] = 2,
	};

	return type < sizeof(counts) ? counts[type] : 0;
}

static void pack_fields(msgpack_packer *packer, const struct frame *frame)
{
	switch (frame->type) {
	case FRAME_FEED:
		pack_feed(packer, frame);
		break;
	case FRAME_BEGUN:
		pack_key(packer, &frame->key);
		pack_cut(packer, frame->queue_id, QUEUE_ID_MAX);
		break;
	case FRAME_FED:
		pack_key(packer, &frame->key);
		msgpack_pack_uint8(packer, (uint8_t)frame->status);
		pack_cut(packer, frame->reason, OUTCOME_REASON_MAX);
		break;
	case FRAME_APPEND:
	case FRAME_DONE:
		msgpack_pack_uint64(packer, frame->seq);
		pack_cut(packer, frame->queue_id, QUEUE_ID_MAX);
		pack_cut(packer, frame->attempt_text, ATTEMPT_MAX);
		if (frame->type == FRAME_DONE)
			break;
		pack_cut(packer, frame->dsn, OUTCOME_DSN_MAX);
		pack_cut(packer, frame->action, ACTION_MAX);
		pack_cut(packer, frame->relay, OUTCOME_RELAY_MAX);
		pack_cut(packer, frame->reason, OUTCOME_REASON_MAX);
		break;
	case FRAME_ACK:
		msgpack_pack_uint64(packer, frame->seq);
		break;
	}
}

void frame_encode(const struct frame *frame, struct buffer *out)
{
	size_t start = out->len, len;
	msgpack_packer packer;

	buffer_add(out, "\0\0\0\0", LENGTH_SIZE);
	pack_to(&packer, out);
	msgpack_pack_array(&packer, field_count(frame->type));
	msgpack_pack_uint8(&packer, (uint8_t)frame->type);
	pack_fields(&packer, frame);
	len = out->len - start - LENGTH_SIZE;
	for (size_t i = 0; i < LENGTH_SIZE; i++)
		out->data[start + i] = (char)(len >> (8 * (LENGTH_SIZE - 1 - i)));
}

struct frame_decoder *frame_decoder_new(void)
{
	struct frame_decoder *decoder = calloc(1, sizeof(*decoder));

	if (decoder == NULL)
		abort();
	buffer_init(&decoder->bytes);
	return decoder;
}

void frame_decoder_free(struct frame_decoder *decoder)
{
	if (decoder == NULL)
		return;
	buffer_done(&decoder->bytes);
	free(decoder);
}

void frame_decoder_feed(struct frame_decoder *decoder, const void *data, size_t len)
{
	if (decoder->used > decoder->bytes.len / 2) {
		buffer_consume(&decoder->bytes, decoder->used);
		decoder->used = 0;
	}
	buffer_add(&decoder->bytes, data, len);
}

static void read_key(struct cursor *c, struct attempt_key *key)
{
	key->shard = cursor_id(c);
	key->index = (uint32_t)cursor_uint(c, INDEX_LIMIT);
	key->epoch = (uint32_t)cursor_uint(c, UINT32_MAX);
	key->node = cursor_id(c);
	key->attempt = (uint32_t)cursor_uint(c, UINT32_MAX);
}

static void read_feed(struct cursor *c, struct frame_decoder *decoder, struct frame *frame)
{
	frame->batch = cursor_text_in_place(c, BATCH_NAME_MAX);
	frame->batch_key = cursor_id(c);
	frame->upload = cursor_id(c);
	frame->key.shard = cursor_id(c);
	frame->key.epoch = (uint32_t)cursor_uint(c, UINT32_MAX);
	frame->key.node = cursor_id(c);
	frame->sender = cursor_text_in_place(c, SENDER_MAX);
	frame->created.us = cursor_uint(c, UINT64_MAX);
	frame->mail_count = cursor_array(c, FRAME_MAILS_MAX);
	frame->mails = decoder->mails;
	for (size_t i = 0; i < frame->mail_count; i++) {
		cursor_array_of(c, 2);
		decoder->mails[i].index = (uint32_t)cursor_uint(c, INDEX_LIMIT);
		decoder->mails[i].attempt = (uint32_t)cursor_uint(c, UINT32_MAX);
	}
}

static void read_fields(struct cursor *c, struct frame_decoder *decoder, struct frame *frame)
{
	switch (frame->type) {
	case FRAME_FEED:
		read_feed(c, decoder, frame);
		break;
	case FRAME_BEGUN:
		read_key(c, &frame->key);
		frame->queue_id = cursor_text_in_place(c, QUEUE_ID_MAX);
		break;
	case FRAME_FED:
		read_key(c, &frame->key);
		frame->status = (enum fed_status)cursor_uint(c, FED_DEFERRED);
		frame->reason = cursor_text_in_place(c, OUTCOME_REASON_MAX);
		break;
	case FRAME_APPEND:
	case FRAME_DONE:
		frame->seq = cursor_uint(c, UINT64_MAX);
		frame->queue_id = cursor_text_in_place(c, QUEUE_ID_MAX);
		frame->attempt_text = cursor_text_in_place(c, ATTEMPT_MAX);
		if (frame->type == FRAME_DONE)
			break;
		frame->dsn = cursor_text_in_place(c, OUTCOME_DSN_MAX);
		frame->action = cursor_text_in_place(c, ACTION_MAX);
		frame->relay = cursor_text_in_place(c, OUTCOME_RELAY_MAX);
		frame->reason = cursor_text_in_place(c, OUTCOME_REASON_MAX);
		break;
	case FRAME_ACK:
		frame->seq = cursor_uint(c, UINT64_MAX);
		break;
	}
}

int frame_decoder_next(struct frame_decoder *decoder, struct frame *ret_frame)
{
	struct frame frame = {.batch = "",
	    .sender = "",
	    .queue_id = "",
	    .attempt_text = "",
	    .dsn = "",
	    .action = "",
	    .relay = "",
	    .reason = ""};
	size_t left = decoder->bytes.len - decoder->used, len = 0, count;
	struct cursor c;
	uint8_t *at;

	if (left < LENGTH_SIZE)
		return 0;
	at = (uint8_t *)decoder->bytes.data + decoder->used;
	for (size_t i = 0; i < LENGTH_SIZE; i++)
		len = len << 8 | at[i];
	if (len > FRAME_MAX)
		return OPT_E_LIMIT;
	if (left - LENGTH_SIZE < len)
		return 0;
	c = cursor_over(at + LENGTH_SIZE, len);
	count = cursor_array(&c, FIELDS_MAX);
	frame.type = (enum frame_type)cursor_uint(&c, FRAME_ACK);
	if (c.failed || count == 0 || count != field_count(frame.type))
		return OPT_E_INVALID;
	read_fields(&c, decoder, &frame);
	if (cursor_end(&c) != 0)
		return OPT_E_INVALID;
	decoder->used += LENGTH_SIZE + len;
	*ret_frame = frame;
	return 1;
}
