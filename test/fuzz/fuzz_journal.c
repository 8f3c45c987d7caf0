/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read as a journal: the first one says how long the first entry is, and so on. What is read
 * holds every limit and is written and read again as the same; a report replays it, forwards and then once
 * more backwards, and both times says the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/journal.h"
#include "queue/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAILS = 4, ENTRIES_MAX = 16 };

struct piece {
	const uint8_t *data;
	size_t len;
};

static const struct opt_id shard = {{0x55}};

static void check_limits(const struct journal_entry *entry)
{
	if (entry->count > JOURNAL_ENTRIES_MAX || entry->epoch > JOURNAL_NUMBER_MAX ||
	    entry->config > JOURNAL_NUMBER_MAX)
		abort();
	for (size_t i = 0; entry->type == JOURNAL_CLAIMS && i < entry->count; i++) {
		if (entry->claims[i].attempt - 1 >= JOURNAL_NUMBER_MAX)
			abort();
	}
	for (size_t i = 0; entry->type == JOURNAL_CONFIG && i < entry->count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (id_equal(&entry->members[i], &entry->members[k]))
				abort();
		}
	}
	for (size_t i = 0; entry->type == JOURNAL_OUTCOMES && i < entry->count; i++) {
		const struct outcome *outcome = &entry->outcomes[i];

		if ((unsigned)outcome->kind >= OUTCOME_KINDS || strlen(outcome->dsn) > OUTCOME_DSN_MAX ||
		    strlen(outcome->relay) > OUTCOME_RELAY_MAX ||
		    strlen(outcome->reason) > OUTCOME_REASON_MAX || !id_equal(&outcome->key.shard, &shard))
			abort();
	}
}

/* The entry is lost after this: it is read again with the same reader. */
static void check_round_trip(struct journal_reader *reader, const struct journal_entry *entry)
{
	struct journal_entry again;
	struct buffer one, two;

	buffer_init(&one);
	buffer_init(&two);
	journal_encode(entry, &one);
	if (journal_read(reader, &shard, one.data, one.len, &again) != 0)
		abort();
	journal_encode(&again, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	buffer_done(&one);
	buffer_done(&two);
}

static void take(struct journal_reader *reader, struct replay *replay, const struct piece *piece)
{
	struct journal_entry entry;

	if (journal_read(reader, &shard, piece->data, piece->len, &entry) == 0)
		replay_entry(replay, &entry);
}

static void check_same(const struct replay *a, const struct replay *b)
{
	for (uint32_t i = 0; i < MAILS; i++) {
		struct replay_mail x, y;

		replay_mail(a, i, &x);
		replay_mail(b, i, &y);
		if (x.state != y.state || x.attempts != y.attempts || strcmp(x.dsn, y.dsn) != 0 ||
		    strcmp(x.relay, y.relay) != 0 || strcmp(x.reason, y.reason) != 0 ||
		    !id_equal(&x.node, &y.node) || x.first_attempt.us != y.first_attempt.us ||
		    x.last_attempt.us != y.last_attempt.us)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct journal_reader *reader = journal_reader_new();
	struct replay *forwards = replay_new(MAILS), *backwards = replay_new(MAILS);
	struct piece pieces[ENTRIES_MAX];
	struct journal_entry entry;
	size_t count = 0;

	for (size_t at = 0; at < len && count < ENTRIES_MAX; count++) {
		size_t size = data[at++];

		/* The last one may be longer than a byte says. */
		if (size == 255 || size > len - at)
			size = len - at;
		pieces[count] = (struct piece){data + at, size};
		at += size;
	}
	for (size_t i = 0; i < count; i++) {
		take(reader, forwards, &pieces[i]);
		if (journal_read(reader, &shard, pieces[i].data, pieces[i].len, &entry) == 0) {
			check_limits(&entry);
			check_round_trip(reader, &entry);
		}
	}
	for (size_t i = count; i-- > 0;) {
		take(reader, backwards, &pieces[i]);
		take(reader, backwards, &pieces[i]);
	}
	check_same(forwards, backwards);
	replay_free(forwards);
	replay_free(backwards);
	journal_reader_free(reader);
	return 0;
}
