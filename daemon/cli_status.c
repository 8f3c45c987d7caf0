/* SPDX-License-Identifier: MIT */
/*
 * Shows batches: once, or live.
 *
 * A picture is made as text in memory and then printed whole. Live on a terminal it replaces the one before;
 * in a pipe it is a line (or a table, without a batch) for each change, at most one a second. A node that
 * stops answering while it is watched is asked again for half a minute before that is an error: a restart
 * should not end the display.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/cli_progress.h"
#include "daemon/cli_say.h"
#include "daemon/cli_status.h"
#include "daemon/cli_table.h"
#include "daemon/cli_time.h"

static const double WATCH_SECONDS = 1.0;
static const double LOST_SECONDS = 30.0;

/* The counts that add up to total, in the order of a mail's life. Final ones settle a mail. */
static const struct {
	const char *name;
	bool final;
} COUNTS[] = {
    {"ready", false},
    {"claimed", false},
    {"retry", false},
    {"unavailable", false},
    {"sent", true},
    {"bounced", true},
    {"expired", true},
    {"cancelled", true},
    {"suppressed", true},
    {"unknown", true},
};
enum { COUNTS_SIZE = sizeof COUNTS / sizeof COUNTS[0] };

struct view {
	const struct status_options *options;
	struct progress_rate rate;
	bool colour;
	bool redraw; /* each picture replaces the one before */
	int lines;   /* of the picture that stands on the terminal */
	char *last;  /* what the API gave before */
};

static json_int_t count(const json_t *batch, const char *name)
{
	return json_integer_value(json_object_get(batch, name));
}

/* A copy of a text member, "-" where there is none. */
static const char *text(const json_t *object, const char *name, char *copy, size_t size)
{
	const char *value = json_string_value(json_object_get(object, name));

	return say_clean(value != NULL && value[0] != '\0' ? value : "-", copy, size);
}

static json_int_t settled(const json_t *batch)
{
	json_int_t sum = 0;

	for (int i = 0; i < COUNTS_SIZE; i++)
		if (COUNTS[i].final)
			sum += count(batch, COUNTS[i].name);
	return sum;
}

static int percent(json_int_t part, json_int_t total)
{
	return total > 0 ? (int)((double)part * 100 / (double)total) : 0;
}

static bool ended(const json_t *batch)
{
	const char *state = json_string_value(json_object_get(batch, "state"));

	/* A cancelled batch may still have mails in Postfix. */
	return state != NULL && (strcmp(state, "done") == 0 || (strcmp(state, "cancelled") == 0 &&
	                                                           settled(batch) == count(batch, "total")));
}

static void draw_progress(FILE *out, const json_t *batch, double rate)
{
	char text_rate[CLI_TIME_TEXT], text_left[CLI_TIME_TEXT];
	json_int_t left = count(batch, "total") - settled(batch);

	if (ended(batch) || rate <= 0)
		return;
	fprintf(out, "%-12s%s", "rate", cli_rate_format(rate, text_rate));
	if (left > 0 && (double)left / rate < 1e9)
		fprintf(
		    out, ", about %s left", cli_duration_format((uint64_t)((double)left / rate), text_left));
	fputc('\n', out);
}

static void draw_batch(FILE *out, const json_t *batch, double rate, bool colour)
{
	char copy[128];
	json_int_t total = count(batch, "total");

	fprintf(out, "%-12s%s%s%s\n", "batch", colour ? "\033[1m" : "", text(batch, "id", copy, sizeof copy),
	    colour ? "\033[0m" : "");
	fprintf(out, "%-12s%s, %d %%\n", "state", text(batch, "state", copy, sizeof copy),
	    percent(settled(batch), total));
	fprintf(out, "%-12s%s\n", "created", text(batch, "created", copy, sizeof copy));
	if (json_is_string(json_object_get(batch, "finished")))
		fprintf(out, "%-12s%s\n", "finished", text(batch, "finished", copy, sizeof copy));
	draw_progress(out, batch, rate);
	fprintf(out, "%-12s%10" JSON_INTEGER_FORMAT "\n", "mails", total);
	for (int i = 0; i < COUNTS_SIZE; i++) {
		json_int_t n = count(batch, COUNTS[i].name);

		if (n == 0 && strcmp(COUNTS[i].name, "sent") != 0)
			continue;
		bool bad = colour && (strcmp(COUNTS[i].name, "unavailable") == 0 ||
		                         strcmp(COUNTS[i].name, "unknown") == 0);
		fprintf(out, "  %s%-10s%10" JSON_INTEGER_FORMAT " %3d %%%s\n", bad ? "\033[31m" : "",
		    COUNTS[i].name, n, percent(n, total), bad ? "\033[0m" : "");
	}
	fprintf(out, "%-12s%10" JSON_INTEGER_FORMAT "\n", "replicas", count(batch, "replicas"));
	if (count(batch, "duplicates") != 0)
		fprintf(out, "%-12s%10" JSON_INTEGER_FORMAT "\n", "duplicates", count(batch, "duplicates"));
	if (count(batch, "in_doubt_resent") != 0)
		fprintf(out, "%-12s%10" JSON_INTEGER_FORMAT "\n", "resent", count(batch, "in_doubt_resent"));
}

/* A batch as one line, for logs and pipes. */
static void draw_line(FILE *out, const json_t *batch, double rate)
{
	char copy[128], text_rate[CLI_TIME_TEXT];

	fprintf(out, "%s", text(batch, "id", copy, sizeof copy));
	fprintf(out, " state=%s total=%" JSON_INTEGER_FORMAT, text(batch, "state", copy, sizeof copy),
	    count(batch, "total"));
	for (int i = 0; i < COUNTS_SIZE; i++) {
		json_int_t n = count(batch, COUNTS[i].name);

		if (n != 0 || strcmp(COUNTS[i].name, "sent") == 0)
			fprintf(out, " %s=%" JSON_INTEGER_FORMAT, COUNTS[i].name, n);
	}
	if (rate > 0)
		fprintf(out, " rate=%s", cli_rate_format(rate, text_rate));
	fputc('\n', out);
}

void status_draw_list(FILE *out, const json_t *batches, bool bold)
{
	static const char *const heads[] = {
	    "BATCH", "STATE", ">MAILS", ">SENT", ">BOUNCED", ">OPEN", ">DONE", "CREATED"};
	struct table *table = table_new(heads, sizeof heads / sizeof heads[0]);
	char copy[128];
	json_t *batch;
	size_t i;

	json_array_foreach (batches, i, batch) {
		json_int_t total = count(batch, "total");

		table_add(table, text(batch, "id", copy, sizeof copy));
		table_add(table, text(batch, "state", copy, sizeof copy));
		table_addf(table, "%" JSON_INTEGER_FORMAT, total);
		table_addf(table, "%" JSON_INTEGER_FORMAT, count(batch, "sent"));
		table_addf(table, "%" JSON_INTEGER_FORMAT, count(batch, "bounced"));
		table_addf(table, "%" JSON_INTEGER_FORMAT, total - settled(batch));
		table_addf(table, "%d %%", percent(settled(batch), total));
		table_add(table, text(batch, "created", copy, sizeof copy));
	}
	table_print(table, out, bold);
	table_free(table);
}

static char *draw(struct view *view, const json_t *json, double rate)
{
	const struct status_options *options = view->options;
	char *picture = NULL;
	size_t size;
	FILE *out = open_memstream(&picture, &size);

	if (out == NULL)
		abort();
	if (options->json) {
		json_dumpf(json, out, JSON_COMPACT);
		fputc('\n', out);
	} else if (options->batch == NULL) {
		status_draw_list(out, json_object_get(json, "batches"), view->colour);
	} else if (options->watch && !view->redraw) {
		draw_line(out, json, rate);
	} else {
		draw_batch(out, json, rate, view->colour);
	}
	if (fclose(out) != 0)
		abort();
	return picture;
}

/* Prints the picture of `json`, if anything has changed since the last one. */
static void show(struct view *view, const json_t *json)
{
	FILE *out = view->options->out;
	double rate = 0;
	char *now, *picture;

	if (view->options->watch && view->options->batch != NULL)
		rate = progress_rate_add(&view->rate, progress_clock(), (double)settled(json));
	now = json_dumps(json, JSON_COMPACT);
	if (now == NULL)
		abort();
	if (!view->redraw && view->last != NULL && strcmp(view->last, now) == 0) {
		free(now);
		return;
	}
	free(view->last);
	view->last = now;
	picture = draw(view, json, rate);
	if (view->redraw && view->lines > 0)
		fprintf(out, "\033[%dA\033[J", view->lines);
	fputs(picture, out);
	view->lines = 0;
	for (const char *p = picture; *p != '\0'; p++)
		view->lines += *p == '\n';
	free(picture);
}

static bool expected(const struct status_options *options, const json_t *json)
{
	if (options->batch == NULL)
		return json_is_array(json_object_get(json, "batches"));
	return json_is_string(json_object_get(json, "state"));
}

/* Asks once and shows the answer. *ret_ended tells that there is nothing more to watch. */
static int look(
    struct client *client, struct view *view, const char *path, struct client_answer *answer, bool *ret_ended)
{
	int rc = client_call(client, "GET", path, NULL, 0, answer);
	bool gone;

	if (rc != CLI_OK)
		return rc;
	if (!expected(view->options, answer->json)) {
		snprintf(answer->error, sizeof answer->error, "the node's answer holds no batch");
		return CLI_PROTOCOL;
	}
	show(view, answer->json);
	*ret_ended = !view->options->watch;
	if (view->options->batch != NULL && ended(answer->json)) {
		*ret_ended = true;
		if (view->options->watch &&
		    strcmp(json_string_value(json_object_get(answer->json, "state")), "done") != 0)
			rc = CLI_ENDED_OTHERWISE;
	}
	if (view->options->out != stdout) {
		fflush(view->options->out);
		return rc;
	}
	int flushed = say_flush(&gone);
	if (gone)
		*ret_ended = true;
	return flushed != CLI_OK ? flushed : rc;
}

int status_run(struct client *client, const struct status_options *options)
{
	bool live = options->watch && !options->json && say_terminal(options->out);
	struct view view = {.options = options, .redraw = live, .colour = say_colour(options->out)};
	double heard = progress_clock();
	char path[128];
	int rc;

	snprintf(path, sizeof path, "/v1/batches%s%s", options->batch != NULL ? "/" : "",
	    options->batch != NULL ? options->batch : "");
	for (;;) {
		struct client_answer answer = {0};
		bool over = false;

		rc = look(client, &view, path, &answer, &over);
		bool lost = options->watch && (rc == CLI_UNAVAILABLE || rc == CLI_AGAIN);
		if (!lost)
			heard = progress_clock();
		if (lost && progress_clock() - heard < LOST_SECONDS && view.last != NULL)
			rc = CLI_OK;
		else if (rc != CLI_OK && answer.error[0] != '\0')
			say("%s", answer.error);
		client_answer_done(&answer);
		if (rc != CLI_OK || over)
			break;
		nanosleep(&(struct timespec){.tv_sec = (time_t)WATCH_SECONDS}, NULL);
	}
	free(view.last);
	return rc;
}
