/* SPDX-License-Identifier: MIT */
/*
 * A recipients file as a stream of lines, whatever ends them: LF, CRLF or CR.
 */
#ifndef OPTIMUS_DAEMON_CLI_INPUT_H
#define OPTIMUS_DAEMON_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where the bytes come from: like read(2), -1 with errno on failure. Interruptions are its own business. */
struct input_source {
	ssize_t (*read)(void *context, void *data, size_t size);
	void *context;
};

struct input;

struct input *input_new(const struct input_source *source);
void input_free(struct input *input);

/*
 * The next piece of a line: up to and with the byte that ends it, or up to the end of what is buffered. 1 and
 * the piece, valid until the next call; 0 at the end; OPT_E_IO with errno.
 */
int input_piece(struct input *input, const char **ret_data, size_t *ret_len);
/* The first bytes, without consuming them: fewer than `want` only when the file is shorter. */
int input_peek(struct input *input, size_t want, const char **ret_data, size_t *ret_len);
void input_skip(struct input *input, size_t len);

/* 1-based line on which the next piece begins. */
uint64_t input_line(const struct input *input);
/* Bytes read from the source so far. */
uint64_t input_bytes(const struct input *input);

#endif
