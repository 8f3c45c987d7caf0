/* SPDX-License-Identifier: MIT */
/*
 * Any bytes against either side of a handshake. The first one chooses the side, the size of the pieces, and
 * whether the bytes are laid over a correct second or third message, so that what lies behind the seal is
 * reached. Nobody who did not make the message gets through.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/link_handshake.h"

enum { AS_DIALLER = 1, OVER_HONEST = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct link_self nodes[2];

static void make_nodes(void)
{
	if (sodium_init() < 0)
		abort();
	for (int i = 0; i < 2; i++) {
		unsigned char seed[crypto_sign_SEEDBYTES] = {(unsigned char)(i + 1)};

		crypto_sign_seed_keypair(nodes[i].identity.public_key, nodes[i].identity.secret_key, seed);
	}
}

/* What an honest other side would say, with the bytes XORed over it; true when that changed it. */
static int lay_over(struct buffer *message, const uint8_t *data, size_t len)
{
	int changed = 0;

	for (size_t i = 0; i < len && i < message->len; i++) {
		message->data[i] ^= (char)data[i];
		changed |= data[i] != 0;
	}
	return changed;
}

static int feed(struct handshake *handshake, const void *data, size_t len, size_t step, struct buffer *out)
{
	const char *bytes = data;
	enum link_end why = LINK_ENDS;
	int status = 0;

	for (size_t at = 0; status == 0 && at < len; at += step) {
		size_t piece = len - at < step ? len - at : step, used = 0;

		status = handshake_take(handshake, bytes + at, piece, &used, out, &why);
		if (used > piece || (status < 0 && why >= LINK_ENDS) || out->len > 4096)
			abort();
	}
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct handshake dialler, listener;
	struct buffer first, second, third, out;
	int flags, status, changed = 1;
	size_t step;

	if (len == 0)
		return 0;
	make_nodes();
	flags = data[0] & 3;
	step = (size_t)1 + (data[0] >> 2);
	data++;
	len--;
	buffer_init(&first);
	buffer_init(&second);
	buffer_init(&third);
	buffer_init(&out);
	handshake_begin(&dialler, &nodes[0], true, 1, &out);
	handshake_begin(&listener, &nodes[1], false, 0, &first);
	if ((flags & OVER_HONEST) != 0) {
		feed(&dialler, first.data, first.len, first.len, &second);
		if ((flags & AS_DIALLER) != 0) {
			feed(&listener, second.data, second.len, second.len, &third);
			changed = lay_over(&third, data, len);
			status = feed(&dialler, third.data, third.len, step, &out);
		} else {
			changed = lay_over(&second, data, len);
			status = feed(&listener, second.data, second.len, step, &out);
		}
	} else {
		status = feed((flags & AS_DIALLER) != 0 ? &dialler : &listener, data, len, step, &out);
	}
	if ((status == 1) != (changed == 0))
		abort();
	handshake_wipe(&dialler);
	handshake_wipe(&listener);
	buffer_done(&first);
	buffer_done(&second);
	buffer_done(&third);
	buffer_done(&out);
	return 0;
}
