/* SPDX-License-Identifier: MIT */
/*
 * Values of settings as text, into what the daemon works with: durations, sizes, numbers, addresses. A value
 * is taken whole or not at all, without spaces or signs, so that a slip of the pen is an error and no other
 * value. Which settings there are, and who is told of an error, is the business of config.c.
 */
#include "daemon/config_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/error.h"

int config_duration(const char *text, usec *ret_duration)
{
	static const struct {
		const char *name;
		usec factor;
	} units[] = {{"", USEC_PER_SEC}, {"ms", USEC_PER_MSEC}, {"s", USEC_PER_SEC}, {"m", 60 * USEC_PER_SEC},
	    {"h", 3600 * USEC_PER_SEC}, {"d", 86400 * USEC_PER_SEC}};
	char *end;
	unsigned long long number;

	if (*text < '0' || *text > '9')
		return OPT_E_INVALID;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || number > 1000000000)
		return OPT_E_INVALID;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) == 0) {
			*ret_duration = number * units[i].factor;
			return 0;
		}
	}
	return OPT_E_INVALID;
}

int config_bytes(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long number;
	unsigned int shift = 0;

	if (*text < '0' || *text > '9')
		return OPT_E_INVALID;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0)
		return OPT_E_INVALID;
	if (*end != '\0') {
		const char *unit = strchr(units, *end);

		if (unit == NULL || end[1] != '\0')
			return OPT_E_INVALID;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (number > UINT64_MAX >> (shift + 1))
		return OPT_E_INVALID;
	*ret_bytes = (uint64_t)number << shift;
	return 0;
}

int config_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret_number)
{
	char *end;
	unsigned long number;

	if (*text < '0' || *text > '9')
		return OPT_E_INVALID;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		return OPT_E_INVALID;
	*ret_number = (uint32_t)number;
	return 0;
}

int config_check_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	uint32_t port;

	if (colon == NULL || colon == text || config_number(colon + 1, 0, 65535, &port) != 0)
		return OPT_E_INVALID;
	return strpbrk(text, " \t\"'\\") == NULL ? 0 : OPT_E_INVALID;
}
