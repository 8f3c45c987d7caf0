/* SPDX-License-Identifier: MIT */
/*
 * The two times of the system, as types that can't be mixed.
 *
 * boot_time counts microseconds since the machine booted (CLOCK_BOOTTIME) and drives timers and leases; it
 * means nothing to another machine or after a reboot. utc_time counts microseconds since 1970 and is what
 * facts carry: when a mail was tried, when it expires.
 *
 * The core never reads a clock: every event brings both.
 */
#ifndef OPTIMUS_QUEUE_CLOCK_H
#define OPTIMUS_QUEUE_CLOCK_H

#include <stdint.h>

typedef uint64_t usec; /* a duration in microseconds */

#define USEC_PER_MSEC ((usec)1000)
#define USEC_PER_SEC  ((usec)1000000)

struct boot_time {
	uint64_t us;
};

struct utc_time {
	uint64_t us;
};

#endif
