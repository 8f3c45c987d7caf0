/* SPDX-License-Identifier: MIT */
/*
 * What a shard's journal says about each of its mails: the report's view.
 *
 * Entries may come in any order and any number of times; the result is the same.
 */
#ifndef OPTIMUS_QUEUE_REPLAY_H
#define OPTIMUS_QUEUE_REPLAY_H

#include <stdint.h>

#include "queue/clock.h"
#include "queue/id.h"
#include "queue/journal.h"
#include "queue/mail.h"

struct replay;

/* For a shard of `count` mails. */
struct replay *replay_new(uint32_t count);
void replay_free(struct replay *replay);

/* Takes one entry of the shard's journal in; copies what it needs. Facts about mails beyond `count` are
 * ignored. */
void replay_entry(struct replay *replay, const struct journal_entry *entry);

struct replay_mail {
	enum mail_state state; /* never MAIL_STAGED; MAIL_CLAIMED also where the mail is in doubt */
	/*
	 * From the fact that decided the state, or from the latest deferred one while the mail is open. ""
	 * where nothing is known. Borrowed until replay_free().
	 */
	const char *dsn;
	const char *relay;
	const char *reason;
	struct opt_id node;            /* who made the attempt; zero: nobody yet */
	uint32_t attempts;             /* that reached the other side, or still may */
	struct utc_time first_attempt; /* 0: none yet */
	struct utc_time last_attempt;
};

/* i < count. */
void replay_mail(const struct replay *replay, uint32_t i, struct replay_mail *ret_mail);

#endif
