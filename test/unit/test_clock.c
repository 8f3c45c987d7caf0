/* SPDX-License-Identifier: MIT */
/* Rule 9: a clock that the others contradict neither starts scheduled mail nor ends anybody's time. */
#include "core_net.h"

#include "queue/cluster.h"
#include "queue/state.h"

static const usec hour = 3600 * USEC_PER_SEC;

enum { NODES = 3, MAILS = 20 };

static size_t fed(const struct net *net)
{
	size_t count = 0;

	for (uint32_t i = 0; i < net->count; i++)
		count += net->shells[i]->fed_count;
	return count;
}

/* Accepted by a node, to start in half an hour. */
static void submit(struct net *net, uint32_t number)
{
	struct batch_settings settings = shell_settings("later");
	const struct opt_id key = batch_key("later"), upload = shell_upload_id(1), template = {{0}};
	const struct opt_id id = shard_id(&key, 0);

	settings.replicas = NODES;
	settings.start.us = net->shells[number]->utc.us + hour / 2;
	settings.expire = hour;
	net_put_value(net, "", &template, &upload, "template");
	net_put_value(net, "", &id, &upload, "recipients");
	shell_open(net->shells[number], 1, &settings, "template");
	net_run(net);
	shell_add(net->shells[number], 1, MAILS, 1);
	net_run(net);
	shell_commit(net->shells[number], 1);
	net_run(net);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_last_answer(net->shells[number]), UPLOAD_ACCEPTED);
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
		assert_int_equal(fed(net), 0);
		/* Its place is taken by one whose clock is right, or the operator sets it. */
		net->shells[wrong]->utc.us -= hour;
		net_advance(net, 60 * USEC_PER_SEC);
		assert_int_equal(fed(net), MAILS);
		net_free(net);
	}
}

/* It has the batch from before, and has heard nobody yet. */
static void nor_does_it_when_it_has_just_started(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < NODES; wrong++) {
		struct net *net = net_new(NODES, NODES);

		net_start(net);
		net_advance(net, 20 * USEC_PER_SEC);
		submit(net, 0);
		net_kill(net, wrong);
		net_advance(net, 10 * USEC_PER_SEC);
		net->shells[wrong]->utc.us += hour;
		net_restart(net, wrong);
		net_advance(net, 60 * USEC_PER_SEC);
		assert_int_equal(fed(net), 0);
		net_free(net);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clock_that_is_ahead_starts_nothing_early),
	    cmocka_unit_test(nor_does_it_when_it_has_just_started),
	    cmocka_unit_test(of_two_that_differ_neither_acts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
