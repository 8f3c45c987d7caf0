/* SPDX-License-Identifier: MIT */
/*
 * Outcomes and how they merge: a join semilattice, so replicas need no order among facts.
 */
#include "queue/outcome.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[OUTCOME_KINDS] = {
    [OUTCOME_DEFERRED] = "deferred",
    [OUTCOME_RETURNED] = "returned",
    [OUTCOME_IN_DOUBT] = "in_doubt",
    [OUTCOME_UNKNOWN] = "unknown",
    [OUTCOME_SUPPRESSED] = "suppressed",
    [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_EXPIRED] = "expired",
    [OUTCOME_BOUNCED] = "bounced",
    [OUTCOME_SENT] = "sent",
};

const char *outcome_kind_name(enum outcome_kind kind)
{
	return kind < OUTCOME_KINDS ? kind_names[kind] : "invalid";
}

bool outcome_final(enum outcome_kind kind)
{
	return kind >= OUTCOME_UNKNOWN && kind < OUTCOME_KINDS;
}

enum mail_state outcome_state(enum outcome_kind kind)
{
	switch (kind) {
	case OUTCOME_UNKNOWN:
		return MAIL_UNKNOWN;
	case OUTCOME_SUPPRESSED:
		return MAIL_SUPPRESSED;
	case OUTCOME_CANCELLED:
		return MAIL_CANCELLED;
	case OUTCOME_EXPIRED:
		return MAIL_EXPIRED;
	case OUTCOME_BOUNCED:
		return MAIL_BOUNCED;
	case OUTCOME_SENT:
		return MAIL_SENT;
	case OUTCOME_DEFERRED:
	case OUTCOME_RETURNED:
	case OUTCOME_IN_DOUBT:
	case OUTCOME_KINDS:
		break;
	}
	abort();
}

/* The place in the order sent > bounced > expired > cancelled > suppressed > unknown > open. */
static int rank(enum mail_state state)
{
	switch (state) {
	case MAIL_SENT:
		return 6;
	case MAIL_BOUNCED:
		return 5;
	case MAIL_EXPIRED:
		return 4;
	case MAIL_CANCELLED:
		return 3;
	case MAIL_SUPPRESSED:
		return 2;
	case MAIL_UNKNOWN:
		return 1;
	default:
		return 0;
	}
}

enum mail_state outcome_merge(enum mail_state state, enum outcome_kind kind)
{
	enum mail_state other;

	if (!outcome_final(kind))
		return state;
	other = outcome_state(kind);
	return rank(other) > rank(state) ? other : state;
}

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

enum outcome_kind outcome_classify(const char *action, const char *dsn, const char *reason)
{
	if (strcmp(action, "delivered") == 0 || strcmp(action, "relayed") == 0 ||
	    strcmp(action, "expanded") == 0)
		return OUTCOME_SENT;
	if (strcmp(action, "failed") == 0)
		return OUTCOME_BOUNCED;
	/* qmgr/qmgr_active.c, qmgr_deliver.c, qmgr_queue.c: the queue entry was deferred without an attempt.
	 */
	if (begins_with(reason, "delivery temporarily suspended") ||
	    begins_with(reason, "mail transport unavailable") ||
	    begins_with(reason, "unknown mail transport error"))
		return OUTCOME_RETURNED;
	/* global/sent.c, bounce.c: "trace service failed", "bounce or trace service failure". */
	if (strcmp(dsn, "4.3.0") == 0 && strstr(reason, "service fail") != NULL &&
	    strstr(reason, " said: ") == NULL)
		return OUTCOME_IN_DOUBT;
	return OUTCOME_DEFERRED;
}
