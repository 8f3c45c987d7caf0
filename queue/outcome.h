/* SPDX-License-Identifier: MIT */
/*
 * Outcomes: facts about attempts, and the rule that merges them.
 *
 * Facts arrive from any node, in any order, any number of times. The state of a mail is the highest of its
 * facts in the order sent > bounced > expired > cancelled > suppressed > unknown > open, so every replica
 * that knows the same facts shows the same state.
 */
#ifndef OPTIMUS_QUEUE_OUTCOME_H
#define OPTIMUS_QUEUE_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/mail.h"

enum outcome_kind {
	OUTCOME_DEFERRED, /* this attempt failed for now */
	OUTCOME_RETURNED, /* Postfix never tried it: no attempt was made; the mail is ready again */
	OUTCOME_IN_DOUBT, /* the attempt ended without anybody's word on it */
	OUTCOME_UNKNOWN,
	OUTCOME_SUPPRESSED,
	OUTCOME_CANCELLED,
	OUTCOME_EXPIRED,
	OUTCOME_BOUNCED,
	OUTCOME_SENT,
	OUTCOME_KINDS,
};

enum { OUTCOME_DSN_MAX = 16, OUTCOME_RELAY_MAX = 256, OUTCOME_REASON_MAX = 1000 };

/* Strings are borrowed, NUL-terminated, "" where there is nothing to say. */
struct outcome {
	struct attempt_key key;
	enum outcome_kind kind;
	uint32_t claim_flags; /* of its claim (queue/journal.h), so that an outcome without its claim counts
	                         the same */
	struct utc_time at;
	const char *dsn;    /* RFC 3463 code: "2.0.0" */
	const char *relay;  /* who answered: "mx.example.com[192.0.2.1]:25" */
	const char *reason; /* the remote's words */
};

const char *outcome_kind_name(enum outcome_kind kind);
/* Whether a fact of this kind settles the mail for good. */
bool outcome_final(enum outcome_kind kind);
/* The state a mail ends in by a fact of that kind. Only for final kinds. */
enum mail_state outcome_state(enum outcome_kind kind);
/* The state of a mail in `state` after one more fact: merge(a, b) in any order gives the same. */
enum mail_state outcome_merge(enum mail_state state, enum outcome_kind kind);

/*
 * What one report of Postfix's trace service means. `action` is the DSN action (RFC 3464), `dsn` the status,
 * `reason` the words behind "delivery via RELAY: ". Two kinds of "delayed" are none: a destination or
 * transport that qmgr(8) suspended was never tried, and a failure of our own servers says nothing about the
 * delivery.
 */
enum outcome_kind outcome_classify(const char *action, const char *dsn, const char *reason);

#endif
