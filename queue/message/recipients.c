/* SPDX-License-Identifier: MIT */
/*
 * Writes and reads the value of a shard: recipients with their fields, msgpack in a zstd frame.
 *
 * The writer keeps the mails of the current shard as packed bytes and puts the header before them when the
 * shard is finished, because only then their number is known. The hash is over the packed bytes, not over the
 * compressed ones, so that it does not depend on the version of zstd.
 *
 * The reader takes any bytes. It checks the size that the zstd frame claims before it allocates, and reads
 * the msgpack in place: the texts that it hands out point into its one copy of the uncompressed bytes.
 */
#include "queue/message/recipients.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/message/address.h"
#include "queue/message/template.h"

enum {
	VERSION = 1,
	HEAD_MAX = 16,        /* room for what stands before the mails */
	COMPRESSION_LEVEL = 3 /* ten times faster than the network needs, and rows are alike */
};

struct recipients_writer {
	size_t fields;
	size_t count;
	struct buffer mails; /* packed */
	struct buffer row;   /* scratch */
	ZSTD_CCtx *zstd;
};

struct recipients {
	struct buffer bytes;
	size_t count;
	size_t fields;
	const char **texts; /* count times (email, values...) */
};

struct recipients_writer *recipients_writer_new(size_t fields)
{
	struct recipients_writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL || fields > TEMPLATE_FIELDS_MAX)
		abort();
	writer->fields = fields;
	writer->zstd = ZSTD_createCCtx();
	if (writer->zstd == NULL)
		abort();
	buffer_init(&writer->mails);
	buffer_init(&writer->row);
	return writer;
}

void recipients_writer_free(struct recipients_writer *writer)
{
	if (writer == NULL)
		return;
	ZSTD_freeCCtx(writer->zstd);
	buffer_done(&writer->mails);
	buffer_done(&writer->row);
	free(writer);
}

/* Whether a row stays within RECIPIENT_BYTES_MAX, before anything of it is copied. */
static bool row_fits(size_t fields, const char *email, const char *const *values)
{
	size_t len = strnlen(email, ADDRESS_MAX + 1);

	if (len > ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < fields && len <= RECIPIENT_BYTES_MAX; i++)
		len += values[i] == NULL ? 0 : strnlen(values[i], RECIPIENT_BYTES_MAX + 1);
	return len <= RECIPIENT_BYTES_MAX;
}

int recipients_writer_add(struct recipients_writer *writer, const char *email, const char *const *values)
{
	msgpack_packer packer;

	if (!row_fits(writer->fields, email, values))
		return OPT_E_LIMIT;
	if (writer->count == SHARD_MAILS_MAX)
		return OPT_E_FULL;
	buffer_clear(&writer->row);
	pack_to(&packer, &writer->row);
	msgpack_pack_array(&packer, 1 + writer->fields);
	pack_text(&packer, email, ADDRESS_MAX);
	for (size_t i = 0; i < writer->fields; i++) {
		if (values[i] == NULL)
			msgpack_pack_nil(&packer);
		else
			pack_text(&packer, values[i], RECIPIENT_BYTES_MAX);
	}
	if (HEAD_MAX + writer->mails.len + writer->row.len > SHARD_BYTES_MAX)
		return OPT_E_FULL;
	buffer_add(&writer->mails, writer->row.data, writer->row.len);
	writer->count++;
	return 0;
}

size_t recipients_writer_count(const struct recipients_writer *writer)
{
	return writer->count;
}

void recipients_writer_finish(struct recipients_writer *writer, struct buffer *out, struct opt_id *ret_hash)
{
	struct buffer bytes;
	msgpack_packer packer;
	size_t len;

	buffer_init(&bytes);
	pack_to(&packer, &bytes);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_unsigned_char(&packer, VERSION);
	msgpack_pack_uint64(&packer, writer->fields);
	msgpack_pack_array(&packer, writer->count);
	buffer_add(&bytes, writer->mails.data, writer->mails.len);

	crypto_generichash(
	    ret_hash->bytes, sizeof(ret_hash->bytes), (const unsigned char *)bytes.data, bytes.len, NULL, 0);
	len = ZSTD_compressBound(bytes.len);
	len = ZSTD_compressCCtx(
	    writer->zstd, buffer_reserve(out, len), len, bytes.data, bytes.len, COMPRESSION_LEVEL);
	if (ZSTD_isError(len))
		abort(); /* there is room for the worst case, so only memory can be missing */
	out->len += len;

	buffer_done(&bytes);
	buffer_clear(&writer->mails);
	writer->count = 0;
}

static int uncompress(const void *data, size_t len, struct buffer *out)
{
	unsigned long long size = len == 0 ? ZSTD_CONTENTSIZE_ERROR : ZSTD_getFrameContentSize(data, len);
	size_t got;

	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
		return OPT_E_INVALID;
	if (size > SHARD_BYTES_MAX)
		return OPT_E_LIMIT;
	if (ZSTD_findFrameCompressedSize(data, len) != len)
		return OPT_E_INVALID;
	got = ZSTD_decompress(buffer_reserve(out, (size_t)size), (size_t)size, data, len);
	if (ZSTD_isError(got) || got != size)
		return OPT_E_INVALID;
	out->len = got;
	return 0;
}

static int read_mails(struct recipients *recipients)
{
	struct cursor c = cursor_over(recipients->bytes.data, recipients->bytes.len);
	const char **text;

	cursor_array_of(&c, 3);
	if (cursor_uint(&c, VERSION) != VERSION)
		return OPT_E_INVALID;
	recipients->fields = (size_t)cursor_uint(&c, TEMPLATE_FIELDS_MAX);
	recipients->count = cursor_array(&c, SHARD_MAILS_MAX);
	if (c.failed)
		return OPT_E_INVALID;
	text = calloc(recipients->count * (1 + recipients->fields) + 1, sizeof(*text));
	if (text == NULL)
		abort();
	recipients->texts = text;
	for (size_t i = 0; i < recipients->count && !c.failed; i++) {
		cursor_array_of(&c, 1 + (uint32_t)recipients->fields);
		*text++ = cursor_text_in_place(&c, ADDRESS_MAX);
		for (size_t field = 0; field < recipients->fields; field++)
			*text++ = cursor_text_or_nil(&c, RECIPIENT_BYTES_MAX);
	}
	return cursor_end(&c);
}

int recipients_open(const void *data, size_t len, struct recipients **ret_recipients)
{
	struct recipients *recipients = calloc(1, sizeof(*recipients));
	int result;

	if (recipients == NULL)
		abort();
	buffer_init(&recipients->bytes);
	result = uncompress(data, len, &recipients->bytes);
	if (result == 0)
		result = read_mails(recipients);
	if (result != 0) {
		recipients_free(recipients);
		return result;
	}
	*ret_recipients = recipients;
	return 0;
}

void recipients_free(struct recipients *recipients)
{
	if (recipients == NULL)
		return;
	free(recipients->texts);
	buffer_done(&recipients->bytes);
	free(recipients);
}

size_t recipients_count(const struct recipients *recipients)
{
	return recipients->count;
}

size_t recipients_fields(const struct recipients *recipients)
{
	return recipients->fields;
}

const char *recipients_email(const struct recipients *recipients, size_t i)
{
	return recipients->texts[i * (1 + recipients->fields)];
}

const char *recipients_value(const struct recipients *recipients, size_t i, size_t field)
{
	return recipients->texts[i * (1 + recipients->fields) + 1 + field];
}
