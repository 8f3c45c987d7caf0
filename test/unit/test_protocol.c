/* SPDX-License-Identifier: MIT */
/*
 * docs/protocol.md has a line for each type of message, with as many fields as the code sends. Its path is
 * the test's argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/cursor.h"
#include "queue/peer.h"

enum { COLUMNS = 5 /* type, name, request, answer, meaning */ };

static char *page;

/* The columns of the table's line about that type, each with its end. */
static void find_line(enum peer_type type, char *line, size_t size, char *ret_columns[COLUMNS])
{
	char start[64];
	const char *at;
	char *next = line;

	snprintf(start, sizeof(start), "\n| %d | `%s` |", (int)type, peer_type_name(type));
	at = strstr(page, start);
	if (at == NULL)
		fail_msg("docs/protocol.md has no line that starts with '%s'", start + 1);
	snprintf(line, size, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
	next = strchr(line, '|');
	for (int i = 0; i < COLUMNS; i++) {
		char *end = next == NULL ? NULL : strstr(next + 1, " |");

		if (end == NULL)
			fail_msg("docs/protocol.md: %s: %d columns, not %d", start + 1, i, COLUMNS);
		ret_columns[i] = next + 2;
		*end = '\0';
		next = end + 1;
	}
}

static uint32_t fields_in(const char *column)
{
	uint32_t count = 1;

	if (strcmp(column, "-") == 0)
		return 0;
	for (; *column != '\0'; column++)
		count += *column == ',';
	return count;
}

static uint32_t fields_sent(enum peer_type type, bool answer)
{
	struct peer_message message = {.type = type, .answer = answer};
	struct buffer bytes;
	struct cursor cursor;
	uint32_t items;

	buffer_init(&bytes);
	peer_encode(&message, &bytes);
	cursor = cursor_over(bytes.data, bytes.len);
	items = cursor_array(&cursor, UINT32_MAX);
	buffer_done(&bytes);
	return items - (answer ? 3 : 2);
}

/* Whether anybody would take an answer of that type. */
static bool has_answer(enum peer_type type)
{
	struct peer_message message = {.type = type, .answer = true}, read;
	struct peer_reader *reader = peer_reader_new();
	struct buffer bytes;
	bool taken;

	buffer_init(&bytes);
	peer_encode(&message, &bytes);
	taken = peer_read(reader, bytes.data, bytes.len, &read) == 0;
	buffer_done(&bytes);
	peer_reader_free(reader);
	return taken;
}

static void the_protocols_page_has_every_type_with_its_fields(void **state)
{
	char line[4096], *columns[COLUMNS];

	(void)state;
	for (int i = PEER_HEARTBEAT; i < PEER_TYPES; i++) {
		const enum peer_type type = (enum peer_type)i;

		find_line(type, line, sizeof(line), columns);
		if (fields_in(columns[2]) != fields_sent(type, false))
			fail_msg("docs/protocol.md: the request of %s: '%s' are not its %u fields",
			    peer_type_name(type), columns[2], fields_sent(type, false));
		if (!has_answer(type))
			assert_string_equal(columns[3], "no answer");
		else if (fields_in(columns[3]) != fields_sent(type, true))
			fail_msg("docs/protocol.md: the answer of %s: '%s' are not its %u fields",
			    peer_type_name(type), columns[3], fields_sent(type, true));
	}
}

/* In memory of its own, with a final NUL. */
static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buffer text;
	char part[4096];
	size_t len;

	if (file == NULL) {
		perror(path);
		exit(1);
	}
	buffer_init(&text);
	while ((len = fread(part, 1, sizeof(part), file)) > 0)
		buffer_add(&text, part, len);
	buffer_add(&text, "", 1);
	fclose(file);
	return text.data;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_protocols_page_has_every_type_with_its_fields),
	};
	int failed;

	if (argc != 2) {
		fprintf(stderr, "usage: test_protocol docs/protocol.md\n");
		return 2;
	}
	page = read_file(argv[1]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(page);
	return failed;
}
