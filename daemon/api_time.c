/* SPDX-License-Identifier: MIT */
/*
 * RFC 3339 times. Written by hand because a report formats two of them a line, millions of times, and because
 * strptime(3) knows neither fractions nor a colon inside an offset.
 *
 * The calendar arithmetic counts years from March, so that the leap day is the last of its year.
 */
#include "daemon/api_time.h"

#include <stdbool.h>
#include <string.h>

#include "queue/error.h"

enum { DAY = 86400 };
static const uint64_t last_second = 253402300799; /* 9999-12-31T23:59:59Z */

/* Days from 1970-01-01 to the date. year >= 1970. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t m = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static void date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 719468;
	int64_t era = z / 146097;
	int64_t in_era = z % 146097;
	int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;

	*ret_day = (int)(in_year - (153 * m + 2) / 5 + 1);
	*ret_month = (int)(m < 10 ? m + 3 : m - 9);
	*ret_year = (int)(y + era * 400 + (*ret_month <= 2));
}

static char *put(char *at, int value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

char *api_time_format(struct utc_time time, char text[API_TIME_MAX])
{
	uint64_t seconds = time.us / USEC_PER_SEC;
	int year, month, day, rest;
	char *at = text;

	if (seconds > last_second)
		seconds = last_second;
	date_of((int64_t)(seconds / DAY), &year, &month, &day);
	rest = (int)(seconds % DAY);
	at = put(at, year, 4);
	*at++ = '-';
	at = put(at, month, 2);
	*at++ = '-';
	at = put(at, day, 2);
	*at++ = 'T';
	at = put(at, rest / 3600, 2);
	*at++ = ':';
	at = put(at, rest / 60 % 60, 2);
	*at++ = ':';
	at = put(at, rest % 60, 2);
	*at++ = 'Z';
	*at = '\0';
	return text;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly `digits` digits within the range; moves *at over them. */
static bool get(const char **at, int digits, int min, int max, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (!digit((*at)[i]))
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += digits;
	*ret_value = value;
	return value >= min && value <= max;
}

static bool skip(const char **at, const char *any)
{
	if (!**at || !strchr(any, **at))
		return false;
	(*at)++;
	return true;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* ".123456789": 1 or more digits, of which six count. */
static bool get_fraction(const char **at, uint64_t *ret_us)
{
	uint64_t us = 0, unit = USEC_PER_SEC / 10;

	if (**at != '.')
		return true;
	(*at)++;
	if (!digit(**at))
		return false;
	for (; digit(**at); (*at)++, unit /= 10)
		us += (uint64_t)(**at - '0') * unit;
	*ret_us = us;
	return true;
}

/* "Z", "+02:00": seconds to take away from the local time. */
static bool get_offset(const char **at, int *ret_offset)
{
	int sign, hours, minutes;

	if (skip(at, "Zz"))
		return true;
	sign = **at == '-' ? -1 : 1;
	if (!skip(at, "+-") || !get(at, 2, 0, 23, &hours) || !skip(at, ":") || !get(at, 2, 0, 59, &minutes))
		return false;
	*ret_offset = sign * (hours * 3600 + minutes * 60);
	return true;
}

int api_time_parse(const char *text, struct utc_time *ret_time)
{
	int year, month, day, hour, minute, second, offset = 0;
	uint64_t us = 0;
	int64_t seconds;

	if (!get(&text, 4, 1970, 9999, &year) || !skip(&text, "-") || !get(&text, 2, 1, 12, &month) ||
	    !skip(&text, "-") || !get(&text, 2, 1, month_days(year, month), &day) || !skip(&text, "Tt ") ||
	    !get(&text, 2, 0, 23, &hour) || !skip(&text, ":") || !get(&text, 2, 0, 59, &minute) ||
	    !skip(&text, ":") || !get(&text, 2, 0, 60, &second) || !get_fraction(&text, &us) ||
	    !get_offset(&text, &offset) || *text)
		return OPT_E_INVALID;
	seconds = days_of(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
	if (seconds < 0)
		return OPT_E_INVALID;
	ret_time->us = (uint64_t)seconds * USEC_PER_SEC + us;
	return 0;
}
