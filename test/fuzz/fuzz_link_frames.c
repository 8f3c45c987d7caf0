/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as frames. With an even first byte they come raw, behind an honest header; with an odd one they
 * are what a peer with the right keys seals: | kind 1 | length 1, times 64 | ..., so that the other side of
 * the seal is tried too. Pieces are as long as the first byte says.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/link_frame.h"
#include "queue/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void seal(struct link_writer *writer, const uint8_t *data, size_t len, struct buffer *out)
{
	static const unsigned char zeros[64 * 255];

	for (size_t at = 0; at + 1 < len; at += 2)
		link_writer_add(writer, data[at] % (FRAME_KINDS + 1), zeros, (size_t)64 * data[at + 1], out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned char key[32] = {1};
	struct link_writer writer;
	struct link_reader reader;
	struct buffer out;
	size_t step;
	int status = 0;

	if (len == 0 || sodium_init() < 0)
		return 0;
	step = (size_t)1 + 16 * data[0];
	buffer_init(&out);
	link_writer_init(&writer, key, &out);
	link_reader_init(&reader, key);
	if ((data[0] & 1) != 0)
		seal(&writer, data + 1, len - 1, &out);
	else
		buffer_add(&out, data + 1, len - 1);
	for (size_t at = 0; status >= 0 && at < out.len; at += step) {
		enum link_end why = LINK_ENDS;
		const void *message = NULL;
		size_t size = 0;

		link_reader_feed(&reader, out.data + at, out.len - at < step ? out.len - at : step);
		while ((status = link_reader_next(&reader, &message, &size, &why)) == 1)
			if (size > LINK_MESSAGE_MAX || (data[0] & 1) == 0)
				abort();
		if (status == OPT_E_INVALID && why >= LINK_ENDS)
			abort();
	}
	link_reader_done(&reader);
	link_writer_wipe(&writer);
	buffer_done(&out);
	return 0;
}
