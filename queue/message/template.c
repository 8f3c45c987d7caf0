/* SPDX-License-Identifier: MIT */
/*
 * Compiles a message template: source in, program out. What may be asked of a template is here too.
 *
 * 1. normalize() makes of the user's bytes what Postfix's sendmail(1) would make of them, so that a template
 *    without fields reaches the wire as if it had been given to that program: mbox "From " lines at the start
 *    go; when the first line ends in CRLF, CRs before LFs go; a header block that ends without an empty line
 *    gets one. From here on "the source" is that text.
 * 2. GMime reads the source and says where the parts are and how they are encoded. No byte of the output
 * comes from GMime's own writer but a changed Content-Type.
 * 3. Headers and parts with fields become edits: ranges of the source with the operations that replace them.
 * 4. finish() sorts the edits and puts copy operations between them.
 *
 * The template owns the program; the compiler's state lives only during template_compile(). GMime is
 * initialised at the first call and is not used from two threads: compile templates on one thread.
 */
#include "queue/message/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"
#include "queue/message/compiler.h"

int compile_line(struct compiler *compiler, size_t offset)
{
	const char *source = compiler->template->pool.data;

	if (offset < compiler->line_offset) {
		compiler->line_offset = 0;
		compiler->line = 0;
	}
	for (; compiler->line_offset < offset; compiler->line_offset++)
		compiler->line += source[compiler->line_offset] == '\n';
	return compiler->first_line + compiler->line +
	       (compiler->inserted == 0 || offset < compiler->inserted);
}

__attribute__((format(printf, 4, 0))) static void set_error(
    struct compiler *compiler, int line, const char *field, const char *format, va_list args)
{
	struct template_error *error = compiler->error;

	*error = (struct template_error){.line = line};
	if (field != NULL)
		snprintf(error->field, sizeof(error->field), "%s", field);
	vsnprintf(error->text, sizeof(error->text), format, args);
}

int compile_error(struct compiler *compiler, int line, const char *field, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_error(compiler, line, field, format, args);
	va_end(args);
	return OPT_E_INVALID;
}

int compile_limit(struct compiler *compiler, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_error(compiler, line, NULL, format, args);
	va_end(args);
	return OPT_E_LIMIT;
}

struct range compile_text(struct compiler *compiler, const char *text, size_t len)
{
	struct range range = {.at = compiler->template->pool.len, .len = len};

	buffer_add(&compiler->template->pool, text, len);
	return range;
}

/* Makes room for one more element behind `count`. */
static void *grown(void *array, size_t count, size_t *size, size_t element)
{
	if (count < *size)
		return array;
	*size = *size == 0 ? 16 : *size * 2;
	array = reallocarray(array, *size, element);
	if (array == NULL)
		abort();
	return array;
}

void compile_piece(struct compiler *compiler, struct piece piece)
{
	struct template *template = compiler->template;

	template->pieces =
	    grown(template->pieces, template->piece_count, &compiler->pieces_size, sizeof(piece));
	template->pieces[template->piece_count++] = piece;
}

/* Adds to an array of operations. */
struct op *compile_op(struct compiler *compiler, enum op_kind kind)
{
	struct template *template = compiler->template;
	struct op *op;

	template->ops = grown(template->ops, template->op_count, &compiler->ops_size, sizeof(*op));
	op = &template->ops[template->op_count++];
	*op = (struct op){.kind = kind, .first = template->piece_count};
	if (compiler->edits->len > 0)
		g_array_index(compiler->edits, struct edit, compiler->edits->len - 1).ops++;
	return op;
}

void compile_copy(struct compiler *compiler, const char *text, size_t len)
{
	struct range range = compile_text(compiler, text, len);

	compile_op(compiler, OP_COPY)->text = range;
}

void compile_edit(struct compiler *compiler, size_t start, size_t end)
{
	struct edit edit = {.start = start,
	    .end = end,
	    .order = compiler->edits->len,
	    .first_op = compiler->template->op_count};

	g_array_append_val(compiler->edits, edit);
}

/* The length of a line with its LF. */
static size_t line_length(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);

	return newline == NULL ? len : (size_t)(newline + 1 - text);
}

/* Whether Postfix takes the line for the start of a header: printable name, white space, colon. */
static bool is_header_line(const char *line, size_t len)
{
	size_t i = 0;

	while (i < len && line[i] > ' ' && line[i] < 0x7f && line[i] != ':')
		i++;
	if (i == 0)
		return false;
	while (i < len && (line[i] == ' ' || line[i] == '\t'))
		i++;
	return i < len && line[i] == ':';
}

static bool is_mbox_line(const char *line, size_t len)
{
	size_t i = 0;

	while (i < len && line[i] == '>')
		i++;
	return len - i >= 5 && memcmp(line + i, "From ", 5) == 0 && line[len - 1] == '\n';
}

/* Adds a text without the CRs before its LFs. */
static void add_without_cr(struct buffer *out, const char *text, size_t len)
{
	while (len > 0) {
		size_t line = line_length(text, len), keep = line;

		if (text[line - 1] == '\n') {
			keep--;
			while (keep > 0 && text[keep - 1] == '\r')
				keep--;
		}
		buffer_add(out, text, keep);
		if (text[line - 1] == '\n')
			buffer_add_char(out, '\n');
		text += line;
		len -= line;
	}
}

/* The length of the header block: up to the empty line, or the line that is no header, or the end. */
static size_t head_length(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t line = line_length(text + at, len - at);
		bool folded = at > 0 && (text[at] == ' ' || text[at] == '\t');

		if (!folded && !is_header_line(text + at, line))
			break;
		at += line;
	}
	return at;
}

static void normalize(struct compiler *compiler, const char *source, size_t len)
{
	struct buffer *pool = &compiler->template->pool;
	size_t first = line_length(source, len), head;
	bool crlf = first >= 2 && source[first - 1] == '\n' && source[first - 2] == '\r';

	while (len > 0 && is_mbox_line(source, line_length(source, len))) {
		size_t line = line_length(source, len);

		source += line;
		len -= line;
		compiler->first_line++;
	}
	buffer_reserve(pool, len + 1);
	if (crlf)
		add_without_cr(pool, source, len);
	else
		buffer_add(pool, source, len);
	head = head_length(pool->data, pool->len);
	compiler->head_end = head;
	if (head < pool->len && pool->data[head] != '\n') {
		buffer_add_char(pool, '\n');
		memmove(pool->data + head + 1, pool->data + head, pool->len - 1 - head);
		pool->data[head] = '\n';
		compiler->inserted = head + 1;
	}
	compiler->source_len = pool->len;
}

static int by_place(const void *left, const void *right)
{
	const struct edit *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Puts the edits in order and the untouched ranges between them. */
static int finish(struct compiler *compiler)
{
	struct template *template = compiler->template;
	const struct edit *edits = (const struct edit *)(void *)compiler->edits->data;
	struct op *collected = template->ops, *ops;
	size_t at = 0, count = 0;

	qsort(compiler->edits->data, compiler->edits->len, sizeof(struct edit), by_place);
	ops = calloc(template->op_count + compiler->edits->len + 1, sizeof(*ops));
	if (ops == NULL)
		abort();
	template->ops = ops;
	for (size_t i = 0; i <= compiler->edits->len; i++) {
		size_t start = i < compiler->edits->len ? edits[i].start : compiler->source_len;

		if (start < at || start > compiler->source_len) {
			free(collected);
			return compile_error(compiler, compile_line(compiler, at), NULL,
			    "the parts of the message can't be told apart here");
		}
		if (start > at)
			ops[count++] = (struct op){.kind = OP_COPY, .text = {.at = at, .len = start - at}};
		if (i == compiler->edits->len)
			break;
		memcpy(ops + count, collected + edits[i].first_op, edits[i].ops * sizeof(*ops));
		count += edits[i].ops;
		at = edits[i].end;
	}
	template->op_count = count;
	free(collected);
	return 0;
}

static int compile_message(struct compiler *compiler)
{
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *message;
	int result = compile_check_bounds(compiler);

	if (result == 0)
		result = compile_headers(compiler);
	if (result != 0)
		return result;
	/* GMime takes a copy, so it does not matter that the pool moves while it grows. */
	stream = g_mime_stream_mem_new_with_buffer(compiler->template->pool.data, compiler->source_len);
	parser = g_mime_parser_new_with_stream(stream);
	g_object_unref(stream);
	g_mime_parser_set_persist_stream(parser, TRUE);
	message = g_mime_parser_construct_message(parser, compiler->options);
	result = compile_parts(compiler, message);
	if (message != NULL)
		g_object_unref(message);
	g_object_unref(parser);
	return result == 0 ? finish(compiler) : result;
}

static void compiler_init(struct compiler *compiler, struct template *template, struct template_error *error)
{
	static const char *fallback_charsets[] = {"utf-8", "iso-8859-1", NULL};

	*compiler = (struct compiler){.template = template, .error = error};
	compiler->fields = g_hash_table_new(g_str_hash, g_str_equal);
	compiler->edits = g_array_new(FALSE, FALSE, sizeof(struct edit));
	/* Without this, unlabelled octets in headers would be read by the machine's locale. */
	compiler->options = g_mime_parser_options_new();
	g_mime_parser_options_set_fallback_charsets(compiler->options, fallback_charsets);
}

static void compiler_done(struct compiler *compiler)
{
	g_mime_parser_options_free(compiler->options);
	g_array_free(compiler->edits, TRUE);
	g_hash_table_destroy(compiler->fields);
}

int template_compile(
    const char *source, size_t len, struct template **ret_template, struct template_error *ret_error)
{
	struct compiler compiler;
	struct template *template;
	int result;

	g_mime_init(); /* counts its calls; only the first one does something */
	template = calloc(1, sizeof(*template));
	if (template == NULL ||
	    (template->fields = calloc(TEMPLATE_FIELDS_MAX, sizeof(struct field))) == NULL)
		abort();
	compiler_init(&compiler, template, ret_error);
	if (len > TEMPLATE_SIZE_MAX) {
		result = compile_limit(&compiler, 0, "the template has %zu bytes; at most %d are allowed",
		    len, TEMPLATE_SIZE_MAX);
	} else {
		normalize(&compiler, source, len);
		result = compile_message(&compiler);
	}
	compiler_done(&compiler);
	if (result != 0) {
		template_free(template);
		return result;
	}
	*ret_template = template;
	return 0;
}

void template_free(struct template *template)
{
	if (template == NULL)
		return;
	for (size_t i = 0; i < template->charset_count; i++)
		iconv_close(template->charsets[i]);
	free(template->charsets);
	free(template->fields);
	free(template->pieces);
	free(template->ops);
	buffer_done(&template->pool);
	free(template);
}

size_t template_field_count(const struct template *template)
{
	return template->field_count;
}

const char *template_field(const struct template *template, size_t i)
{
	return template->fields[i].name;
}

int template_field_line(const struct template *template, size_t i)
{
	return template->fields[i].line;
}

bool template_field_required(const struct template *template, size_t i)
{
	return (template->fields[i].use & USE_REQUIRED) != 0;
}

bool template_field_in_header(const struct template *template, size_t i)
{
	return (template->fields[i].use & USE_HEADER) != 0;
}
