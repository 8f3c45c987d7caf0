/* SPDX-License-Identifier: MIT */
/*
 * Messages of the command line.
 *
 * Results go to standard output and nothing else does; everything said about them goes through here to
 * standard error. On a terminal one line may be transient (a progress bar): it is wiped before a message is
 * printed, so the two never mix. Text that a node or a file supplied is cleaned before it reaches a terminal.
 *
 * The only state is whether a transient line stands there. No locking: the command line has one thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/cli_say.h"
#include "queue/message/utf8.h"

static bool transient_shown;

static void wipe(void)
{
	if (transient_shown)
		fputs("\r\033[K", stderr);
	transient_shown = false;
}

void say(const char *format, ...)
{
	va_list args;

	wipe();
	fputs("optimus: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void say_plain(const char *format, ...)
{
	va_list args;

	wipe();
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void say_transient(const char *line)
{
	wipe();
	if (line[0] != '\0') {
		fputs(line, stderr);
		transient_shown = true;
	}
	fflush(stderr);
}

bool say_terminal(FILE *stream)
{
	const char *term = getenv("TERM");

	return isatty(fileno(stream)) == 1 && !(term != NULL && strcmp(term, "dumb") == 0);
}

bool say_colour(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR");

	return say_terminal(stream) && (no_color == NULL || no_color[0] == '\0');
}

int say_width(FILE *stream)
{
	struct winsize size;

	if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
		return size.ws_col;
	return 80;
}

char *say_clean(const char *text, char *copy, size_t size)
{
	size_t len = utf8_cut(text, strlen(text), size - 1);
	bool utf8 = utf8_valid(text, len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		/* In UTF-8, C2 80 to C2 9F are the C1 controls, which some terminals obey. */
		bool c1 = c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
		copy[i] = c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !utf8) ? '?' : text[i];
		if (c1 && i + 1 < len)
			copy[++i] = '?';
	}
	copy[len] = '\0';
	return copy;
}

int say_flush(bool *ret_gone)
{
	if (ret_gone != NULL)
		*ret_gone = false;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_OK;
	if (errno == EPIPE) {
		if (ret_gone != NULL)
			*ret_gone = true;
		return CLI_OK;
	}
	say("can't write to standard output: %s", strerror(errno));
	return CLI_IO;
}
