/* SPDX-License-Identifier: MIT */
/*
 * E-mail addresses as they may stand in an SMTP envelope: RFC 5321 mailbox, RFC 6531 UTF-8 in both halves.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_ADDRESS_H
#define OPTIMUS_QUEUE_MESSAGE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/message/buffer.h"

enum { ADDRESS_MAX = 320 /* 64 + '@' + 255 */ };

/*
 * Whether `address` (NUL-terminated) is a mailbox: dot-atom or quoted local part of at most 64 octets, a
 * domain of letters, digits, hyphens (and UTF-8) in labels of at most 63 octets, 255 in all, or an address
 * literal in brackets. No display name, no angle brackets, no white space around it, no route, no CR, LF or
 * NUL. Returns NULL when it is, or else a static English phrase for what is wrong with it.
 */
const char *address_problem(const char *address);

/* The part after the last '@', lower-cased (ASCII only) into `domain` of ADDRESS_MAX + 1 bytes; "" if none.
 */
char *address_domain(const char *address, char domain[ADDRESS_MAX + 1]);

/* Whether the octet may stand in an atom; every octet of UTF-8 beyond ASCII may. */
bool address_is_atext(unsigned char c);

/* Appends local=domain of `email`, the local part without its quotes: what {{verp}} stands for. */
void address_add_verp(struct buffer *out, const char *email);

#endif
