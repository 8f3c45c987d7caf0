/* SPDX-License-Identifier: MIT */
/*
 * Durations and times as people write and read them.
 */
#ifndef OPTIMUS_DAEMON_CLI_TIME_H
#define OPTIMUS_DAEMON_CLI_TIME_H

#include <stddef.h>
#include <stdint.h>

enum { CLI_TIME_TEXT = 32 };

/* "90s", "15m", "12h", "5d": a whole number and its unit, at most ten years. OPT_E_INVALID otherwise. */
int cli_duration_parse(const char *text, uint64_t *ret_seconds);

/*
 * An RFC 3339 time with its offset ("2026-12-01T08:00:00Z", "2026-12-01 09:00:00+01:00") or "+DURATION"
 * counted from `now`; seconds since 1970, UTC. Fractions of a second are cut off. OPT_E_INVALID otherwise.
 */
int cli_time_parse(const char *text, int64_t now, int64_t *ret_time);

/* "2026-12-01T08:00:00Z". Returns text. */
char *cli_time_format(int64_t time, char text[CLI_TIME_TEXT]);

/* "47 s", "3 min 20 s", "5 h 12 min", "3 d 4 h". Returns text. */
char *cli_duration_format(uint64_t seconds, char text[CLI_TIME_TEXT]);

/* "180/h", "0.4/s", "612/s", "12k/s"; "-" below one an hour. Returns text. */
char *cli_rate_format(double per_second, char text[CLI_TIME_TEXT]);

#endif
