/* SPDX-License-Identifier: MIT */
/* Load moves to whoever has nothing to do. */
#include "core_net.h"
#include "queue/state.h"

#include "queue/peer.h"

static const usec beat = USEC_PER_SEC / 10;

/* Settled so far, by node, and when the last one was. */
struct progress {
	size_t settled[NET_MAX];
	uint64_t last[NET_MAX];
};

static uint64_t now_of(const struct net *net)
{
	return net->shells[0]->now.us;
}

/* Each node's Postfix sends up to `speeds` mails. */
static void work(struct net *net, struct progress *progress, const size_t *speeds)
{
	for (uint32_t i = 0; i < net->count; i++) {
		struct shell *shell = net->shells[i];

		for (size_t k = 0; k < speeds[i] && progress->settled[i] < shell->fed_count; k++) {
			shell_tell_outcome(shell, &shell->fed[progress->settled[i]++], OUTCOME_SENT, 1);
			progress->last[i] = now_of(net);
		}
	}
	net_advance(net, beat);
}

static size_t fed(const struct net *net)
{
	size_t count = 0;

	for (uint32_t i = 0; i < net->count; i++)
		count += net->shells[i]->fed_count;
	return count;
}

static uint32_t highest_epoch(const struct net *net)
{
	uint32_t epoch = 0;

	for (uint32_t i = 0; i < net->count; i++) {
		for (size_t k = 0; k < net->shells[i]->fed_count; k++) {
			if (net->shells[i]->fed[k].epoch > epoch)
				epoch = net->shells[i]->fed[k].epoch;
		}
	}
	return epoch;
}

/* Three nodes that share all shards; the first one owns them. */
static struct net *three_nodes(uint32_t shards, uint32_t mails)
{
	const char *members[65] = {NULL};
	struct net *net = net_new(3, 3);

	for (uint32_t i = 0; i < shards; i++)
		members[i] = "012";
	net_put_batch(net, "012", "load", "012", members, mails);
	return net;
}

/* Until all is sent, at most a minute; the seconds that it took. */
static double send_all(struct net *net, struct progress *progress, const size_t *speeds, size_t mails)
{
	const uint64_t begin = now_of(net);

	for (int i = 0; i < 600; i++) {
		size_t settled = 0;

		for (uint32_t k = 0; k < net->count; k++)
			settled += progress->settled[k];
		if (settled == mails)
			return (double)(now_of(net) - begin) / USEC_PER_SEC;
		work(net, progress, speeds);
	}
	fail_msg("not all mails were sent");
	return 0;
}

static void who_runs_dry_takes_over_from_the_one_furthest_behind(void **state)
{
	struct net *net = three_nodes(48, 50);
	struct progress progress = {{0}, {0}};
	double took;

	(void)state;
	net_start(net);
	took = send_all(net, &progress, (const size_t[]){10, 10, 10}, 2400);
	assert_int_equal(fed(net), 2400); /* none twice */
	/* One alone needs 24 seconds. The others begin when they have heard of it, four seconds after the
	 * start. */
	assert_true(took < 11);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(progress.settled[i] > 500);
		assert_int_equal(shell_count(net->shells[i], "load", MAIL_SENT), 2400);
	}
	net_free(net);
}

/* Requests for work so far, by who asks whom. */
static size_t asked[NET_MAX][NET_MAX];

static bool count_requests(const struct net *net, const struct net_frame *frame)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;

	(void)net;
	if (peer_read(reader, frame->data, frame->len, &message) == 0 && message.type == PEER_GIVE &&
	    !message.answer)
		asked[frame->from][frame->to]++;
	peer_reader_free(reader);
	return false;
}

/* What a node begins with: so many shards of 50 mails, of which its Postfix sends up to `speed` in each beat.
 */
struct start {
	uint32_t shards;
	size_t speed;
};

/* Of three nodes the one that runs dry first, and those of which it has to ask the one that is behind. */
struct trio {
	uint32_t idle, ahead, behind;
};

/* All are members of all shards. */
static struct net *put_work(const struct start starts[3])
{
	static const char *const orders[] = {"012", "120", "201"};
	const char *members[61] = {NULL};
	struct net *net = net_new(3, 3);
	size_t count = 0;

	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t k = 0; k < starts[i].shards; k++)
			members[count++] = orders[i];
	}
	assert_true(count < sizeof(members) / sizeof(members[0]));
	net_put_batch(net, "012", "load", "012", members, 50);
	return net;
}

static void check_asks_the_slowest(struct trio trio, const struct start starts[3])
{
	const size_t *idle_asked = asked[trio.idle];
	struct net *net = put_work(starts);
	struct progress progress = {{0}, {0}};
	const size_t speeds[NET_MAX] = {starts[0].speed, starts[1].speed, starts[2].speed};
	size_t mails = 0, left[3];

	memset(asked, 0, sizeof(asked));
	net->hold = count_requests;
	net_start(net);
	for (int i = 0; i < 200 && idle_asked[trio.ahead] + idle_asked[trio.behind] == 0; i++)
		work(net, &progress, speeds);
	for (uint32_t i = 0; i < 3; i++) {
		mails += (size_t)starts[i].shards * 50;
		left[i] = (size_t)starts[i].shards * 50 - progress.settled[i];
	}
	/* A slower one is not asked because it has more left. */
	if (starts[trio.behind].speed < starts[trio.ahead].speed)
		assert_true(left[trio.behind] <= left[trio.ahead]);
	for (int i = 0; i < 100 && net->shells[trio.idle]->fed_count <= 50 * starts[trio.idle].shards; i++)
		work(net, &progress, speeds);
	assert_true(net->shells[trio.idle]->fed_count > 50 * starts[trio.idle].shards);
	assert_true(idle_asked[trio.behind] > 0);
	assert_int_equal(idle_asked[trio.ahead], 0);
	send_all(net, &progress, speeds, mails);
	assert_int_equal(fed(net), mails);
	net_free(net);
}

/* Whichever node is which. */
static void check_asks_the_slowest_of_any(struct start idle, struct start ahead, struct start behind)
{
	static const struct trio trios[] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (size_t i = 0; i < sizeof(trios) / sizeof(trios[0]); i++) {
		struct start starts[3];

		starts[trios[i].idle] = idle;
		starts[trios[i].ahead] = ahead;
		starts[trios[i].behind] = behind;
		check_asks_the_slowest(trios[i], starts);
	}
}

static void who_runs_dry_asks_the_one_furthest_behind_first(void **state)
{
	(void)state;
	check_asks_the_slowest_of_any((struct start){0, 10}, (struct start){10, 10}, (struct start){30, 10});
}

/* When it asks, the slow one has no more left than the fast one, which is done with it three times as soon.
 */
static void who_runs_dry_asks_the_slowest_of_those_with_as_much_left(void **state)
{
	(void)state;
	check_asks_the_slowest_of_any((struct start){10, 15}, (struct start){20, 15}, (struct start){14, 5});
}

/* Node 0 has no more than what its Postfix has, of which nothing comes out; the others have plenty. */
static void a_node_whose_postfix_is_stuck_asks_for_nothing(void **state)
{
	static const char *const own[] = {"012", NULL};
	const char *members[21] = {NULL};
	struct net *net = net_new(3, 3);
	struct progress progress = {{0}, {0}};

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		members[i] = "102";
	net_put_batch(net, "012", "load", "012", members, 50);
	net_put_batch(net, "012", "stuck", "012", own, 40);
	memset(asked, 0, sizeof(asked));
	net->hold = count_requests;
	net_start(net);
	shell_tell_control(net->shells[1], "load", CONTROL_PAUSED);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, 40);
	memset(asked, 0, sizeof(asked));
	shell_tell_control(net->shells[1], "load", CONTROL_RUNNING);
	for (int i = 0; i < 50; i++)
		work(net, &progress, (const size_t[]){0, 4, 4});
	assert_true(asked[2][1] > 0);
	assert_int_equal(asked[0][1] + asked[0][2], 0);
	assert_int_equal(net->shells[0]->fed_count, 40);
	net_free(net);
}

static void a_slow_node_gives_away_so_much_that_all_are_done_together(void **state)
{
	struct net *net = three_nodes(60, 50);
	struct progress progress = {{0}, {0}};
	double took;

	(void)state;
	net_start(net);
	took = send_all(net, &progress, (const size_t[]){4, 12, 12}, 3000);
	assert_int_equal(fed(net), 3000);
	for (uint32_t i = 0; i < 3; i++)
		assert_true((double)(now_of(net) - progress.last[i]) / USEC_PER_SEC < took / 10);
	net_free(net);
}

static void shards_do_not_go_to_and_fro(void **state)
{
	struct net *net = three_nodes(48, 50);
	struct progress progress = {{0}, {0}};

	(void)state;
	net_start(net);
	send_all(net, &progress, (const size_t[]){5, 10, 15}, 2400);
	/* 1: accepted; 2: taken again after the start. */
	assert_true(highest_epoch(net) <= 4);
	net_free(net);
}

static void a_node_whose_postfix_is_stuck_loses_what_it_has_not_claimed(void **state)
{
	struct net *net = three_nodes(20, 50);
	struct progress progress = {{0}, {0}};
	size_t stuck;

	(void)state;
	net_start(net);
	for (int i = 0; i < 100 && fed(net) < 1000; i++)
		work(net, &progress, (const size_t[]){0, 20, 20});
	assert_int_equal(fed(net), 1000);
	stuck = net->shells[0]->fed_count;
	assert_int_equal(stuck, net->shells[0]->config.window);
	/* What is in its Postfix waits for it. */
	assert_int_equal(shell_count(net->shells[1], "load", MAIL_CLAIMED) +
	                     shell_count(net->shells[1], "load", MAIL_SENT),
	    1000);
	send_all(net, &progress, (const size_t[]){20, 20, 20}, 1000);
	assert_int_equal(fed(net), 1000);
	assert_int_equal(shell_count(net->shells[2], "load", MAIL_SENT), 1000);
	net_free(net);
}

/* What it feeds comes back untried. */
static void come_back(struct net *net, struct progress *progress)
{
	struct shell *shell = net->shells[0];

	while (progress->settled[0] < shell->fed_count)
		shell_tell_outcome(shell, &shell->fed[progress->settled[0]++], OUTCOME_RETURNED, 1);
}

static void a_node_whose_relay_is_down_gives_away_all_that_waits_for_it(void **state)
{
	struct net *net = three_nodes(3, 50);
	struct progress progress = {{0}, {0}};

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		net->shells[i]->core->config.relay = "relay.example:25";
	net_start(net);
	/* Nobody has a rate yet, and the last shard is as much for others as for it. */
	for (int i = 0; i < 100; i++) {
		come_back(net, &progress);
		work(net, &progress, (const size_t[]){0, 20, 20});
	}
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 0);
	assert_int_equal(shell_count(net->shells[1], "load", MAIL_SENT), 150);
	net_free(net);
}

static void a_node_that_drains_asks_for_nothing_and_gives_all(void **state)
{
	struct net *net = three_nodes(20, 50);
	struct progress progress = {{0}, {0}};

	(void)state;
	net_start(net);
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	for (int i = 0; i < 100; i++)
		work(net, &progress, (const size_t[]){20, 20, 20});
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 0);
	assert_int_equal(core_numbers(net->shells[0]->core).in_flight, 0);
	send_all(net, &progress, (const size_t[]){20, 20, 20}, 1000);
	assert_int_equal(fed(net), 1000);
	net_free(net);
}

static void a_node_without_postfix_or_store_keeps_no_ownership_and_takes_part_again(void **state)
{
	struct net *net = three_nodes(20, 50);
	struct progress progress = {{0}, {0}};

	(void)state;
	net_start(net);
	net->shells[0]->hold_engine = true;
	shell_tell_engine_down(net->shells[0]);
	net_advance(net, 4 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 0);
	assert_int_equal(
	    core_numbers(net->shells[1]->core).owned + core_numbers(net->shells[2]->core).owned, 20);
	net->shells[0]->hold_engine = false;
	shell_run(net->shells[0]);
	/* The store of the next one falls silent. */
	net->shells[1]->hold_writes = true;
	for (int i = 0; i < 40; i++)
		work(net, &progress, (const size_t[]){0, 10, 0});
	assert_int_equal(core_numbers(net->shells[1]->core).owned, 0);
	net->shells[1]->hold_writes = false;
	shell_run(net->shells[1]);
	send_all(net, &progress, (const size_t[]){10, 10, 10}, 1000);
	assert_int_equal(shell_count(net->shells[1], "load", MAIL_SENT), 1000);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_runs_dry_takes_over_from_the_one_furthest_behind),
	    cmocka_unit_test(who_runs_dry_asks_the_one_furthest_behind_first),
	    cmocka_unit_test(who_runs_dry_asks_the_slowest_of_those_with_as_much_left),
	    cmocka_unit_test(a_node_whose_postfix_is_stuck_asks_for_nothing),
	    cmocka_unit_test(a_slow_node_gives_away_so_much_that_all_are_done_together),
	    cmocka_unit_test(shards_do_not_go_to_and_fro),
	    cmocka_unit_test(a_node_whose_postfix_is_stuck_loses_what_it_has_not_claimed),
	    cmocka_unit_test(a_node_whose_relay_is_down_gives_away_all_that_waits_for_it),
	    cmocka_unit_test(a_node_that_drains_asks_for_nothing_and_gives_all),
	    cmocka_unit_test(a_node_without_postfix_or_store_keeps_no_ownership_and_takes_part_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
