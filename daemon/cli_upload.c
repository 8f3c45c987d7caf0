/* SPDX-License-Identifier: MIT */
/*
 * One pass over the recipients: read, check, find duplicates, send.
 *
 * libcurl asks for bytes and gets lines of NDJSON, encoded in steps of a block. A request ends after
 * PART_BYTES and the next one follows on the same connection, so a node that refuses a row is heard after a
 * part and not after millions of rows. Memory does not grow with the file, except for the set of hashes that
 * finds duplicates.
 *
 * The first row that may not be skipped ends the sending, but not the reading: all bad rows are counted
 * and the first ones shown, because fixing a file one error a run is no fun. The node keeps nothing of it.
 *
 * The node counts the rows that it got; people count those in the file. `runs` remembers where the two
 * diverged, for the last RUNS_MAX places.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/cli_dedup.h"
#include "daemon/cli_progress.h"
#include "daemon/cli_say.h"
#include "daemon/cli_upload.h"
#include "queue/error.h"
#include "queue/message/address.h"

enum {
	BLOCK_BYTES = 256 * 1024,
	PART_BYTES = 16 * 1024 * 1024,
	SHOWN_MAX = 20,
	RUNS_MAX = 64 * 1024,
	ADDRESSES_MAX = 100 * 1000 * 1000,
};

/* From upload row `row` on, records and lines follow each other one by one. */
struct run {
	uint64_t row, record, line;
};

struct upload {
	struct client *client;
	const char *path;
	struct rows *rows;
	const struct upload_options *options;
	struct dedup *dedup;
	struct buffer out;
	size_t out_start;
	size_t part_bytes;
	bool ended;    /* the file */
	int failure;   /* exit code, CLI_OK so far */
	uint64_t sent; /* rows */
	uint64_t invalid, duplicates, shown;
	struct run *runs; /* a ring */
	size_t run_count; /* ever */
	struct run expected;
	struct progress_bar bar;
};

struct upload *upload_new(
    struct client *client, const char *path, struct rows *rows, const struct upload_options *options)
{
	struct upload *upload = calloc(1, sizeof *upload);

	if (upload == NULL)
		abort();
	upload->client = client;
	upload->path = path;
	upload->rows = rows;
	upload->options = options;
	if (!options->keep_duplicates)
		upload->dedup = dedup_new(ADDRESSES_MAX);
	buffer_init(&upload->out);
	upload->runs = calloc(RUNS_MAX, sizeof *upload->runs);
	if (upload->runs == NULL)
		abort();
	return upload;
}

void upload_free(struct upload *upload)
{
	if (upload == NULL)
		return;
	dedup_free(upload->dedup);
	buffer_done(&upload->out);
	free(upload->runs);
	free(upload);
}

static void show_row(struct upload *upload, const struct row *row, const char *what, const char *detail)
{
	char email[100];

	if (++upload->shown > SHOWN_MAX)
		return;
	say_plain("%s: row %llu (line %llu): %s%s%s%s%s", upload->options->file,
	    (unsigned long long)row->record, (unsigned long long)row->line, what,
	    row->email[0] != '\0' ? " \"" : "", say_clean(row->email, email, sizeof email),
	    row->email[0] != '\0' ? "\"" : "", detail);
}

static void invalid_row(struct upload *upload, const struct row *row, const char *problem)
{
	char detail[300];

	snprintf(detail, sizeof detail, ": %s", problem);
	upload->invalid++;
	show_row(upload, row, "invalid", detail);
	if (!upload->options->skip_invalid)
		upload->failure = CLI_DATA;
}

/* Whether the address was there before. A set that is full ends the sending. */
static bool duplicate_row(struct upload *upload, const struct row *row)
{
	int rc = upload->dedup != NULL ? dedup_add(upload->dedup, row->email) : 0;

	if (rc < 0) {
		say("%s: over %d addresses; with --duplicates keep there is no limit", upload->options->file,
		    (int)ADDRESSES_MAX);
		upload->failure = CLI_DATA;
		upload->ended = true;
	}
	if (rc != 1)
		return false;
	upload->duplicates++;
	show_row(upload, row, "duplicate", "");
	return true;
}

static void note_run(struct upload *upload, const struct row *row)
{
	if (row->record != upload->expected.record || row->line != upload->expected.line) {
		upload->runs[upload->run_count++ % RUNS_MAX] =
		    (struct run){.row = upload->sent, .record = row->record, .line = row->line};
	}
	upload->expected.record = row->record + 1;
	upload->expected.line = row->line + 1;
}

/* Reads one row and, unless something is wrong with it, appends its line. */
static void take_row(struct upload *upload)
{
	struct row row;
	const char *problem;
	int rc = rows_next(upload->rows, &row);

	if (rc < 0) {
		say("%s: %s", upload->options->file, rows_error(upload->rows));
		upload->failure = rc == OPT_E_IO ? CLI_IO : CLI_DATA;
	}
	if (rc <= 0) {
		upload->ended = true;
		return;
	}
	problem = row.problem;
	if (problem == NULL)
		problem = address_problem(row.email);
	if (problem != NULL) {
		invalid_row(upload, &row, problem);
		return;
	}
	if (duplicate_row(upload, &row) || upload->failure != CLI_OK)
		return;
	size_t before = upload->out.len;
	if (rows_encode(upload->rows, &upload->out) < 0) {
		invalid_row(upload, &row, "its values are too long; a row may have 64 KiB");
		return;
	}
	upload->part_bytes += upload->out.len - before;
	upload->sent++;
	note_run(upload, &row);
}

static void draw(struct upload *upload)
{
	progress_bar_update(&upload->bar, upload->sent, rows_bytes(upload->rows), upload->options->size);
}

static long produce(void *context, char *data, size_t size)
{
	struct upload *upload = context;
	size_t len;

	if (upload->out_start == upload->out.len) {
		buffer_clear(&upload->out);
		upload->out_start = 0;
		while (!upload->ended && upload->failure == CLI_OK && upload->out.len < BLOCK_BYTES &&
		       upload->part_bytes < PART_BYTES)
			take_row(upload);
		draw(upload);
	}
	if (upload->failure != CLI_OK)
		return -1;
	len = upload->out.len - upload->out_start;
	if (len > size)
		len = size;
	if (len > 0)
		memcpy(data, upload->out.data + upload->out_start, len);
	upload->out_start += len;
	return (long)len;
}

/* Counts, and shows, what is wrong with the rest of the file. */
static void read_on(struct upload *upload)
{
	int failure = upload->failure;

	while (!upload->ended) {
		buffer_clear(&upload->out);
		upload->failure = CLI_OK;
		take_row(upload);
		draw(upload);
	}
	upload->failure = failure;
}

static void say_counts(const struct upload *upload)
{
	const char *file = upload->options->file;
	unsigned long long invalid = upload->invalid, duplicates = upload->duplicates;

	if (upload->shown > SHOWN_MAX)
		say_plain(
		    "%s: ... and %llu more rows", file, (unsigned long long)(upload->shown - SHOWN_MAX));
	if (duplicates > 0)
		say_plain("%s: %llu duplicate row%s left out%s", file, duplicates, duplicates == 1 ? "" : "s",
		    invalid == 0 || upload->options->skip_invalid ? " (--duplicates keep sends them too)"
		                                                  : "");
	if (invalid > 0 && upload->options->skip_invalid)
		say_plain("%s: %llu invalid row%s left out", file, invalid, invalid == 1 ? "" : "s");
	else if (invalid > 0)
		say("nothing was sent: %s has %llu invalid row%s; --invalid skip leaves such rows out", file,
		    invalid, invalid == 1 ? "" : "s");
}

/* The node refused something: says so with the row as it is numbered in the file. */
static void say_refusal(const struct upload *upload, const struct client_answer *answer)
{
	const struct run *found = NULL;
	/* The sentence mostly names the field itself. */
	bool named = answer->field[0] == '\0' || strstr(answer->error, answer->field) != NULL;
	const char *before = named ? "" : " (field \"", *field = named ? "" : answer->field,
	           *behind = named ? "" : "\")";
	size_t oldest = upload->run_count > RUNS_MAX ? upload->run_count - RUNS_MAX : 0;

	for (size_t i = upload->run_count; i > oldest && found == NULL; i--)
		if (answer->row > 0 && upload->runs[(i - 1) % RUNS_MAX].row <= (uint64_t)answer->row)
			found = &upload->runs[(i - 1) % RUNS_MAX];
	if (found == NULL) {
		say("%s%s%s%s", answer->error, before, field, behind);
		return;
	}
	uint64_t ahead = (uint64_t)answer->row - found->row;
	say("%s: row %llu (line %llu): %s%s%s%s", upload->options->file,
	    (unsigned long long)(found->record + ahead), (unsigned long long)(found->line + ahead),
	    answer->error, before, field, behind);
}

static int send_parts(struct upload *upload)
{
	while (!upload->ended || upload->out_start < upload->out.len) {
		struct client_answer answer = {0};
		int rc;

		upload->part_bytes = 0;
		rc = client_upload(upload->client, upload->path, produce, upload, &answer);
		if (upload->failure != CLI_OK)
			rc = upload->failure;
		else if (rc != CLI_OK)
			say_refusal(upload, &answer);
		if (rc == CLI_OK &&
		    upload->sent != (uint64_t)json_integer_value(json_object_get(answer.json, "rows"))) {
			say("the node did not count the %llu rows that it got",
			    (unsigned long long)upload->sent);
			rc = CLI_PROTOCOL;
		}
		client_answer_done(&answer);
		if (rc != CLI_OK)
			return rc;
	}
	return CLI_OK;
}

int upload_run(struct upload *upload, uint64_t *ret_rows)
{
	int rc;

	progress_bar_start(&upload->bar);
	rc = send_parts(upload);
	if (upload->failure == CLI_DATA && upload->invalid > 0)
		read_on(upload);
	progress_bar_end(&upload->bar);
	say_counts(upload);
	if (rc == CLI_OK && upload->sent == 0) {
		say("nothing was sent: %s has no recipients%s", upload->options->file,
		    upload->invalid + upload->duplicates > 0 ? " that may be sent to" : "");
		rc = CLI_DATA;
	}
	if (rc == CLI_OK)
		*ret_rows = upload->sent;
	return rc;
}
