/* SPDX-License-Identifier: MIT */
/*
 * What the values of settings look like. All of these return 0, or OPT_E_INVALID for what can't be such a
 * value.
 */
#ifndef OPTIMUS_DAEMON_CONFIG_VALUE_H
#define OPTIMUS_DAEMON_CONFIG_VALUE_H

#include <stdint.h>

#include "queue/clock.h"

/* "15m", "90s", "500ms", "12h", "5d" or a plain number of seconds, into microseconds. */
int config_duration(const char *text, usec *ret_duration);
/* "64M", "1G", "4096", into bytes. */
int config_bytes(const char *text, uint64_t *ret_bytes);
/* A decimal number from min to max. */
int config_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret_number);
/* HOST:PORT or [ADDRESS]:PORT, with a port from 0 to 65535. */
int config_check_address(const char *text);

#endif
