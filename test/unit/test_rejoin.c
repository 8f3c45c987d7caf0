/* SPDX-License-Identifier: MIT */
/*
 * Rule 5: a node that was away while its Postfix lived on. What the others have sent again by then must not
 * go out once more: Postfix, all of whose delivery agents wait for an answer, gets none before it has
 * stopped.
 */
#include "core_net.h"

enum { MAILS = 20 };

static struct net *start_net(uint32_t count)
{
	struct net *net = net_new(count, count);

	net_start_active(net, "rejoin", MAILS);
	return net;
}

/* The Postfix of every other node sends what it was given, for so long. */
static void others_send(struct net *net, usec duration)
{
	size_t from[NET_MAX] = {0};

	for (usec passed = 0; passed < duration; passed += USEC_PER_SEC) {
		net_advance(net, USEC_PER_SEC);
		for (uint32_t i = 1; i < net->count; i++) {
			struct shell *shell = net->shells[i];

			for (; from[i] < shell->fed_count; from[i]++)
				shell_tell_outcome(shell, &shell->fed[from[i]], OUTCOME_SENT, 1);
		}
		net_run(net);
	}
}

/* Node 0 is away until the others have sent all again. When it is back its Postfix will take its time. */
static struct net *start_away(void)
{
	struct net *net = start_net(3);

	net_kill(net, 0);
	others_send(net, 90 * USEC_PER_SEC);
	net->shells[0]->hold_engine = true;
	return net;
}

/* A delivery agent reports, and would take the next mail when it is answered. */
static void check_stops_first(struct net *net)
{
	struct shell *shell = net->shells[0];
	const size_t fed = shell->fed_count, restarts = shell->restarts;

	assert_int_equal(net->shells[1]->fed_count, MAILS);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 77);
	net_run(net);
	net_advance(net, USEC_PER_SEC);
	assert_false(shell_answered(shell, 77));
	assert_true(core_numbers(shell->core).stale);
	shell->hold_engine = false;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_true(shell_answered(shell, 77));
	assert_int_equal(shell->stops, 1);
	assert_int_equal(shell->restarts, restarts + 1);
	assert_int_equal(shell->spool_count, 0);
	assert_true(core_numbers(shell->core).engine_up);
	assert_false(core_numbers(shell->core).stale);
	for (uint32_t i = 0; i < net->count; i++)
		assert_int_equal(shell_count(net->shells[i], "rejoin", MAIL_SENT), MAILS);
	assert_int_equal(shell->fed_count, fed);
	assert_int_equal(net->shells[1]->fed_count, MAILS);
}

static void a_node_that_was_killed_stops_its_postfix_first(void **state)
{
	struct net *net = start_away();

	(void)state;
	net_restart(net, 0);
	check_stops_first(net);
	net_free(net);
}

static void a_node_that_was_stopped_stops_its_postfix_first(void **state)
{
	struct net *net = start_away();

	(void)state;
	net_resume(net, 0);
	check_stops_first(net);
	net_free(net);
}

/* Told to end: a delivery agent that is answered while master lives takes the next mail. */
static void check_ends_unanswered(struct net *net)
{
	struct shell *shell = net->shells[0];

	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 77);
	net_run(net);
	assert_false(shell_answered(shell, 77));
	assert_true(core_numbers(shell->core).stale);
	shell_tell_engine_down(shell);
	net_run(net);
	assert_true(shell_answered(shell, 77));
	assert_false(core_numbers(shell->core).stale);
}

static void a_node_that_was_stopped_and_told_to_end_answers_once_master_is_dead(void **state)
{
	struct net *net = start_away();

	(void)state;
	net_resume(net, 0);
	shell_tell_engine_ends(net->shells[0]);
	check_ends_unanswered(net);
	net_free(net);
}

static void what_a_node_was_told_while_it_was_stopped_comes_first(void **state)
{
	struct net *net = start_away();

	(void)state;
	shell_tell_engine_ends(net->shells[0]);
	net_resume(net, 0);
	check_ends_unanswered(net);
	net_free(net);
}

/* Cut off, it is stopping its Postfix when it is stopped itself. */
static void a_node_that_was_stopped_while_it_stood_down_answers_once_master_is_dead(void **state)
{
	struct net *net = start_net(3);
	struct shell *shell = net->shells[0];

	(void)state;
	shell->hold_engine = true;
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	others_send(net, 15 * USEC_PER_SEC);
	assert_int_equal(shell->stops, 1);
	shell->now.us += 90 * USEC_PER_SEC;
	shell->utc.us += 90 * USEC_PER_SEC;
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 76);
	check_ends_unanswered(net);
	assert_true(shell_answered(shell, 76));
	net_free(net);
}

/* Nobody has sent anything again yet: an upgrade costs nothing. */
static void a_node_that_was_away_for_a_moment_goes_on(void **state)
{
	struct net *net = start_net(3);
	struct shell *shell = net->shells[0];

	(void)state;
	net_kill(net, 0);
	others_send(net, 20 * USEC_PER_SEC);
	net_restart(net, 0);
	others_send(net, 2 * USEC_PER_SEC);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 77);
	net_run(net);
	assert_true(shell_answered(shell, 77));
	others_send(net, 300 * USEC_PER_SEC);
	assert_int_equal(shell->stops, 0);
	assert_int_equal(shell->restarts, 1);
	assert_int_equal(shell->spool_count, MAILS);
	assert_int_equal(net->shells[1]->fed_count + net->shells[2]->fed_count, 0);
	net_free(net);
}

/* Nobody else could have sent them. */
static void a_node_alone_goes_on_after_any_time(void **state)
{
	struct net *net = start_net(1);
	struct shell *shell = net->shells[0];

	(void)state;
	shell->now.us += 3600 * USEC_PER_SEC;
	shell_crash(shell);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 77);
	net_run(net);
	assert_true(shell_answered(shell, 77));
	assert_int_equal(shell->stops, 0);
	assert_int_equal(shell->spool_count, MAILS);
	net_free(net);
}

/* Of what the agents have on the wire they report while Postfix ends; the rest goes back untried. */
static void what_was_not_sent_again_is_fed_without_doubt(void **state)
{
	struct net *net = start_net(3);
	struct shell *shell = net->shells[0];

	(void)state;
	net_kill(net, 0);
	net_kill(net, 1);
	net_kill(net, 2);
	net_advance(net, 90 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++)
		net_restart(net, i);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(shell->stops, 1);
	assert_int_equal(shell->fed_count, 2 * MAILS);
	assert_int_equal(shell_view(shell, "rejoin").in_doubt_resent, 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_that_was_killed_stops_its_postfix_first),
	    cmocka_unit_test(a_node_that_was_stopped_stops_its_postfix_first),
	    cmocka_unit_test(a_node_that_was_stopped_and_told_to_end_answers_once_master_is_dead),
	    cmocka_unit_test(what_a_node_was_told_while_it_was_stopped_comes_first),
	    cmocka_unit_test(a_node_that_was_stopped_while_it_stood_down_answers_once_master_is_dead),
	    cmocka_unit_test(a_node_that_was_away_for_a_moment_goes_on),
	    cmocka_unit_test(a_node_alone_goes_on_after_any_time),
	    cmocka_unit_test(what_was_not_sent_again_is_fed_without_doubt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
