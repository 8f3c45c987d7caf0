/* SPDX-License-Identifier: MIT */
/*
 * The counts of a shard that are not states of mails: duplicates, and what was sent again in doubt.
 *
 * Each is the size of a set of attempts. A fact adds its attempt to a set or finds it there, so who has the
 * same facts has the same counts, whatever their order and however often they came. The sets live as long as
 * the shard's mails; what stays of them are the counts.
 */
#ifndef OPTIMUS_QUEUE_TALLY_H
#define OPTIMUS_QUEUE_TALLY_H

#include "queue/state.h"

/* The attempt has ended as sent. Each but the first of a mail is a duplicate. */
void tally_sent(struct shard *shard, const struct attempt_key *key);
/*
 * The claim repeats an attempt in doubt. With `returned` it was told, too, that nothing came of it: Postfix
 * never tried it, so it repeated nothing, and the next claim is the one that does.
 */
void tally_resent(struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt, bool returned);
/* It did not become durable, here or anywhere. */
void tally_not_resent(struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt);
/* Whether the claim is known to have been meant so, whatever came of it. */
bool tally_is_resent(const struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt);
/* Forgets the sets; the counts stay. */
void tally_free(struct shard *shard);
/* Starts from nothing. */
void tally_reset(struct shard *shard);

#endif
