/* SPDX-License-Identifier: MIT */
/*
 * The content of one message as it arrives after DATA: takes the dots off, finds the end, and gives what the
 * ledger says about it.
 */
#ifndef OPTIMUS_SINK_CONTENT_H
#define OPTIMUS_SINK_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTENT_HASH_HEX = 65, CONTENT_MESSAGE_ID_MAX = 512 };

struct content {
	unsigned char *data; /* the message with CRLF line ends, without the dots of transparency */
	size_t len;
	size_t cap;
	size_t limit;
	bool too_large; /* more than limit came; what was over it is not kept */
	int state;
};

/* An empty content that keeps at most `limit` bytes. */
void content_init(struct content *content, size_t limit);
void content_done(struct content *content);
/* Makes it empty for the next message. Gives memory of an unusually large one back. */
void content_reset(struct content *content);

/*
 * Takes received bytes. Returns how many belong to the content; *ret_end is true when its final line with
 * the single dot is among them. Only CRLF ends a line: a dot after a bare LF or CR is content.
 */
size_t content_feed(struct content *content, const unsigned char *bytes, size_t len, bool *ret_end);

/* BLAKE2b-256 in hex of the message without its Received fields. */
void content_hash(const struct content *content, char hex[CONTENT_HASH_HEX]);
/* The value of the first Message-ID field, without surrounding blanks; "" when there is none. Cut at the
 * limit. */
void content_message_id(const struct content *content, char id[CONTENT_MESSAGE_ID_MAX]);

#endif
