/* SPDX-License-Identifier: MIT */
/* A takeover may take long, as long as it gets further; what was taken over goes first. */
#include "core_net.h"

#include "queue/state.h"

static const usec beat = USEC_PER_SEC / 10;
static const usec slowness = 9 * USEC_PER_SEC;

enum {
	MAILS = 20,
	LARGE = 200, /* entries of JOURNAL_ENTRIES_MAX claims: as much as four parts */
};

static const char *const one[] = {"012", NULL};

static struct shard *shard_at(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "news", 0);
}

/* Claims of node 0 that only that node's journal has. */
static void put_claims(struct net *net, uint32_t number)
{
	const struct opt_id key = batch_key("news"), id = shard_id(&key, 0);
	struct claim claims[JOURNAL_ENTRIES_MAX];
	struct journal_entry entry = {.type = JOURNAL_CLAIMS,
	    .epoch = 1,
	    .node = net_node(0),
	    .claims = claims,
	    .count = JOURNAL_ENTRIES_MAX};

	for (uint32_t i = 0; i < LARGE; i++) {
		for (uint32_t k = 0; k < JOURNAL_ENTRIES_MAX; k++)
			claims[k] =
			    (struct claim){.index = k % MAILS, .attempt = i * JOURNAL_ENTRIES_MAX + k + 1};
		shell_put_entry(net->shells[number], &id, &entry);
	}
}

static bool parts_are_slow(const struct net *net, const struct net_frame *frame)
{
	return frame->len > PEER_PART_MAX / 2 && net->shells[frame->to]->now.us - frame->at.us < slowness;
}

/* Node 0 owned the shard, and is not there any more. */
static struct net *owner_is_dead(void)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, "012", "news", "012", one, MAILS);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	net_kill(net, 0);
	return net;
}

/* Each part takes less than LIMIT, and all of them more than PROMISE_MAX. */
static void a_takeover_that_gets_further_is_given_time(void **state)
{
	struct net *net = owner_is_dead();
	const uint64_t killed = net->shells[1]->now.us;

	(void)state;
	put_claims(net, 2);
	net->hold = parts_are_slow;
	for (int i = 0; i < 1200 && !shard_at(net, 1)->owning; i++)
		net_advance(net, beat);
	assert_true(shard_at(net, 1)->owning);
	assert_true(net->shells[1]->now.us - killed > 35 * USEC_PER_SEC); /* or it shows nothing */
	assert_int_equal(shard_at(net, 1)->epoch, 3); /* the first one that it asked for */
	net_free(net);
}

/* A member that has promised and then says nothing ends it, and the next one begins. */
static void a_takeover_that_stands_still_is_begun_again(void **state)
{
	struct net *net = owner_is_dead();
	uint32_t epoch;

	(void)state;
	net->shells[2]->hold_loads = true;
	for (int i = 0; i < 100 && shard_at(net, 1)->takeover == NULL; i++)
		net_advance(net, beat);
	assert_non_null(shard_at(net, 1)->takeover);
	epoch = shard_at(net, 1)->promised;
	net_advance(net, 9 * USEC_PER_SEC);
	assert_int_equal(shard_at(net, 1)->promised, epoch);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->promised > epoch);
	net->shells[2]->hold_loads = false;
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->owning);
	net_free(net);
}

/* The new owner has enough of its own to feed, and gives what comes free to the mails that have waited
 * longest. */
static void what_was_taken_over_is_fed_before_the_rest(void **state)
{
	/* Nobody has so little that it asks the others for more. */
	static const char *const members[] = {"012", "120", "120", "120", "201", "201", "201", NULL};
	struct net *net = net_new(3, 3);
	struct shell *heir = net->shells[1];
	size_t fed;

	(void)state;
	net_put_batch(net, "012", "news", "012", members, 200);
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	fed = heir->fed_count;
	assert_int_equal(fed, heir->config.window);
	net_kill(net, 0);
	for (int i = 0; i < 100 && !shard_at(net, 1)->owning; i++)
		net_advance(net, beat);
	assert_true(shard_at(net, 1)->owning);
	assert_int_equal(heir->fed_count, fed);
	shell_tell_outcome(heir, &heir->fed[0], OUTCOME_SENT, 1); /* the first room: the shard is opened */
	net_advance(net, beat);
	assert_int_equal(heir->fed_count, fed + 1);
	for (size_t i = 1; i < 20; i++)
		shell_tell_outcome(heir, &heir->fed[i], OUTCOME_SENT, 1);
	net_advance(net, beat);
	assert_int_equal(heir->fed_count, fed + 20);
	for (size_t i = fed + 1; i < heir->fed_count; i++)
		assert_memory_equal(&heir->fed[i].shard, &shard_at(net, 1)->id, sizeof(struct opt_id));
	net_free(net);
}

static const char *mostly_slow(uint32_t index)
{
	return index < 120 ? "slow.example" : "quick.example";
}

/* A destination that takes nothing keeps no shard closed that has mails for others. */
static void what_was_taken_over_for_a_slow_domain_holds_up_nothing_else(void **state)
{
	static const char *const members[] = {"012", "012", "012", "012", NULL};
	struct net *net = net_new(3, 3);
	struct shell *heir = net->shells[1];
	size_t told = 0, quick = 0;

	(void)state;
	net_put_batch(net, "012", "news", "012", members, 200);
	for (int i = 0; i < 3; i++) {
		net->shells[i]->core->config.domain_share = 20;
		net->shells[i]->domain = mostly_slow;
	}
	net->shells[0]->core->config.window = 1;
	net_start(net);
	shell_drain(net->shells[2], true); /* it takes nothing */
	net_advance(net, USEC_PER_SEC);
	net_kill(net, 0);
	for (int i = 0; i < 200; i++) {
		net_advance(net, beat);
		for (; told < heir->fed_count; told++) {
			if (heir->fed[told].index < 120)
				continue;
			quick++;
			shell_tell_outcome(heir, &heir->fed[told], OUTCOME_SENT, 1);
		}
	}
	assert_int_equal(quick, 4 * 80);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_takeover_that_gets_further_is_given_time),
	    cmocka_unit_test(a_takeover_that_stands_still_is_begun_again),
	    cmocka_unit_test(what_was_taken_over_is_fed_before_the_rest),
	    cmocka_unit_test(what_was_taken_over_for_a_slow_domain_holds_up_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
