/* SPDX-License-Identifier: MIT */
/*
 * The states of one mail, the table of the moves between them, and the key of one attempt.
 */
#ifndef OPTIMUS_QUEUE_MAIL_H
#define OPTIMUS_QUEUE_MAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/id.h"

enum mail_state {
	MAIL_STAGED,   /* uploaded, its batch not accepted yet */
	MAIL_READY,    /* may be claimed now */
	MAIL_CLAIMED,  /* the claim is on its way or durable; Postfix may have it */
	MAIL_RETRY,    /* deferred by the other side; waits for its next attempt */
	MAIL_IN_DOUBT, /* claimed, no outcome, and no longer known to be in a live Postfix */
	MAIL_SENT,     /* the states from here on are final */
	MAIL_BOUNCED,
	MAIL_EXPIRED,
	MAIL_CANCELLED,
	MAIL_SUPPRESSED,
	MAIL_UNKNOWN,
	MAIL_STATES,
};

/* The name that status and report show: "ready", "claimed", "retry", "in_doubt", "sent", ... */
const char *mail_state_name(enum mail_state state);
/* The state with that name, or OPT_E_INVALID. */
int mail_state_parse(const char *name, enum mail_state *ret_state);
bool mail_state_final(enum mail_state state);
/* Whether the transition table allows the move. Staying is not a move. */
bool mail_move_allowed(enum mail_state from, enum mail_state to);

/*
 * One attempt at one mail: the key of its claim and of its outcomes. It travels through Postfix with the
 * message (as DSN envelope id and as original recipient) in the text form
 *
 *   <shard id, 40 hex>.<index>.<epoch>.<node id, 40 hex>.<attempt>
 */
enum { ATTEMPT_TEXT_MAX = 40 + 1 + 10 + 1 + 10 + 1 + 40 + 1 + 10 + 1 };

struct attempt_key {
	struct opt_id shard;
	uint32_t index; /* of the mail in its shard */
	uint32_t epoch;
	struct opt_id node; /* the owner that claimed it */
	uint32_t attempt;   /* 1, 2, ... */
};

char *attempt_to_text(const struct attempt_key *key, char text[ATTEMPT_TEXT_MAX]);
/* OPT_E_INVALID when the text is not exactly in the form above. */
int attempt_from_text(const char *text, struct attempt_key *ret_key);

#endif
