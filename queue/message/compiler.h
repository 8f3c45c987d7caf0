/* SPDX-License-Identifier: MIT */
/*
 * What the files that compile a template share: the state of one compilation, errors, fields, edits.
 *
 * Compiling means collecting edits: ranges of the source that are replaced by operations. Whatever no edit
 * covers is copied byte for byte.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_COMPILER_H
#define OPTIMUS_QUEUE_MESSAGE_COMPILER_H

#include <glib.h>
#include <gmime/gmime.h>

#include "queue/message/program.h"

/* The range of the source from start to end is replaced by operations [first_op, first_op + ops). */
struct edit {
	size_t start;
	size_t end;
	size_t order; /* as it was made: decides between two at one place */
	size_t first_op;
	size_t ops;
};

struct compiler {
	struct template *template;
	struct template_error *error;
	GHashTable *fields; /* name -> index + 1 */
	GMimeParserOptions *options;
	size_t source_len;  /* of the normalized source, at the start of the pool */
	size_t head_end;    /* where its header block ends */
	int first_line;     /* how many lines of the user's file come before it */
	size_t inserted;    /* where a line was put in that the user's file has not; 0 for nowhere */
	size_t line_offset; /* cache of compile_line() */
	int line;
	size_t uses;
	size_t pieces_size, ops_size;
	GArray *edits;
	bool has_mime_version;
};

/* The user's line at that offset of the normalized source. */
int compile_line(struct compiler *compiler, size_t offset);
/* Fills in the error; returns OPT_E_INVALID, or OPT_E_LIMIT. `field` may be NULL. */
__attribute__((format(printf, 4, 5))) int compile_error(
    struct compiler *compiler, int line, const char *field, const char *format, ...);
__attribute__((format(printf, 3, 4))) int compile_limit(
    struct compiler *compiler, int line, const char *format, ...);

/* Text to the pool, pieces, operations, edits. */
struct range compile_text(struct compiler *compiler, const char *text, size_t len);
void compile_piece(struct compiler *compiler, struct piece piece);
struct op *compile_op(struct compiler *compiler, enum op_kind kind);
void compile_copy(struct compiler *compiler, const char *text, size_t len);
/* Begins an edit; operations that follow belong to it, until the next one begins. */
void compile_edit(struct compiler *compiler, size_t start, size_t end);

/* Where a text with fields comes from. */
struct text_place {
	int line;   /* of its first character */
	bool exact; /* its line breaks are those of the source */
};

/*
 * Cuts text into pieces, appended to the template's. The pieces of one text are those between the values of
 * template->piece_count before and after. OPT_E_INVALID, OPT_E_LIMIT with the error filled in.
 */
int compile_fields(struct compiler *compiler, const char *text, size_t len, struct text_place place);
/* Whether any of these pieces is a field. */
bool compile_has_field(const struct compiler *compiler, size_t first);
/* Adds a use to the fields among pieces [first, end), and checks their fallbacks for it. */
int compile_use(struct compiler *compiler, size_t first, size_t end, unsigned int use, int line);
/* Whether there are two opening braces in a row: a field, or an error. */
bool compile_has_braces(const char *text, size_t len);

/* Whether the source has few enough headers and parts to be read. */
int compile_check_bounds(struct compiler *compiler);
/* The top-level header block. */
int compile_headers(struct compiler *compiler);
/*
 * The value of an address header (unfolded, after the colon): operations for it and 1, or 0 when no field is
 * in it, or an error.
 */
int compile_addresses(struct compiler *compiler, const char *value, size_t len, int line);
/* All the parts of the body; `message` is NULL when GMime finds none in the source. */
int compile_parts(struct compiler *compiler, GMimeMessage *message);

/* A header's text with its encoded words decoded to UTF-8; free with g_free(). */
char *compile_decode(struct compiler *compiler, const char *text, size_t len);

#endif
