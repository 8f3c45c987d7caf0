/* SPDX-License-Identifier: MIT */
/*
 * Replays a journal for the report.
 *
 * A mail keeps a small list of its attempts, sorted by (attempt, epoch, node), with one bit for each kind of
 * fact that names the attempt. Sets of bits, minima and maxima are all that is kept, and each of them comes
 * out the same in whatever order the facts arrive. Two facts that differ in nothing but their text are
 * ordered by that text, for the same reason.
 *
 * Texts are copied into an arena that lives as long as the replay. It holds at most what the journal holds.
 */
#include "queue/replay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "queue/outcome.h"

enum { ARENA_BLOCK = 32 * 1024, SEEN_CLAIM = 1 << OUTCOME_KINDS };

struct attempt {
	uint32_t attempt;
	uint32_t epoch;
	struct opt_id node;
	uint32_t seen;      /* bits: 1 << outcome kind, SEEN_CLAIM */
	struct utc_time at; /* the last word on it */
};

/* The fact of one group (final ones, deferred ones) that counts. */
struct fact {
	bool known;
	enum outcome_kind kind;
	uint32_t attempt;
	uint32_t epoch;
	struct opt_id node;
	struct utc_time at;
	const char *dsn;
	const char *relay;
	const char *reason;
};

struct mail {
	enum mail_state state; /* READY, or the final state */
	struct utc_time first;
	struct attempt *attempts;
	uint32_t count;
	uint32_t size;
	struct fact final;
	struct fact deferred;
};

struct block {
	struct block *next;
	size_t used;
	size_t size;
	char data[];
};

struct replay {
	uint32_t count;
	struct block *blocks;
	struct mail mails[];
};

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct replay *replay_new(uint32_t count)
{
	struct replay *replay = must(calloc(1, sizeof *replay + count * sizeof replay->mails[0]));

	replay->count = count;
	for (uint32_t i = 0; i < count; i++)
		replay->mails[i].state = MAIL_READY;
	return replay;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	for (uint32_t i = 0; i < replay->count; i++)
		free(replay->mails[i].attempts);
	while (replay->blocks) {
		struct block *block = replay->blocks;

		replay->blocks = block->next;
		free(block);
	}
	free(replay);
}

static const char *keep(struct replay *replay, const char *text)
{
	size_t len;
	struct block *block = replay->blocks;
	char *copy;

	if (!text || !text[0])
		return "";
	len = strlen(text) + 1;
	if (!block || block->size - block->used < len) {
		size_t size = len > ARENA_BLOCK ? len : ARENA_BLOCK;

		block = must(malloc(sizeof *block + size));
		block->used = 0;
		block->size = size;
		block->next = replay->blocks;
		replay->blocks = block;
	}
	copy = block->data + block->used;
	memcpy(copy, text, len);
	block->used += len;
	return copy;
}

static int compare_key(
    uint32_t attempt, uint32_t epoch, const struct opt_id *node, const struct attempt *with)
{
	if (attempt != with->attempt)
		return attempt < with->attempt ? -1 : 1;
	if (epoch != with->epoch)
		return epoch < with->epoch ? -1 : 1;
	return id_compare(node, &with->node);
}

/* The attempt with that key, added where it is new. Nearly always it is the last one or comes after it. */
static struct attempt *attempt_at(
    struct mail *mail, uint32_t attempt, uint32_t epoch, const struct opt_id *node)
{
	uint32_t i = mail->count;

	while (i > 0) {
		int order = compare_key(attempt, epoch, node, &mail->attempts[i - 1]);

		if (order == 0)
			return &mail->attempts[i - 1];
		if (order > 0)
			break;
		i--;
	}
	if (mail->count == mail->size) {
		mail->size = mail->size ? mail->size * 2 : 1;
		mail->attempts = must(realloc(mail->attempts, mail->size * sizeof mail->attempts[0]));
	}
	memmove(&mail->attempts[i + 1], &mail->attempts[i], (mail->count - i) * sizeof mail->attempts[0]);
	mail->count++;
	mail->attempts[i] = (struct attempt){.attempt = attempt, .epoch = epoch, .node = *node};
	return &mail->attempts[i];
}

static void note_time(struct mail *mail, struct attempt *attempt, struct utc_time at)
{
	/* 0 stands for "not known", also in an entry. */
	if (at.us != 0 && (mail->first.us == 0 || at.us < mail->first.us))
		mail->first = at;
	if (at.us > attempt->at.us)
		attempt->at = at;
}

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

/*
 * Whether the outcome takes the place of the fact: a higher kind, then the later attempt, and for two facts
 * of one attempt the earlier one, since it is the one that the other side's log has.
 */
static bool fact_better(const struct fact *fact, const struct outcome *outcome)
{
	struct attempt key = {.attempt = fact->attempt, .epoch = fact->epoch, .node = fact->node};
	int order;

	if (!fact->known)
		return true;
	if (outcome->kind != fact->kind) {
		enum mail_state merged = outcome_merge(outcome_state(fact->kind), outcome->kind);

		return merged == outcome_state(outcome->kind);
	}
	order = compare_key(outcome->key.attempt, outcome->key.epoch, &outcome->key.node, &key);
	if (order != 0)
		return order > 0;
	if (outcome->at.us != fact->at.us)
		return outcome->at.us < fact->at.us;
	order = compare_text(outcome->dsn, fact->dsn);
	if (order == 0)
		order = compare_text(outcome->relay, fact->relay);
	if (order == 0)
		order = compare_text(outcome->reason, fact->reason);
	return order < 0;
}

static void fact_set(struct replay *replay, struct fact *fact, const struct outcome *outcome)
{
	*fact = (struct fact){
	    .known = true,
	    .kind = outcome->kind,
	    .attempt = outcome->key.attempt,
	    .epoch = outcome->key.epoch,
	    .node = outcome->key.node,
	    .at = outcome->at,
	    .dsn = keep(replay, outcome->dsn),
	    .relay = keep(replay, outcome->relay),
	    .reason = keep(replay, outcome->reason),
	};
}

/* Whether a fact of this kind is about an attempt that was made, and not about the mail as such. */
static bool about_attempt(enum outcome_kind kind)
{
	return kind == OUTCOME_SENT || kind == OUTCOME_BOUNCED || kind == OUTCOME_DEFERRED ||
	       kind == OUTCOME_RETURNED || kind == OUTCOME_IN_DOUBT;
}

static void replay_outcome(struct replay *replay, const struct outcome *outcome)
{
	const struct attempt_key *key = &outcome->key;
	struct mail *mail;

	if (key->index >= replay->count || (unsigned)outcome->kind >= OUTCOME_KINDS)
		return;
	mail = &replay->mails[key->index];
	/* A mail that was cancelled or expired before its first claim has a fact, but no attempt. */
	if (about_attempt(outcome->kind)) {
		struct attempt *attempt = attempt_at(mail, key->attempt, key->epoch, &key->node);

		attempt->seen |= 1u << outcome->kind;
		note_time(mail, attempt, outcome->at);
	}
	if (outcome_final(outcome->kind)) {
		mail->state = outcome_merge(mail->state, outcome->kind);
		if (fact_better(&mail->final, outcome))
			fact_set(replay, &mail->final, outcome);
	} else if (outcome->kind == OUTCOME_DEFERRED && fact_better(&mail->deferred, outcome)) {
		fact_set(replay, &mail->deferred, outcome);
	}
}

static void replay_claim(struct replay *replay, const struct journal_entry *entry, const struct claim *claim)
{
	struct mail *mail;
	struct attempt *attempt;

	if (claim->index >= replay->count)
		return;
	mail = &replay->mails[claim->index];
	attempt = attempt_at(mail, claim->attempt, entry->epoch, &entry->node);
	attempt->seen |= SEEN_CLAIM;
	note_time(mail, attempt, entry->at);
}

void replay_entry(struct replay *replay, const struct journal_entry *entry)
{
	switch (entry->type) {
	case JOURNAL_CLAIMS:
		for (size_t i = 0; i < entry->count; i++)
			replay_claim(replay, entry, &entry->claims[i]);
		break;
	case JOURNAL_OUTCOMES:
		for (size_t i = 0; i < entry->count; i++)
			replay_outcome(replay, &entry->outcomes[i]);
		break;
	case JOURNAL_FINISHED:
	case JOURNAL_PROMISE:
	case JOURNAL_CONFIG:
	case JOURNAL_CONTROL:
	case JOURNAL_VERSION:
	case JOURNAL_TOLD:
		break;
	}
}

/* The state of a mail without a final fact: what is known of its latest attempt decides. */
static enum mail_state open_state(const struct mail *mail)
{
	uint32_t seen = mail->count ? mail->attempts[mail->count - 1].seen : 1u << OUTCOME_RETURNED;

	if (seen & (1u << OUTCOME_DEFERRED))
		return MAIL_RETRY;
	if (seen & (1u << OUTCOME_RETURNED))
		return MAIL_READY;
	return MAIL_CLAIMED;
}

static uint32_t count_attempts(const struct mail *mail, enum mail_state state)
{
	const uint32_t made = 1u << OUTCOME_SENT | 1u << OUTCOME_DEFERRED | 1u << OUTCOME_BOUNCED;
	uint32_t count = 0;

	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->attempts[i].seen & made)
			count++;
	/* A claim without any word on it counts while the mail may be on its way. */
	if (state == MAIL_CLAIMED && !(mail->attempts[mail->count - 1].seen & made))
		count++;
	return count;
}

static const char *first_text(const char *a, const char *b)
{
	return a && a[0] ? a : b ? b : "";
}

void replay_mail(const struct replay *replay, uint32_t i, struct replay_mail *ret_mail)
{
	const struct mail *mail = &replay->mails[i];
	const struct attempt *last = mail->count ? &mail->attempts[mail->count - 1] : NULL;
	const struct fact *deferred = &mail->deferred;
	struct replay_mail out = {.state = mail->state, .dsn = "", .relay = "", .reason = ""};

	if (!mail_state_final(out.state))
		out.state = open_state(mail);
	if (mail->final.known && about_attempt(mail->final.kind)) {
		out.dsn = mail->final.dsn;
		out.relay = mail->final.relay;
		out.reason = mail->final.reason;
		out.node = mail->final.node;
		out.last_attempt = mail->final.at;
	} else if (mail->final.known) {
		/* Expired, cancelled, ...: no attempt, so the last one that was made says why it was not
		 * sent. */
		out.dsn = first_text(mail->final.dsn, deferred->dsn);
		out.relay = first_text(mail->final.relay, deferred->relay);
		out.reason = first_text(mail->final.reason, deferred->reason);
		out.node = last ? last->node : mail->final.node;
		out.last_attempt = last ? last->at : (struct utc_time){0};
	} else {
		out.dsn = first_text(deferred->dsn, NULL);
		out.relay = first_text(deferred->relay, NULL);
		out.reason = first_text(deferred->reason, NULL);
		out.node = out.state == MAIL_CLAIMED && last ? last->node : deferred->node;
		if (out.state == MAIL_CLAIMED && last)
			out.last_attempt = last->at;
		else if (deferred->known)
			out.last_attempt = deferred->at;
	}
	out.attempts = count_attempts(mail, out.state);
	out.first_attempt = mail->first;
	*ret_mail = out;
}
