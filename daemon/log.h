/* SPDX-License-Identifier: MIT */
/*
 * Log lines on standard error, key=value, one write(2) each, as journald likes them:
 *
 *   level=info event=batch_accepted batch=news-47 mails=10000
 *
 * No time stamp when standard error is journald's (JOURNAL_STREAM), otherwise time=RFC3339 first. Values with
 * spaces, quotes or control characters are quoted and escaped. Never content of messages, never secrets,
 * never a recipient's address.
 */
#ifndef OPTIMUS_DAEMON_LOG_H
#define OPTIMUS_DAEMON_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);

/*
 * event is a word; then pairs of (const char *key, const char *value), ended by NULL:
 * log_info("batch_accepted", "batch", name, "mails", log_u64(n), NULL).
 */
__attribute__((sentinel)) void log_error(const char *event, ...);
__attribute__((sentinel)) void log_warning(const char *event, ...);
__attribute__((sentinel)) void log_info(const char *event, ...);
__attribute__((sentinel)) void log_debug(const char *event, ...);

/* A number as text, in one of a few static buffers that are used in turn: good for one log call. */
const char *log_u64(uint64_t value);
const char *log_int(int64_t value);

#endif
