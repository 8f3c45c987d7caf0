/* SPDX-License-Identifier: MIT */
/*
 * Durations and times on the command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/cli_time.h"
#include "queue/error.h"

static void durations_have_a_number_and_one_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} good[] = {
	    {"90s", 90}, {"15m", 900}, {"12h", 43200}, {"5d", 432000}, {"0s", 0}, {"3660d", 316224000}};
	static const char *const bad[] = {"", "5", "d", "5 d", "5w", "-5d", "+5d", "5dd", "1h30m", "1.5h",
	    "5D", "3661d", "99999999999999999999999s", "18446744073709551616s", "0x10s"};
	uint64_t seconds = 77;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(cli_duration_parse(good[i].text, &seconds), 0);
		assert_int_equal(seconds, good[i].seconds);
	}
	seconds = 77;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(cli_duration_parse(bad[i], &seconds), OPT_E_INVALID);
		assert_int_equal(seconds, 77);
	}
}

static void times_are_rfc_3339_or_ahead_of_now(void **state)
{
	static const struct {
		const char *text;
		int64_t time;
	} good[] = {
	    {"1970-01-01T00:00:00Z", 0},
	    {"2026-12-01T08:00:00Z", 1796112000},
	    {"2026-12-01t08:00:00z", 1796112000},
	    {"2026-12-01 09:00:00+01:00", 1796112000},
	    {"2026-12-01T02:30:00.25-05:30", 1796112000},
	    {"2028-02-29T00:00:00Z", 1835395200},
	    {"2026-12-31T23:59:60Z", 1798761600},
	    {"+30m", 1000 + 1800},
	    {"+0s", 1000},
	};
	static const char *const bad[] = {"", "tomorrow", "2026-12-01", "2026-12-01T08:00:00",
	    "2026-12-01T08:00Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
	    "2026-04-31T00:00:00Z", "2026-12-01T24:00:00Z", "2026-12-01T08:60:00Z", "2026-12-01T08:00:61Z",
	    "2026-12-01T08:00:00Z ", "2026-12-01T08:00:00+1:00", "2026-12-01T08:00:00+01:60",
	    "2026-12-01T08:00:00.Z", "1969-12-31T00:00:00Z", "+", "+5", "+-5m", "-5m",
	    "2026-12-01T08:00:00+0100"};
	int64_t time = 77;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(cli_time_parse(good[i].text, 1000, &time), 0);
		assert_int_equal(time, good[i].time);
	}
	time = 77;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(cli_time_parse(bad[i], 1000, &time), OPT_E_INVALID);
		assert_int_equal(time, 77);
	}
}

static void what_is_printed_is_short(void **state)
{
	char text[CLI_TIME_TEXT];

	(void)state;
	assert_string_equal(cli_time_format(1796112000, text), "2026-12-01T08:00:00Z");
	assert_string_equal(cli_duration_format(0, text), "0 s");
	assert_string_equal(cli_duration_format(59, text), "59 s");
	assert_string_equal(cli_duration_format(200, text), "3 min 20 s");
	assert_string_equal(cli_duration_format(3600, text), "1 h 0 min");
	assert_string_equal(cli_duration_format(90000, text), "1 d 1 h");
	cli_duration_format(UINT64_MAX, text);
	assert_string_equal(cli_rate_format(0, text), "-");
	assert_string_equal(cli_rate_format(-1, text), "-");
	assert_string_equal(cli_rate_format(0.05, text), "180/h");
	assert_string_equal(cli_rate_format(0.5, text), "0.5/s");
	assert_string_equal(cli_rate_format(612.4, text), "612/s");
	assert_string_equal(cli_rate_format(12345, text), "12k/s");
	assert_string_equal(cli_rate_format(1e300, text), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(durations_have_a_number_and_one_unit),
	    cmocka_unit_test(times_are_rfc_3339_or_ahead_of_now),
	    cmocka_unit_test(what_is_printed_is_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
