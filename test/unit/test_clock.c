/* SPDX-License-Identifier: MIT */
/* Rule 9: a clock that the others contradict neither starts scheduled mail nor ends anybody's time. */
#include "core_net.h"

#include "queue/cluster.h"
#include "queue/state.h"

static const usec hour = 3600 * USEC_PER_SEC;

enum { NODES = 3, MAILS = 20 };

/* Accepted by a node, for half an hour that begins after `wait`. */
static void submit_for(struct net *net, uint32_t number, usec wait)
{
	struct batch_settings settings = shell_settings("later");

	settings.replicas = NODES;
	settings.start.us = wait > 0 ? net->shells[number]->utc.us + wait : 0;
	settings.expire = wait + hour / 2;
	net_put_template(net, "");
	net_put_values(net, "", "later", 1);
	shell_open(net->shells[number], 1, &settings, "template");
	net_run(net);
	shell_add(net->shells[number], 1, MAILS, 1);
	net_run(net);
	shell_commit(net->shells[number], 1);
	net_run(net);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_last_answer(net->shells[number]), UPLOAD_ACCEPTED);
}

/* To start in half an hour. */
static void submit(struct net *net, uint32_t number)
{
	submit_for(net, number, hour / 2);
}

/* All clocks were compared. */
static struct net *started(void)
{
	struct net *net = net_new(NODES, NODES);

	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	return net;
}

/* Whoever of them owns it. */
static void a_clock_that_is_ahead_starts_nothing_early(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < NODES; wrong++) {
		struct net *net = net_new(NODES, NODES);

		net->shells[wrong]->utc.us += hour;
		net_start(net);
		net_advance(net, 20 * USEC_PER_SEC);
		submit(net, (wrong + 1) % NODES);
		net_advance(net, hour / 2 - 30 * USEC_PER_SEC);
		assert_int_equal(net_fed(net), 0);
		/* Its place is taken by one whose clock is right, or the operator sets it. */
		net->shells[wrong]->utc.us -= hour;
		net_advance(net, 60 * USEC_PER_SEC);
		assert_int_equal(net_fed(net), MAILS);
		net_free(net);
	}
}

/* The batch was accepted, and then the node died. */
static struct net *started_without(uint32_t number)
{
	struct net *net = started();

	submit(net, 0);
	net_kill(net, number);
	net_advance(net, 10 * USEC_PER_SEC);
	return net;
}

/* It starts again, and its clock is so far ahead. */
static void start_again(struct net *net, uint32_t number, usec ahead)
{
	net->shells[number]->utc.us += ahead;
	net_restart(net, number);
	net_advance(net, 60 * USEC_PER_SEC);
}

/* It has the batch from before, and has heard nobody yet. */
static void nor_does_it_when_it_has_just_started(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < NODES; wrong++) {
		struct net *net = started_without(wrong);

		start_again(net, wrong, hour);
		assert_int_equal(net_fed(net), 0);
		net_free(net);
	}
}

static uint64_t expired(struct net *net)
{
	net_query(net, 0, "later");
	net_advance(net, 3 * USEC_PER_SEC);
	assert_int_equal(net->answers[0].status, 0);
	return net->answers[0].view.states[MAIL_EXPIRED];
}

static void cut_off(struct net *net, uint32_t number, bool cut)
{
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != number && cut)
			net_cut(net, number, i);
		else if (i != number)
			net_link(net, number, i);
	}
}

/* Nobody contradicts it any more, but nobody has said that it is right. */
static void nor_does_it_end_anything_when_it_is_cut_off(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < NODES; wrong++) {
		struct net *net = net_new(NODES, NODES);

		net->shells[wrong]->utc.us += 24 * hour;
		net_start(net);
		net_advance(net, 20 * USEC_PER_SEC);
		submit(net, (wrong + 1) % NODES);
		net_advance(net, 20 * USEC_PER_SEC);
		cut_off(net, wrong, true);
		net_advance(net, 60 * USEC_PER_SEC);
		assert_true(cluster_clock_wrong(net->shells[wrong]->core));
		cut_off(net, wrong, false);
		net_advance(net, 20 * USEC_PER_SEC);
		assert_int_equal(net_fed(net), 0);
		assert_int_equal(expired(net), 0);
		/* What is heard last counts as it would be by now: the operator may set the clock. */
		cut_off(net, wrong, true);
		net_advance(net, 60 * USEC_PER_SEC);
		net->shells[wrong]->utc.us -= 24 * hour;
		net_advance(net, 20 * USEC_PER_SEC);
		assert_false(cluster_clock_wrong(net->shells[wrong]->core));
		net_free(net);
	}
}

/* It owns the batch, and whom it could compare its clock with is silent since it has started. */
static void nor_when_it_starts_cut_off(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < NODES; wrong++) {
		struct net *net = started_without(wrong);

		cut_off(net, wrong, true);
		start_again(net, wrong, 24 * hour);
		assert_false(cluster_clock_compared(net->shells[wrong]->core));
		cut_off(net, wrong, false);
		net_advance(net, 20 * USEC_PER_SEC);
		assert_int_equal(net_fed(net), 0);
		assert_int_equal(expired(net), 0);
		net_free(net);
	}
}

/* Nobody is left who could say what the time is. */
static void who_is_left_alone_goes_by_its_own_clock_in_the_end(void **state)
{
	struct net *net = net_new(2, 2);

	(void)state;
	net->shells[1]->utc.us += hour;
	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	net_cut(net, 0, 1);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(cluster_clock_wrong(net->shells[0]->core));
	net_advance(net, net->shells[0]->config.alone_after);
	assert_false(cluster_clock_wrong(net->shells[0]->core) || net->shells[0]->core->clock_wrong);
	net_free(net);
}

/* Either may be the wrong one. */
static void of_two_that_differ_neither_acts(void **state)
{
	struct net *net = net_new(2, 2);

	(void)state;
	net->shells[1]->utc.us += hour;
	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(cluster_clock_wrong(net->shells[i]->core) && net->shells[i]->core->clock_wrong);
	net->shells[1]->utc.us -=
	    hour - 50 * USEC_PER_SEC; /* each is near enough to what lies between them */
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 2; i++)
		assert_false(cluster_clock_wrong(net->shells[i]->core) || net->shells[i]->core->clock_wrong);
	net_free(net);
}

static struct shell *owner(struct net *net, uint32_t *ret_number)
{
	for (uint32_t i = 0; i < NODES; i++) {
		*ret_number = i;
		if (net->shells[i]->fed_count > 0)
			return net->shells[i];
	}
	fail_msg("nobody has fed anything");
	return NULL;
}

/* Its owner has deferred it by a clock that was ahead, by which its end comes before the retry. */
static void a_mail_is_tried_again_in_time_by_who_takes_it_over(void **state)
{
	struct net *net = started();
	struct shell *shell;
	uint32_t number;

	(void)state;
	submit_for(net, 0, 0);
	shell = owner(net, &number);
	assert_int_equal(shell->fed_count, MAILS);
	shell->utc.us += hour;
	for (uint32_t i = 0; i < MAILS; i++)
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_DEFERRED, i + 1);
	net_advance(net, USEC_PER_SEC);
	net_kill(net, number);
	net_advance(net, 290 * USEC_PER_SEC);
	assert_int_equal(net_fed(net), MAILS);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(net_fed(net), 2 * MAILS);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clock_that_is_ahead_starts_nothing_early),
	    cmocka_unit_test(nor_does_it_when_it_has_just_started),
	    cmocka_unit_test(nor_does_it_end_anything_when_it_is_cut_off),
	    cmocka_unit_test(nor_when_it_starts_cut_off),
	    cmocka_unit_test(who_is_left_alone_goes_by_its_own_clock_in_the_end),
	    cmocka_unit_test(of_two_that_differ_neither_acts),
	    cmocka_unit_test(a_mail_is_tried_again_in_time_by_who_takes_it_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
