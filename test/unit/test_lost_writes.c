/* SPDX-License-Identifier: MIT */
/* Rule 5: a store that comes back without what it had acknowledged, and what its node may do then. */
#include "core_net.h"

#include "queue/registers.h"
#include "queue/state.h"

enum { MAILS = 20 };

static const char *const trio[] = {"012", NULL};
static const usec beat = USEC_PER_SEC;

/* The members are 0, 1 and 2; node 3 only listens. */
static struct net *start_net(uint32_t bug)
{
	struct net *net = net_new(4, 3);

	net_set_broken(net, bug);
	net_put_batch(net, "012", "lost", "012", trio, MAILS);
	net_put_values(net, "012", "lost", 1);
	net_start(net);
	net_advance(net, 2 * beat);
	return net;
}

static const struct shard *shard_of(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "lost", 0);
}

static bool owns(const struct net *net, uint32_t number)
{
	return shard_of(net, number)->owning;
}

static void answer_all(struct net *net, size_t from[NET_MAX], enum outcome_kind kind)
{
	for (uint32_t i = 0; i < net->count; i++) {
		for (; from[i] < net->shells[i]->fed_count && !net->down[i]; from[i]++)
			shell_tell_outcome(net->shells[i], &net->shells[i]->fed[from[i]], kind, 1);
	}
	net_run(net);
}

static void work(struct net *net, size_t from[NET_MAX], enum outcome_kind kind, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++) {
		answer_all(net, from, kind);
		net_advance(net, beat);
	}
}

/* What is durable at one moment, to come back to. */
struct snapshot {
	size_t entries;
	uint64_t sequence;
};

static struct snapshot snapshot_of(const struct net *net, uint32_t number)
{
	return (struct snapshot){net->shells[number]->entry_count, net->shells[number]->sequence};
}

static void restore(struct net *net, uint32_t number, struct snapshot snapshot)
{
	struct shell *shell = net->shells[number];

	while (shell->entry_count > snapshot.entries)
		free(shell->entries[--shell->entry_count].data);
	shell->sequence = snapshot.sequence;
	net_restart(net, number);
}

/*
 * All mails were deferred; 0 dies, and 1 takes over with the promise of 2, which has the claims, too. Then 1
 * is cut off with the mails in its Postfix, 2 comes back without the promise and the claims, and 0 comes
 * back.
 */
static struct net *lose_promise(uint32_t bug, size_t from[NET_MAX])
{
	struct net *net = start_net(bug);
	struct snapshot kept;

	work(net, from, OUTCOME_DEFERRED, 10);
	net_advance(net, 200 * beat);
	kept = snapshot_of(net, 2);
	net_kill(net, 0);
	net_advance(net, 120 * beat);
	assert_true(owns(net, 1));
	assert_int_equal(net->shells[1]->fed_count, MAILS);
	for (uint32_t i = 0; i < net->count; i++)
		net_cut(net, 1, i == 1 ? 0 : i);
	restore(net, 2, kept);
	net_restart(net, 0);
	net_advance(net, 3 * beat);
	return net;
}

static size_t sent(const struct net *net, uint32_t number)
{
	return shell_count(net->shells[number], "lost", MAIL_SENT);
}

static void who_lost_a_promise_gives_no_other(void **state)
{
	size_t from[NET_MAX] = {0}, fed;
	struct net *net = lose_promise(0, from);

	(void)state;
	assert_int_equal(shard_of(net, 2)->lost, LOST_NO_VOTE);
	assert_false(net->shells[2]->core->registers->known);
	fed = net->shells[0]->fed_count;
	work(net, from, OUTCOME_SENT, 60);
	/* 1 has sent them all, and can tell nobody. */
	assert_false(owns(net, 0));
	assert_false(owns(net, 2));
	assert_int_equal(net->shells[0]->fed_count, fed);
	assert_int_equal(net->shells[2]->fed_count, 0);
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != 1)
			net_link(net, 1, i);
	}
	work(net, from, OUTCOME_SENT, 120);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(sent(net, i), MAILS);
		assert_int_equal(shard_of(net, i)->duplicates, 0);
	}
	assert_int_equal(net->shells[0]->fed_count, fed);
	assert_int_equal(net->shells[2]->fed_count, 0);
	assert_true(net->shells[2]->core->vouched);
	assert_true(net->shells[2]->core->registers->known);
	net_free(net);
}

/* The test of the test: without the rule all mails go out twice, and nobody counts them. */
static void without_the_rule_all_is_sent_twice(void **state)
{
	size_t from[NET_MAX] = {0}, fed;
	struct net *net = lose_promise(CORE_BUG_LOST_WRITES_IGNORED, from);

	(void)state;
	fed = net->shells[0]->fed_count + net->shells[2]->fed_count;
	work(net, from, OUTCOME_SENT, 60);
	fed = net->shells[0]->fed_count + net->shells[2]->fed_count;
	assert_true(fed >= 2 * MAILS);
	net_free(net);
}

static void who_lost_nothing_votes_at_once(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = start_net(0);

	(void)state;
	work(net, from, OUTCOME_DEFERRED, 10);
	assert_true(net->shells[2]->sequence > 0);
	net_restart(net, 2);
	net_advance(net, beat);
	assert_int_equal(shard_of(net, 2)->lost, LOST_NOTHING);
	assert_true(net->shells[2]->core->vouched);
	net_kill(net, 1);
	net_restart(net, 0);
	net_advance(net, 3 * beat);
	assert_true(owns(net, 0));
	net_free(net);
}

/* The number stays low until all is made good: a second crash does not hide the loss. */
static void a_loss_is_noticed_after_the_next_crash_too(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = lose_promise(0, from);

	(void)state;
	work(net, from, OUTCOME_SENT, 5);
	net_restart(net, 2);
	net_advance(net, beat);
	assert_int_equal(shard_of(net, 2)->lost, LOST_NO_VOTE);
	net_free(net);
}

/* Who owns a shard and only then hears of the loss, from one that was cut off, gives it up. */
static void a_late_word_counts(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = start_net(0);
	struct snapshot kept;

	(void)state;
	work(net, from, OUTCOME_DEFERRED, 2);
	kept = snapshot_of(net, 0);
	work(net, from, OUTCOME_DEFERRED, 10);
	net_advance(net, 5 * beat);
	net_cut(net, 2, 0);
	net_cut(net, 2, 1);
	net_cut(net, 2, 3);
	net_advance(net, 30 * beat);
	/* 1 and 3 have forgotten what they heard. */
	net_restart(net, 1);
	net_restart(net, 3);
	kept.sequence = kept.sequence > 1 ? kept.sequence - 1 : 0;
	restore(net, 0, kept);
	net_restart(net, 1);
	net_restart(net, 3);
	net_advance(net, 30 * beat);
	net_link(net, 2, 0);
	net_run(net);
	assert_true(net->shells[0]->core->writes_missed);
	net_link(net, 2, 1);
	net_link(net, 2, 3);
	net_advance(net, 20 * beat);
	assert_int_equal(shard_of(net, 0)->lost, LOST_NOTHING);
	assert_false(net->shells[0]->core->writes_lost);
	assert_true(net->shells[0]->core->vouched);
	net_free(net);
}

/* The third is dead, and known to be: the vote is given, and the claims say what it is worth. */
static void where_too_few_are_left_claims_are_marked(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = lose_promise(0, from);

	(void)state;
	net->down[1] = true;
	net_advance(net, 20 * beat);
	net_forget(net, 0, 1);
	net_advance(net, 40 * beat);
	assert_int_equal(shard_of(net, 2)->lost, LOST_DOUBTFUL);
	assert_true(owns(net, 0) != owns(net, 2));
	assert_true(shard_of(net, owns(net, 0) ? 0 : 2)->alone);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_lost_a_promise_gives_no_other),
	    cmocka_unit_test(without_the_rule_all_is_sent_twice),
	    cmocka_unit_test(who_lost_nothing_votes_at_once),
	    cmocka_unit_test(a_loss_is_noticed_after_the_next_crash_too),
	    cmocka_unit_test(a_late_word_counts),
	    cmocka_unit_test(where_too_few_are_left_claims_are_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
