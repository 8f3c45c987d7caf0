/* SPDX-License-Identifier: MIT */
/*
 * Rules 3 and 4: a node that is cut off has told few others what its Postfix did, so that few mails are sent
 * twice: those whose outcomes may lack a majority, and one for each delivery agent.
 */
#include "core_net.h"

enum { MAILS = 40, ALONE_MAX = 10 /* unreplicated_max */ };

static const usec beat = USEC_PER_SEC / 10;

static struct net *start_net(uint32_t broken_rule)
{
	struct net *net = net_new(3, 3);

	for (int i = 0; i < 3; i++)
		net->shells[i]->config.unreplicated_max = ALONE_MAX;
	net_set_broken(net, broken_rule);
	net_start_active(net, "news", MAILS);
	return net;
}

static void cut_off(struct net *net)
{
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
}

/* Delivery agents of node 0 report these mails, one after the other; the replies are 100 and more. */
static void report(struct net *net, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		shell_tell_outcome(net->shells[0], &net->shells[0]->fed[i], OUTCOME_SENT, 100 + i);
		net_run(net);
	}
}

static size_t answered(const struct net *net, size_t first, size_t count)
{
	size_t answers = 0;

	for (size_t i = first; i < first + count; i++)
		answers += shell_answered(net->shells[0], 100 + i);
	return answers;
}

/* Whether the agents after the first ones wait; and go on when another member is there again. */
static bool agents_wait(uint32_t broken_rule)
{
	struct net *net = start_net(broken_rule);
	bool wait;

	cut_off(net);
	report(net, 0, 2 * ALONE_MAX);
	assert_int_equal(answered(net, 0, ALONE_MAX), ALONE_MAX);
	wait = answered(net, ALONE_MAX, ALONE_MAX) == 0;
	assert_int_equal(core_numbers(net->shells[0]->core).unreplicated, 2 * ALONE_MAX);
	net_advance(net, 2 * USEC_PER_SEC);
	wait = wait && answered(net, ALONE_MAX, ALONE_MAX) == 0;
	net_link(net, 0, 1);
	net_advance(net, 2 * USEC_PER_SEC);
	assert_int_equal(answered(net, 0, 2 * ALONE_MAX), 2 * ALONE_MAX);
	assert_int_equal(core_numbers(net->shells[0]->core).unreplicated, 0);
	assert_int_equal(shell_count(net->shells[1], "news", MAIL_SENT), 2 * ALONE_MAX);
	net_free(net);
	return wait;
}

static void postfix_waits_while_too_many_outcomes_are_on_one_node_alone(void **state)
{
	(void)state;
	assert_true(agents_wait(CORE_BUG_NONE));
	assert_false(agents_wait(CORE_BUG_OUTCOMES_NOT_HELD));
}

/* Until Postfix is asked to stop; how long it took. Members that fall silent are missed after five or six
 * seconds. */
static usec until_stop(struct net *net)
{
	const uint64_t begin = net->shells[0]->now.us;

	for (int i = 0; i < 300 && net->shells[0]->stops == 0; i++)
		net_advance(net, beat);
	assert_int_equal(net->shells[0]->stops, 1);
	return net->shells[0]->now.us - begin;
}

/* Its members are back, and all is sent once: what its Postfix had was untouched. */
static void check_heals(struct net *net)
{
	size_t from[NET_MAX] = {MAILS};

	net_link(net, 0, 1);
	net_link(net, 0, 2);
	for (int i = 0; i < 100; i++) {
		for (uint32_t k = 0; k < 3; k++) {
			for (; from[k] < net->shells[k]->fed_count; from[k]++)
				shell_tell_outcome(
				    net->shells[k], &net->shells[k]->fed[from[k]], OUTCOME_SENT, 1);
		}
		net_advance(net, beat);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shell_count(net->shells[i], "news", MAIL_SENT), MAILS);
	assert_int_equal(shell_view(net->shells[1], "news").in_doubt_resent, 0);
	assert_int_equal(shell_view(net->shells[1], "news").duplicates, 0);
}

static void an_owner_that_stays_cut_off_stops_its_postfix_and_settles(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);
	struct shell *shell = net->shells[0];
	const size_t restarts = shell->restarts;
	usec took;

	(void)state;
	cut_off(net);
	took = until_stop(net);
	assert_true(took >= 10 * USEC_PER_SEC && took <= 12 * USEC_PER_SEC);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell->spool_count, 0);
	assert_int_equal(shell->restarts, restarts + 1);
	assert_int_equal(shell->fed_count, MAILS);
	assert_int_equal(shell_count(shell, "news", MAIL_READY), MAILS);
	check_heals(net);
	assert_int_equal(shell->stops, 1);
	net_free(net);
}

static void the_tests_see_an_owner_that_goes_on(void **state)
{
	struct net *net = start_net(CORE_BUG_ISOLATION_IGNORED);

	(void)state;
	cut_off(net);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->stops, 0);
	net_free(net);
}

static void who_is_cut_off_for_a_moment_goes_on(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);

	(void)state;
	cut_off(net);
	net_advance(net, 4 * USEC_PER_SEC);
	net_link(net, 0, 2);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->stops, 0);
	net_free(net);
}

/* All is sent: there is nothing to fear. */
static void an_empty_postfix_is_not_stopped(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);

	(void)state;
	report(net, 0, MAILS - 1);
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[MAILS - 1], OUTCOME_DEFERRED, 1);
	net_run(net);
	cut_off(net);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->stops, 0);
	net_free(net);
}

/* Agents that wait for an answer would take the next mail with it, as long as there is a master. */
static void agents_wait_until_postfix_has_stopped(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);
	struct shell *shell = net->shells[0];

	(void)state;
	cut_off(net);
	report(net, 0, 2 * ALONE_MAX);
	shell->hold_engine = true;
	until_stop(net);
	report(net, 2 * ALONE_MAX, 5);
	assert_int_equal(answered(net, ALONE_MAX, ALONE_MAX + 5), 0);
	shell->spool_count = 0;
	for (size_t i = 2 * ALONE_MAX + 5; i < MAILS; i++)
		shell_put_in_spool(shell, &shell->fed[i], SPOOL_ACTIVE, "active/x");
	shell->hold_engine = false;
	net_run(net);
	assert_int_equal(answered(net, 0, 2 * ALONE_MAX + 5), 2 * ALONE_MAX + 5);
	check_heals(net);
	net_free(net);
}

/* It owns nothing until the others are heard, and its Postfix goes on. */
static void who_restarts_while_it_is_cut_off_stops_its_postfix(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);

	(void)state;
	cut_off(net);
	net_advance(net, USEC_PER_SEC);
	net_restart(net, 0);
	until_stop(net);
	net_advance(net, USEC_PER_SEC);
	check_heals(net);
	net_free(net);
}

/* It has given its shards away, and its Postfix still has mails of them. */
static void who_has_given_its_shards_away_stops_its_postfix_as_well(void **state)
{
	struct net *net = start_net(CORE_BUG_NONE);

	(void)state;
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 0);
	cut_off(net);
	until_stop(net);
	net_advance(net, USEC_PER_SEC);
	check_heals(net);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(postfix_waits_while_too_many_outcomes_are_on_one_node_alone),
	    cmocka_unit_test(an_owner_that_stays_cut_off_stops_its_postfix_and_settles),
	    cmocka_unit_test(the_tests_see_an_owner_that_goes_on),
	    cmocka_unit_test(who_is_cut_off_for_a_moment_goes_on),
	    cmocka_unit_test(an_empty_postfix_is_not_stopped),
	    cmocka_unit_test(agents_wait_until_postfix_has_stopped),
	    cmocka_unit_test(who_restarts_while_it_is_cut_off_stops_its_postfix),
	    cmocka_unit_test(who_has_given_its_shards_away_stops_its_postfix_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
