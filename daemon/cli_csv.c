/* SPDX-License-Identifier: MIT */
/*
 * Recipients from CSV, by libcsv in its strict mode.
 *
 * The file is fed to the parser line by line, so the line on which each row begins is known and at most one
 * row ends in each step. libcsv skips empty lines and removes blanks around unquoted cells.
 *
 * Errors come in two kinds. A row that is wrong by itself (a misplaced quote on its only line, too many or
 * too few cells, broken UTF-8) is returned with a problem, and reading goes on behind it. When nobody can
 * tell where a row ends (a quote that is never closed, or text behind a closing quote in a row that had
 * already gone over a line) reading ends: going on would swallow recipients in silence.
 *
 * The current row's cells lie one behind the other, each with a NUL, in one buffer that the reader owns.
 */
#include <csv.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/cli_csv.h"
#include "daemon/cli_json.h"
#include "daemon/cli_say.h"
#include "queue/error.h"
#include "queue/message/utf8.h"

enum { CELL_BLOCK = 4096 };

struct column {
	char *name;
	struct buffer json; /* ,"name": */
	bool wanted;
};

struct csv_rows {
	struct input *input;
	struct csv_parser parser;
	struct column columns[ROWS_COLUMNS_MAX];
	size_t column_count;
	size_t email; /* index of that column */
	struct buffer cells;
	size_t starts[ROWS_COLUMNS_MAX + 1]; /* of each cell in `cells`, and behind the last */
	size_t cell_count;                   /* may be more than fit in `starts` */
	uint64_t record;
	size_t record_bytes; /* of the file, since the row began */
	bool has_nul;
	bool row_done;
	char problem[160];
};

static void parser_start(struct csv_rows *csv)
{
	if (csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
		abort();
	csv_set_blk_size(&csv->parser, CELL_BLOCK);
}

static void on_cell(void *data, size_t len, void *context)
{
	struct csv_rows *csv = context;

	if (csv->cell_count < ROWS_COLUMNS_MAX) {
		if (len > 0 && memchr(data, '\0', len) != NULL)
			csv->has_nul = true;
		if (len > 0)
			buffer_add(&csv->cells, data, len);
		buffer_add_char(&csv->cells, '\0');
		csv->starts[csv->cell_count + 1] = csv->cells.len;
	}
	csv->cell_count++;
}

static void on_row(int end, void *context)
{
	struct csv_rows *csv = context;

	(void)end;
	csv->row_done = true;
}

static const char *cell(const struct csv_rows *csv, size_t i, size_t *ret_len)
{
	*ret_len = csv->starts[i + 1] - csv->starts[i] - 1;
	return csv->cells.data + csv->starts[i];
}

/*
 * Collects the cells of the next row. 1, 0 at the end, or an error. *ret_misplaced is set when the row's only
 * line is no CSV.
 */
static int read_row(struct csv_rows *csv, uint64_t *ret_line, bool *ret_misplaced, char error[ROWS_TEXT_MAX])
{
	uint64_t first = 0, line;
	size_t lines = 0;
	const char *data;
	size_t len;

	buffer_clear(&csv->cells);
	csv->cell_count = 0;
	csv->record_bytes = 0;
	csv->has_nul = csv->row_done = *ret_misplaced = false;
	for (;;) {
		line = input_line(csv->input);
		int rc = input_piece(csv->input, &data, &len);
		if (rc < 0) {
			snprintf(error, ROWS_TEXT_MAX, "can't be read: %s", strerror(errno));
			return rc;
		}
		if (rc == 0)
			break;
		size_t used = csv_parse(&csv->parser, data, len, on_cell, on_row, csv);
		if (csv->parser.status == CSV_ENOMEM)
			abort();
		/* An empty line leaves nothing behind: the row has not begun. */
		if (first == 0 && (csv->parser.pstate != 0 || csv->row_done || used != len))
			first = line;
		*ret_line = first;
		if (used != len) {
			csv_free(&csv->parser);
			parser_start(csv);
			if (lines > 0) {
				snprintf(error, ROWS_TEXT_MAX,
				    "the quotes of the row that begins on line %llu don't match: text stands "
				    "behind a"
				    " closing quote on line %llu",
				    (unsigned long long)first, (unsigned long long)line);
				return OPT_E_INVALID;
			}
			*ret_misplaced = true;
			/* The rest of the line, where it didn't fit in the buffer, belongs to it. */
			while (rc == 1 && data[len - 1] != '\n' && data[len - 1] != '\r')
				rc = input_piece(csv->input, &data, &len);
			return rc < 0 ? rc : 1;
		}
		if (csv->row_done)
			return 1;
		if (first == 0)
			continue;
		csv->record_bytes += len;
		if (csv->record_bytes > ROWS_RECORD_MAX) {
			snprintf(error, ROWS_TEXT_MAX,
			    "the row that begins on line %llu is over %d bytes long: is a quote not closed?",
			    (unsigned long long)first, (int)ROWS_RECORD_MAX);
			return OPT_E_INVALID;
		}
		if (data[len - 1] == '\n' || data[len - 1] == '\r')
			lines++;
	}
	if (csv_fini(&csv->parser, on_cell, on_row, csv) != 0) {
		snprintf(error, ROWS_TEXT_MAX,
		    "the file ends inside a quote, in the row that begins on line %llu",
		    (unsigned long long)first);
		return OPT_E_INVALID;
	}
	return csv->row_done ? 1 : 0;
}

static char *trim(char *text)
{
	static const char blanks[] = " \t\r\n\v\f";
	size_t len;

	text += strspn(text, blanks);
	len = strlen(text);
	while (len > 0 && strchr(blanks, text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	return text;
}

static int header_add(struct csv_rows *csv, size_t i, bool *has_email, char error[ROWS_TEXT_MAX])
{
	struct column *column = &csv->columns[i];
	const char *name = trim(csv->cells.data + csv->starts[i]);
	char clean[80];

	if (strcasecmp(name, "email") == 0) {
		if (*has_email) {
			snprintf(error, ROWS_TEXT_MAX, "the header has the column \"email\" twice");
			return OPT_E_INVALID;
		}
		*has_email = true;
		csv->email = i;
		name = "email";
	}
	for (size_t j = 0; j < i && name[0] != '\0'; j++)
		if (strcmp(csv->columns[j].name, name) == 0) {
			snprintf(error, ROWS_TEXT_MAX, "the header has the column \"%s\" twice",
			    say_clean(name, clean, sizeof clean));
			return OPT_E_INVALID;
		}
	column->name = strdup(name);
	if (column->name == NULL)
		abort();
	buffer_init(&column->json);
	buffer_add_char(&column->json, ',');
	json_add_string(&column->json, name, strlen(name));
	buffer_add_char(&column->json, ':');
	/* A spreadsheet leaves columns without a name; no template can mean them. */
	column->wanted = name[0] != '\0' && strcmp(name, "email") != 0;
	csv->column_count++;
	return 0;
}

static int read_header(struct csv_rows *csv, char error[ROWS_TEXT_MAX])
{
	bool misplaced, has_email = false;
	uint64_t line = 1;
	int rc = read_row(csv, &line, &misplaced, error);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		snprintf(error, ROWS_TEXT_MAX,
		    "it is empty; the first line must name the columns, one of them \"email\"");
		return OPT_E_INVALID;
	}
	if (misplaced || csv->has_nul || !utf8_valid(csv->cells.data, csv->cells.len)) {
		snprintf(error, ROWS_TEXT_MAX, "the header on line %llu is no CSV in UTF-8",
		    (unsigned long long)line);
		return OPT_E_INVALID;
	}
	if (csv->cell_count > ROWS_COLUMNS_MAX) {
		snprintf(error, ROWS_TEXT_MAX, "the header has %zu columns; a node takes at most %d",
		    csv->cell_count, (int)ROWS_COLUMNS_MAX);
		return OPT_E_INVALID;
	}
	bool semicolons = csv->cell_count == 1 && strpbrk(csv->cells.data, ";\t") != NULL;
	for (size_t i = 0; i < csv->cell_count; i++) {
		rc = header_add(csv, i, &has_email, error);
		if (rc < 0)
			return rc;
	}
	if (!has_email) {
		snprintf(error, ROWS_TEXT_MAX, "the header on line %llu has no column \"email\"%s",
		    (unsigned long long)line, semicolons ? "; columns must be separated by commas" : "");
		return OPT_E_INVALID;
	}
	return 0;
}

int csv_rows_open(struct input *input, struct csv_rows **ret_csv, char error[ROWS_TEXT_MAX])
{
	struct csv_rows *csv = calloc(1, sizeof *csv);
	int rc;

	if (csv == NULL)
		abort();
	csv->input = input;
	buffer_init(&csv->cells);
	parser_start(csv);
	rc = read_header(csv, error);
	if (rc < 0) {
		csv_rows_free(csv);
		return rc;
	}
	*ret_csv = csv;
	return 0;
}

void csv_rows_free(struct csv_rows *csv)
{
	if (csv == NULL)
		return;
	for (size_t i = 0; i < csv->column_count; i++) {
		free(csv->columns[i].name);
		buffer_done(&csv->columns[i].json);
	}
	buffer_done(&csv->cells);
	csv_free(&csv->parser);
	free(csv);
}

size_t csv_rows_column_count(const struct csv_rows *csv)
{
	return csv->column_count;
}

const char *csv_rows_column(const struct csv_rows *csv, size_t i)
{
	return csv->columns[i].name;
}

void csv_rows_want(struct csv_rows *csv, const char *const *fields, size_t count)
{
	for (size_t i = 0; i < csv->column_count; i++) {
		csv->columns[i].wanted = false;
		for (size_t j = 0; j < count && i != csv->email && csv->columns[i].name[0] != '\0'; j++)
			if (strcmp(csv->columns[i].name, fields[j]) == 0)
				csv->columns[i].wanted = true;
	}
}

int csv_rows_next(struct csv_rows *csv, struct row *ret_row, char error[ROWS_TEXT_MAX])
{
	bool misplaced;
	uint64_t line;
	int rc = read_row(csv, &line, &misplaced, error);

	if (rc <= 0)
		return rc;
	csv->record++;
	*ret_row = (struct row){.record = csv->record, .line = line, .email = "", .problem = csv->problem};
	if (misplaced)
		snprintf(csv->problem, sizeof csv->problem,
		    "a quote stands where none may; a cell that holds quotes needs \"...\" around it and its "
		    "own doubled");
	else if (csv->cell_count != csv->column_count)
		snprintf(csv->problem, sizeof csv->problem, "it has %zu cell%s, the header has %zu",
		    csv->cell_count, csv->cell_count == 1 ? "" : "s", csv->column_count);
	else if (csv->has_nul)
		snprintf(csv->problem, sizeof csv->problem, "it holds a NUL byte");
	else if (!utf8_valid(csv->cells.data, csv->cells.len))
		snprintf(csv->problem, sizeof csv->problem, "it is not in UTF-8");
	else
		ret_row->problem = NULL;
	if (!misplaced && csv->email < csv->cell_count && csv->email < ROWS_COLUMNS_MAX)
		ret_row->email = trim(csv->cells.data + csv->starts[csv->email]);
	return 1;
}

void csv_rows_encode(const struct csv_rows *csv, struct buffer *out)
{
	size_t len;
	/* csv_rows_next() has put a NUL behind the trimmed address; blanks before it remain. */
	const char *email = cell(csv, csv->email, &len);

	email += strspn(email, " \t\r\n\v\f");
	buffer_add_text(out, "{\"email\":");
	json_add_string(out, email, strlen(email));
	for (size_t i = 0; i < csv->column_count; i++) {
		const struct column *column = &csv->columns[i];

		if (!column->wanted)
			continue;
		const char *value = cell(csv, i, &len);
		buffer_add(out, column->json.data, column->json.len);
		json_add_string(out, value, len);
	}
	buffer_add(out, "}\n", 2);
}
