/* SPDX-License-Identifier: MIT */
/*
 * Compiles the header block of a template: our Message-ID, Date and To, and the headers with fields.
 *
 * A header without a field is not touched. One with a field is read by its kind: unstructured text is
 * decoded, so that fields inside an encoded word are found, and encoded again with the values; addresses are
 * taken apart in address_header.c; a header with a syntax of its own is kept as it is and takes only values
 * that need no encoding. Headers that describe the message itself take no fields.
 */
#include "queue/message/compiler.h"

#include <string.h>
#include <strings.h>

#include "queue/error.h"

enum header_kind {
	HEADER_UNSTRUCTURED,
	HEADER_ADDRESSES,
	HEADER_PLAIN,
	HEADER_FIXED,
};

/* One header of the source: name, colon, value, LF. */
struct header {
	const char *name;
	size_t name_len;
	size_t value; /* offset of what follows the colon */
	size_t start;
	size_t end;
};

static const struct {
	const char *name; /* a '*' at the end stands for anything */
	enum header_kind kind;
} KINDS[] = {
    {"Content-*", HEADER_FIXED},
    {"MIME-Version", HEADER_FIXED},
    {"Message-ID", HEADER_FIXED},
    {"Resent-Message-ID", HEADER_FIXED},
    {"Received", HEADER_FIXED},
    {"Return-Path", HEADER_FIXED},
    {"DKIM-Signature", HEADER_FIXED},
    {"ARC-*", HEADER_FIXED},
    {"From", HEADER_ADDRESSES},
    {"Sender", HEADER_ADDRESSES},
    {"Reply-To", HEADER_ADDRESSES},
    {"To", HEADER_ADDRESSES},
    {"Cc", HEADER_ADDRESSES},
    {"Bcc", HEADER_ADDRESSES},
    {"Resent-From", HEADER_ADDRESSES},
    {"Resent-Sender", HEADER_ADDRESSES},
    {"Resent-Reply-To", HEADER_ADDRESSES},
    {"Resent-To", HEADER_ADDRESSES},
    {"Resent-Cc", HEADER_ADDRESSES},
    {"Resent-Bcc", HEADER_ADDRESSES},
    {"Errors-To", HEADER_ADDRESSES},
    {"Disposition-Notification-To", HEADER_ADDRESSES},
    {"Return-Receipt-To", HEADER_ADDRESSES},
    {"Mail-Reply-To", HEADER_ADDRESSES},
    {"Mail-Followup-To", HEADER_ADDRESSES},
    {"Date", HEADER_PLAIN},
    {"Resent-Date", HEADER_PLAIN},
    {"In-Reply-To", HEADER_PLAIN},
    {"References", HEADER_PLAIN},
    {"List-*", HEADER_PLAIN},
    {"Auto-Submitted", HEADER_PLAIN},
    {"Precedence", HEADER_PLAIN},
    {"Feedback-ID", HEADER_PLAIN},
};

static bool has_name(const struct header *header, const char *name)
{
	size_t len = strlen(name);

	if (name[len - 1] == '*')
		return header->name_len >= len - 1 && strncasecmp(header->name, name, len - 1) == 0;
	return header->name_len == len && strncasecmp(header->name, name, len) == 0;
}

static enum header_kind header_kind(const struct header *header)
{
	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
		if (has_name(header, KINDS[i].name))
			return KINDS[i].kind;
	}
	return HEADER_UNSTRUCTURED;
}

/* The header that starts at `at`; the block is nothing but headers. */
static struct header next_header(const struct compiler *compiler, size_t at)
{
	const char *source = compiler->template->pool.data;
	struct header header = {.name = source + at, .start = at, .end = at};

	while (source[at] != ':' && source[at] != ' ' && source[at] != '\t')
		at++;
	header.name_len = at - header.start;
	while (source[at] != ':')
		at++;
	header.value = at + 1;
	do {
		const char *newline = memchr(source + at, '\n', compiler->head_end - at);

		at = newline == NULL ? compiler->head_end : (size_t)(newline + 1 - source);
	} while (at < compiler->head_end && (source[at] == ' ' || source[at] == '\t'));
	header.end = at;
	return header;
}

/* A value on one line: each fold becomes one space. White space at its edges goes. Free with g_free(). */
static char *unfold(const char *value, size_t len)
{
	GString *text = g_string_sized_new(len);

	for (size_t i = 0; i < len; i++) {
		if (value[i] != '\n') {
			g_string_append_c(text, value[i]);
			continue;
		}
		while (i + 1 < len && (value[i + 1] == ' ' || value[i + 1] == '\t'))
			i++;
		if (i + 1 < len)
			g_string_append_c(text, ' ');
	}
	return g_strstrip(g_string_free(text, FALSE));
}

char *compile_decode(struct compiler *compiler, const char *text, size_t len)
{
	char *copy = g_strndup(text, len);
	char *decoded = g_mime_utils_header_decode_text(compiler->options, copy);

	g_free(copy);
	return decoded;
}

/* "Name:" as the source has it. */
static void begin(struct compiler *compiler, const struct header *header)
{
	size_t start = header->start, value = header->value;

	compile_edit(compiler, start, header->end);
	compile_op(compiler, OP_COPY)->text = (struct range){.at = start, .len = value - start};
}

static int compile_unstructured(
    struct compiler *compiler, const struct header *header, const char *value, int line)
{
	size_t first = compiler->template->piece_count;
	char *text = compile_decode(compiler, value, strlen(value));
	int result = 0;

	if (compile_has_braces(text, strlen(text))) {
		begin(compiler, header);
		result = compile_fields(compiler, text, strlen(text), (struct text_place){.line = line});
		if (result == 0)
			result =
			    compile_use(compiler, first, compiler->template->piece_count, USE_HEADER, line);
		if (result == 0) {
			struct op *op = compile_op(compiler, OP_UNSTRUCTURED);

			op->first = first;
			op->count = compiler->template->piece_count - first;
			compile_copy(compiler, "\n", 1);
		}
	}
	g_free(text);
	return result;
}

/* A value keeps its folding and all else; where a field stands within <> is watched. */
static int compile_plain(struct compiler *compiler, const struct header *header, int line)
{
	struct template *template = compiler->template;
	size_t first = template->piece_count;
	char *value = g_strndup(template->pool.data + header->value, header->end - header->value);
	struct text_place place = {.line = line, .exact = true};
	bool angle = false;
	struct op *op;
	int result;

	begin(compiler, header);
	result = compile_fields(compiler, value, strlen(value), place);
	g_free(value);
	for (size_t i = first; result == 0 && i < template->piece_count; i++) {
		const struct piece *piece = &template->pieces[i];

		if (piece->field != PIECE_LITERAL) {
			result = compile_use(compiler, i, i + 1,
			    USE_HEADER | USE_PLAIN | (angle ? (unsigned int)USE_ANGLE : 0), line);
			continue;
		}
		for (size_t j = 0; j < piece->text.len; j++) {
			char c = template->pool.data[piece->text.at + j];

			angle = c == '<' || (angle && c != '>');
		}
	}
	if (result != 0)
		return result;
	op = compile_op(compiler, OP_PLAIN);
	op->first = first;
	op->count = template->piece_count - first;
	return 0;
}

static int compile_address_header(
    struct compiler *compiler, const struct header *header, const char *value, int line)
{
	size_t edits = compiler->edits->len, ops = compiler->template->op_count;
	int result;

	begin(compiler, header);
	result = compile_addresses(compiler, value, strlen(value), line);
	if (result == 0) {
		g_array_set_size(compiler->edits, (guint)edits);
		compiler->template->op_count = ops;
	}
	if (result == 1)
		compile_copy(compiler, "\n", 1);
	return result < 0 ? result : 0;
}

static int compile_header(struct compiler *compiler, const struct header *header)
{
	const char *source = compiler->template->pool.data + header->start;
	size_t len = header->end - header->start;
	enum header_kind kind = header_kind(header);
	int line = 0, result;
	char *value;

	if (!compile_has_braces(source, len) && memmem(source, len, "=?", 2) == NULL)
		return 0;
	line = compile_line(compiler, header->start);
	if (compile_has_braces(source, header->value - header->start))
		return compile_error(compiler, line, NULL, "a header's name can't have a field in it");
	if (kind == HEADER_FIXED || kind == HEADER_PLAIN) {
		if (!compile_has_braces(source, len))
			return 0;
		if (kind == HEADER_FIXED)
			return compile_error(compiler, line, NULL,
			    "the header %.*s can't have fields or {{ in it", (int)MIN(header->name_len, 64),
			    header->name);
	}
	if (memchr(source, '\0', len) != NULL) {
		if (!compile_has_braces(source, len))
			return 0;
		return compile_error(compiler, line, NULL, "a NUL in a header with a field");
	}
	if (kind == HEADER_PLAIN)
		return compile_plain(compiler, header, line);
	value = unfold(source + (header->value - header->start), header->end - header->value);
	if (kind == HEADER_ADDRESSES)
		result = compile_address_header(compiler, header, value, line);
	else
		result = compile_unstructured(compiler, header, value, line);
	g_free(value);
	return result;
}

static void compile_builtin(struct compiler *compiler, const char *before, int field, const char *after)
{
	struct op *op;

	compile_copy(compiler, before, strlen(before));
	op = compile_op(compiler, OP_PLAIN);
	op->count = 1;
	compile_piece(compiler, (struct piece){.field = field});
	compile_copy(compiler, after, strlen(after));
}

/* What every mail has, before all that the template says. */
static void compile_own_headers(struct compiler *compiler)
{
	bool has_date = false, has_to = false;

	for (size_t at = 0; at < compiler->head_end;) {
		struct header header = next_header(compiler, at);

		at = header.end;
		has_date |= has_name(&header, "Date");
		has_to |= has_name(&header, "To");
	}
	compile_edit(compiler, 0, 0);
	compile_builtin(compiler, "Message-ID: <", PIECE_MESSAGE_ID, ">\n");
	if (!has_date)
		compile_builtin(compiler, "Date: ", PIECE_DATE, "\n");
	if (!has_to)
		compile_builtin(compiler, "To: ", PIECE_EMAIL, "\n");
}

int compile_headers(struct compiler *compiler)
{
	compile_own_headers(compiler);
	for (size_t at = 0; at < compiler->head_end;) {
		struct header header = next_header(compiler, at);
		bool own = has_name(&header, "Message-ID");
		int result = compile_header(compiler, &header);

		if (result != 0)
			return result;
		if (own)
			compile_edit(compiler, header.start, header.end);
		at = header.end;
	}
	return 0;
}
