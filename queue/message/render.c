/* SPDX-License-Identifier: MIT */
/*
 * Runs a compiled template for one recipient.
 *
 * Nothing is parsed and nothing can fail here: the program says what is copied and what is encoded how, and
 * the values have passed template_check_values(). Most of a message is copied; of a quoted-printable part
 * only the lines with fields are encoded again.
 */
#include "queue/message/template.h"

#include <string.h>

#include "queue/message/address.h"
#include "queue/message/charset.h"
#include "queue/message/encode.h"
#include "queue/message/program.h"

/* One mail on its way out. */
struct render {
	const struct template *template;
	const struct template_values *values;
	struct buffer *out;
	struct buffer text;  /* the pieces of one operation, put together */
	struct buffer value; /* one value on its way through a charset, and {{verp}} */
};

static size_t column(const struct buffer *out)
{
	const char *newline = out->len == 0 ? NULL : memrchr(out->data, '\n', out->len);

	return newline == NULL ? out->len : (size_t)(out->data + out->len - newline - 1);
}

/* The value of a piece, or NULL when its text (a literal, a fallback) is to be used. */
static const char *piece_value(struct render *render, const struct piece *piece)
{
	const char *value;

	switch (piece->field) {
	case PIECE_LITERAL:
		return NULL;
	case PIECE_EMAIL:
		return render->values->email;
	case PIECE_MESSAGE_ID:
		return render->values->message_id;
	case PIECE_DATE:
		return render->values->date;
	case PIECE_VERP:
		buffer_clear(&render->value);
		address_add_verp(&render->value, render->values->email);
		return buffer_text(&render->value);
	default:
		value = render->values->fields[piece->field];
		if (value == NULL || (value[0] == '\0' && piece->has_fallback))
			return piece->has_fallback ? NULL : "";
		return value;
	}
}

static void add_range(struct render *render, struct buffer *out, struct range range)
{
	buffer_add(out, render->template->pool.data + range.at, range.len);
}

/* Puts the pieces of a header together, in UTF-8. */
static void add_pieces(struct render *render, const struct op *op, struct buffer *out)
{
	for (size_t i = 0; i < op->count; i++) {
		const struct piece *piece = &render->template->pieces[op->first + i];
		const char *value = piece_value(render, piece);

		if (value == NULL)
			add_range(render, out, piece->text);
		else
			buffer_add_text(out, value);
	}
}

/* Puts the pieces of a body part together, in its charset. */
static void add_body(struct render *render, const struct op *op, struct buffer *out)
{
	const struct body_style *style = &op->style;

	for (size_t i = 0; i < op->count; i++) {
		const struct piece *piece = &render->template->pieces[op->first + i];
		const char *value = piece_value(render, piece);
		bool escape = style->html && !piece->raw;

		if (value == NULL) {
			add_range(render, out, piece->text);
		} else if (style->charset == CHARSET_UTF8) {
			encode_text(out, value, strlen(value), escape, style->crlf);
		} else {
			struct buffer utf8;

			buffer_init(&utf8);
			encode_text(&utf8, value, strlen(value), escape, style->crlf);
			charset_encode(style->charset, utf8.data, utf8.len, style->html, out);
			buffer_done(&utf8);
		}
	}
}

/* An address in angle brackets, on the next line when this one is full. */
static void add_address(struct render *render, const struct op *op)
{
	struct buffer *out = render->out;

	add_pieces(render, op, &render->text);
	buffer_add_text(
	    out, column(out) + render->text.len + 3 > ENCODE_LINE && column(out) > 1 ? "\n <" : " <");
	buffer_add(out, render->text.data, render->text.len);
	buffer_add_char(out, '>');
}

static void run(struct render *render, const struct op *op)
{
	struct buffer *out = render->out, *text = &render->text;

	buffer_clear(text);
	switch (op->kind) {
	case OP_COPY:
		add_range(render, out, op->text);
		break;
	case OP_PLAIN:
		add_pieces(render, op, out);
		break;
	case OP_UNSTRUCTURED:
		add_pieces(render, op, text);
		encode_unstructured(out, text->data, text->len, column(out));
		break;
	case OP_PHRASE:
		add_pieces(render, op, text);
		encode_phrase(out, text->data, text->len, column(out));
		break;
	case OP_ADDRESS:
		add_address(render, op);
		break;
	case OP_IDENTITY:
		add_body(render, op, out);
		break;
	case OP_QUOTED_PRINTABLE:
		add_body(render, op, text);
		encode_quoted_printable(out, text->data, text->len);
		break;
	case OP_BASE64:
		add_body(render, op, text);
		encode_base64(out, text->data, text->len, op->style.final_newline);
		break;
	}
}

int template_render(const struct template *template, const struct template_values *values, struct buffer *out)
{
	struct render render = {.template = template, .values = values, .out = out};

	buffer_init(&render.text);
	buffer_init(&render.value);
	for (size_t i = 0; i < template->op_count; i++)
		run(&render, &template->ops[i]);
	buffer_done(&render.value);
	buffer_done(&render.text);
	return 0;
}
