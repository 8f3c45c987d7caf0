/* SPDX-License-Identifier: MIT */
/*
 * UTF-8, as far as composing mail needs it.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_UTF8_H
#define OPTIMUS_QUEUE_MESSAGE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of it is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). NUL is a character. */
bool utf8_valid(const char *text, size_t len);
/*
 * The length of the character at the start of `text`, len > 0, and its code point in *ret_point (NULL
 * allowed). A broken one counts as one octet and as U+FFFD, so that a loop over any bytes ends.
 */
size_t utf8_next(const char *text, size_t len, uint32_t *ret_point);
/* The length of `text` cut to at most `max` octets without cutting a character. */
size_t utf8_cut(const char *text, size_t len, size_t max);

#endif
