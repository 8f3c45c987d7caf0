/* SPDX-License-Identifier: MIT */
/*
 * The encodings of a message: RFC 2047 words in headers, quoted-printable and base64 in bodies, HTML escapes.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_ENCODE_H
#define OPTIMUS_QUEUE_MESSAGE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/message/buffer.h"

enum { ENCODE_LINE = 76 /* longest line that these functions make where they have a choice */ };

/*
 * Appends UTF-8 text as the value of an unstructured header, with the space that follows the colon: plain
 * where it can be, RFC 2047 encoded words elsewhere, folded. `column`: how much of the line is used already.
 * A reader that decodes it gets exactly `text` back, white space at its edges included.
 */
void encode_unstructured(struct buffer *out, const char *text, size_t len, size_t column);

/*
 * Appends UTF-8 text as the display name of an address, with a space before it: atoms, a quoted string or
 * encoded words. Nothing for no text.
 */
void encode_phrase(struct buffer *out, const char *text, size_t len, size_t column);

/* Appends quoted-printable. Starts at the start of a line; LF and CRLF in `text` are line breaks. */
void encode_quoted_printable(struct buffer *out, const char *text, size_t len);

/* Appends base64 in lines; the last one ends in LF where `final_newline` says so. */
void encode_base64(struct buffer *out, const char *data, size_t len, bool final_newline);

/*
 * Appends a value for a text body: line breaks of any kind become LF, or CRLF where `crlf`; & < > " ' become
 * HTML entities where `html`.
 */
void encode_text(struct buffer *out, const char *text, size_t len, bool html, bool crlf);

#endif
