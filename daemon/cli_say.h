/* SPDX-License-Identifier: MIT */
/*
 * What the command line says beside its results: messages on standard error, and the exit codes.
 */
#ifndef OPTIMUS_DAEMON_CLI_SAY_H
#define OPTIMUS_DAEMON_CLI_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes: those of sysexits.h, by what they mean here. */
enum cli_exit {
	CLI_OK = 0,
	CLI_ENDED_OTHERWISE = 1, /* the batch was watched to its end, and that was not "done" */
	CLI_USAGE = 64,          /* the command line is wrong */
	CLI_DATA = 65,           /* the template, the recipients or the request is wrong */
	CLI_NO_INPUT = 66,       /* no such file, no such batch */
	CLI_UNAVAILABLE = 69,    /* no node answers */
	CLI_SOFTWARE = 70,       /* a bug */
	CLI_OS = 71,             /* the operating system refused what should work */
	CLI_CONFLICT = 73,       /* the batch id exists with other content */
	CLI_IO = 74,             /* reading or writing failed on the way */
	CLI_AGAIN = 75,          /* not now; the same command later may succeed */
	CLI_PROTOCOL = 76,       /* the node's answer makes no sense */
	CLI_DENIED = 77,         /* this user may not do that */
};

/* "optimus: " and the message on standard error, after wiping a progress line that may stand there. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/* The same without "optimus: ". */
__attribute__((format(printf, 1, 2))) void say_plain(const char *format, ...);

/* Shows `line` as the one that the next call, or the next message, replaces. "" wipes it. For terminals. */
void say_transient(const char *line);

/* Whether the stream is a terminal, and whether colours are wanted there (NO_COLOR, TERM=dumb). */
bool say_terminal(FILE *stream);
bool say_colour(FILE *stream);
/* The terminal's width in columns; 80 where it isn't known. */
int say_width(FILE *stream);

/*
 * A copy of text that came from elsewhere, fit for a terminal: control characters and broken UTF-8 become
 * '?'. Returns `copy`, which holds `size` bytes.
 */
char *say_clean(const char *text, char *copy, size_t size);

/*
 * Flushes standard output. CLI_OK, or CLI_IO with a message when what was printed is lost. A reader that has
 * gone away (a closed pipe) is no error: *ret_gone tells, where that matters.
 */
int say_flush(bool *ret_gone);

#endif
