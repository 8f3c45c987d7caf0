/* SPDX-License-Identifier: MIT */
/*
 * A live view of nodes and batches, for a terminal.
 *
 * Each second the node is asked for both, and the screen is made from the same tables that `optimus nodes`
 * and `optimus status` print. A node that does not answer leaves the last picture standing, with its error in
 * the first line, for as long as somebody looks: a restart should not end the display. Only at the start is
 * it an error.
 */
#include "daemon/cli_top.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "daemon/cli_say.h"
#include "daemon/cli_status.h"
#include "daemon/cli_terminal.h"

enum { REFRESH_MS = 1000, LINE_MAX_COLUMNS = 512 };

struct top {
	struct client *client;
	SCREEN *screen;
	char *picture; /* lines, made from the latest answers; NULL before the first */
	char error[CLIENT_ERROR_MAX];
	int first; /* line of the picture that is shown first */
	int lines; /* of the picture */
};

static int count_lines(const char *text)
{
	int lines = 0;

	for (; *text != '\0'; text++)
		lines += *text == '\n';
	return lines;
}

/* One of the two lists. The answer is kept for the caller to free, also on failure. */
static int get(struct top *top, const char *path, const char *member, struct client_answer *answer)
{
	int rc = client_call(top->client, "GET", path, NULL, 0, answer);

	if (rc == CLI_OK && !json_is_array(json_object_get(answer->json, member))) {
		snprintf(answer->error, sizeof answer->error, "the node's answer holds no %s", member);
		rc = CLI_PROTOCOL;
	}
	if (rc != CLI_OK)
		snprintf(top->error, sizeof top->error, "%s", answer->error);
	return rc;
}

static void make_picture(struct top *top, const json_t *nodes, const json_t *batches)
{
	char *picture = NULL;
	size_t size;
	FILE *out = open_memstream(&picture, &size);

	if (out == NULL)
		abort();
	nodes_draw(out, json_object_get(nodes, "nodes"), false);
	fputc('\n', out);
	status_draw_list(out, json_object_get(batches, "batches"), false);
	if (fclose(out) != 0)
		abort();
	free(top->picture);
	top->picture = picture;
	top->lines = count_lines(picture);
	top->error[0] = '\0';
}

static int ask(struct top *top)
{
	struct client_answer nodes = {0}, batches = {0};
	int rc = get(top, "/v1/nodes", "nodes", &nodes);

	if (rc == CLI_OK)
		rc = get(top, "/v1/batches", "batches", &batches);
	if (rc == CLI_OK)
		make_picture(top, nodes.json, batches.json);
	client_answer_done(&nodes);
	client_answer_done(&batches);
	return rc;
}

/* Puts one line of UTF-8 on the screen, cut at its edge. */
static void put_line(int row, const char *text, size_t len)
{
	char bytes[4 * LINE_MAX_COLUMNS + 1];
	wchar_t wide[LINE_MAX_COLUMNS + 1];
	size_t chars;

	if (len > sizeof bytes - 1)
		len = sizeof bytes - 1;
	memcpy(bytes, text, len);
	bytes[len] = '\0';
	chars = mbstowcs(wide, bytes, LINE_MAX_COLUMNS);
	move(row, 0);
	clrtoeol();
	if (chars == (size_t)-1)
		addnstr(bytes, COLS); /* this locale has no such characters */
	else
		addnwstr(wide, chars < (size_t)COLS ? (int)chars : COLS);
}

static void put_title(const struct top *top)
{
	char title[CLIENT_ERROR_MAX + 64], clock[16] = "";
	time_t now = time(NULL);
	struct tm parts;

	if (localtime_r(&now, &parts) != NULL)
		strftime(clock, sizeof clock, "%H:%M:%S", &parts);
	snprintf(title, sizeof title, "optimus %s   q quits, arrows scroll%s%s", clock,
	    top->error[0] != '\0' ? "   " : "", top->error);
	attron(A_REVERSE);
	put_line(0, title, strlen(title));
	attroff(A_REVERSE);
}

/* The heads of tables: the first line, and the one after the empty line. */
static bool is_head(const char *picture, const char *line)
{
	return line == picture || (line >= picture + 2 && line[-1] == '\n' && line[-2] == '\n');
}

static void draw(struct top *top)
{
	int rows = LINES - 1, row = 0;
	const char *line = top->picture;

	if (top->first > top->lines - rows)
		top->first = top->lines - rows;
	if (top->first < 0)
		top->first = 0;
	erase();
	put_title(top);
	for (int number = 0; *line != '\0' && row < rows; number++) {
		size_t len = strcspn(line, "\n");

		if (number >= top->first) {
			if (is_head(top->picture, line))
				attron(A_BOLD);
			put_line(++row, line, len);
			attroff(A_BOLD);
		}
		line += len + (line[len] == '\n');
	}
	refresh();
}

/* Waits for a key, at most until the next look. False: that is all. */
static bool take_key(struct top *top)
{
	int key = getch();

	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case KEY_UP:
		top->first--;
		return true;
	case KEY_DOWN:
		top->first++;
		return true;
	case KEY_PPAGE:
		top->first -= LINES - 1;
		return true;
	case KEY_NPAGE:
		top->first += LINES - 1;
		return true;
	default:
		return true;
	}
}

static int show(struct top *top)
{
	top->screen = terminal_is_known() ? newterm(NULL, stdout, stdin) : NULL;
	if (top->screen == NULL) {
		say("this terminal can't show top; is TERM right?");
		return CLI_USAGE;
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	timeout(REFRESH_MS);
	do
		draw(top);
	while (take_key(top) && (ask(top), true));
	endwin();
	delscreen(top->screen);
	return CLI_OK;
}

int top_run(struct client *client)
{
	struct top top = {.client = client};
	int rc;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		say("top needs a terminal; \"optimus status\" and \"optimus nodes\" print the same");
		return CLI_USAGE;
	}
	rc = ask(&top);
	if (rc != CLI_OK)
		say("%s", top.error);
	else
		rc = show(&top);
	free(top.picture);
	return rc;
}
