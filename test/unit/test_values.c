/* SPDX-License-Identifier: MIT */
/*
 * A replica that knows the batch and lacks its values gets them from another one, also when the coordinator
 * died as soon as a majority had them, and nobody feeds the batch yet.
 */
#include "core_net.h"

#include "queue/peer.h"

enum { SHARDS = 3 };

static struct net *net;
static bool hold_template, hold_shards; /* those for node 2 are still on their way */

static bool held(const struct net *n, const struct net_frame *frame)
{
	const uint8_t *bytes = frame->data;

	(void)n;
	return frame->to == 2 && ((hold_template && bytes[1] == PEER_STAGE_OPEN) ||
	                             (hold_shards && bytes[1] == PEER_STAGE_SHARD));
}

static int set_up(void **state)
{
	(void)state;
	net = net_new(3, 3);
	net_start(net);
	net->hold = held;
	for (uint32_t i = 0; i < 3; i++)
		net->shells[i]->no_template = true;
	net_put_template(net, "");
	net_put_values(net, "", "news", SHARDS);
	hold_template = hold_shards = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

/* Accepted by node 0, with or without the values at node 2, and to be sent much later. */
static void accept_batch(bool complete)
{
	struct batch_settings settings = shell_settings("news");

	settings.replicas = 0;
	settings.start.us = net->shells[0]->utc.us + 3600 * USEC_PER_SEC;
	shell_open(net->shells[0], 1, &settings, "template");
	for (uint32_t i = 1; i <= SHARDS; i++)
		shell_add(net->shells[0], 1, 4, i);
	shell_commit(net->shells[0], 1);
	net_advance(net, 6 * USEC_PER_SEC);
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
	assert_true(net_has_batch(net, 2, "news"));
	assert_int_equal(net->shells[2]->value_count, complete ? SHARDS : 0);
}

static void assert_complete(void)
{
	const struct shell *shell = net->shells[2];

	assert_int_equal(shell->template_len, strlen("template"));
	assert_int_equal(shell->value_count, SHARDS);
	assert_int_equal(shell->upload_count, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(net->shells[i]->fed_count, 0);
}

static void it_gets_shards_after_the_death_of_the_coordinator(void **state)
{
	(void)state;
	hold_shards = true;
	accept_batch(false);
	net_kill(net, 0);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_complete();
}

static void it_gets_the_template_as_well(void **state)
{
	(void)state;
	hold_template = hold_shards = true;
	accept_batch(false);
	assert_int_equal(net->shells[2]->template_len, 0);
	net_kill(net, 0);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_complete();
}

static void it_gets_them_after_its_own_restart(void **state)
{
	(void)state;
	hold_shards = true;
	accept_batch(false);
	net_kill(net, 0);
	net_restart(net, 2);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_complete();
}

/* A frame that asks for a value. */
static bool asks(const struct net *n, const struct net_frame *frame)
{
	(void)n;
	assert_int_not_equal(((const uint8_t *)frame->data)[1], PEER_FETCH);
	return false;
}

static void who_has_them_asks_nobody(void **state)
{
	(void)state;
	accept_batch(true);
	net->hold = asks;
	net_restart(net, 2);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(net->shells[2]->value_count, SHARDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(it_gets_shards_after_the_death_of_the_coordinator),
	    TEST(it_gets_the_template_as_well),
	    TEST(it_gets_them_after_its_own_restart),
	    TEST(who_has_them_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
