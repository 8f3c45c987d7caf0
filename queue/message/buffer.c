/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes, for everything that is composed piece by piece: messages, frames, shard values.
 *
 * The owner of a buffer owns its memory; nothing else keeps a pointer into it across a change. It grows by
 * doubling, so that adding is cheap on average. It can't fail: when memory runs out the program aborts,
 * because nobody above could do better, and sizes are limited by the callers long before.
 */
#include "queue/message/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

void buffer_init(struct buffer *buffer)
{
	*buffer = (struct buffer){0};
}

void buffer_done(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
}

char *buffer_reserve(struct buffer *buffer, size_t len)
{
	if (len > buffer->size - buffer->len) {
		size_t size = buffer->size == 0 ? FIRST_SIZE : buffer->size;

		while (size - buffer->len < len) {
			if (size > SIZE_MAX / 2)
				abort();
			size *= 2;
		}
		buffer->data = realloc(buffer->data, size);
		if (buffer->data == NULL)
			abort();
		buffer->size = size;
	}
	/* Never NULL, not even for no bytes, so that callers may hand it to memcpy(3). */
	return buffer->data == NULL ? buffer_reserve(buffer, 1) : buffer->data + buffer->len;
}

void buffer_add(struct buffer *buffer, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(buffer_reserve(buffer, len), data, len);
	buffer->len += len;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

void buffer_add_char(struct buffer *buffer, char c)
{
	*buffer_reserve(buffer, 1) = c;
	buffer->len++;
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		abort();
	buffer_add(buffer, text, (size_t)len);
	free(text);
}

void buffer_consume(struct buffer *buffer, size_t len)
{
	if (len >= buffer->len) {
		buffer->len = 0;
		return;
	}
	if (len == 0)
		return;
	memmove(buffer->data, buffer->data + len, buffer->len - len);
	buffer->len -= len;
}

const char *buffer_text(struct buffer *buffer)
{
	*buffer_reserve(buffer, 1) = '\0';
	return buffer->data;
}
