/* SPDX-License-Identifier: MIT */
/*
 * Tests of the simulator itself: a check that can't fail protects nobody. Each test lets a calm world run to
 * its good end, forges one thing, and expects the right check to see it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/error.h"
#include "test/sim/check.h"
#include "test/sim/check_end.h"
#include "test/sim/run.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

struct fixture {
	struct runner runner;
	struct world w;
	struct mail *sent; /* a mail that was sent */
	struct attempt *attempt;
};

/* The first mail that was sent, and the attempt that did it. */
static void find_sent(struct fixture *f)
{
	for (size_t i = 0; i < f->w.truth.shards.count; i++) {
		const struct sim_shard *shard = f->w.truth.shards.items[i].value;

		for (uint32_t k = 0; k < shard->count; k++) {
			struct attempt *attempt = shard->mails[k].attempts;

			if (truth_state(&shard->mails[k]) == MAIL_SENT && attempt->accepted == 1) {
				f->sent = &shard->mails[k];
				f->attempt = attempt;
				return;
			}
		}
	}
	fail_msg("no mail of this world was sent");
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct plan plan;
	uint64_t seed = 0;

	assert_non_null(f);
	runner_init(&f->runner);
	do
		plan_draw(&plan, ++seed, 1);
	while (strcmp(plan.mood, "calm") != 0);
	world_init(&f->w, &plan, &f->runner.arena, f->runner.reader, NULL);
	assert_true(world_run(&f->w));
	find_sent(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	world_done(&f->w);
	runner_done(&f->runner);
	free(f);
	return 0;
}

static void expect_failure(const struct fixture *f, const char *words)
{
	assert_true(f->w.failed);
	if (strstr(f->w.failure, words) == NULL)
		fail_msg("failed with: %s", f->w.failure);
}

static void a_true_ledger_passes(void **state)
{
	struct fixture *f = *state;

	check_end(&f->w);
	assert_false(f->w.failed);
}

static void a_lost_mail_is_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->copies = 0;
	check_end(&f->w);
	expect_failure(f, "I7: a mail is called sent that no server has");
}

static void a_delivery_that_was_reported_as_something_else_is_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->fact_kinds = 1U << OUTCOME_BOUNCED;
	check_end(&f->w);
	expect_failure(f, "I7: a server has a mail that is not called sent");
}

static void a_mail_without_an_end_is_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->fact_kinds = 0;
	check_end(&f->w);
	expect_failure(f, "I1: a mail has no final fact");
}

static void wrong_counts_are_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->fact_kinds |= 1U << OUTCOME_UNKNOWN;
	f->sent->fact_kinds &= ~(1U << OUTCOME_SENT);
	f->attempt->lost_dots = 1;
	check_end(&f->w);
	expect_failure(f, "the facts say");
}

static void a_copy_too_many_is_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->copies++;
	check_delivery(&f->w, f->attempt);
	expect_failure(f, "I3");
}

static void an_excused_copy_is_no_failure(void **state)
{
	struct fixture *f = *state;

	f->sent->copies++;
	f->attempt->flags |= CLAIM_AFTER_DOUBT;
	check_delivery(&f->w, f->attempt);
	assert_false(f->w.failed);
}

static void an_untrue_fact_is_seen(void **state)
{
	struct fixture *f = *state;

	check_fact(&f->w.nodes[0], f->attempt, OUTCOME_BOUNCED);
	expect_failure(f, "called bounced that nobody refused");
}

static void an_answer_before_the_fact_is_durable_is_seen(void **state)
{
	struct fixture *f = *state;
	struct reply reply = {.kind = REPLY_OUTCOME, .attempt = f->attempt, .outcome = OUTCOME_SENT};

	f->attempt->held->facts = 0;
	check_outcome_answer(&f->w.nodes[0], &reply);
	expect_failure(f, "not durable");
}

static void feed(struct fixture *f, uint32_t attempt)
{
	struct frame_mail mail = {f->sent->index, attempt};
	struct effect effect = {.type = EFFECT_FEED,
	    .id = f->sent->shard->id,
	    .batch = f->sent->batch->key,
	    .upload = f->sent->batch->upload,
	    .epoch = f->attempt->key.epoch,
	    .mails = &mail,
	    .mail_count = 1};

	check_feed(&f->w.nodes[0], &effect);
}

static void a_feed_without_a_claim_is_seen(void **state)
{
	struct fixture *f = *state;

	feed(f, f->attempt->key.attempt + 1);
	expect_failure(f, "I2");
}

static void a_second_feed_under_one_claim_is_seen(void **state)
{
	struct fixture *f = *state;

	feed(f, f->attempt->key.attempt);
	expect_failure(f, "I2: a mail is fed twice under one claim");
}

static void a_feed_of_what_was_only_staged_is_seen(void **state)
{
	struct fixture *f = *state;

	f->sent->shard->id.bytes[0] ^= 1;
	feed(f, 1);
	expect_failure(f, "I4");
}

static void a_missing_shard_is_seen(void **state)
{
	struct fixture *f = *state;

	idmap_set(&f->w.nodes[0].store.shards, &f->sent->shard->id, &f->sent->batch->upload, NULL);
	check_upload_answer(&f->w.nodes[0], f->sent->batch, f->sent->batch->contents[0], UPLOAD_ACCEPTED);
	expect_failure(f, "is called accepted, but a shard");
}

static void a_record_is_written_once(void **state)
{
	struct fixture *f = *state;
	struct store_op op = {.type = EFFECT_STORE_COMMIT,
	    .id = f->sent->batch->key,
	    .upload = f->sent->batch->upload,
	    .data = (char[]){"another record"},
	    .len = 14,
	    .text = f->sent->batch->name};

	store_write(&f->w.nodes[0].store, &op);
	expect_failure(f, "overwrites another value");
}

static void an_append_may_be_there_twice_and_a_squash_drops_it(void **state)
{
	struct fixture *f = *state;
	struct sim_store *store = &f->w.nodes[0].store;
	struct stored_journal *journal = idmap_get(&store->journals, &f->sent->shard->id, NULL);
	struct store_op op = {.type = EFFECT_STORE_APPEND, .id = f->sent->shard->id};
	struct store_op squash = {.type = EFFECT_STORE_SQUASH, .id = f->sent->shard->id};
	size_t before;

	assert_non_null(journal);
	store_write(store, &squash);
	before = journal->count;
	op.data = journal->entries[0].data;
	op.len = journal->entries[0].len;
	store_write(store, &op);
	assert_int_equal(journal->count, before + 1);
	store_write(store, &squash);
	assert_int_equal(journal->count, before);
	assert_false(f->w.failed);
}

static void a_seed_reproduces_and_two_seeds_differ(void **state)
{
	struct runner runner;
	const struct run_options options = {.nodes = 1};
	struct run_result first, second, other;

	(void)state;
	runner_init(&runner);
	first = run_seed(&runner, 7, &options);
	second = run_seed(&runner, 7, &options);
	other = run_seed(&runner, 8, &options);
	runner_done(&runner);
	assert_true(first.hash == second.hash);
	assert_true(first.hash != other.hash);
}

#define CHECK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CHECK(a_true_ledger_passes),
	    CHECK(a_lost_mail_is_seen),
	    CHECK(a_delivery_that_was_reported_as_something_else_is_seen),
	    CHECK(a_mail_without_an_end_is_seen),
	    CHECK(wrong_counts_are_seen),
	    CHECK(a_copy_too_many_is_seen),
	    CHECK(an_excused_copy_is_no_failure),
	    CHECK(an_untrue_fact_is_seen),
	    CHECK(an_answer_before_the_fact_is_durable_is_seen),
	    CHECK(a_feed_without_a_claim_is_seen),
	    CHECK(a_second_feed_under_one_claim_is_seen),
	    CHECK(a_feed_of_what_was_only_staged_is_seen),
	    CHECK(a_missing_shard_is_seen),
	    CHECK(a_record_is_written_once),
	    CHECK(an_append_may_be_there_twice_and_a_squash_drops_it),
	    cmocka_unit_test(a_seed_reproduces_and_two_seeds_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
