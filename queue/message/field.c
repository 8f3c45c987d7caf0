/* SPDX-License-Identifier: MIT */
/*
 * Finds the fields in a text: {{name}}, {{name|fallback}}, {{{name}}}, and {{"{{"}} for the braces
 * themselves.
 *
 * The text is decoded already (transfer encoding, encoded words), so a field that the encoding has broken is
 * whole here. Two opening braces that begin no field are an error: a message that goes out with the braces in
 * it is what a template engine must never let happen.
 */
#include "queue/message/compiler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

static const char ESCAPE[] = "\"{{\"";

/* The text being cut. */
struct scan {
	struct compiler *compiler;
	const char *text;
	const char *end;
	const char *at;
	const char *counted; /* lines are counted up to here */
	int line;
	struct text_place place;
};

bool compile_has_braces(const char *text, size_t len)
{
	return memmem(text, len, "{{", 2) != NULL;
}

static int line_of(struct scan *scan)
{
	for (; scan->place.exact && scan->counted < scan->at; scan->counted++)
		scan->line += *scan->counted == '\n';
	return scan->line;
}

static void skip_space(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at != '\0' && strchr(" \t\r\n", *scan->at) != NULL)
		scan->at++;
}

static bool is_name(char c, bool first)
{
	if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '.' || c == '-');
}

static bool skip(struct scan *scan, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, text, len) != 0)
		return false;
	scan->at += len;
	return true;
}

static int read_name(struct scan *scan, char name[FIELD_NAME_MAX + 1])
{
	const char *start = scan->at;
	size_t len;

	if (scan->at == scan->end || !is_name(*scan->at, true))
		return compile_error(scan->compiler, line_of(scan), NULL,
		    "after {{ there is no field name (a letter or _, then letters, digits, _ . -); write "
		    "{{\"{{\"}} for the two braces themselves");
	while (scan->at < scan->end && is_name(*scan->at, false))
		scan->at++;
	len = (size_t)(scan->at - start);
	if (len > FIELD_NAME_MAX)
		return compile_limit(scan->compiler, line_of(scan),
		    "a field name has %zu characters; at most %d are allowed", len, FIELD_NAME_MAX);
	memcpy(name, start, len);
	name[len] = '\0';
	return 0;
}

/* The field's index, or PIECE_...; made if it is new. */
static int find_field(struct scan *scan, const char *name, unsigned int use, int *ret_field)
{
	struct template *template = scan->compiler->template;
	size_t index;

	if (strcmp(name, "email") == 0 || strcmp(name, "verp") == 0) {
		*ret_field = name[0] == 'e' ? PIECE_EMAIL : PIECE_VERP;
		*(name[0] == 'e' ? &template->email_use : &template->verp_use) |= use;
		return 0;
	}
	index = (size_t)GPOINTER_TO_UINT(g_hash_table_lookup(scan->compiler->fields, name));
	if (index == 0) {
		struct field *field;

		if (template->field_count == TEMPLATE_FIELDS_MAX)
			return compile_limit(scan->compiler, line_of(scan), "more than %d different fields",
			    TEMPLATE_FIELDS_MAX);
		field = &template->fields[template->field_count++];
		strcpy(field->name, name);
		field->line = line_of(scan);
		index = template->field_count;
		g_hash_table_insert(scan->compiler->fields, field->name, GUINT_TO_POINTER(index));
	}
	template->fields[index - 1].use |= use;
	*ret_field = (int)index - 1;
	return 0;
}

/* Reads up to the closing braces; what comes before them is the fallback. */
static int read_fallback(struct scan *scan, const char *name, const char *close, struct piece *piece)
{
	const char *start = scan->at;
	const char *end = memmem(start, (size_t)(scan->end - start), close, strlen(close));

	if (end == NULL)
		return compile_error(
		    scan->compiler, line_of(scan), name, "the field is not closed with %s", close);
	if (compile_has_braces(start, (size_t)(end - start)))
		return compile_error(scan->compiler, line_of(scan), name,
		    "a fallback can't contain {{; is the field before it closed with %s?", close);
	piece->has_fallback = true;
	piece->text = compile_text(scan->compiler, start, (size_t)(end - start) + 1);
	scan->compiler->template->pool.data[piece->text.at + --piece->text.len] = '\0';
	scan->at = end + strlen(close);
	return 0;
}

static int read_field(struct scan *scan)
{
	struct piece piece = {.field = PIECE_LITERAL};
	char name[FIELD_NAME_MAX + 1];
	const char *close;
	int result;

	if (scan->compiler->uses++ == TEMPLATE_USES_MAX)
		return compile_limit(
		    scan->compiler, line_of(scan), "more than %d uses of fields", TEMPLATE_USES_MAX);
	piece.raw = skip(scan, "{{{");
	if (!piece.raw)
		skip(scan, "{{");
	close = piece.raw ? "}}}" : "}}";
	skip_space(scan);
	if (!piece.raw && skip(scan, ESCAPE)) {
		skip_space(scan);
		if (!skip(scan, close))
			return compile_error(
			    scan->compiler, line_of(scan), NULL, "the braces are written {{\"{{\"}}");
		piece.text = compile_text(scan->compiler, "{{", 2);
		compile_piece(scan->compiler, piece);
		return 0;
	}
	result = read_name(scan, name);
	if (result != 0)
		return result;
	skip_space(scan);
	if (skip(scan, "|"))
		result = read_fallback(scan, name, close, &piece);
	else if (!skip(scan, close))
		result = compile_error(scan->compiler, line_of(scan), name,
		    "after the field's name comes | and a fallback, or %s", close);
	if (result != 0)
		return result;
	result = find_field(scan, name, piece.has_fallback ? 0 : USE_REQUIRED, &piece.field);
	if (result != 0)
		return result;
	compile_piece(scan->compiler, piece);
	return 0;
}

int compile_fields(struct compiler *compiler, const char *text, size_t len, struct text_place place)
{
	struct scan scan = {.compiler = compiler,
	    .text = text,
	    .end = text + len,
	    .at = text,
	    .counted = text,
	    .line = place.line,
	    .place = place};

	while (scan.at < scan.end) {
		const char *open = memmem(scan.at, (size_t)(scan.end - scan.at), "{{", 2);
		size_t literal = (size_t)((open == NULL ? scan.end : open) - scan.at);
		int result;

		if (literal > 0) {
			struct piece piece = {.field = PIECE_LITERAL};

			piece.text = compile_text(compiler, scan.at, literal);
			compile_piece(compiler, piece);
			scan.at += literal;
		}
		if (open == NULL)
			break;
		result = read_field(&scan);
		if (result != 0)
			return result;
	}
	return 0;
}

bool compile_has_field(const struct compiler *compiler, size_t first)
{
	for (size_t i = first; i < compiler->template->piece_count; i++) {
		if (compiler->template->pieces[i].field != PIECE_LITERAL)
			return true;
	}
	return false;
}

static const char *piece_name(const struct template *template, const struct piece *piece)
{
	if (piece->field >= 0)
		return template->fields[piece->field].name;
	return piece->field == PIECE_EMAIL ? "email" : "verp";
}

int compile_use(struct compiler *compiler, size_t first, size_t end, unsigned int use, int line)
{
	struct template *template = compiler->template;

	for (size_t i = first; i < end; i++) {
		const struct piece *piece = &template->pieces[i];
		const char *problem;

		if (piece->field == PIECE_LITERAL)
			continue;
		if (piece->field >= 0)
			template->fields[piece->field].use |= use;
		else
			*(piece->field == PIECE_EMAIL ? &template->email_use : &template->verp_use) |= use;
		if (!piece->has_fallback)
			continue;
		problem = value_problem(template->pool.data + piece->text.at, use);
		if (problem != NULL)
			return compile_error(
			    compiler, line, piece_name(template, piece), "its fallback %s", problem);
	}
	return 0;
}
