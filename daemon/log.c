/* SPDX-License-Identifier: MIT */
/*
 * Log lines for a person with grep and for a program alike.
 *
 * A line is built on the stack and leaves in one write(2), so that lines of two processes never mix. What
 * does not fit is cut, and the line still ends. Nothing is kept back, nothing fails: when standard error
 * can't take the line, it is gone. errno survives a call, so logging between a failure and its report is
 * harmless.
 */
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, NUMBERS = 16, NUMBER_SIZE = 24 };

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	threshold = level;
}

/* The last byte is kept for the line's end. */
static void line_add(struct line *line, const char *text, size_t len)
{
	size_t room = sizeof(line->text) - 1 - line->len;

	if (len > room)
		len = room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_add_text(struct line *line, const char *text)
{
	line_add(line, text, strlen(text));
}

static bool is_plain(const char *value)
{
	if (*value == '\0')
		return false;
	for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++)
		if (*c <= ' ' || *c == '"' || *c == '\\' || *c == '=' || *c == 0x7f)
			return false;
	return true;
}

static void line_add_value(struct line *line, const char *value)
{
	if (is_plain(value)) {
		line_add_text(line, value);
		return;
	}
	line_add(line, "\"", 1);
	/* Room for the longest escape, the closing quote: a cut value still ends. */
	for (; *value != '\0' && line->len + 6 < sizeof(line->text); value++) {
		unsigned char c = (unsigned char)*value;
		char escape[5];

		if (c == '"' || c == '\\') {
			line_add(line, "\\", 1);
			line_add(line, value, 1);
		} else if (c == '\n') {
			line_add_text(line, "\\n");
		} else if (c < ' ' || c == 0x7f) {
			snprintf(escape, sizeof(escape), "\\x%02x", c);
			line_add_text(line, escape);
		} else {
			line_add(line, value, 1);
		}
	}
	line_add(line, "\"", 1);
}

/* journald stamps the lines itself; it names its stream as device:inode. */
static bool is_journald(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	if (stream == NULL || sscanf(stream, "%ju:%ju", &device, &inode) != 2 ||
	    fstat(STDERR_FILENO, &st) != 0)
		return false;
	return device == (uintmax_t)st.st_dev && inode == (uintmax_t)st.st_ino;
}

static void line_add_time(struct line *line)
{
	struct timespec now;
	struct tm tm;
	char text[64];
	size_t len;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0 || gmtime_r(&now.tv_sec, &tm) == NULL)
		return;
	len = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &tm);
	line_add(line, text, len);
	snprintf(text, sizeof(text), ".%03ldZ ", now.tv_nsec / 1000000);
	line_add_text(line, text);
}

static void log_line(enum log_level level, const char *event, va_list pairs)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	int saved = errno;
	struct line line = {.len = 0};
	const char *key;

	if (level > threshold)
		return;
	if (!is_journald())
		line_add_time(&line);
	line_add_text(&line, "level=");
	line_add_text(&line, names[level]);
	line_add_text(&line, " event=");
	line_add_value(&line, event);
	while ((key = va_arg(pairs, const char *)) != NULL) {
		const char *value = va_arg(pairs, const char *);

		line_add(&line, " ", 1);
		line_add_text(&line, key);
		line_add(&line, "=", 1);
		if (value == NULL)
			break; /* indistinguishable from the end of the list */
		line_add_value(&line, value);
	}
	line.text[line.len++] = '\n';
	while (write(STDERR_FILENO, line.text, line.len) < 0 && errno == EINTR)
		;
	errno = saved;
}

void log_error(const char *event, ...)
{
	va_list pairs;

	va_start(pairs, event);
	log_line(LOG_LEVEL_ERROR, event, pairs);
	va_end(pairs);
}

void log_warning(const char *event, ...)
{
	va_list pairs;

	va_start(pairs, event);
	log_line(LOG_LEVEL_WARNING, event, pairs);
	va_end(pairs);
}

void log_info(const char *event, ...)
{
	va_list pairs;

	va_start(pairs, event);
	log_line(LOG_LEVEL_INFO, event, pairs);
	va_end(pairs);
}

void log_debug(const char *event, ...)
{
	va_list pairs;

	va_start(pairs, event);
	log_line(LOG_LEVEL_DEBUG, event, pairs);
	va_end(pairs);
}

/* In turn, a set for each thread: good for one log call. */
static char *next_number(void)
{
	static _Thread_local char numbers[NUMBERS][NUMBER_SIZE];
	static _Thread_local unsigned int next;

	return numbers[next++ % NUMBERS];
}

const char *log_u64(uint64_t value)
{
	char *number = next_number();

	snprintf(number, NUMBER_SIZE, "%" PRIu64, value);
	return number;
}

const char *log_int(int64_t value)
{
	char *number = next_number();

	snprintf(number, NUMBER_SIZE, "%" PRId64, value);
	return number;
}
