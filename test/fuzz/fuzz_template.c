/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are compiled; what compiles is rendered with values that try to break out of where they stand.
 * Rendering twice has to give the same bytes, and no value may add a header that wasn't there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/message/template.h"

static const char *const VALUES[] = {"Jane", "", "x\r\nBcc: evil@example.com\r\n\r\nbody",
    "Doe, J \"JD\" <a@b>", "\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80", "=?utf-8?q?x?=  ", "jane@example.org",
    NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void render(const struct template *template, size_t shift, bool evil_template)
{
	const char *fields[TEMPLATE_FIELDS_MAX];
	struct template_values values = {.email = "\"a b\"@example.com",
	    .fields = fields,
	    .message_id = "id@example.org",
	    .date = "Mon, 2 Jan 2023 10:00:00 +0000"};
	struct template_error error;
	struct buffer one, two;

	for (size_t i = 0; i < TEMPLATE_FIELDS_MAX; i++)
		fields[i] = VALUES[(i + shift) % (sizeof(VALUES) / sizeof(VALUES[0]))];
	if (shift % 2 == 0)
		values.email = "jane@example.com";
	if (template_check_values(template, &values, &error) != 0) {
		if (error.text[0] == '\0')
			abort();
		return;
	}
	buffer_init(&one);
	buffer_init(&two);
	template_render(template, &values, &one);
	template_render(template, &values, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	if (memcmp(one.data, "Message-ID: <id@example.org>\n", 29) != 0)
		abort();
	buffer_text(&one);
	/* No value begins a line of the header block. */
	for (const char *line = evil_template ? NULL : one.data;
	     line != NULL && *line != '\0' && *line != '\n';) {
		if (strncmp(line, "Bcc: evil@example.com", 21) == 0)
			abort();
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	buffer_done(&one);
	buffer_done(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct template_error error = {0};
	struct template *template;

	if (template_compile((const char *)data, len, &template, &error) != 0) {
		if (error.text[0] == '\0' || error.line < 0)
			abort();
		return 0;
	}
	for (size_t i = 0; i < template_field_count(template); i++) {
		if (template_field(template, i)[0] == '\0' || template_field_line(template, i) < 1)
			abort();
	}
	for (size_t shift = 0; shift < sizeof(VALUES) / sizeof(VALUES[0]); shift++)
		render(template, shift, memmem(data, len, "evil", 4) != NULL);
	template_free(template);
	return 0;
}
