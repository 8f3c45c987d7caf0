/* SPDX-License-Identifier: MIT */
/*
 * Tables: collects all cells, then prints each column as wide as its widest cell.
 *
 * Widths are those of a terminal (wcwidth), so names in any script stay aligned where the locale is UTF-8.
 * The table owns its cells. Out of memory aborts.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "daemon/cli_say.h"
#include "daemon/cli_table.h"

enum { CELL_MAX = 256, GAP = 2 };

struct table {
	size_t columns;
	const char *const *heads;
	char **cells;
	size_t count, size;
};

struct table *table_new(const char *const *heads, size_t columns)
{
	struct table *table = calloc(1, sizeof *table);

	if (table == NULL || columns == 0 || columns > TABLE_COLUMNS_MAX)
		abort();
	table->heads = heads;
	table->columns = columns;
	return table;
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void table_add(struct table *table, const char *text)
{
	char clean[CELL_MAX];

	if (table->count == table->size) {
		table->size = table->size == 0 ? 64 : table->size * 2;
		table->cells = reallocarray(table->cells, table->size, sizeof *table->cells);
		if (table->cells == NULL)
			abort();
	}
	table->cells[table->count] = strdup(say_clean(text, clean, sizeof clean));
	if (table->cells[table->count++] == NULL)
		abort();
}

void table_addf(struct table *table, const char *format, ...)
{
	char text[CELL_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	table_add(table, text);
}

int table_width(const char *text)
{
	mbstate_t state = {0};
	size_t left = strlen(text);
	int width = 0;

	while (left > 0) {
		wchar_t wide;
		size_t len = mbrtowc(&wide, text, left, &state);

		if (len == (size_t)-1 || len == (size_t)-2 || len == 0) {
			memset(&state, 0, sizeof state);
			width++;
			len = 1;
		} else {
			int columns = wcwidth(wide);

			width += columns < 0 ? 1 : columns;
		}
		text += len;
		left -= len;
	}
	return width;
}

static void print_cell(FILE *stream, const char *text, int width, bool right, bool last)
{
	int pad = width - table_width(text);

	if (right)
		fprintf(stream, "%*s%s", pad, "", text);
	else
		fprintf(stream, "%s%*s", text, last ? 0 : pad, "");
	if (!last)
		fprintf(stream, "%*s", GAP, "");
}

void table_print(const struct table *table, FILE *stream, bool bold)
{
	int widths[TABLE_COLUMNS_MAX];
	bool right[TABLE_COLUMNS_MAX];

	for (size_t c = 0; c < table->columns; c++) {
		right[c] = table->heads[c][0] == '>';
		widths[c] = table_width(table->heads[c] + right[c]);
	}
	for (size_t i = 0; i < table->count; i++) {
		int width = table_width(table->cells[i]);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	if (bold)
		fputs("\033[1m", stream);
	for (size_t c = 0; c < table->columns; c++)
		print_cell(stream, table->heads[c] + right[c], widths[c], right[c], c + 1 == table->columns);
	fputs(bold ? "\033[0m\n" : "\n", stream);
	for (size_t i = 0; i < table->count; i++) {
		size_t c = i % table->columns;
		bool last = c + 1 == table->columns;

		print_cell(stream, table->cells[i], widths[c], right[c], last);
		if (last)
			fputc('\n', stream);
	}
}
