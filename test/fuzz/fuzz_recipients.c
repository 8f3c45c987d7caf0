/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are opened as a shard's value, as they are and as the inside of a zstd frame (no fuzzer guesses
 * that); all texts of what opens are read, and it is written again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "queue/message/recipients.h"
#include "queue/message/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void open_bytes(const void *data, size_t len)
{
	const char *values[TEMPLATE_FIELDS_MAX];
	struct recipients_writer *writer;
	struct recipients *recipients;
	struct opt_id hash;
	struct buffer out;

	if (recipients_open(data, len, &recipients) != 0)
		return;
	writer = recipients_writer_new(recipients_fields(recipients));
	buffer_init(&out);
	for (size_t i = 0; i < recipients_count(recipients); i++) {
		for (size_t field = 0; field < recipients_fields(recipients); field++)
			values[field] = recipients_value(recipients, i, field);
		/* A row may be larger in another's value than we would write it. */
		if (recipients_writer_add(writer, recipients_email(recipients, i), values) != 0)
			break;
	}
	recipients_writer_finish(writer, &out, &hash);
	recipients_writer_free(writer);
	recipients_free(recipients);
	if (recipients_open(out.data, out.len, &recipients) != 0)
		abort();
	recipients_free(recipients);
	buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t size = ZSTD_compressBound(len);
	char *packed = malloc(size);

	open_bytes(data, len);
	size = ZSTD_compress(packed, size, data, len, 1);
	open_bytes(packed, size);
	free(packed);
	return 0;
}
