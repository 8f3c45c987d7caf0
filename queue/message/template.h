/* SPDX-License-Identifier: MIT */
/*
 * A message template: a whole RFC 5322 message with {{fields}}, read once, rendered for every mail.
 *
 * Headers and parts without a field pass byte for byte, but for what Postfix's sendmail(1) does to its input
 * (mbox lines at the start, CRLF). Message-ID is ours, at the top; Date and To are added where the template
 * has none. So that all mails of a batch have the same headers, a text part with fields is changed when it is
 * compiled: 7bit becomes quoted-printable, and a charset that is us-ascii or missing becomes utf-8.
 * docs/templates.md is the user's side of it.
 *
 * Compile, check and render on one thread at a time: GMime and the charset converters have state.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_TEMPLATE_H
#define OPTIMUS_QUEUE_MESSAGE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/message/buffer.h"

enum {
	TEMPLATE_SIZE_MAX = 32 * 1024 * 1024,
	TEMPLATE_FIELDS_MAX = 256,
	FIELD_NAME_MAX = 64,
};

struct template;

struct template_error {
	int line;                       /* 1-based line of the source; 0 when the whole is meant */
	char field[FIELD_NAME_MAX + 1]; /* "" when no field is at fault */
	char text[256];                 /* what is wrong and what to do about it */
};

/*
 * Compiles the `len` bytes of `source`, which may hold any byte. Borrows source only during the call.
 * On success 0 and *ret_template (free with template_free). On failure OPT_E_INVALID or OPT_E_LIMIT, and
 * *ret_error says where and why.
 */
int template_compile(
    const char *source, size_t len, struct template **ret_template, struct template_error *ret_error);
void template_free(struct template *template);

/*
 * The recipients' fields that it uses, each once, in order of first appearance. `email` and `verp` are built
 * in and not among them.
 */
size_t template_field_count(const struct template *template);
const char *template_field(const struct template *template, size_t i);
/* Line of the first use. */
int template_field_line(const struct template *template, size_t i);
/* True where at least one use of the field has no fallback. */
bool template_field_required(const struct template *template, size_t i);
/* True when a use of the field stands in a header (so that CR, LF and NUL are refused in its values). */
bool template_field_in_header(const struct template *template, size_t i);

struct template_values {
	const char *email; /* the recipient's address */
	const char *const
	    *fields;            /* one a field of the template, in its order; NULL where the row has none */
	const char *message_id; /* without the angle brackets */
	const char *date;       /* RFC 5322 date-time */
};

/*
 * Whether these values may be rendered: UTF-8, no NUL anywhere, no CR or LF where a header uses them, nothing
 * but address characters within an address, a value (an empty one will do) for every required field.
 * OPT_E_INVALID otherwise, with error->field and error->text (line 0).
 */
int template_check_values(
    const struct template *template, const struct template_values *values, struct template_error *ret_error);

/*
 * Appends the merged message to `out`, lines ending in LF. Takes values that template_check_values() has let
 * pass. Same values, same bytes, every time and on every machine.
 */
int template_render(
    const struct template *template, const struct template_values *values, struct buffer *out);

/*
 * The envelope sender for one recipient: {{verp}} in `pattern` becomes local=domain of the address, with what
 * is special in a local part encoded as in Postfix's VERP (recipient user@example.com: user=example.com).
 * OPT_E_INVALID when the result is no address; "" (the null sender) is allowed. The local part may have up to
 * 255 octets, not 64, when it has an address in it.
 */
int sender_expand(const char *pattern, const char *email, struct buffer *out);

#endif
