/* SPDX-License-Identifier: MIT */
/*
 * Error codes of the whole project. A function returns 0 or one of these; results come out through
 * ret_ arguments, which stay untouched on failure.
 */
#ifndef OPTIMUS_QUEUE_ERROR_H
#define OPTIMUS_QUEUE_ERROR_H

enum opt_error {
	OPT_OK = 0,
	OPT_E_INVALID = -1,   /* malformed input: bytes, a value out of its range */
	OPT_E_LIMIT = -2,     /* a named limit was exceeded */
	OPT_E_NOT_FOUND = -3, /* no such batch, shard, key, file */
	OPT_E_CONFLICT = -4,  /* exists already, with other content */
	OPT_E_AGAIN = -5,     /* can't be decided or done now: try again */
	OPT_E_IO = -6,        /* the operating system refused; errno tells more */
	OPT_E_STORE = -7,     /* the store refused or is gone */
	OPT_E_FULL = -8,      /* no room on the disk */
	OPT_E_DENIED = -9,    /* the caller may not do this */
	OPT_E_CLOSED = -10,   /* the other side closed the connection */
};

/* A short English phrase for a code, "unknown error" for what is none. Static memory. */
const char *opt_strerror(int code);

/* For what can't be: says so on standard error and aborts. Never for what a peer, a user or a disk may cause.
 */
_Noreturn void opt_abort(const char *what);

#endif
