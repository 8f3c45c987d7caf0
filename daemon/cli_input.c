/* SPDX-License-Identifier: MIT */
/*
 * Reading a file in large steps and handing it out line by line, in place.
 *
 * A piece ends behind the first CR or LF, so a record of a CSV or NDJSON file ends at most once in a piece,
 * and its line number is known exactly. Of a CRLF the LF comes as a piece of its own; it does not count as a
 * line. Memory is one block, however long a line is.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_input.h"
#include "queue/error.h"

enum { BLOCK_SIZE = 256 * 1024 };

struct input {
	struct input_source source;
	char *block;
	size_t start, end; /* of what is not yet handed out */
	uint64_t line;
	uint64_t bytes;
	bool after_cr;
	bool ended;
};

struct input *input_new(const struct input_source *source)
{
	struct input *input = calloc(1, sizeof *input);

	if (input == NULL)
		abort();
	input->block = malloc(BLOCK_SIZE);
	if (input->block == NULL)
		abort();
	input->source = *source;
	input->line = 1;
	return input;
}

void input_free(struct input *input)
{
	if (input == NULL)
		return;
	free(input->block);
	free(input);
}

/* Reads once behind what is there. 1, 0 at the end, OPT_E_IO. */
static int fill(struct input *input)
{
	ssize_t got;

	if (input->ended)
		return 0;
	if (input->start == input->end)
		input->start = input->end = 0;
	got = input->source.read(input->source.context, input->block + input->end, BLOCK_SIZE - input->end);
	if (got < 0)
		return OPT_E_IO;
	if (got == 0) {
		input->ended = true;
		return 0;
	}
	input->end += (size_t)got;
	input->bytes += (uint64_t)got;
	return 1;
}

int input_piece(struct input *input, const char **ret_data, size_t *ret_len)
{
	const char *data, *lf, *cr;
	size_t len;

	if (input->start == input->end) {
		int rc = fill(input);

		if (rc <= 0)
			return rc;
	}
	data = input->block + input->start;
	len = input->end - input->start;
	lf = memchr(data, '\n', len);
	if (lf != NULL)
		len = (size_t)(lf - data) + 1;
	cr = memchr(data, '\r', len);
	if (cr != NULL)
		len = (size_t)(cr - data) + 1;

	char last = data[len - 1];
	if (last == '\r' || (last == '\n' && !(len == 1 && input->after_cr)))
		input->line++;
	input->after_cr = last == '\r';
	input->start += len;
	*ret_data = data;
	*ret_len = len;
	return 1;
}

int input_peek(struct input *input, size_t want, const char **ret_data, size_t *ret_len)
{
	while (input->end - input->start < want && input->end < BLOCK_SIZE) {
		int rc = fill(input);

		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	*ret_data = input->block + input->start;
	*ret_len = input->end - input->start;
	return 0;
}

void input_skip(struct input *input, size_t len)
{
	input->start += len;
}

uint64_t input_line(const struct input *input)
{
	return input->line;
}

uint64_t input_bytes(const struct input *input)
{
	return input->bytes;
}
