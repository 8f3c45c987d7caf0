/* SPDX-License-Identifier: MIT */
/*
 * Times as the HTTP API writes and reads them: RFC 3339, UTC, whole seconds.
 */
#ifndef OPTIMUS_DAEMON_API_TIME_H
#define OPTIMUS_DAEMON_API_TIME_H

#include "queue/clock.h"

enum { API_TIME_MAX = 21 /* 2026-12-01T08:00:00Z and a NUL */ };

/* "2026-12-01T08:00:00Z". The time must lie before the year 10000; a later one is written as the last second
 * of 9999. */
char *api_time_format(struct utc_time time, char text[API_TIME_MAX]);

/*
 * Any RFC 3339 date-time from 1970 on: with fractions of a second (kept to the microsecond) and with an
 * offset. OPT_E_INVALID when it is none.
 */
int api_time_parse(const char *text, struct utc_time *ret_time);

#endif
