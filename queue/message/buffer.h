/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes. Out of memory aborts. `data` is NUL-terminated after buffer_text().
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_BUFFER_H
#define OPTIMUS_QUEUE_MESSAGE_BUFFER_H

#include <stddef.h>

/* Somebody else's bytes. */
struct span {
	const void *data;
	size_t len;
};

struct buffer {
	char *data;
	size_t len;
	size_t size;
};

void buffer_init(struct buffer *buffer);
void buffer_done(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_add(struct buffer *buffer, const void *data, size_t len);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_add_char(struct buffer *buffer, char c);
__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *buffer, const char *format, ...);
/* Drops `len` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t len);
/* Makes room for `len` more bytes and returns where they go; the caller raises buffer->len itself. */
char *buffer_reserve(struct buffer *buffer, size_t len);
/* The content as a NUL-terminated string; valid until the next change. */
const char *buffer_text(struct buffer *buffer);

#endif
