/* SPDX-License-Identifier: MIT */
/*
 * Conversion between UTF-8 and the charset of a body part.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_CHARSET_H
#define OPTIMUS_QUEUE_MESSAGE_CHARSET_H

#include <iconv.h>
#include <stdbool.h>

#include "queue/message/buffer.h"

/* In the place of a converter: UTF-8 stays UTF-8. */
#define CHARSET_UTF8 ((iconv_t)-1)

/* What a charset is good for. */
enum charset_kind {
	CHARSET_IS_UTF8,
	CHARSET_IS_ASCII,   /* us-ascii, and what stands for it */
	CHARSET_IS_OTHER,   /* ASCII is itself in it: fields can be found and replaced */
	CHARSET_IS_FOREIGN, /* ASCII is not itself in it (UTF-16, UTF-7) */
	CHARSET_IS_UNKNOWN,
};

enum charset_kind charset_kind(const char *name);
/* Appends `text` of charset `name` as UTF-8; false when it is not valid in it. */
bool charset_decode(const char *name, const char *text, size_t len, struct buffer *out);
/* A converter from UTF-8, or CHARSET_UTF8 when there is none; close with iconv_close(). */
iconv_t charset_open(const char *name);
/*
 * Appends UTF-8 text in the converter's charset. A character that it lacks becomes a numeric entity where
 * `html`, or '?'. Each call leaves a charset with shift states in its first state.
 */
void charset_encode(iconv_t charset, const char *text, size_t len, bool html, struct buffer *out);

#endif
