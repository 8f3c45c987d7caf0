/* SPDX-License-Identifier: MIT */
/*
 * A template that takes several messages: no node says that it has a shard before it has the template, and
 * one that lacks it gets it, whatever was lost on the way.
 */
#include "core_net.h"

#include "queue/peer.h"

enum { LENGTH = 2 * STAGE_PART + 1000, SHARDS = 3 };

static struct net *net;
static char *text;
static bool hold;        /* the last part for node 2 is still on its way */
static bool hold_shards; /* the shards for it */

static bool held(const struct net *n, const struct net_frame *frame)
{
	const uint8_t *bytes = frame->data;

	(void)n;
	if (frame->to != 2)
		return false;
	return (hold && bytes[1] == PEER_STAGE_OPEN && frame->len < STAGE_PART) ||
	       (hold_shards && bytes[1] == PEER_STAGE_SHARD);
}

static int set_up(void **state)
{
	(void)state;
	text = malloc(LENGTH + 1);
	assert_non_null(text);
	memset(text, 'x', LENGTH);
	text[LENGTH] = '\0';
	net = net_new(3, 3);
	net_start(net);
	net->hold = held;
	for (uint32_t i = 0; i < 3; i++)
		net->shells[i]->no_template = true;
	hold = hold_shards = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	free(text);
	return 0;
}

static void begin(const char *template)
{
	struct batch_settings settings = shell_settings("news");

	settings.replicas = 0;
	shell_open(net->shells[0], 1, &settings, template);
	for (uint32_t i = 1; i <= SHARDS; i++)
		shell_add(net->shells[0], 1, 4, i);
}

static void assert_accepted(void)
{
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
}

/* All of the batch is durable on the node, and nothing is open. */
static void assert_complete(uint32_t node)
{
	const struct shell *shell = net->shells[node];

	assert_true(net_has_batch(net, node, "news"));
	assert_int_equal(shell->template_len, LENGTH);
	assert_int_equal(shell->value_count, SHARDS);
	assert_int_equal(shell->upload_count, 0);
}

static void its_batch_is_accepted_without_a_repeat(void **state)
{
	(void)state;
	begin(text);
	shell_commit(net->shells[0], 1);
	net_run(net);
	assert_accepted();
	for (uint32_t i = 0; i < 3; i++)
		assert_complete(i);
}

static void the_record_overtakes_it(void **state)
{
	(void)state;
	hold = true;
	begin(text);
	shell_commit(net->shells[0], 1);
	net_advance(net, 6 * USEC_PER_SEC);
	assert_accepted();
	assert_true(net_has_batch(net, 2, "news"));
	assert_int_equal(net->shells[2]->template_len, 0);
	assert_int_equal(net->shells[2]->value_count, 0);
	hold = false;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_complete(2);
}

/* When the link is back the coordinator has long given up; the replica has got all from another member, whose
 * template is a short one here. */
static void the_record_overtakes_it_by_far(void **state)
{
	(void)state;
	net_put_template(net, "");
	net_put_values(net, "", "news", SHARDS);
	hold = true;
	begin(text);
	shell_commit(net->shells[0], 1);
	net_advance(net, 6 * USEC_PER_SEC);
	assert_accepted();
	net->cut[0][2] = net->cut[2][0] = true;
	net_advance(net, 4 * USEC_PER_SEC);
	hold = false;
	net_advance(net, 20 * USEC_PER_SEC);
	net_link(net, 0, 2);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[2]->template_len, strlen("template"));
	assert_int_equal(net->shells[2]->value_count, SHARDS);
	assert_int_equal(net->shells[2]->upload_count, 0);
}

static void a_replica_that_restarts_gets_it_from_the_first_part(void **state)
{
	(void)state;
	hold = true;
	begin(text);
	net_run(net);
	net_restart(net, 2);
	hold = false;
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->shells[2]->template_len, LENGTH);
	assert_int_equal(net->shells[2]->value_count, SHARDS);
	shell_commit(net->shells[0], 1);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_accepted();
	assert_complete(2);
}

static void a_replica_that_restarts_with_the_record_gets_it_all_the_same(void **state)
{
	(void)state;
	hold = true;
	begin(text);
	shell_commit(net->shells[0], 1);
	net_advance(net, 6 * USEC_PER_SEC);
	assert_accepted();
	assert_true(net_has_batch(net, 2, "news"));
	net_restart(net, 2);
	hold = false;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_complete(2);
}

/* It does not know that it has the template. */
static void a_replica_that_restarts_behind_it_gets_the_shards(void **state)
{
	(void)state;
	hold_shards = true;
	begin(text);
	shell_commit(net->shells[0], 1);
	net_run(net);
	assert_accepted();
	assert_true(net_has_batch(net, 2, "news"));
	assert_int_equal(net->shells[2]->template_len, LENGTH);
	assert_int_equal(net->shells[2]->value_count, 0);
	net_restart(net, 2);
	hold_shards = false;
	net_run(net);
	assert_true(net->shells[2]->value_count >= SHARDS); /* twice is as good as once */
	assert_int_equal(net->shells[2]->upload_count, 0);
}

static void a_node_without_it_has_no_shard(void **state)
{
	struct shell *shell = net->shells[2];

	(void)state;
	net_put_template(net, "");
	net_put_values(net, "", "news", SHARDS);
	shell->hold_writes = true;
	begin("template");
	net_run(net);
	shell_answer_write(shell, OPT_E_FULL);
	shell->hold_writes = false;
	net_run(net);
	assert_int_equal(shell->template_len, 0);
	shell_commit(net->shells[0], 1);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_accepted();
	assert_true(net_has_batch(net, 2, "news"));
	assert_int_equal(shell->fed_count, 0);
	/* The owner of some gets it from another one. */
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(shell->template_len, strlen("template"));
	assert_true(shell->fed_count > 0);
	assert_int_equal(net_fed(net), 4 * SHARDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(its_batch_is_accepted_without_a_repeat),
	    TEST(the_record_overtakes_it),
	    TEST(the_record_overtakes_it_by_far),
	    TEST(a_replica_that_restarts_gets_it_from_the_first_part),
	    TEST(a_replica_that_restarts_with_the_record_gets_it_all_the_same),
	    TEST(a_replica_that_restarts_behind_it_gets_the_shards),
	    TEST(a_node_without_it_has_no_shard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
