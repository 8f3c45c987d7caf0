/* SPDX-License-Identifier: MIT */
/*
 * Compiles the body of a template: the text parts with fields.
 *
 * GMime says where each part's content begins and ends in the source and how it is encoded. A text part is
 * decoded; when braces are in it, its content is replaced by operations that encode it again with the values.
 * Every other byte of the body, boundaries and attachments too, is copied.
 *
 * Two things of a part with fields change, at compile time, so that all mails of a batch have the same
 * headers: 7bit becomes quoted-printable, because a value may have any character and any length of line; and
 * a charset that is us-ascii or missing becomes utf-8. All other charsets stay, and values are converted to
 * them.
 */
#include "queue/message/compiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"
#include "queue/message/charset.h"
#include "queue/message/encode.h"
#include "queue/message/utf8.h"

enum { DEPTH_MAX = 100 };

/* One text part. */
struct part {
	GMimeObject *object;
	bool root;
	size_t start; /* of its content in the source */
	size_t end;
	int line;
	GMimeContentEncoding encoding;
	const char *charset; /* "us-ascii" when it names none; GMime's, until the header is changed */
	enum charset_kind kind;
	struct buffer text; /* its decoded content, in UTF-8 if it has another charset */
	struct body_style style;
};

/* The encodings that keep the lines of the source, so that an error can name its line. */
static bool is_identity(GMimeContentEncoding encoding)
{
	return encoding != GMIME_CONTENT_ENCODING_BASE64 &&
	       encoding != GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
}

static void decode_content(struct compiler *compiler, struct part *part)
{
	const char *content = compiler->template->pool.data + part->start;
	size_t len = part->end - part->start;
	GMimeEncoding decoder;
	char *to;

	if (is_identity(part->encoding)) {
		buffer_add(&part->text, content, len);
		return;
	}
	g_mime_encoding_init_decode(&decoder, part->encoding);
	to = buffer_reserve(&part->text, g_mime_encoding_outlen(&decoder, len) + 64);
	part->text.len = g_mime_encoding_flush(&decoder, content, len, to);
}

static int part_error(struct compiler *compiler, const struct part *part, const char *text)
{
	return compile_error(
	    compiler, part->line, NULL, "in the text part that begins near this line, %s", text);
}

/* Turns the decoded text into UTF-8. 1 when it has braces, 0 when it is to be left alone. */
static int decode_charset(struct compiler *compiler, struct part *part)
{
	bool braces = compile_has_braces(part->text.data, part->text.len);
	enum charset_kind kind = part->kind;
	struct buffer utf8;
	bool valid;

	if (kind == CHARSET_IS_UTF8)
		return braces;
	if (kind == CHARSET_IS_ASCII) {
		if (braces && !utf8_valid(part->text.data, part->text.len))
			return part_error(compiler, part,
			    "there are octets that are neither ASCII nor UTF-8; name its charset");
		return braces;
	}
	if (kind == CHARSET_IS_UNKNOWN)
		return braces ? part_error(compiler, part, "there are fields, but its charset is unknown")
		              : 0;
	buffer_init(&utf8);
	valid = charset_decode(part->charset, part->text.data, part->text.len, &utf8);
	buffer_done(&part->text);
	part->text = utf8;
	if (!valid)
		return braces ? part_error(compiler, part, "there are octets that its charset does not have")
		              : 0;
	if (!compile_has_braces(utf8.data, utf8.len))
		return 0;
	if (kind == CHARSET_IS_FOREIGN)
		return part_error(
		    compiler, part, "there are fields, but its charset is no kind of ASCII; use utf-8");
	return 1;
}

/* Gives the part a converter for the values, and converts its pieces to the part's charset. */
static void encode_charset(struct compiler *compiler, struct part *part, size_t first)
{
	struct template *template = compiler->template;
	struct buffer text;

	if (part->kind != CHARSET_IS_OTHER)
		return;
	part->style.charset = charset_open(part->charset);
	template->charsets =
	    reallocarray(template->charsets, template->charset_count + 1, sizeof(*template->charsets));
	if (template->charsets == NULL)
		abort();
	template->charsets[template->charset_count++] = part->style.charset;
	buffer_init(&text);
	for (size_t i = first; i < template->piece_count; i++) {
		struct piece *piece = &template->pieces[i];

		buffer_clear(&text);
		charset_encode(part->style.charset, template->pool.data + piece->text.at, piece->text.len,
		    part->style.html, &text);
		piece->text = compile_text(compiler, text.data, text.len);
	}
	buffer_done(&text);
}

static void add_body_op(
    struct compiler *compiler, const struct part *part, enum op_kind kind, size_t first, size_t end)
{
	struct op *op = compile_op(compiler, kind);

	op->first = first;
	op->count = end - first;
	op->style = part->style;
}

/*
 * Quoted-printable is encoded line by line, so the lines without fields are encoded here, once. Each literal
 * is cut into what belongs to the line before it, whole lines, and what begins the line after it.
 */
static void compile_quoted_printable(struct compiler *compiler, struct part *part, size_t first)
{
	struct template *template = compiler->template;
	size_t count = template->piece_count, line_first = count;
	struct buffer encoded;

	buffer_init(&encoded);
	for (size_t i = first; i < count; i++) {
		struct piece piece = template->pieces[i];
		const char *text = template->pool.data + piece.text.at;
		const char *newline =
		    piece.field == PIECE_LITERAL ? memrchr(text, '\n', piece.text.len) : NULL;
		size_t head = 0, body;

		if (newline == NULL) {
			compile_piece(compiler, piece);
			continue;
		}
		body = (size_t)(newline + 1 - text);
		if (template->piece_count > line_first) {
			head = (size_t)((const char *)memchr(text, '\n', piece.text.len) + 1 - text);
			compile_piece(compiler, (struct piece){.field = PIECE_LITERAL,
			                            .text = {.at = piece.text.at, .len = head}});
			add_body_op(compiler, part, OP_QUOTED_PRINTABLE, line_first, template->piece_count);
			text = template->pool.data + piece.text.at;
		}
		buffer_clear(&encoded);
		encode_quoted_printable(&encoded, text + head, body - head);
		compile_copy(compiler, encoded.data, encoded.len);
		line_first = template->piece_count;
		compile_piece(
		    compiler, (struct piece){.field = PIECE_LITERAL,
		                  .text = {.at = piece.text.at + body, .len = piece.text.len - body}});
	}
	if (template->piece_count > line_first)
		add_body_op(compiler, part, OP_QUOTED_PRINTABLE, line_first, template->piece_count);
	buffer_done(&encoded);
}

/* Replaces a header of the part, or adds one at the end of its header block. */
static int set_header(struct compiler *compiler, const struct part *part, const char *name, const char *value)
{
	GMimeHeaderList *headers = g_mime_object_get_header_list(part->object);
	GMimeHeader *header = g_mime_header_list_get_header(headers, name);
	gint64 offset = header == NULL ? -1 : g_mime_header_get_offset(header);
	const char *source = compiler->template->pool.data;
	size_t start = part->start - 1, end = start;

	if (offset >= 0 && (size_t)offset < part->start) {
		start = end = (size_t)offset;
		do {
			const char *newline = memchr(source + end, '\n', part->start - end);

			end = newline == NULL ? part->start : (size_t)(newline + 1 - source);
		} while (end < part->start && (source[end] == ' ' || source[end] == '\t'));
	} else if (part->start == 0 || source[start] != '\n') {
		return part_error(compiler, part, "there are fields, but its headers have no end");
	}
	compile_edit(compiler, start, end);
	compile_copy(compiler, name, strlen(name));
	compile_copy(compiler, ": ", 2);
	compile_copy(compiler, value, strlen(value));
	compile_copy(compiler, "\n", 1);
	return 0;
}

/* The header changes that the comment at the top tells of. */
static int change_headers(struct compiler *compiler, struct part *part)
{
	GMimeContentType *type = g_mime_object_get_content_type(part->object);
	bool change_charset = part->kind == CHARSET_IS_ASCII;
	bool change_encoding =
	    part->encoding == GMIME_CONTENT_ENCODING_DEFAULT || part->encoding == GMIME_CONTENT_ENCODING_7BIT;
	int result = 0;

	if (change_charset) {
		char *value;

		g_mime_content_type_set_parameter(type, "charset", "utf-8");
		value = g_mime_content_type_encode(type, NULL);
		/* GMime folds it as a header of its own length and ends it with LF. */
		g_strstrip(value);
		result = set_header(compiler, part, "Content-Type", value);
		g_free(value);
	}
	if (result == 0 && change_encoding) {
		part->encoding = GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
		result = set_header(compiler, part, "Content-Transfer-Encoding", "quoted-printable");
	}
	if (result == 0 && part->root && (change_charset || change_encoding) && !compiler->has_mime_version)
		result = set_header(compiler, part, "MIME-Version", "1.0");
	return result;
}

/* The lines of a decoded text are not those of the source. */
static void say_near(struct template_error *error)
{
	size_t used = strlen(error->text);

	snprintf(error->text + used, sizeof(error->text) - used, " (near this line: the part is encoded)");
}

/* Replaces the content of a part that has braces in it. */
static int compile_content(struct compiler *compiler, struct part *part, bool is_signed)
{
	struct text_place place = {.line = part->line, .exact = true};
	size_t first = compiler->template->piece_count;
	int result;

	if (is_signed)
		return part_error(compiler, part,
		    "there are fields, but it is signed or encrypted, and the values would break that");
	if (part->encoding == GMIME_CONTENT_ENCODING_UUENCODE ||
	    (part->encoding == GMIME_CONTENT_ENCODING_DEFAULT &&
	        g_mime_object_get_header(part->object, "Content-Transfer-Encoding") != NULL))
		return part_error(compiler, part, "there are fields, but its transfer encoding takes none");
	result = compile_fields(compiler, part->text.data, part->text.len, place);
	if (result != 0 && !is_identity(part->encoding))
		say_near(compiler->error);
	if (result == 0)
		result = change_headers(compiler, part);
	if (result != 0)
		return result;
	part->style.crlf =
	    !is_identity(part->encoding) && memmem(part->text.data, part->text.len, "\r\n", 2) != NULL;
	encode_charset(compiler, part, first);
	compile_edit(compiler, part->start, part->end);
	if (part->encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE) {
		compile_quoted_printable(compiler, part, first);
		return 0;
	}
	add_body_op(compiler, part, part->encoding == GMIME_CONTENT_ENCODING_BASE64 ? OP_BASE64 : OP_IDENTITY,
	    first, compiler->template->piece_count);
	return 0;
}

static int compile_text_part(struct compiler *compiler, struct part *part, bool is_signed)
{
	const char *charset = g_mime_object_get_content_type_parameter(part->object, "charset");
	GMimeContentType *type = g_mime_object_get_content_type(part->object);
	int result;

	part->encoding = g_mime_part_get_content_encoding(GMIME_PART(part->object));
	part->charset = charset == NULL ? "us-ascii" : charset;
	part->kind = charset_kind(part->charset);
	part->style.charset = CHARSET_UTF8;
	part->style.html = g_mime_content_type_is_type(type, "text", "html");
	part->style.final_newline = compiler->template->pool.data[part->end - 1] == '\n';
	part->line = compile_line(compiler, part->start);
	buffer_init(&part->text);
	decode_content(compiler, part);
	result = decode_charset(compiler, part);
	if (result == 1)
		result = compile_content(compiler, part, is_signed);
	buffer_done(&part->text);
	return result;
}

/* The headers of a part within the message take no fields. */
static int check_part_headers(struct compiler *compiler, GMimeObject *object)
{
	GMimeHeaderList *headers = g_mime_object_get_header_list(object);

	for (int i = 0; i < g_mime_header_list_get_count(headers); i++) {
		GMimeHeader *header = g_mime_header_list_get_header_at(headers, i);
		const char *raw = g_mime_header_get_raw_value(header);
		gint64 offset = g_mime_header_get_offset(header);

		if (raw != NULL && strstr(raw, "{{") != NULL)
			return compile_error(compiler,
			    offset < 0 || (size_t)offset > compiler->source_len
			        ? 0
			        : compile_line(compiler, (size_t)offset),
			    NULL, "the header %.64s of a part can't have fields or {{ in it",
			    g_mime_header_get_name(header));
	}
	return 0;
}

/* The body can't be taken apart. That matters only when it has fields: they must not go out as they are. */
static int unreadable(struct compiler *compiler, const char *text)
{
	const char *body = compiler->template->pool.data + compiler->head_end;
	const char *braces = memmem(body, compiler->source_len - compiler->head_end, "{{", 2);

	if (braces == NULL)
		return 0;
	return compile_error(compiler,
	    compile_line(compiler, (size_t)(braces - compiler->template->pool.data)), NULL, "%s", text);
}

static int compile_leaf(struct compiler *compiler, GMimeObject *object, bool root, bool is_signed)
{
	GMimeContentType *type = g_mime_object_get_content_type(object);
	GMimeDataWrapper *content;
	GMimeStream *stream;
	struct part part = {.object = object, .root = root};

	if (!GMIME_IS_PART(object) || type == NULL || !g_mime_content_type_is_type(type, "text", "*"))
		return 0;
	content = g_mime_part_get_content(GMIME_PART(object));
	if (content == NULL)
		return 0;
	stream = g_mime_data_wrapper_get_stream(content);
	if (stream == NULL || stream->bound_start < 0 || stream->bound_end <= stream->bound_start)
		return 0;
	part.start = (size_t)stream->bound_start;
	part.end = (size_t)stream->bound_end;
	/* Where GMime and Postfix don't agree on where the body begins, nothing in between is a part. */
	if (part.end > compiler->source_len || part.start <= compiler->head_end)
		return unreadable(
		    compiler, "the header block of the message can't be read, so its fields can't be merged");
	return compile_text_part(compiler, &part, is_signed);
}

static int compile_object(struct compiler *compiler, GMimeObject *object, int depth, bool is_signed)
{
	GMimeMultipart *multipart;
	int result;

	if (depth > 0) {
		result = check_part_headers(compiler, object);
		if (result != 0)
			return result;
	}
	if (!GMIME_IS_MULTIPART(object))
		return compile_leaf(compiler, object, depth == 0, is_signed);
	if (depth == DEPTH_MAX)
		return compile_limit(compiler, 0, "parts nested deeper than %d", DEPTH_MAX);
	multipart = GMIME_MULTIPART(object);
	if (depth == 0 && g_mime_multipart_get_count(multipart) == 0)
		return unreadable(
		    compiler, "the message is multipart but no part is found in it; check its boundary");
	is_signed |= GMIME_IS_MULTIPART_SIGNED(object) || GMIME_IS_MULTIPART_ENCRYPTED(object);
	for (int i = 0; i < g_mime_multipart_get_count(multipart); i++) {
		result =
		    compile_object(compiler, g_mime_multipart_get_part(multipart, i), depth + 1, is_signed);
		if (result != 0)
			return result;
	}
	return 0;
}

int compile_parts(struct compiler *compiler, GMimeMessage *message)
{
	GMimeObject *root = message == NULL ? NULL : g_mime_message_get_mime_part(message);

	if (root == NULL)
		return unreadable(compiler, "the message can't be read, so its fields can't be merged");
	compiler->has_mime_version = g_mime_object_get_header(GMIME_OBJECT(message), "MIME-Version") != NULL;
	return compile_object(compiler, root, 0, false);
}
