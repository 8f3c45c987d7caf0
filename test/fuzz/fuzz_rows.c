/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a recipients file. The first byte chooses the format, how much arrives at once, and
 * whether members are picked. Every row that comes out without a problem is one line of JSON with a string
 * "email".
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct memory {
	const uint8_t *data;
	size_t len, step;
};

static ssize_t read_memory(void *context, void *data, size_t size)
{
	struct memory *memory = context;
	size_t len = memory->len < memory->step ? memory->len : memory->step;

	if (len > size)
		len = size;
	if (len > 0)
		memcpy(data, memory->data, len);
	memory->data += len;
	memory->len -= len;
	return (ssize_t)len;
}

static void check_row(const struct rows *rows, struct buffer *out)
{
	json_t *object;

	buffer_clear(out);
	if (rows_encode(rows, out) < 0) {
		if (out->len != 0)
			abort();
		return;
	}
	if (out->len == 0 || memchr(out->data, '\n', out->len) != out->data + out->len - 1)
		abort();
	object = json_loadb(out->data, out->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_string(json_object_get(object, "email")))
		abort();
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const fields[] = {"name", "email", "city"};
	char error[ROWS_TEXT_MAX];
	struct rows *rows;
	struct row row;
	uint64_t record = 0, line = 0;

	if (len == 0)
		return 0;
	struct memory memory = {data + 1, len - 1,
	    (data[0] & 4) != 0   ? 1
	    : (data[0] & 8) != 0 ? 5
	                         : SIZE_MAX};
	struct input_source source = {read_memory, &memory};
	if (rows_open(&source, (enum rows_format)(data[0] % 3), &rows, error) < 0)
		return 0;
	if ((data[0] & 16) != 0)
		rows_want(rows, fields, sizeof fields / sizeof fields[0]);
	struct buffer out;
	buffer_init(&out);
	while (rows_next(rows, &row) == 1) {
		if (row.record != ++record || row.line <= line || row.email == NULL)
			abort();
		line = row.line;
		if (row.problem == NULL)
			check_row(rows, &out);
	}
	buffer_done(&out);
	rows_free(rows);
	return 0;
}
