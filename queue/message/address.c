/* SPDX-License-Identifier: MIT */
/*
 * Judges e-mail addresses, and makes the envelope sender of one recipient (VERP).
 *
 * Everything that reaches an SMTP envelope or an address header passes here first, so the rule is strict: a
 * mailbox as RFC 5321 writes it, with the UTF-8 of RFC 6531, and nothing around it. It does not ask the DNS,
 * does not rewrite, and does not know which addresses a site would accept.
 */
#include "queue/message/address.h"

#include <string.h>

#include "queue/error.h"
#include "queue/message/template.h"
#include "queue/message/utf8.h"

enum {
	LOCAL_MAX = 64,
	/* VERP puts a whole address into a local part; relays take that, though RFC 5321 promises only 64. */
	SENDER_LOCAL_MAX = 255,
	DOMAIN_MAX = 255,
	LABEL_MAX = 63,
};

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool address_is_atext(unsigned char c)
{
	return is_alnum(c) || c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_atom(const char *text, size_t len)
{
	bool atom = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.') {
			if (!atom)
				return false;
			atom = false;
		} else if (address_is_atext((unsigned char)text[i])) {
			atom = true;
		} else {
			return false;
		}
	}
	return atom;
}

/* The end of the quoted string that begins at `text`, or NULL. */
static const char *quoted_end(const char *text)
{
	for (const char *at = text + 1; *at != '\0'; at++) {
		if (*at == '"')
			return at + 1;
		if (*at == '\\' && *++at == '\0')
			return NULL;
	}
	return NULL;
}

static const char *local_problem(const char *local, size_t len, size_t max)
{
	if (len == 0)
		return "nothing before the @";
	if (len > max)
		return "more than 64 octets before the @";
	if (local[0] == '"')
		return quoted_end(local) == local + len ? NULL : "a broken quoted string before the @";
	if (local[0] == '.' || local[len - 1] == '.')
		return "a dot at the edge of the part before the @";
	return is_dot_atom(local, len) ? NULL : "a character that may not stand before the @";
}

static const char *literal_problem(const char *domain, size_t len)
{
	if (len < 3 || domain[len - 1] != ']')
		return "an address literal without its closing bracket";
	for (size_t i = 1; i < len - 1; i++) {
		if (!is_alnum((unsigned char)domain[i]) && strchr(".:-", domain[i]) == NULL)
			return "a bad character in the address literal";
	}
	return NULL;
}

static const char *domain_problem(const char *domain, size_t len)
{
	size_t label = 0;

	if (len == 0)
		return "nothing after the @";
	if (len > DOMAIN_MAX)
		return "more than 255 octets after the @";
	if (domain[0] == '[')
		return literal_problem(domain, len);
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = i < len ? (unsigned char)domain[i] : '.';

		if (c == '.') {
			if (label == 0)
				return "an empty label in the domain";
			if (label > LABEL_MAX)
				return "a label of more than 63 octets in the domain";
			if (domain[i - 1] == '-')
				return "a hyphen at the end of a label of the domain";
			label = 0;
			continue;
		}
		if (c == '-' && label == 0)
			return "a hyphen at the start of a label of the domain";
		if (!is_alnum(c) && c != '-' && c < 0x80)
			return "a character that may not stand in a domain";
		label++;
	}
	return NULL;
}

static const char *problem(const char *address, size_t local_max)
{
	size_t len = strlen(address);
	const char *at, *bad;

	if (len == 0)
		return "it is empty";
	if (len > (local_max > LOCAL_MAX ? (size_t)SENDER_LOCAL_MAX + DOMAIN_MAX + 1 : ADDRESS_MAX))
		return "it is too long";
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)address[i] < ' ' || address[i] == 0x7f)
			return "a control character in it";
	}
	if (!utf8_valid(address, len))
		return "it is not UTF-8";
	if (address[0] == '"') {
		at = quoted_end(address);
		if (at == NULL || *at != '@')
			return "a broken quoted string before the @";
	} else {
		at = strchr(address, '@');
		if (at == NULL)
			return "there is no @ in it";
	}
	bad = local_problem(address, (size_t)(at - address), local_max);
	return bad != NULL ? bad : domain_problem(at + 1, len - (size_t)(at + 1 - address));
}

const char *address_problem(const char *address)
{
	return problem(address, LOCAL_MAX);
}

char *address_domain(const char *address, char domain[ADDRESS_MAX + 1])
{
	const char *at = strrchr(address, '@');
	size_t i = 0;

	if (at != NULL) {
		for (at++; at[i] != '\0' && i < ADDRESS_MAX; i++)
			domain[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + 'a' - 'A' : at[i]);
	}
	domain[i] = '\0';
	return domain;
}

/* A local part without the quotes and backslashes of a quoted string: what it means. */
static void add_unquoted(struct buffer *out, const char *local, size_t len)
{
	if (len < 2 || local[0] != '"' || local[len - 1] != '"') {
		buffer_add(out, local, len);
		return;
	}
	for (size_t i = 1; i < len - 1; i++) {
		if (local[i] == '\\' && i + 1 < len - 1)
			i++;
		buffer_add_char(out, local[i]);
	}
}

void address_add_verp(struct buffer *out, const char *email)
{
	const char *at = strrchr(email, '@');

	if (at == NULL) {
		buffer_add_text(out, email);
		return;
	}
	add_unquoted(out, email, (size_t)(at - email));
	buffer_add_char(out, '=');
	buffer_add_text(out, at + 1);
}

/* Adds a local part, as a quoted string where it has to be one. */
static void add_quoted(struct buffer *out, const char *local, size_t len)
{
	if (is_dot_atom(local, len)) {
		buffer_add(out, local, len);
		return;
	}
	buffer_add_char(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (local[i] == '"' || local[i] == '\\')
			buffer_add_char(out, '\\');
		buffer_add_char(out, local[i]);
	}
	buffer_add_char(out, '"');
}

/* The length of a {{verp}} at `text`, 0 when there is none. */
static size_t verp_field(const char *text)
{
	const char *at = text;

	if (strncmp(at, "{{", 2) != 0)
		return 0;
	at += 2;
	at += strspn(at, " ");
	if (strncmp(at, "verp", 4) != 0)
		return 0;
	at += 4;
	at += strspn(at, " ");
	return strncmp(at, "}}", 2) == 0 ? (size_t)(at + 2 - text) : 0;
}

int sender_expand(const char *pattern, const char *email, struct buffer *out)
{
	const char *at = strrchr(pattern, '@');
	size_t local_len = at == NULL ? strlen(pattern) : (size_t)(at - pattern);
	struct buffer local, sender;
	bool expanded = false;
	int result = OPT_E_INVALID;

	if (pattern[0] == '\0')
		return 0;
	buffer_init(&local);
	buffer_init(&sender);
	/* Unquoted first, so that a pattern that is a quoted string stays one with all that comes in. */
	add_unquoted(&sender, pattern, local_len);
	for (const char *text = buffer_text(&sender); *text != '\0';) {
		size_t len = verp_field(text);

		if (len == 0) {
			buffer_add_char(&local, *text++);
			continue;
		}
		address_add_verp(&local, email);
		expanded = true;
		text += len;
	}
	buffer_clear(&sender);
	if (expanded)
		add_quoted(&sender, local.data, local.len);
	else
		buffer_add(&sender, pattern, local_len);
	if (at != NULL)
		buffer_add_text(&sender, at);
	if (strstr(pattern, "{{") == NULL || (expanded && strstr(buffer_text(&sender), "{{") == NULL)) {
		if (problem(buffer_text(&sender), expanded ? SENDER_LOCAL_MAX : LOCAL_MAX) == NULL) {
			buffer_add(out, sender.data, sender.len);
			result = 0;
		}
	}
	buffer_done(&sender);
	buffer_done(&local);
	return result;
}
