/* SPDX-License-Identifier: MIT */
/*
 * Compiles a header that holds addresses: From, To, Reply-To and the like.
 *
 *   From: "{{last}}, {{first}}" <news+{{id}}@example.com>, Bob <bob@example.com>
 *          `---- phrase -----'   `------ address -----'    `--- copied -----'
 *
 * The list is cut at its commas (and the colon and semicolon of groups). An element without a field is
 * copied. In one with a field, the display name is freed of its quoting, and quoted or encoded again with the
 * values; the address takes only values that are plain address characters, so that no value can add a
 * recipient.
 */
#include "queue/message/compiler.h"

#include <string.h>

#include "queue/error.h"

/* One element of the list. */
struct element {
	const char *text;
	size_t len;
	char end; /* ',', ':', ';', or NUL at the end of the header */
};

/* Past a field that starts at `i`, whatever it has inside. */
static size_t skip_field(const char *text, size_t len, size_t i)
{
	const char *close = i + 2 < len && text[i + 2] == '{' ? "}}}" : "}}";
	const char *end = memmem(text + i, len - i, close, strlen(close));

	return end == NULL ? len : (size_t)(end - text) + strlen(close);
}

static size_t skip_quoted(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++) {
		if (text[i] == '\\')
			i++;
	}
	return i < len ? i + 1 : len;
}

static size_t skip_comment(const char *text, size_t len, size_t i)
{
	size_t depth = 0;

	do {
		if (text[i] == '\\')
			i++;
		else if (text[i] == '(')
			depth++;
		else if (text[i] == ')')
			depth--;
		i++;
	} while (i < len && depth > 0);
	return i < len ? i : len;
}

/* Past the token at `i`: a field, a quoted string, a comment, or one character. */
static size_t skip_token(const char *text, size_t len, size_t i)
{
	if (text[i] == '{' && i + 1 < len && text[i + 1] == '{')
		return skip_field(text, len, i);
	if (text[i] == '"')
		return skip_quoted(text, len, i);
	if (text[i] == '(')
		return skip_comment(text, len, i);
	return i + 1;
}

/* The offset of a character outside fields, quotes and comments, or `len`. */
static size_t find(const char *text, size_t len, const char *set)
{
	size_t i = 0;

	while (i < len && (text[i] == '\0' || strchr(set, text[i]) == NULL))
		i = skip_token(text, len, i);
	return i < len ? i : len;
}

static struct element strip(struct element element)
{
	while (element.len > 0 && strchr(" \t", element.text[0]) != NULL) {
		element.text++;
		element.len--;
	}
	while (element.len > 0 && strchr(" \t", element.text[element.len - 1]) != NULL)
		element.len--;
	return element;
}

static struct element next_element(const char *text, size_t len)
{
	struct element element = {.text = text};
	size_t i = 0;
	bool angle = false;

	for (; i < len; i = skip_token(text, len, i)) {
		if (text[i] == '<' || text[i] == '>')
			angle = text[i] == '<';
		if (!angle && strchr(",:;", text[i]) != NULL)
			break;
	}
	element.len = i < len ? i : len;
	element.end = i < len ? text[i] : '\0';
	return element;
}

/* A display name as it is meant: without quotes and backslashes, encoded words decoded. g_free() it. */
static char *phrase_text(struct compiler *compiler, const char *text, size_t len)
{
	GString *plain = g_string_sized_new(len);
	bool quoted = false;
	char *decoded;

	for (size_t i = 0; i < len;) {
		if (!quoted && text[i] == '{' && i + 1 < len && text[i + 1] == '{') {
			size_t end = skip_field(text, len, i);

			g_string_append_len(plain, text + i, (gssize)(end - i));
			i = end;
			continue;
		}
		if (text[i] == '"')
			quoted = !quoted;
		else if (quoted && text[i] == '\\' && i + 1 < len)
			g_string_append_c(plain, text[++i]);
		else
			g_string_append_c(plain, text[i]);
		i++;
	}
	decoded = compile_decode(compiler, plain->str, plain->len);
	g_string_free(plain, TRUE);
	return decoded;
}

static bool has_field(struct compiler *compiler, const char *text, size_t len)
{
	char *plain;
	bool found;

	if (compile_has_braces(text, len))
		return true;
	plain = phrase_text(compiler, text, len);
	found = compile_has_braces(plain, strlen(plain));
	g_free(plain);
	return found;
}

static void add_op(struct compiler *compiler, enum op_kind kind, size_t first)
{
	struct op *op = compile_op(compiler, kind);

	op->first = first;
	op->count = compiler->template->piece_count - first;
}

static int compile_phrase(struct compiler *compiler, const char *text, size_t len, int line)
{
	size_t first = compiler->template->piece_count;
	char *plain = phrase_text(compiler, text, len);
	int result = compile_fields(compiler, plain, strlen(plain), (struct text_place){.line = line});

	g_free(plain);
	if (result == 0)
		result = compile_use(compiler, first, compiler->template->piece_count, USE_HEADER, line);
	if (result == 0)
		add_op(compiler, OP_PHRASE, first);
	return result;
}

/* The part within <>, or a whole element that has none: pieces, with what the fields in it may be. */
static int compile_address(struct compiler *compiler, struct element address, int line)
{
	struct template *template = compiler->template;
	size_t first = template->piece_count;
	unsigned int use;
	int result;

	address = strip(address);
	result = compile_fields(compiler, address.text, address.len, (struct text_place){.line = line});
	if (result != 0)
		return result;
	use = template->piece_count == first + 1 ? USE_ADDRESS : USE_ADDRESS_PART;
	for (size_t i = first; i < template->piece_count; i++) {
		struct range text = template->pieces[i].text;

		for (size_t j = 0; template->pieces[i].field == PIECE_LITERAL && j < text.len; j++) {
			if (strchr(" \t\"(),:;<>[]\\", template->pool.data[text.at + j]) != NULL)
				return compile_error(compiler, line, NULL,
				    "an address with a field in it can have only plain address characters "
				    "around "
				    "it; write Name <address> with the field in one of the two");
		}
	}
	return compile_use(compiler, first, template->piece_count, USE_HEADER | use, line);
}

static int compile_element(struct compiler *compiler, struct element element, int line)
{
	size_t angle = find(element.text, element.len, "<"), close, first;
	struct element address = element;
	int result = 0;

	if (find(element.text, element.len, ">") < angle)
		return compile_error(compiler, line, NULL, "a > without its < in an address with a field");
	for (size_t i = 0; i < element.len; i = skip_token(element.text, element.len, i)) {
		if (element.text[i] == '(')
			return compile_error(compiler, line, NULL,
			    "an address with a field in it can't have a comment in parentheses");
	}
	if (element.end == ':')
		return compile_phrase(compiler, element.text, element.len, line);
	if (angle == element.len) {
		first = compiler->template->piece_count;
		compile_copy(compiler, " ", 1);
		result = compile_address(compiler, element, line);
		if (result == 0)
			add_op(compiler, OP_PLAIN, first);
		return result;
	}
	if (strip((struct element){.text = element.text, .len = angle}).len > 0)
		result = compile_phrase(compiler, element.text,
		    strip((struct element){.text = element.text, .len = angle}).len, line);
	if (result != 0)
		return result;
	address.text += angle + 1;
	address.len -= angle + 1;
	close = find(address.text, address.len, ">");
	if (close + 1 != address.len)
		return compile_error(
		    compiler, line, NULL, "an address with a field in it has to end with its >");
	address.len = close;
	first = compiler->template->piece_count;
	result = compile_address(compiler, address, line);
	if (result == 0)
		add_op(compiler, OP_ADDRESS, first);
	return result;
}

int compile_addresses(struct compiler *compiler, const char *value, size_t len, int line)
{
	bool first = true;

	if (!has_field(compiler, value, len))
		return 0;
	for (size_t at = 0; at < len; at++) {
		struct element element = next_element(value + at, len - at);
		int result = 0;

		at += element.len;
		element = strip(element);
		/* Each element that follows another has a line of its own, so lines stay short. */
		if (!first && element.len > 0)
			compile_copy(compiler, "\n", 1);
		first = false;
		if (has_field(compiler, element.text, element.len)) {
			result = compile_element(compiler, element, line);
		} else if (element.len > 0) {
			compile_copy(compiler, " ", 1);
			compile_copy(compiler, element.text, element.len);
		}
		if (result != 0)
			return result;
		if (element.end != '\0')
			compile_copy(compiler, &element.end, 1);
	}
	return 1;
}
