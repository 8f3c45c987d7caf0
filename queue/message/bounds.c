/* SPDX-License-Identifier: MIT */
/*
 * Bounds what GMime is given to read.
 *
 * GMime makes several objects of each header and each part, some 500 bytes for a header of three, so a
 * template within its size limit could take gigabytes. This looks at the source once and counts what could be
 * a header of the message, of a part or of an attached message. It may count too much, never too little, and
 * its limits are far above what any real message has.
 */
#include "queue/message/compiler.h"

#include <string.h>
#include <strings.h>

enum {
	HEADER_LINES_MAX = 50000,
	HEADER_BYTES_MAX = 2 * 1024 * 1024,
};

/* Whether the line holds the start of a media type that has parts or headers inside. */
static bool names_type(const char *line, size_t len, const char *type)
{
	size_t type_len = strlen(type);

	for (size_t i = 0; i + type_len <= len; i++) {
		if (strncasecmp(line + i, type, type_len) == 0)
			return true;
	}
	return false;
}

int compile_check_bounds(struct compiler *compiler)
{
	const char *source = compiler->template->pool.data;
	size_t lines = 0, bytes = 0;
	bool multipart = false, message = false, header = true;

	for (size_t at = 0; at < compiler->source_len;) {
		const char *line = source + at;
		const char *newline = memchr(line, '\n', compiler->source_len - at);
		size_t len = newline == NULL ? compiler->source_len - at : (size_t)(newline + 1 - line);

		at += len;
		if (header && len == 1 && *line == '\n') {
			/* An attached message goes on with its own headers. */
			header = message;
			message = false;
			continue;
		}
		if (multipart && len >= 2 && memcmp(line, "--", 2) == 0)
			header = true;
		if (!header)
			continue;
		bytes += len;
		if (++lines > HEADER_LINES_MAX || bytes > HEADER_BYTES_MAX)
			return compile_limit(compiler, compile_line(compiler, (size_t)(line - source)),
			    "the headers of the message and its parts have more than %d lines or %d bytes",
			    HEADER_LINES_MAX, HEADER_BYTES_MAX);
		multipart = multipart || names_type(line, len, "multipart/");
		message = message || names_type(line, len, "message/");
	}
	return 0;
}
