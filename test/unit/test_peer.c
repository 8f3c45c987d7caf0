/* SPDX-License-Identifier: MIT */
/*
 * Messages between nodes come back as they were written; damaged ones and those with a number out of its
 * bounds are refused.
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
#include "queue/peer.h"

static struct peer_reader *reader;
static struct shard_counts shards[2];
static struct digest_entry digest[VIEW_DIGEST_MAX + 1];
static struct span ids[2];

static int set_up(void **state)
{
	(void)state;
	reader = peer_reader_new();
	for (uint32_t i = 0; i < 2; i++) {
		shards[i] = (struct shard_counts){.index = BATCH_SHARDS_MAX - 2 + i,
		    .states = {1, 2, 3, 4, 5, 400},
		    .duplicates = 6 + i,
		    .in_doubt_resent = 7,
		    .epoch = PEER_NUMBER_MAX,
		    .owner = i == 0,
		    .finished = i == 1,
		    .last = {UINT64_C(1700000000000000)}};
		digest[i] = (struct digest_entry){.presence = {.node = {{(uint8_t)(i + 1)}},
		                                      .address = "[2001:db8::1]:4100",
		                                      .incarnation = UINT64_MAX - i,
		                                      .sequence = 9,
		                                      .weight = WEIGHT_MAX,
		                                      .flags = PRESENCE_DRAINING,
		                                      .version = "1.2.3"},
		    .beat = UINT64_MAX,
		    .age = i == 0 ? VIEW_AGE_NONE : 17,
		    .asks = i == 0,
		    .forgotten = i == 1};
		ids[i] = (struct span){digest[i].presence.node.bytes, OPT_ID_SIZE};
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_reader_free(reader);
	return 0;
}

/* Every field set, each to something else. */
static struct peer_message sample(enum peer_type type, bool answer)
{
	return (struct peer_message){
	    .type = type,
	    .answer = answer,
	    .token = UINT64_MAX - 1,
	    .status = answer ? PEER_FULL : PEER_OK,
	    .batch = {{1}},
	    .upload = {{2}},
	    .shard = {{3}},
	    .node = {{4}},
	    .hash = {{5}},
	    .index = BATCH_SHARDS_MAX - 1,
	    .epoch = PEER_NUMBER_MAX,
	    .config = 7,
	    .count = 8,
	    .what = 1,
	    .from = 9,
	    .next = 10,
	    .version = PEER_VERSION_MAX,
	    .given = PEER_VERSION_MAX,
	    .at = {UINT64_C(1700000000000001)},
	    .ballot = {11, {{12}}},
	    .accepted = {INT64_MAX, {{14}}},
	    .members = {{{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}, {{7}}},
	    .member_count = REPLICAS_MAX,
	    .data = "some bytes",
	    .len = 10,
	    .entries = ids,
	    .entry_count = 2,
	    .shards = shards,
	    .shard_count = 2,
	    .load = {1, 2, 3, 4, 5, 6, 7, 1},
	    .heard = {INT64_MAX, 15, PEER_HEARD_MAX},
	    .digest = digest,
	    .digest_count = 2,
	};
}

static int decode(const struct peer_message *message, struct peer_message *ret_message)
{
	static struct buffer bytes;

	buffer_done(&bytes);
	peer_encode(message, &bytes);
	return peer_read(reader, bytes.data, bytes.len, ret_message);
}

static bool same_ballot(const struct ballot *a, const struct ballot *b)
{
	return a->round == b->round && id_equal(&a->node, &b->node);
}

static void check_shards(const struct peer_message *got)
{
	for (size_t i = 0; i < 2; i++) {
		const struct shard_counts *a = &got->shards[i], *b = &shards[i];

		assert_int_equal(a->index, b->index);
		assert_memory_equal(a->states, b->states, sizeof(a->states));
		assert_int_equal(a->duplicates, b->duplicates);
		assert_int_equal(a->in_doubt_resent, b->in_doubt_resent);
		assert_int_equal(a->epoch, b->epoch);
		assert_int_equal(a->owner, b->owner);
		assert_int_equal(a->finished, b->finished);
		assert_true(a->last.us == b->last.us);
	}
}

static void check_digest(const struct peer_message *got)
{
	for (size_t i = 0; i < 2; i++) {
		const struct digest_entry *a = &got->digest[i], *b = &digest[i];

		assert_true(id_equal(&a->presence.node, &b->presence.node));
		assert_string_equal(a->presence.address, b->presence.address);
		assert_true(a->presence.incarnation == b->presence.incarnation);
		assert_true(a->presence.sequence == b->presence.sequence);
		assert_int_equal(a->presence.weight, b->presence.weight);
		assert_int_equal(a->presence.flags, b->presence.flags);
		assert_string_equal(a->presence.version, b->presence.version);
		assert_true(a->beat == b->beat);
		assert_int_equal(a->age, b->age);
		assert_int_equal(a->asks, b->asks);
		assert_int_equal(a->forgotten, b->forgotten);
	}
}

static uint32_t check_ids(const struct peer_message *got, const struct peer_message *all)
{
	const struct opt_id *a[] = {&got->batch, &got->upload, &got->shard, &got->node, &got->hash};
	const struct opt_id *b[] = {&all->batch, &all->upload, &all->shard, &all->node, &all->hash};
	uint32_t count = 0;

	for (int i = 0; i < 5; i++) {
		if (id_is_zero(a[i]))
			continue;
		assert_true(id_equal(a[i], b[i]));
		count++;
	}
	return count;
}

static uint32_t check_numbers(const struct peer_message *got, const struct peer_message *all)
{
	const uint64_t a[] = {got->index, got->epoch, got->config, got->count, got->what, got->from,
	    got->next, got->version, got->given, got->at.us, got->load.ready};
	const uint64_t b[] = {all->index, all->epoch, all->config, all->count, all->what, all->from,
	    all->next, all->version, all->given, all->at.us, all->load.ready};
	uint32_t count = 0;

	for (int i = 0; i < 11; i++) {
		if (a[i] == 0)
			continue;
		assert_true(a[i] == b[i]);
		count++;
	}
	if (got->load.ready != 0)
		assert_memory_equal(&got->load, &all->load, sizeof(got->load));
	return count;
}

static uint32_t check_lists(const struct peer_message *got, const struct peer_message *all)
{
	uint32_t count = 0;

	if (got->member_count != 0) {
		assert_int_equal(got->member_count, all->member_count);
		assert_memory_equal(got->members, all->members, sizeof(got->members));
		count++;
	}
	if (got->len != 0) {
		assert_int_equal(got->len, all->len);
		assert_memory_equal(got->data, all->data, all->len);
		count++;
	}
	if (got->entry_count != 0) {
		assert_int_equal(got->entry_count, 2);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(got->entries[i].len, OPT_ID_SIZE);
			assert_memory_equal(got->entries[i].data, ids[i].data, OPT_ID_SIZE);
		}
		count++;
	}
	if (got->shard_count != 0) {
		assert_int_equal(got->shard_count, 2);
		check_shards(got);
		count++;
	}
	if (got->digest_count != 0) {
		assert_int_equal(got->digest_count, 2);
		check_digest(got);
		count++;
	}
	return count;
}

/* The fields that came back, each as it was. */
static uint32_t check_fields(const struct peer_message *got, const struct peer_message *all)
{
	uint32_t count = check_ids(got, all) + check_numbers(got, all) + check_lists(got, all);

	assert_int_equal(got->type, all->type);
	assert_int_equal(got->answer, all->answer);
	assert_true(got->token == all->token);
	assert_int_equal(got->status, all->status);
	if (got->ballot.round != 0) {
		assert_true(same_ballot(&got->ballot, &all->ballot));
		count++;
	}
	if (got->heard.life != 0) {
		assert_memory_equal(&got->heard, &all->heard, sizeof(got->heard));
		count++;
	}
	if (got->accepted.round != 0) {
		assert_true(same_ballot(&got->accepted, &all->accepted));
		count++;
	}
	return count;
}

/* How many fields each has: requests, answers. */
static const uint32_t fields[PEER_TYPES][2] = {
    [PEER_HEARTBEAT] = {8, 0},
    [PEER_STAGE_OPEN] = {5, 0},
    [PEER_STAGE_SHARD] = {4, 0},
    [PEER_STAGE_DROP] = {2, 0},
    [PEER_PREPARE] = {4, 5},
    [PEER_ACCEPT] = {5, 4},
    [PEER_RECORD] = {4, 1},
    [PEER_DECISION] = {2, 3},
    [PEER_APPEND] = {5, 4},
    [PEER_PROMISE] = {3, 5},
    [PEER_JOURNAL] = {2, 2},
    [PEER_CATCH_UP] = {4, 4},
    [PEER_FETCH] = {5, 2},
    [PEER_TAKE] = {2, 0},
    [PEER_GIVE] = {1, 1},
    [PEER_JOIN] = {9, 0},
    [PEER_CONTROL] = {4, 3},
    [PEER_DRAIN] = {1, 0},
    [PEER_STATUS] = {3, 7},
    [PEER_READ] = {2, 2},
    [PEER_VERSION] = {2, 0},
};

static bool exists(enum peer_type type, bool answer)
{
	return (type != PEER_HEARTBEAT && type != PEER_STAGE_DROP) || !answer;
}

static void every_message_comes_back_as_it_was_written(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2U * PEER_TYPES; i++) {
		const enum peer_type type = (enum peer_type)(i / 2);
		const struct peer_message all = sample(type, i % 2 == 1);
		struct peer_message got;

		if (type == 0 || !exists(type, all.answer))
			continue;
		assert_int_equal(decode(&all, &got), 0);
		assert_int_equal(check_fields(&got, &all), fields[type][i % 2]);
		assert_string_not_equal(peer_type_name(type), "unknown");
	}
}

static void a_message_without_its_lists_comes_back(void **state)
{
	(void)state;
	for (unsigned type = PEER_HEARTBEAT; type < PEER_TYPES; type++) {
		const struct peer_message empty = {.type = (enum peer_type)type, .answer = true};
		struct peer_message got;

		if (exists(empty.type, true))
			assert_int_equal(decode(&empty, &got), 0);
	}
}

static void check_refused(const struct peer_message *message)
{
	struct peer_message got = {.token = 42};

	assert_int_equal(decode(message, &got), OPT_E_INVALID);
	assert_true(got.token == 42);
}

/* Each of these changes one field of a good message to what it may not be. */
#define REFUSED(name, is_answer, change)                                                                     \
	do {                                                                                                 \
		struct peer_message message = sample(name, is_answer);                                       \
		struct peer_message good;                                                                    \
		assert_int_equal(decode(&message, &good), 0);                                                \
		message.change;                                                                              \
		check_refused(&message);                                                                     \
	} while (0)

static void numbers_out_of_their_bounds_are_refused(void **state)
{
	(void)state;
	REFUSED(PEER_STAGE_SHARD, false, index = BATCH_SHARDS_MAX);
	REFUSED(PEER_HEARTBEAT, false, what = BEAT_FLAGS + 1);
	REFUSED(PEER_STAGE_OPEN, false, count = STAGE_PARTS_MAX + 1);
	REFUSED(PEER_PREPARE, true, what = HOME_WORDS);
	REFUSED(PEER_ACCEPT, true, what = HOME_WORDS);
	REFUSED(PEER_RECORD, false, what = RECORD_WHATS);
	REFUSED(PEER_GIVE, false, count = PEER_ENTRIES_MAX + 1);
	REFUSED(PEER_PROMISE, false, epoch = (uint32_t)PEER_NUMBER_MAX + 1);
	REFUSED(PEER_PROMISE, true, config = (uint32_t)PEER_NUMBER_MAX + 1);
	REFUSED(PEER_PREPARE, false, ballot.round = (uint64_t)INT64_MAX + 1);
	REFUSED(PEER_PREPARE, true, accepted.round = (uint64_t)INT64_MAX + 1);
	REFUSED(PEER_PREPARE, true, status = PEER_STATUSES);
	REFUSED(PEER_DECISION, true, what = DECISION_ABORT + 1);
	REFUSED(PEER_APPEND, false, what = APPEND_KINDS);
	REFUSED(PEER_FETCH, false, what = FETCH_WHATS);
	REFUSED(PEER_CONTROL, false, what = CONTROL_CANCELLED + 1);
	REFUSED(PEER_CONTROL, false, version = (uint64_t)PEER_VERSION_MAX + 1);
	REFUSED(PEER_STATUS, true, given = (uint64_t)PEER_VERSION_MAX + 1);
	REFUSED(PEER_VERSION, false, version = INT64_MAX);
	REFUSED(PEER_CONTROL, false, at.us = UINT64_MAX);
	REFUSED(PEER_STATUS, true, what = CONTROL_CANCELLED + 1);
	REFUSED(PEER_JOURNAL, false, from = UINT64_MAX);
	REFUSED(PEER_JOURNAL, true, next = UINT64_MAX);
	REFUSED(PEER_HEARTBEAT, false, load.postfix = 2);
	REFUSED(PEER_HEARTBEAT, false, load.sent = UINT64_MAX);
	REFUSED(PEER_HEARTBEAT, false, heard.life = UINT64_MAX);
	REFUSED(PEER_HEARTBEAT, false, heard.now = (uint64_t)PEER_HEARD_MAX + 1);
	REFUSED(PEER_HEARTBEAT, false, heard.before = (uint64_t)PEER_HEARD_MAX + 1);
	REFUSED(PEER_HEARTBEAT, false, version = UINT64_MAX);
}

static void lists_out_of_their_bounds_are_refused(void **state)
{
	static struct span entries[PEER_ENTRIES_MAX + 1];
	const struct span none[] = {ids[0], {"", 0}};
	struct peer_message many = sample(PEER_APPEND, false);

	(void)state;
	for (size_t i = 0; i <= PEER_ENTRIES_MAX; i++)
		entries[i] = ids[0];
	many.entries = entries;
	many.entry_count = PEER_ENTRIES_MAX + 1;
	check_refused(&many);
	REFUSED(PEER_APPEND, false, entries = none);
	REFUSED(PEER_HEARTBEAT, false, digest_count = VIEW_DIGEST_MAX + 1);
	REFUSED(PEER_JOIN, false, members[6] = message.members[0]);
	REFUSED(PEER_JOIN, false, member_count = 0);
	REFUSED(PEER_APPEND, true, members[1] = message.members[0]);
	entries[1].len--;
	REFUSED(PEER_GIVE, true, entries = entries);
}

static void counts_of_shards_out_of_their_bounds_are_refused(void **state)
{
	struct shard_counts wrong[2];
	const struct shard_counts *right = shards;

	(void)state;
	for (int i = 0; i < 4; i++) {
		memcpy(wrong, right, sizeof(wrong));
		wrong[1].index += i == 0 ? 1 : 0;
		wrong[1].index -= i == 1 ? 1 : 0;
		wrong[1].states[0] = i == 2 ? 400 : 1;
		wrong[1].last.us = i == 3 ? UINT64_MAX : 1;
		REFUSED(PEER_STATUS, true, shards = wrong);
	}
	memcpy(wrong, right, sizeof(wrong));
	wrong[1].epoch++;
	REFUSED(PEER_STATUS, true, shards = wrong);
}

static void what_is_no_message_is_refused(void **state)
{
	struct peer_message got = sample(PEER_TAKE, false);
	struct buffer bytes;

	(void)state;
	buffer_init(&bytes);
	assert_int_equal(peer_read(reader, "", 0, &got), OPT_E_INVALID);
	peer_encode(&got, &bytes);
	buffer_add_char(&bytes, '\0');
	assert_int_equal(peer_read(reader, bytes.data, bytes.len, &got), OPT_E_INVALID);
	bytes.len--;
	for (int type = 0; type < 256; type++) {
		uint8_t tag[] = {0x94, 0xcc, (uint8_t)type};
		struct buffer other;

		buffer_init(&other);
		buffer_add(&other, tag, sizeof(tag));
		buffer_add(&other, bytes.data + 2, bytes.len - 2);
		/* Two others are asked with the same fields. */
		assert_int_equal(peer_read(reader, other.data, other.len, &got),
		    type == PEER_TAKE || type == PEER_JOURNAL || type == PEER_VERSION ? 0 : OPT_E_INVALID);
		buffer_done(&other);
	}
	buffer_done(&bytes);
	got = sample(PEER_HEARTBEAT, true);
	check_refused(&got);
	assert_string_equal(peer_type_name((enum peer_type)0), "unknown");
	assert_string_equal(peer_type_name(PEER_TYPES), "unknown");
}

static void a_message_over_the_limit_is_refused(void **state)
{
	struct peer_message message = sample(PEER_RECORD, false);
	struct peer_message got;
	char *data = calloc(1, PEER_MESSAGE_MAX);

	(void)state;
	assert_non_null(data);
	message.data = data;
	message.len = PEER_MESSAGE_MAX - 100;
	assert_int_equal(decode(&message, &got), 0);
	assert_int_equal(got.len, message.len);
	message.len = PEER_MESSAGE_MAX - 20;
	check_refused(&message);
	free(data);
}

/* What is read from damaged bytes holds what the encoder needs: it is written and read again as the same. */
static void check_valid(const struct peer_message *message)
{
	struct peer_reader *second = peer_reader_new();
	struct peer_message again;
	struct buffer one, two;

	buffer_init(&one);
	buffer_init(&two);
	peer_encode(message, &one);
	assert_int_equal(peer_read(second, one.data, one.len, &again), 0);
	peer_encode(&again, &two);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	buffer_done(&one);
	buffer_done(&two);
	peer_reader_free(second);
}

static void damage(const struct peer_message *message)
{
	struct peer_message got;
	struct buffer bytes;

	buffer_init(&bytes);
	peer_encode(message, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		/* Memory of its own, so that a read behind the end is seen. */
		char *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, bytes.data, len);
		assert_int_equal(peer_read(reader, cut, len, &got), OPT_E_INVALID);
		free(cut);
	}
	for (size_t at = 0; at < bytes.len; at++) {
		const char before = bytes.data[at];

		for (int value = 0; value < 256; value += 5) {
			bytes.data[at] = (char)(before ^ (value + 1));
			if (peer_read(reader, bytes.data, bytes.len, &got) == 0)
				check_valid(&got);
		}
		bytes.data[at] = before;
	}
	buffer_done(&bytes);
}

static void every_cut_and_every_changed_byte_is_refused_or_valid(void **state)
{
	(void)state;
	for (unsigned type = PEER_HEARTBEAT; type < PEER_TYPES; type++) {
		for (int answer = 0; answer < 2; answer++) {
			const struct peer_message message = sample((enum peer_type)type, answer == 1);

			if (exists(message.type, message.answer))
				damage(&message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message_comes_back_as_it_was_written),
	    cmocka_unit_test(a_message_without_its_lists_comes_back),
	    cmocka_unit_test(numbers_out_of_their_bounds_are_refused),
	    cmocka_unit_test(lists_out_of_their_bounds_are_refused),
	    cmocka_unit_test(counts_of_shards_out_of_their_bounds_are_refused),
	    cmocka_unit_test(what_is_no_message_is_refused),
	    cmocka_unit_test(a_message_over_the_limit_is_refused),
	    cmocka_unit_test(every_cut_and_every_changed_byte_is_refused_or_valid),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
