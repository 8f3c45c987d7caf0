/* SPDX-License-Identifier: MIT */
/*
 * Frames come back as they were sent, however the stream is cut; other bytes end the connection.
 */
#include "merge.h"

#include "queue/frames.h"
#include "queue/outcome.h"

static struct attempt_key key(void)
{
	struct attempt_key key = {.index = 499, .epoch = 7, .attempt = 3};

	memset(key.shard.bytes, 0x11, sizeof(key.shard.bytes));
	memset(key.node.bytes, 0x22, sizeof(key.node.bytes));
	return key;
}

static void check_key(const struct attempt_key *got, bool mail)
{
	struct attempt_key expected = key();

	assert_memory_equal(got->shard.bytes, expected.shard.bytes, OPT_ID_SIZE);
	assert_memory_equal(got->node.bytes, expected.node.bytes, OPT_ID_SIZE);
	assert_int_equal(got->epoch, expected.epoch);
	assert_int_equal(got->index, mail ? expected.index : 0);
	assert_int_equal(got->attempt, mail ? expected.attempt : 0);
}

static void encode_all(struct buffer *out)
{
	static struct frame_mail mails[FRAME_MAILS_MAX];
	struct frame frame = {.type = FRAME_FEED,
	    .key = key(),
	    .batch = "batch-1",
	    .sender = "b+{{verp}}@example.org",
	    .created = {1700000000000000u},
	    .mails = mails,
	    .mail_count = FRAME_MAILS_MAX};

	for (uint32_t i = 0; i < FRAME_MAILS_MAX; i++)
		mails[i] = (struct frame_mail){.index = i, .attempt = i + 1};
	frame_encode(&frame, out);
	frame_encode(&(struct frame){.type = FRAME_BEGUN, .key = key(), .queue_id = "4ABC"}, out);
	frame_encode(
	    &(struct frame){.type = FRAME_FED, .key = key(), .status = FED_UNCERTAIN, .reason = "cut"}, out);
	frame_encode(&(struct frame){.type = FRAME_APPEND,
	                 .seq = UINT64_MAX,
	                 .queue_id = "4ABC",
	                 .attempt_text = "text",
	                 .dsn = "2.0.0",
	                 .action = "relayed",
	                 .relay = "mx[192.0.2.1]:25",
	                 .reason = "250 ok"},
	    out);
	frame_encode(&(struct frame){.type = FRAME_DONE, .seq = 5, .queue_id = "4ABC"}, out);
	frame_encode(&(struct frame){.type = FRAME_ACK, .seq = 6}, out);
}

static void check_frame(size_t i, const struct frame *frame)
{
	assert_int_equal(frame->type, i + 1);
	switch (frame->type) {
	case FRAME_FEED:
		check_key(&frame->key, false);
		assert_string_equal(frame->batch, "batch-1");
		assert_string_equal(frame->sender, "b+{{verp}}@example.org");
		assert_int_equal(frame->created.us, 1700000000000000u);
		assert_int_equal(frame->mail_count, FRAME_MAILS_MAX);
		assert_int_equal(frame->mails[499].index, 499);
		assert_int_equal(frame->mails[499].attempt, 500);
		break;
	case FRAME_BEGUN:
		check_key(&frame->key, true);
		assert_string_equal(frame->queue_id, "4ABC");
		break;
	case FRAME_FED:
		check_key(&frame->key, true);
		assert_int_equal(frame->status, FED_UNCERTAIN);
		assert_string_equal(frame->reason, "cut");
		break;
	case FRAME_APPEND:
		assert_true(frame->seq == UINT64_MAX);
		assert_string_equal(frame->attempt_text, "text");
		assert_string_equal(frame->dsn, "2.0.0");
		assert_string_equal(frame->action, "relayed");
		assert_string_equal(frame->relay, "mx[192.0.2.1]:25");
		assert_string_equal(frame->reason, "250 ok");
		break;
	case FRAME_DONE:
		assert_int_equal(frame->seq, 5);
		assert_string_equal(frame->queue_id, "4ABC");
		assert_string_equal(frame->attempt_text, "");
		break;
	case FRAME_ACK:
		assert_int_equal(frame->seq, 6);
		break;
	}
}

static void frames_come_back_however_the_stream_is_cut(void **state)
{
	static const size_t steps[] = {1, 2, 3, 7, 100, 4096, 1000000};
	struct buffer out;

	(void)state;
	buffer_init(&out);
	encode_all(&out);
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		struct frame_decoder *decoder = frame_decoder_new();
		struct frame frame;
		size_t count = 0;

		for (size_t at = 0; at < out.len; at += steps[s]) {
			size_t len = out.len - at < steps[s] ? out.len - at : steps[s];

			frame_decoder_feed(decoder, out.data + at, len);
			while (frame_decoder_next(decoder, &frame) == 1)
				check_frame(count++, &frame);
		}
		assert_int_equal(count, 6);
		assert_int_equal(frame_decoder_next(decoder, &frame), 0);
		frame_decoder_free(decoder);
	}
	buffer_done(&out);
}

static void text_is_cut_at_its_limit_between_characters(void **state)
{
	struct frame_decoder *decoder = frame_decoder_new();
	char reason[2002];
	struct buffer out;
	struct frame frame = {.type = FRAME_APPEND,
	    .reason = reason,
	    .relay = reason,
	    .dsn = reason,
	    .action = reason,
	    .queue_id = reason,
	    .attempt_text = reason};

	(void)state;
	buffer_init(&out);
	reason[0] = 'x';
	for (size_t i = 1; i + 1 < sizeof(reason); i += 2)
		memcpy(reason + i, "\xc3\xa9", 2);
	reason[sizeof(reason) - 1] = '\0';
	frame_encode(&frame, &out);
	frame_decoder_feed(decoder, out.data, out.len);
	assert_int_equal(frame_decoder_next(decoder, &frame), 1);
	assert_int_equal(strlen(frame.reason), OUTCOME_REASON_MAX - 1);
	assert_int_equal(strlen(frame.relay), OUTCOME_RELAY_MAX - 1);
	assert_int_equal(strlen(frame.dsn), OUTCOME_DSN_MAX - 1);
	frame_decoder_free(decoder);
	buffer_done(&out);
}

static int decode(const char *bytes, size_t len)
{
	struct frame_decoder *decoder = frame_decoder_new();
	struct frame frame;
	int result;

	frame_decoder_feed(decoder, bytes, len);
	result = frame_decoder_next(decoder, &frame);
	frame_decoder_free(decoder);
	return result;
}

#define DECODE(bytes) decode(bytes, sizeof(bytes) - 1)

static void broken_frames_are_refused(void **state)
{
	(void)state;
	assert_int_equal(DECODE("\0\0\0\x03\x92\x06\x01"), 1);
	assert_int_equal(DECODE("\0\0\0\x03\x92\x06"), 0);
	assert_int_equal(DECODE("\0\0\0\x00"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\x10\0\x01"), OPT_E_LIMIT);
	assert_int_equal(DECODE("\xff\xff\xff\xff"), OPT_E_LIMIT);
	assert_int_equal(DECODE("\0\0\0\x03\x92\x07\x01"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x03\x92\x00\x01"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x04\x93\x06\x01\x01"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x04\x92\x06\x01\x01"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x03\x92\x06\xc0"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x02\x92\x06"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x05\xdd\xff\xff\xff\xff"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x08\x94\x05\x01\xa1\0\xa2xx"), OPT_E_INVALID);
	assert_int_equal(DECODE("\0\0\0\x08\x94\x05\x01\xa1y\xa2xx"), 1);
	assert_int_equal(DECODE("\0\0\0\x0a\x94\x05\x01\xa1y\xdb\xff\xff\xff\xff"), OPT_E_INVALID);
}

static void a_long_stream_is_decoded_in_linear_time(void **state)
{
	struct frame_decoder *decoder = frame_decoder_new();
	struct buffer out;
	struct frame frame;
	size_t count = 0;

	(void)state;
	buffer_init(&out);
	for (uint64_t i = 0; i < 2000000; i++)
		frame_encode(&(struct frame){.type = FRAME_ACK, .seq = i}, &out);
	/* Moving what is left of 20 MB after each frame would take hours. */
	frame_decoder_feed(decoder, out.data, out.len);
	while (frame_decoder_next(decoder, &frame) == 1) {
		assert_int_equal(frame.seq, count);
		count++;
		if (count % 1000 == 0)
			frame_decoder_feed(decoder, "", 0);
	}
	assert_int_equal(count, 2000000);
	frame_decoder_free(decoder);
	buffer_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_come_back_however_the_stream_is_cut),
	    cmocka_unit_test(text_is_cut_at_its_limit_between_characters),
	    cmocka_unit_test(broken_frames_are_refused),
	    cmocka_unit_test(a_long_stream_is_decoded_in_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
