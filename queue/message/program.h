/* SPDX-License-Identifier: MIT */
/*
 * The inside of a compiled template: a list of operations, run from first to last for every mail.
 *
 *   source:   Subject: Hello {{name}}  CR LF ... part 1 ... part 2 with fields ...
 *   program:  COPY "Message-ID: <" | PLAIN message id | COPY ">\nSubject:" | UNSTRUCTURED " Hello ", name |
 *             COPY ... part 1 ... | BASE64 "...", name, "..." | COPY ...
 *
 * Only the files of the template include this.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_PROGRAM_H
#define OPTIMUS_QUEUE_MESSAGE_PROGRAM_H

#include <iconv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/message/buffer.h"
#include "queue/message/template.h"

enum {
	TEMPLATE_USES_MAX = 100000, /* uses of fields */
	HEADER_VALUE_MAX = 4096,    /* octets of a value in a header; Postfix cuts headers at 102,400 */
	PLAIN_VALUE_MAX = 900,      /* of one that stands where a header can't be folded */
};

/* What a piece stands for, besides the recipients' fields from 0 on. */
enum {
	PIECE_LITERAL = -1,
	PIECE_EMAIL = -2,
	PIECE_VERP = -3,
	PIECE_MESSAGE_ID = -4,
	PIECE_DATE = -5,
};

/* A range of the template's text pool. */
struct range {
	size_t at;
	size_t len;
};

struct piece {
	int field; /* index of the field, or PIECE_... */
	bool has_fallback;
	bool raw;          /* {{{field}}}: not escaped in HTML */
	struct range text; /* of a literal; the fallback of a field */
};

enum op_kind {
	OP_COPY,             /* text, as it is */
	OP_PLAIN,            /* pieces, as they are */
	OP_UNSTRUCTURED,     /* pieces, the value of an unstructured header */
	OP_PHRASE,           /* pieces, a display name */
	OP_ADDRESS,          /* pieces, an address in angle brackets */
	OP_IDENTITY,         /* pieces of a body in 8bit or binary */
	OP_QUOTED_PRINTABLE, /* pieces of a body: whole lines */
	OP_BASE64,           /* pieces of a body: all of it */
};

/* How values are written in one body part. */
struct body_style {
	bool html;
	bool crlf;          /* line breaks in the decoded text are CRLF */
	bool final_newline; /* of the base64 */
	iconv_t charset;    /* from UTF-8; CHARSET_UTF8 where nothing needs converting */
};

struct op {
	enum op_kind kind;
	struct range text; /* OP_COPY */
	size_t first;      /* the pieces */
	size_t count;
	struct body_style style;
};

/* Places where a field is used, and so what its values may be. */
enum field_use {
	USE_REQUIRED = 1,     /* at least once without a fallback */
	USE_HEADER = 2,       /* no CR, LF */
	USE_ADDRESS = 4,      /* is a whole address */
	USE_ADDRESS_PART = 8, /* stands within an address: nothing but its plain characters */
	USE_PLAIN = 16,       /* in a header that knows no encoding: printable ASCII */
	USE_ANGLE = 32,       /* and within <> there: no white space or angle brackets */
};

struct field {
	char name[FIELD_NAME_MAX + 1];
	int line;
	unsigned int use; /* of enum field_use */
};

struct template
{
	struct buffer pool; /* the normalized source, then whatever else the ranges need */
	struct op *ops;
	size_t op_count;
	struct piece *pieces;
	size_t piece_count;
	struct field *fields;
	size_t field_count;
	unsigned int email_use; /* of {{email}}, and of the address that To: gets */
	unsigned int verp_use;
	iconv_t *charsets; /* to close */
	size_t charset_count;
};

/* What is wrong with a value where `use` says it stands; NULL when nothing is. */
const char *value_problem(const char *value, unsigned int use);

#endif
