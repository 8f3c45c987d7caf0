/* SPDX-License-Identifier: MIT */
/*
 * Numbers that we keep inside a spool, so that they vanish with it, and hold for one boot of the machine.
 */
#ifndef OPTIMUS_DAEMON_SPOOL_MARK_H
#define OPTIMUS_DAEMON_SPOOL_MARK_H

#include <stdint.h>

/* The number under `name` in the spool of the instance in `dir`; 0 when there is none of this boot. */
uint64_t spool_mark_read(const char *dir, const char *name);
/* Failure shows in the log; a mark that is missing makes mails doubtful, never lost. */
void spool_mark_write(const char *dir, const char *name, uint64_t number);

/* Notes that optimusd is at work, by boot time. */
void spool_mark_worked(const char *dir);
/* How long ago that was noted last, in microseconds; UINT64_MAX: it is not known. */
uint64_t spool_mark_away(const char *dir);

#endif
