/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing durations, times and rates.
 *
 * Pure functions: the caller brings the clock. A duration has exactly one unit, as in Postfix's
 * configuration, and a number without a unit is refused, because whoever wrote it meant one. Leap seconds
 * (":60") are read as the second after.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/cli_time.h"
#include "queue/error.h"

static const uint64_t DURATION_MAX = UINT64_C(10) * 366 * 86400;

int cli_duration_parse(const char *text, uint64_t *ret_seconds)
{
	uint64_t value = 0, unit;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > DURATION_MAX)
			return OPT_E_INVALID;
	}
	if (p == text || p[0] == '\0' || p[1] != '\0')
		return OPT_E_INVALID;
	switch (*p) {
	case 's':
		unit = 1;
		break;
	case 'm':
		unit = 60;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'd':
		unit = 86400;
		break;
	default:
		return OPT_E_INVALID;
	}
	if (value * unit > DURATION_MAX)
		return OPT_E_INVALID;
	*ret_seconds = value * unit;
	return 0;
}

/* Exactly `digits` decimal digits, moving *p behind them; -1 when they aren't there. */
static int number(const char **p, int digits)
{
	int value = 0;

	for (int i = 0; i < digits; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

static bool literal(const char **p, const char *set)
{
	if (**p == '\0' || strchr(set, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

/* "Z" or "+hh:mm" at the end of the text, in seconds east of Greenwich. */
static int offset_parse(const char *p, int *ret_offset)
{
	int sign, hours, minutes;

	if ((*p == 'Z' || *p == 'z') && p[1] == '\0') {
		*ret_offset = 0;
		return 0;
	}
	if (*p != '+' && *p != '-')
		return OPT_E_INVALID;
	sign = *p++ == '-' ? -1 : 1;
	hours = number(&p, 2);
	if (hours < 0 || hours > 23 || !literal(&p, ":"))
		return OPT_E_INVALID;
	minutes = number(&p, 2);
	if (minutes < 0 || minutes > 59 || *p != '\0')
		return OPT_E_INVALID;
	*ret_offset = sign * (hours * 3600 + minutes * 60);
	return 0;
}

static int rfc3339_parse(const char *text, int64_t *ret_time)
{
	struct tm tm = {0}, check;
	const char *p = text;
	int offset;

	tm.tm_year = number(&p, 4) - 1900;
	if (tm.tm_year < 70 || !literal(&p, "-"))
		return OPT_E_INVALID;
	tm.tm_mon = number(&p, 2) - 1;
	if (tm.tm_mon < 0 || !literal(&p, "-"))
		return OPT_E_INVALID;
	tm.tm_mday = number(&p, 2);
	if (tm.tm_mday < 1 || !literal(&p, "Tt "))
		return OPT_E_INVALID;
	tm.tm_hour = number(&p, 2);
	if (tm.tm_hour < 0 || tm.tm_hour > 23 || !literal(&p, ":"))
		return OPT_E_INVALID;
	tm.tm_min = number(&p, 2);
	if (tm.tm_min < 0 || tm.tm_min > 59 || !literal(&p, ":"))
		return OPT_E_INVALID;
	tm.tm_sec = number(&p, 2);
	if (tm.tm_sec < 0 || tm.tm_sec > 60)
		return OPT_E_INVALID;
	if (*p == '.') {
		const char *fraction = ++p;

		while (*p >= '0' && *p <= '9')
			p++;
		if (p == fraction)
			return OPT_E_INVALID;
	}
	if (offset_parse(p, &offset) < 0)
		return OPT_E_INVALID;

	/* timegm() turns 31 February into a day of March: then month or day differ, and the date was none. */
	check = tm;
	check.tm_hour = check.tm_min = check.tm_sec = 0;
	timegm(&check);
	if (check.tm_mon != tm.tm_mon || check.tm_mday != tm.tm_mday)
		return OPT_E_INVALID;
	*ret_time = (int64_t)timegm(&tm) - offset;
	return 0;
}

int cli_time_parse(const char *text, int64_t now, int64_t *ret_time)
{
	uint64_t seconds;

	if (text[0] != '+')
		return rfc3339_parse(text, ret_time);
	if (cli_duration_parse(text + 1, &seconds) < 0)
		return OPT_E_INVALID;
	*ret_time = now + (int64_t)seconds;
	return 0;
}

char *cli_time_format(int64_t when, char text[CLI_TIME_TEXT])
{
	time_t value = (time_t)when;
	struct tm tm;

	if (gmtime_r(&value, &tm) == NULL || strftime(text, CLI_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, CLI_TIME_TEXT, "-");
	return text;
}

char *cli_duration_format(uint64_t seconds, char text[CLI_TIME_TEXT])
{
	unsigned long long s = seconds;

	if (s < 60)
		snprintf(text, CLI_TIME_TEXT, "%llu s", s);
	else if (s < 3600)
		snprintf(text, CLI_TIME_TEXT, "%llu min %llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, CLI_TIME_TEXT, "%llu h %llu min", s / 3600, s % 3600 / 60);
	else
		snprintf(text, CLI_TIME_TEXT, "%llu d %llu h", s / 86400, s % 86400 / 3600);
	return text;
}

char *cli_rate_format(double per_second, char text[CLI_TIME_TEXT])
{
	if (!(per_second * 3600 >= 1))
		snprintf(text, CLI_TIME_TEXT, "-");
	else if (per_second < 0.1)
		snprintf(text, CLI_TIME_TEXT, "%.0f/h", per_second * 3600);
	else if (per_second < 9.95)
		snprintf(text, CLI_TIME_TEXT, "%.1f/s", per_second);
	else if (per_second < 9999.5)
		snprintf(text, CLI_TIME_TEXT, "%.0f/s", per_second);
	else if (per_second < 1e9)
		snprintf(text, CLI_TIME_TEXT, "%.0fk/s", per_second / 1000);
	else
		snprintf(text, CLI_TIME_TEXT, "-");
	return text;
}
