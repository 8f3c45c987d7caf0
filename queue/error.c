/* SPDX-License-Identifier: MIT */
/* The words for the error codes, for logs and for people. */
#include "queue/error.h"

#include <stdio.h>
#include <stdlib.h>

const char *opt_strerror(int code)
{
	switch ((enum opt_error)code) {
	case OPT_OK:
		return "success";
	case OPT_E_INVALID:
		return "invalid input";
	case OPT_E_LIMIT:
		return "over a limit";
	case OPT_E_NOT_FOUND:
		return "not found";
	case OPT_E_CONFLICT:
		return "exists with other content";
	case OPT_E_AGAIN:
		return "not now, try again";
	case OPT_E_IO:
		return "input or output error";
	case OPT_E_STORE:
		return "the store refused";
	case OPT_E_FULL:
		return "no room on the disk";
	case OPT_E_DENIED:
		return "not allowed";
	case OPT_E_CLOSED:
		return "connection closed";
	}
	return "unknown error";
}

void opt_abort(const char *what)
{
	fputs(what, stderr);
	fputc('\n', stderr);
	abort();
}
