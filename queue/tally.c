/* SPDX-License-Identifier: MIT */
/* See tally.h. Both sets are small: they hold what went wrong. */
#include "queue/tally.h"

#include <stdlib.h>

static bool same(const struct attempt_ref *a, const struct attempt_ref *b)
{
	return a->index == b->index && a->epoch == b->epoch && a->attempt == b->attempt;
}

static struct attempt_ref *find(const struct attempt_set *set, const struct attempt_ref *ref)
{
	for (uint32_t i = 0; i < set->count; i++) {
		if (same(&set->refs[i], ref))
			return &set->refs[i];
	}
	return NULL;
}

static void add(struct attempt_set *set, const struct attempt_ref *ref)
{
	set->refs = reallocarray(set->refs, set->count + 1, sizeof(*set->refs));
	if (set->refs == NULL)
		abort();
	set->refs[set->count++] = *ref;
}

void tally_sent(struct shard *shard, const struct attempt_key *key)
{
	const struct attempt_ref ref = {.index = key->index, .epoch = key->epoch, .attempt = key->attempt};
	struct mail *mail = &shard->mails[key->index];

	if (mail->sent_attempt == 0 && mail->sent_epoch == 0) {
		mail->sent_attempt = key->attempt;
		mail->sent_epoch = key->epoch;
		return;
	}
	if ((mail->sent_attempt == key->attempt && mail->sent_epoch == key->epoch) ||
	    find(&shard->extra_sent, &ref) != NULL)
		return;
	add(&shard->extra_sent, &ref);
	shard->duplicates++;
	shard->batch->duplicates++;
}

static void count_resent(struct shard *shard, int change)
{
	shard->in_doubt_resent += (uint32_t)change;
	shard->batch->in_doubt_resent += (uint64_t)change;
}

void tally_resent(struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt, bool returned)
{
	const struct attempt_ref ref = {index, epoch, attempt, returned};
	struct attempt_ref *found = find(&shard->resent, &ref);

	if (found == NULL) {
		add(&shard->resent, &ref);
		count_resent(shard, !returned);
	} else if (returned && !found->returned) {
		found->returned = true;
		count_resent(shard, -1);
	}
}

void tally_not_resent(struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt)
{
	const struct attempt_ref ref = {.index = index, .epoch = epoch, .attempt = attempt};
	struct attempt_ref *found = find(&shard->resent, &ref);

	if (found == NULL)
		return;
	count_resent(shard, found->returned ? 0 : -1);
	*found = shard->resent.refs[--shard->resent.count];
}

bool tally_is_resent(const struct shard *shard, uint32_t index, uint32_t epoch, uint32_t attempt)
{
	const struct attempt_ref ref = {.index = index, .epoch = epoch, .attempt = attempt};

	return find(&shard->resent, &ref) != NULL;
}

void tally_free(struct shard *shard)
{
	free(shard->extra_sent.refs);
	free(shard->resent.refs);
	shard->extra_sent = shard->resent = (struct attempt_set){NULL, 0};
}

void tally_reset(struct shard *shard)
{
	tally_free(shard);
	shard->batch->duplicates -= shard->duplicates;
	shard->batch->in_doubt_resent -= shard->in_doubt_resent;
	shard->duplicates = 0;
	shard->in_doubt_resent = 0;
}
