/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are fed to a frame decoder in pieces whose length they choose; what decodes is encoded again, and
 * has to decode to the same frame type.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct frame *frame)
{
	struct frame_decoder *decoder = frame_decoder_new();
	struct frame again;
	struct buffer out;

	buffer_init(&out);
	frame_encode(frame, &out);
	frame_decoder_feed(decoder, out.data, out.len);
	if (frame_decoder_next(decoder, &again) != 1 || again.type != frame->type ||
	    again.seq != frame->seq || again.mail_count != frame->mail_count ||
	    strcmp(again.reason, frame->reason) != 0 || strcmp(again.attempt_text, frame->attempt_text) != 0)
		abort();
	buffer_done(&out);
	frame_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame_decoder *decoder = frame_decoder_new();
	struct frame frame;
	size_t step = len == 0 ? 1 : 1 + data[0];

	for (size_t at = 1; at < len; at += step) {
		int result;

		frame_decoder_feed(decoder, data + at, len - at < step ? len - at : step);
		while ((result = frame_decoder_next(decoder, &frame)) == 1)
			check(&frame);
		if (result < 0)
			break;
	}
	frame_decoder_free(decoder);
	return 0;
}
