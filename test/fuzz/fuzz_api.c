/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as the settings of a batch, and line by line as its recipients: first as one that
 * jansson judges too, for a row that the hand-written parser takes must be JSON, with the same address in it.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api_row.h"
#include "daemon/api_settings.h"
#include "queue/message/recipients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char source[] = "From: a@example.com\nSubject: {{name}}\n\n{{name}} {{city|nowhere}} {{n1}}\n";

static void read_settings(const char *data, size_t len)
{
	struct api_settings settings;
	struct api_error error;

	if (api_settings_parse("batch", data, len, (struct utc_time){1700000000000000}, &settings, &error) ==
	    0)
		api_settings_done(&settings);
	else if (error.text[0] == '\0')
		abort();
}

static void read_row(struct row_parser *parser, const char *line, size_t len)
{
	struct api_error error;
	struct row row;
	json_t *other;

	if (row_parse(parser, line, len, &row, &error) < 0) {
		if (error.text[0] == '\0')
			abort();
		return;
	}
	/* Names that the template does not use may come twice here, and numbers may be too large for jansson.
	 */
	other = json_loadb(line, len, JSON_DECODE_INT_AS_REAL, NULL);
	if (other && json_is_string(json_object_get(other, "email")) &&
	    strcmp(json_string_value(json_object_get(other, "email")), row.email) != 0)
		abort();
	json_decref(other);
	for (size_t i = 0; i < 3; i++)
		if (row.values[i] && strlen(row.values[i]) > RECIPIENT_BYTES_MAX)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data, *feed;
	struct template_error error;
	struct template *template;
	struct row_parser *parser;

	read_settings(text, len);
	if (template_compile(source, sizeof source - 1, &template, &error) < 0)
		abort();
	parser = row_parser_new(template);
	while (len > 0 && (feed = memchr(text, '\n', len)) != NULL) {
		read_row(parser, text, (size_t)(feed - text));
		len -= (size_t)(feed - text) + 1;
		text = feed + 1;
	}
	read_row(parser, text, len);
	row_parser_free(parser);
	template_free(template);
	return 0;
}
