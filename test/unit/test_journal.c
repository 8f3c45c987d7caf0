/* SPDX-License-Identifier: MIT */
/*
 * Entries come back as they were written; damaged ones are refused or read as something that holds every
 * limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/cursor.h"
#include "queue/error.h"
#include "queue/journal.h"
#include "queue/record.h"

static struct journal_reader *reader;
static const struct opt_id shard = {{0x55, 1}};
static struct claim claims[JOURNAL_ENTRIES_MAX + 1];
static struct outcome outcomes[JOURNAL_ENTRIES_MAX + 1];

static int set_up(void **state)
{
	(void)state;
	reader = journal_reader_new();
	for (uint32_t i = 0; i <= JOURNAL_ENTRIES_MAX; i++) {
		claims[i] = (struct claim){.index = i, .attempt = 1 + 70000 * i, .flags = i % 2};
		outcomes[i] = (struct outcome){
		    .key = {.index = i, .epoch = 1 + i, .node = {{(uint8_t)i}}, .attempt = 3 * i},
		    .kind = (enum outcome_kind)(i % OUTCOME_KINDS),
		    .claim_flags = i % 2,
		    .at = {UINT64_C(1700000000000000) + i},
		    .dsn = i % 2 == 0 ? "2.0.0" : "",
		    .relay = "mx.example.com[192.0.2.1]:25",
		    .reason = i % 3 == 0 ? "" : "250 2.0.0 Ok: queued as \xc3\xa9",
		};
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	journal_reader_free(reader);
	return 0;
}

enum { SHARDS = 3 };
static const struct shard_counts counts_of_shards[SHARDS] = {
    {.index = 0, .finished = true, .states = {[MAIL_SENT] = 500}},
    {.index = 7, .finished = true, .duplicates = 7, .in_doubt_resent = UINT32_MAX},
    {.index = 23999, .finished = true, .states = {[MAIL_BOUNCED] = UINT16_MAX}},
};
static const struct opt_id members[REPLICAS_MAX] = {{{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}, {{7}}};

static struct journal_entry sample(enum journal_type type, size_t count)
{
	struct journal_entry entry = {.type = type, .at = {UINT64_C(1700000000000001)}};

	switch (type) {
	case JOURNAL_CLAIMS:
		entry.node = (struct opt_id){{0x4e}};
		entry.epoch = JOURNAL_NUMBER_MAX;
		entry.generation = UINT64_MAX;
		entry.claims = claims;
		entry.count = count;
		break;
	case JOURNAL_OUTCOMES:
		entry.outcomes = outcomes;
		entry.count = count;
		break;
	case JOURNAL_FINISHED:
		entry.shards = counts_of_shards;
		entry.count = count < SHARDS ? count : SHARDS;
		break;
	case JOURNAL_PROMISE:
		entry.at.us = 0;
		entry.node = (struct opt_id){{0x4e}};
		entry.epoch = JOURNAL_NUMBER_MAX;
		break;
	case JOURNAL_CONFIG:
		entry.at.us = 0;
		entry.config = 12;
		entry.epoch = 3;
		entry.members = members;
		entry.count = count < REPLICAS_MAX ? count : REPLICAS_MAX;
		break;
	case JOURNAL_CONTROL:
		entry.at.us = 0;
		entry.control =
		    (struct control){.version = UINT64_MAX, .what = CONTROL_PAUSED, .at = {1700000000000002}};
		break;
	case JOURNAL_VERSION:
		entry.at.us = 0;
		entry.control.version = 5;
		break;
	case JOURNAL_TOLD:
		entry.at.us = 0;
		break;
	}
	return entry;
}

static int read_back(const struct buffer *bytes, struct journal_entry *ret_entry)
{
	return journal_read(reader, &shard, bytes->data, bytes->len, ret_entry);
}

static void check_outcome(const struct outcome *a, const struct outcome *b)
{
	assert_true(id_equal(&a->key.shard, &shard));
	assert_true(id_equal(&a->key.node, &b->key.node));
	assert_int_equal(a->key.index, b->key.index);
	assert_int_equal(a->key.epoch, b->key.epoch);
	assert_int_equal(a->key.attempt, b->key.attempt);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->claim_flags, b->claim_flags);
	assert_int_equal(a->at.us, b->at.us);
	assert_string_equal(a->dsn, b->dsn);
	assert_string_equal(a->relay, b->relay);
	assert_string_equal(a->reason, b->reason);
}

static void check_round_trip(const struct journal_entry *entry)
{
	struct journal_entry got;
	struct buffer bytes;

	buffer_init(&bytes);
	journal_encode(entry, &bytes);
	assert_int_equal(read_back(&bytes, &got), 0);
	assert_int_equal(got.type, entry->type);
	assert_int_equal(got.count, entry->count);
	if (entry->type != JOURNAL_OUTCOMES)
		assert_int_equal(got.at.us, entry->at.us);
	assert_true(id_equal(&got.node, &entry->node));
	assert_int_equal(got.epoch, entry->epoch);
	assert_true(got.generation == entry->generation);
	assert_int_equal(got.config, entry->config);
	assert_true(got.control.version == entry->control.version);
	assert_int_equal(got.control.what, entry->control.what);
	assert_int_equal(got.control.at.us, entry->control.at.us);
	for (size_t i = 0; i < got.count; i++) {
		if (entry->type == JOURNAL_CLAIMS)
			assert_memory_equal(&got.claims[i], &entry->claims[i], sizeof(struct claim));
		else if (entry->type == JOURNAL_FINISHED)
			assert_memory_equal(&got.shards[i], &entry->shards[i], sizeof(struct shard_counts));
		else if (entry->type == JOURNAL_CONFIG)
			assert_true(id_equal(&got.members[i], &entry->members[i]));
		else
			check_outcome(&got.outcomes[i], &entry->outcomes[i]);
	}
	buffer_done(&bytes);
}

static void every_entry_comes_back_as_it_was_written(void **state)
{
	static const size_t counts[] = {0, 1, 5, 6, 16, 300, JOURNAL_ENTRIES_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct journal_entry entry = sample(JOURNAL_CLAIMS, counts[i]);

		check_round_trip(&entry);
		entry = sample(JOURNAL_OUTCOMES, counts[i]);
		check_round_trip(&entry);
	}
	check_round_trip(&(struct journal_entry){.type = JOURNAL_FINISHED});
	struct journal_entry entry = sample(JOURNAL_FINISHED, SHARDS);
	check_round_trip(&entry);
	entry = sample(JOURNAL_PROMISE, 0);
	check_round_trip(&entry);
	entry = sample(JOURNAL_CONFIG, 3);
	check_round_trip(&entry);
	check_round_trip(&(struct journal_entry){.type = JOURNAL_CONTROL});
	entry = sample(JOURNAL_CONTROL, 0);
	check_round_trip(&entry);
	entry = sample(JOURNAL_VERSION, 0);
	check_round_trip(&entry);
}

static void more_facts_than_the_limit_are_refused(void **state)
{
	(void)state;
	for (enum journal_type type = JOURNAL_CLAIMS; type <= JOURNAL_OUTCOMES; type++) {
		const struct journal_entry entry = sample(type, JOURNAL_ENTRIES_MAX + 1);
		struct journal_entry got;
		struct buffer bytes;

		buffer_init(&bytes);
		journal_encode(&entry, &bytes);
		assert_int_equal(read_back(&bytes, &got), OPT_E_INVALID);
		buffer_done(&bytes);
	}
}

static void texts_are_cut_at_their_limits_when_written(void **state)
{
	static char text[5000];
	struct outcome outcome = {.dsn = text, .relay = text, .reason = text};
	const struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = &outcome, .count = 1};
	struct journal_entry got;
	struct buffer bytes;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	buffer_init(&bytes);
	journal_encode(&entry, &bytes);
	assert_int_equal(read_back(&bytes, &got), 0);
	assert_int_equal(strlen(got.outcomes[0].dsn), OUTCOME_DSN_MAX);
	assert_int_equal(strlen(got.outcomes[0].relay), OUTCOME_RELAY_MAX);
	assert_int_equal(strlen(got.outcomes[0].reason), OUTCOME_REASON_MAX);
	buffer_done(&bytes);
}

/* An entry with one outcome whose parts are as given. */
static int read_outcome(uint64_t kind, size_t dsn, size_t relay, size_t reason, char filler)
{
	static char text[2000];
	struct journal_entry got;
	struct buffer bytes;
	msgpack_packer pk;
	size_t lens[] = {dsn, relay, reason};
	int result;

	memset(text, filler, sizeof(text));
	buffer_init(&bytes);
	pack_to(&pk, &bytes);
	msgpack_pack_array(&pk, 2);
	msgpack_pack_uint32(&pk, JOURNAL_OUTCOMES);
	msgpack_pack_array(&pk, 1);
	msgpack_pack_array(&pk, 10);
	msgpack_pack_uint32(&pk, 1);
	msgpack_pack_uint32(&pk, 1);
	pack_id(&pk, &shard);
	msgpack_pack_uint32(&pk, 1);
	msgpack_pack_uint32(&pk, CLAIM_AFTER_DOUBT);
	msgpack_pack_uint64(&pk, kind);
	msgpack_pack_uint64(&pk, 1);
	for (size_t i = 0; i < 3; i++) {
		msgpack_pack_str(&pk, lens[i]);
		msgpack_pack_str_body(&pk, text, lens[i]);
	}
	result = read_back(&bytes, &got);
	buffer_done(&bytes);
	return result;
}

static void kinds_and_texts_beyond_their_limits_are_refused(void **state)
{
	(void)state;
	assert_int_equal(
	    read_outcome(OUTCOME_KINDS - 1, OUTCOME_DSN_MAX, OUTCOME_RELAY_MAX, OUTCOME_REASON_MAX, 'x'), 0);
	assert_int_equal(read_outcome(OUTCOME_KINDS, 0, 0, 0, 'x'), OPT_E_INVALID);
	assert_int_equal(read_outcome(UINT64_C(1) << 32, 0, 0, 0, 'x'), OPT_E_INVALID);
	assert_int_equal(read_outcome(0, OUTCOME_DSN_MAX + 1, 0, 0, 'x'), OPT_E_INVALID);
	assert_int_equal(read_outcome(0, 0, OUTCOME_RELAY_MAX + 1, 0, 'x'), OPT_E_INVALID);
	assert_int_equal(read_outcome(0, 0, 0, OUTCOME_REASON_MAX + 1, 'x'), OPT_E_INVALID);
	assert_int_equal(read_outcome(0, 1, 1, 1, '\0'), OPT_E_INVALID);
}

/* Whatever was read holds the limits, and can be written and read again. */
static void check_valid(const struct journal_entry *entry)
{
	struct buffer bytes, again;
	struct journal_entry got;

	assert_in_range(entry->type, JOURNAL_CLAIMS, JOURNAL_TOLD);
	assert_in_range(entry->control.what, CONTROL_RUNNING, CONTROL_CANCELLED);
	assert_true(entry->count <= JOURNAL_ENTRIES_MAX);
	for (size_t i = 0; entry->type == JOURNAL_OUTCOMES && i < entry->count; i++) {
		const struct outcome *outcome = &entry->outcomes[i];

		assert_true((unsigned)outcome->kind < OUTCOME_KINDS);
		assert_true(strlen(outcome->dsn) <= OUTCOME_DSN_MAX);
		assert_true(strlen(outcome->relay) <= OUTCOME_RELAY_MAX);
		assert_true(strlen(outcome->reason) <= OUTCOME_REASON_MAX);
	}
	buffer_init(&bytes);
	buffer_init(&again);
	journal_encode(entry, &bytes);
	assert_int_equal(read_back(&bytes, &got), 0);
	journal_encode(&got, &again);
	assert_int_equal(bytes.len, again.len);
	assert_memory_equal(bytes.data, again.data, bytes.len);
	buffer_done(&bytes);
	buffer_done(&again);
}

static void every_cut_and_every_changed_byte_is_refused_or_valid(void **state)
{
	(void)state;
	for (enum journal_type type = JOURNAL_CLAIMS; type <= JOURNAL_TOLD; type++) {
		const struct journal_entry entry = sample(type, 7);
		struct journal_entry got = {.count = 42};
		struct buffer bytes;
		size_t refused = 0;

		buffer_init(&bytes);
		journal_encode(&entry, &bytes);
		for (size_t len = 0; len < bytes.len; len++) {
			/* In memory of its own, so that a read past the end is seen. */
			char *cut = malloc(len > 0 ? len : 1);

			memcpy(cut, bytes.data, len);
			assert_int_equal(journal_read(reader, &shard, cut, len, &got), OPT_E_INVALID);
			free(cut);
		}
		assert_int_equal(got.count, 42); /* untouched */
		for (size_t i = 0; i < bytes.len; i++) {
			const char right = bytes.data[i];

			for (int wrong = 0; wrong < 256; wrong++) {
				bytes.data[i] = (char)wrong;
				if (read_back(&bytes, &got) == 0)
					check_valid(&got);
				else
					refused++;
			}
			bytes.data[i] = right;
		}
		assert_true(refused > bytes.len);
		buffer_add_char(&bytes, '\0');
		assert_int_equal(read_back(&bytes, &got), OPT_E_INVALID);
		buffer_done(&bytes);
	}
}

static void check_refused(const struct journal_entry *entry)
{
	struct journal_entry again;
	struct buffer bytes;

	buffer_init(&bytes);
	journal_encode(entry, &bytes);
	assert_int_equal(journal_read(reader, &shard, bytes.data, bytes.len, &again), OPT_E_INVALID);
	buffer_done(&bytes);
}

/* Whoever adds one to what another node said must not come back to 0. */
static void numbers_that_have_no_next_one_are_refused(void **state)
{
	const uint32_t over = (uint32_t)JOURNAL_NUMBER_MAX + 1;
	const struct claim late = {.attempt = over}, never = {.attempt = 0}, first = {.attempt = 1};
	const struct outcome attempt = {.key.attempt = over, .dsn = "", .relay = "", .reason = ""};
	const struct outcome epoch = {.key.epoch = over, .dsn = "", .relay = "", .reason = ""};

	(void)state;
	check_refused(&(struct journal_entry){.type = JOURNAL_CLAIMS, .claims = &late, .count = 1});
	check_refused(&(struct journal_entry){.type = JOURNAL_CLAIMS, .claims = &never, .count = 1});
	check_refused(
	    &(struct journal_entry){.type = JOURNAL_CLAIMS, .epoch = over, .claims = &first, .count = 1});
	check_refused(&(struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = &attempt, .count = 1});
	check_refused(&(struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = &epoch, .count = 1});
	check_refused(&(struct journal_entry){.type = JOURNAL_PROMISE, .epoch = over});
	check_refused(
	    &(struct journal_entry){.type = JOURNAL_CONFIG, .epoch = over, .members = members, .count = 1});
	check_refused(
	    &(struct journal_entry){.type = JOURNAL_CONFIG, .config = over, .members = members, .count = 1});
}

/* One that was named twice would have two votes. */
static void members_that_are_named_twice_are_refused(void **state)
{
	(void)state;
	for (size_t count = 2; count <= REPLICAS_MAX; count++) {
		for (size_t i = 0; i < count; i++) {
			struct opt_id twice[REPLICAS_MAX];

			memcpy(twice, members, sizeof(twice));
			twice[i] = twice[(i + 1) % count];
			check_refused(&(struct journal_entry){
			    .type = JOURNAL_CONFIG, .config = 2, .members = twice, .count = count});
		}
	}
}

static void check_within(struct journal_entry entry, uint32_t highest)
{
	assert_true(journal_numbers_within(&entry, highest));
	assert_false(journal_numbers_within(&entry, highest - 1));
}

static void the_highest_number_of_an_entry_is_found(void **state)
{
	const struct claim two[] = {{.attempt = 1}, {.attempt = 50}};
	const struct outcome attempt[] = {{.key.attempt = 50}, {.key.attempt = 1}};
	const struct outcome epoch[] = {{.key.epoch = 1}, {.key.epoch = 50}};

	(void)state;
	check_within((struct journal_entry){.type = JOURNAL_CLAIMS, .claims = two, .count = 2}, 50);
	check_within(
	    (struct journal_entry){.type = JOURNAL_CLAIMS, .epoch = 60, .claims = two, .count = 2}, 60);
	check_within((struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = attempt, .count = 2}, 50);
	check_within((struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = epoch, .count = 2}, 50);
	check_within((struct journal_entry){.type = JOURNAL_PROMISE, .epoch = 50}, 50);
	check_within(
	    (struct journal_entry){
	        .type = JOURNAL_CONFIG, .config = 50, .epoch = 3, .members = members, .count = 2},
	    50);
}

static void what_is_no_entry_is_refused(void **state)
{
	static const char *const bad[] = {"\x90", "\x91\x01", "\x92\x01\x90", "\x96\x02\x90\x01\x01\x01\x01",
	    "\x92\x04\x90", "\x93\x09\x01\x01", "\xc0", "\x80", "\x92\x02\x91\x01", "hello",
	    "\x92\xcd\x01\x02\x90", "\x94\x04\x01\x03\x01", "\x95\x04\x01\x01\x01\x01"};
	struct journal_entry got;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(journal_read(reader, &shard, bad[i], strlen(bad[i]), &got), OPT_E_INVALID);
	assert_int_equal(journal_read(reader, &shard, NULL, 0, &got), OPT_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_entry_comes_back_as_it_was_written),
	    cmocka_unit_test(more_facts_than_the_limit_are_refused),
	    cmocka_unit_test(texts_are_cut_at_their_limits_when_written),
	    cmocka_unit_test(kinds_and_texts_beyond_their_limits_are_refused),
	    cmocka_unit_test(every_cut_and_every_changed_byte_is_refused_or_valid),
	    cmocka_unit_test(numbers_that_have_no_next_one_are_refused),
	    cmocka_unit_test(members_that_are_named_twice_are_refused),
	    cmocka_unit_test(the_highest_number_of_an_entry_is_found),
	    cmocka_unit_test(what_is_no_entry_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
