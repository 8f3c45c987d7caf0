/* SPDX-License-Identifier: MIT */
/*
 * `optimus nodes` shows whom to bring back: nodes for which shards wait, also when they were forgotten.
 */
#include "core_net.h"

static struct net *net;

/* One shard of nodes 1 and 2, one of nodes 0 and 1. */
static int set_up(void **state)
{
	const char *const members[] = {"12", "01", NULL};

	(void)state;
	net = net_new(4, 3);
	net_put_batch(net, "012", "news", "012", members, 5);
	net_start(net);
	net_advance(net, 5 * USEC_PER_SEC);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

/* What node 0 shows of that one. False: nothing. */
static bool shown(uint32_t number, struct member_view *ret_view)
{
	const struct opt_id id = net_node(number);
	struct opt_id after;

	for (int status = core_member_next(net->shells[0]->core, NULL, ret_view); status == 0;
	     status = core_member_next(net->shells[0]->core, &after, ret_view)) {
		after = ret_view->id;
		if (id_equal(&after, &id))
			return true;
	}
	return false;
}

static void check_gone(uint32_t number, bool member, uint32_t owned, uint32_t replicas)
{
	struct member_view view;

	assert_true(shown(number, &view));
	assert_string_equal(view.state, "gone");
	assert_int_equal(view.member, member);
	assert_int_equal(view.owned, owned);
	assert_int_equal(view.replicas, replicas);
	assert_int_equal(view.in_flight, 0);
}

static void kill_members(void)
{
	net_kill(net, 1);
	net_kill(net, 2);
	net_kill(net, 3);
	net_advance(net, 8 * USEC_PER_SEC);
}

static void forget(uint32_t number)
{
	net_forget(net, 0, number);
	net_advance(net, 2 * USEC_PER_SEC);
}

static void of_those_that_are_gone_the_shards_count_that_wait_for_them(void **state)
{
	(void)state;
	kill_members();
	check_gone(1, true, 1, 1);
	check_gone(2, true, 0, 1);
	check_gone(3, true, 0, 0);
}

static void who_was_forgotten_is_shown_while_shards_wait(void **state)
{
	struct member_view view;

	(void)state;
	kill_members();
	forget(1);
	forget(3);
	check_gone(1, false, 1, 1);
	check_gone(2, true, 0, 1);
	assert_false(shown(3, &view));
	/* One of the two is enough for the shard. */
	net_restart(net, 2);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(shown(2, &view));
	assert_true(view.member);
	assert_string_equal(view.state, "up");
	assert_false(shown(1, &view));
}

/* By the operator's word; status counts its mails as unknown. */
static void what_is_lost_waits_for_nobody(void **state)
{
	struct member_view view;

	(void)state;
	kill_members();
	forget(1);
	forget(2);
	assert_false(shown(1, &view));
	assert_false(shown(2, &view));
}

static void nothing_waits_of_a_batch_whose_time_is_over(void **state)
{
	struct member_view view;

	(void)state;
	kill_members();
	forget(1);
	check_gone(1, false, 1, 1);
	net->shells[0]->utc.us += 6 * 86400 * USEC_PER_SEC;
	/* By its own clock alone once nobody has contradicted it for so long. */
	net_advance(net, net->shells[0]->config.alone_after);
	assert_false(shown(1, &view));
	check_gone(2, true, 0, 0);
}

/* After a failure of the power only the mark in the store knows of them; no batch is accepted meanwhile. */
static void whom_nobody_names_any_more_is_shown_until_it_is_forgotten(void **state)
{
	struct member_view view;

	(void)state;
	kill_members();
	net_kill(net, 0);
	net_restart(net, 0);
	net_advance(net, 5 * USEC_PER_SEC);
	check_gone(3, false, 0, 0);
	forget(3);
	assert_false(shown(3, &view));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	    T(of_those_that_are_gone_the_shards_count_that_wait_for_them),
	    T(who_was_forgotten_is_shown_while_shards_wait),
	    T(what_is_lost_waits_for_nobody),
	    T(nothing_waits_of_a_batch_whose_time_is_over),
	    T(whom_nobody_names_any_more_is_shown_until_it_is_forgotten),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
