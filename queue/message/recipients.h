/* SPDX-License-Identifier: MIT */
/*
 * The value of a shard: up to SHARD_MAILS_MAX recipients with the values of the template's fields,
 * msgpack inside one zstd frame.
 *
 *   zstd( [ version = 1, fields, [ mail, mail, ... ] ] )     mail = [ email, value, ... ]
 *
 * with exactly `fields` values in each mail, nil where the row has none.
 */
#ifndef OPTIMUS_QUEUE_MESSAGE_RECIPIENTS_H
#define OPTIMUS_QUEUE_MESSAGE_RECIPIENTS_H

#include <stddef.h>
#include <stdint.h>

#include "queue/id.h"
#include "queue/message/buffer.h"

enum {
	SHARD_MAILS_MAX = 500,
	SHARD_BYTES_MAX = 768 * 1024,   /* of its msgpack; a shard is closed before it grows over this */
	RECIPIENT_BYTES_MAX = 64 * 1024 /* of one row */
};

/* Collects the recipients of one shard after the other. */
struct recipients_writer;

struct recipients_writer *recipients_writer_new(size_t fields);
void recipients_writer_free(struct recipients_writer *writer);
/*
 * Adds a recipient. `values` has one string a field, NULL where there is none. OPT_E_LIMIT when the row is
 * too large ever; OPT_E_FULL when the shard is full: finish it, then add again.
 */
int recipients_writer_add(struct recipients_writer *writer, const char *email, const char *const *values);
size_t recipients_writer_count(const struct recipients_writer *writer);
/*
 * Appends the compressed value to `out`, sets *ret_hash to the hash of the uncompressed bytes, and starts the
 * next shard.
 */
void recipients_writer_finish(struct recipients_writer *writer, struct buffer *out, struct opt_id *ret_hash);

/* A shard's value, opened for reading. */
struct recipients;

/* OPT_E_INVALID when the bytes are no such value (any bytes may come), OPT_E_LIMIT when they are too large.
 */
int recipients_open(const void *data, size_t len, struct recipients **ret_recipients);
void recipients_free(struct recipients *recipients);
size_t recipients_count(const struct recipients *recipients);
size_t recipients_fields(const struct recipients *recipients);
/* Borrowed, NUL-terminated, valid until recipients_free(). i < count; field < fields; NULL where none. */
const char *recipients_email(const struct recipients *recipients, size_t i);
const char *recipients_value(const struct recipients *recipients, size_t i, size_t field);

#endif
