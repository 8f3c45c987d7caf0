/* SPDX-License-Identifier: MIT */
/*
 * optimus-ledger: reads the sink's ledger and says whether a report tells the truth.
 *
 * Exit status 0 when every mail is accounted for, 1 when one is lost, missing, foreign or contradicted, 2 for
 * a wrong call or a file that can't be read. Files are read as streams, so their size does not matter.
 */
#include <csv.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "test/sink/audit.h"

enum { FILES_MAX = 64, FIELD_MAX = 2048, EXIT_USAGE = 2 };

enum column { COLUMN_EMAIL, COLUMN_STATE, COLUMN_MESSAGE_ID, COLUMNS };

static const char *const column_names[COLUMNS] = {"email", "state", "message_id"};

static const char usage[] =
    "usage: optimus-ledger check --ledger FILE... --submitted FILE... [--report FILE.csv...] [--json]\n"
    "  --submitted  addresses, one a line, or CSV with a column email\n"
    "  --report     what `optimus report` prints; without it every submitted mail is to be in the ledger\n";

struct files {
	const char *names[FILES_MAX];
	size_t count;
};

/* A CSV file on its way in. */
struct sheet {
	struct audit *audit;
	bool report; /* or a list of addresses */
	uint64_t row;
	size_t column;
	size_t place[COLUMNS]; /* number of the column + 1, 0 when it is not there */
	char field[COLUMNS][FIELD_MAX + 1];
	size_t len[COLUMNS];
	bool bad_header;
};

static void got_field(void *data, size_t len, void *context)
{
	struct sheet *sheet = context;
	size_t column = sheet->column++;
	if (len > FIELD_MAX)
		len = FIELD_MAX;
	for (size_t i = 0; i < COLUMNS; i++) {
		if (sheet->row == 0 && len == strlen(column_names[i]) &&
		    strncasecmp(data, column_names[i], len) == 0)
			sheet->place[i] = column + 1;
		if (sheet->row == 0 || sheet->place[i] != column + 1)
			continue;
		if (len > 0)
			memcpy(sheet->field[i], data, len);
		sheet->field[i][len] = '\0';
		sheet->len[i] = len;
	}
	/* A list without a header: its first line is an address already. */
	if (!sheet->report && sheet->row == 0 && column == 0 && len > 0 && memchr(data, '@', len) != NULL) {
		sheet->place[COLUMN_EMAIL] = 1;
		audit_submitted(sheet->audit, data, len);
	}
}

static void got_row(int end, void *context)
{
	(void)end;
	struct sheet *sheet = context;
	if (sheet->row == 0) {
		sheet->bad_header =
		    sheet->place[COLUMN_EMAIL] == 0 || (sheet->report && sheet->place[COLUMN_STATE] == 0);
	} else if (sheet->len[COLUMN_EMAIL] == 0) {
		audit_malformed(sheet->audit);
	} else if (sheet->report) {
		audit_reported(sheet->audit, sheet->field[COLUMN_EMAIL], sheet->len[COLUMN_EMAIL],
		    sheet->field[COLUMN_STATE], sheet->field[COLUMN_MESSAGE_ID],
		    sheet->len[COLUMN_MESSAGE_ID]);
	} else {
		audit_submitted(sheet->audit, sheet->field[COLUMN_EMAIL], sheet->len[COLUMN_EMAIL]);
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		sheet->len[i] = 0;
		sheet->field[i][0] = '\0';
	}
	sheet->column = 0;
	sheet->row++;
}

static int read_sheet(struct audit *audit, const char *name, bool report)
{
	static char bytes[256 * 1024];
	FILE *file = fopen(name, "re");
	if (file == NULL) {
		fprintf(stderr, "optimus-ledger: can't open %s: %s\n", name, strerror(errno));
		return -1;
	}
	struct sheet *sheet = calloc(1, sizeof(*sheet));
	struct csv_parser parser;
	if (sheet == NULL || csv_init(&parser, 0) != 0)
		abort();
	sheet->audit = audit;
	sheet->report = report;
	size_t n;
	bool parsed = true;
	while (parsed && !sheet->bad_header && (n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		parsed = csv_parse(&parser, bytes, n, got_field, got_row, sheet) == n;
	csv_fini(&parser, got_field, got_row, sheet);
	bool good = parsed && !sheet->bad_header && !ferror(file);
	if (!good)
		fprintf(stderr, "optimus-ledger: %s is no CSV with a column email%s\n", name,
		    report ? " and a column state" : "");
	csv_free(&parser);
	free(sheet);
	fclose(file);
	return good ? 0 : -1;
}

static int read_ledger(struct audit *audit, const char *name)
{
	FILE *file = fopen(name, "re");
	if (file == NULL) {
		fprintf(stderr, "optimus-ledger: can't open %s: %s\n", name, strerror(errno));
		return -1;
	}
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	while ((len = getline(&line, &room, file)) > 0) {
		/* A last line without its end was cut off while being written: its answer never left. */
		if (line[len - 1] == '\n')
			audit_ledger_line(audit, line, (size_t)len - 1);
	}
	int err = ferror(file) ? -1 : 0;
	free(line);
	fclose(file);
	return err;
}

static void print_result(const struct audit_result *r, bool json)
{
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
	    {"submitted", r->submitted},
	    {"reported", r->reported},
	    {"sent", r->sent},
	    {"bounced", r->bounced},
	    {"other", r->other},
	    {"received", r->received},
	    {"missing", r->missing},
	    {"lost", r->lost},
	    {"duplicates", r->duplicates},
	    {"dropped_before", r->dropped_before},
	    {"foreign", r->foreign},
	    {"mismatch", r->mismatch},
	    {"malformed", r->malformed},
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		printf(json ? "%s\"%s\": %" PRIu64 : "%s%s %" PRIu64 "\n",
		    !json    ? ""
		    : i == 0 ? "{"
		             : ", ",
		    lines[i].name, lines[i].value);
	if (json)
		printf("}\n");
}

static int check(
    const struct files *ledgers, const struct files *submitted, const struct files *reports, bool json)
{
	struct audit *audit = audit_new();
	int err = 0;
	for (size_t i = 0; err == 0 && i < submitted->count; i++)
		err = read_sheet(audit, submitted->names[i], false);
	for (size_t i = 0; err == 0 && i < reports->count; i++)
		err = read_sheet(audit, reports->names[i], true);
	for (size_t i = 0; err == 0 && i < ledgers->count; i++)
		err = read_ledger(audit, ledgers->names[i]);
	int status = EXIT_USAGE;
	if (err == 0) {
		struct audit_result result = audit_compare(audit, reports->count > 0);
		print_result(&result, json);
		status = audit_clean(&result) ? 0 : 1;
	}
	audit_free(audit);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
	    {"ledger", required_argument, NULL, 'l'},
	    {"submitted", required_argument, NULL, 's'},
	    {"report", required_argument, NULL, 'r'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct files ledgers = {0};
	struct files submitted = {0};
	struct files reports = {0};
	bool json = false;
	bool wrong = false;
	int option;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		struct files *files = option == 'l' ? &ledgers : option == 's' ? &submitted : &reports;
		if (option == 'j')
			json = true;
		else if (option == '?' || files->count == FILES_MAX)
			wrong = true;
		else
			files->names[files->count++] = optarg;
	}
	/* What is no option is a ledger: a shell pattern behind --ledger gives several files. */
	if (optind >= argc || strcmp(argv[optind++], "check") != 0)
		wrong = true;
	for (; optind < argc && ledgers.count < FILES_MAX; optind++)
		ledgers.names[ledgers.count++] = argv[optind];
	if (wrong || ledgers.count == 0 || submitted.count == 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (sodium_init() < 0)
		return EXIT_USAGE;
	return check(&ledgers, &submitted, &reports, json);
}
