/* SPDX-License-Identifier: MIT */
/*
 * A quick look at address headers, before cleanup(8) has a slow one.
 *
 * Stock sendmail's mail is rewritten in the context "local": an address without a domain gets ours, user%host
 * and host!user are turned round. Each address costs a trip to trivial-rewrite(8), which together take a
 * tenth of all the time that a mail takes. Mass mail has whole addresses, where none of this changes a byte,
 * so it goes in as "remote", which skips the headers. Anything that is not plain at first sight goes the
 * stock way.
 */
#include "postfix-glue/qualified.h"

#include <string.h>
#include <strings.h>

/* Headers whose addresses Postfix rewrites: global/header_opts.c, HDR_OPT_SENDER and HDR_OPT_RECIP. */
static const char *const address_headers[] = {"apparently-to", "bcc", "cc", "disposition-notification-to",
    "errors-to", "from", "mail-followup-to", "reply-to", "resent-bcc", "resent-cc", "resent-from",
    "resent-reply-to", "resent-sender", "resent-to", "return-path", "return-receipt-to", "sender", "to"};

static bool is_address_header(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(address_headers) / sizeof(address_headers[0]); i++) {
		if (strlen(address_headers[i]) == len && strncasecmp(name, address_headers[i], len) == 0)
			return true;
	}
	return false;
}

/* What has been seen of one address of a list. */
struct address {
	int ats;
	bool last_dot; /* the last character of it was a dot */
};

static bool address_is_plain(const struct address *address)
{
	return address->ats == 1 && !address->last_dot;
}

/* One header's value, with its folded lines. */
static bool value_is_plain(const char *value, size_t len)
{
	struct address address = {0};
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		char c = value[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
			continue;
		}
		switch (c) {
		case '"':
			quoted = true;
			break;
		case ',':
			if (!address_is_plain(&address))
				return false;
			address = (struct address){0};
			break;
		case '@':
			address.ats++;
			break;
		case '.':
			address.last_dot = true;
			continue;
		case '>':
		case ' ':
		case '\t':
		case '\n':
		case '\r':
			continue;
		case '(': /* comments, groups, literals, other syntaxes: let Postfix look */
		case ')':
		case ':':
		case ';':
		case '[':
		case ']':
		case '%':
		case '!':
		case '\\':
			return false;
		}
		address.last_dot = false;
	}
	return !quoted && address_is_plain(&address);
}

/* The end of the header that starts at `at`: behind its last folded line. */
static size_t header_end(const char *text, size_t len, size_t at)
{
	for (;;) {
		const char *newline = memchr(text + at, '\n', len - at);

		if (newline == NULL)
			return len;
		at = (size_t)(newline - text) + 1;
		if (at >= len || (text[at] != ' ' && text[at] != '\t'))
			return at;
	}
}

bool headers_are_qualified(const char *text, size_t len)
{
	size_t at = 0;
	bool from = false; /* a missing one is added for local mail alone */

	while (at < len && text[at] != '\n') {
		size_t end = header_end(text, len, at);
		const char *colon = memchr(text + at, ':', end - at);
		size_t name;

		if (colon == NULL)
			return false; /* no header: what is body and what is not is for Postfix to say */
		name = (size_t)(colon - (text + at));
		while (name > 0 && (text[at + name - 1] == ' ' || text[at + name - 1] == '\t'))
			name--;
		if (is_address_header(text + at, name) &&
		    !value_is_plain(colon + 1, end - (size_t)(colon + 1 - text)))
			return false;
		from = from || (name == strlen("from") && strncasecmp(text + at, "from", name) == 0);
		at = end;
	}
	return from;
}
