/* SPDX-License-Identifier: MIT */
/* What any node says of any batch: counts and shards, from whoever knows them. */
#include "core_net.h"

#include "queue/message/buffer.h"

static uint64_t sum(const struct batch_view *view)
{
	uint64_t total = view->unavailable;

	for (int state = 0; state < MAIL_STATES; state++)
		total += view->states[state];
	return total;
}

static void a_node_alone_answers_in_the_same_step_and_asks_nobody(void **state)
{
	struct net *net = net_new(1, 3);
	struct batch_view view;

	(void)state;
	net_start(net);
	shell_submit_name(net->shells[0], "alone", 700);
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[0], OUTCOME_SENT, 1);
	shell_run(net->shells[0]);
	net_query(net, 0, "alone");
	assert_int_equal(net->answers[0].count, 1);
	assert_int_equal(net->answers[0].status, 0);
	view = shell_view(net->shells[0], "alone");
	assert_memory_equal(net->answers[0].view.states, view.states, sizeof(view.states));
	assert_int_equal(net->answers[0].view.states[MAIL_SENT], 1);
	assert_int_equal(net->answers[0].view.state, BATCH_SENDING);
	assert_string_equal(net->answers[0].name, "alone");
	assert_int_equal(sum(&net->answers[0].view), 700);
	net_query(net, 0, "nothing");
	assert_int_equal(net->answers[0].count, 2);
	assert_int_equal(net->answers[0].status, OPT_E_NOT_FOUND);
	assert_int_equal(net->sent[0] + net->directory_gets, 0);
	net_free(net);
}

static void an_upload_shows_on_its_own_node(void **state)
{
	struct net *net = net_new(1, 3);
	const struct batch_settings settings = shell_settings("coming");

	(void)state;
	net_start(net);
	shell_open(net->shells[0], 1, &settings, "template");
	shell_add(net->shells[0], 1, 20, 0);
	shell_run(net->shells[0]);
	net_query(net, 0, "coming");
	assert_int_equal(net->answers[0].status, 0);
	assert_int_equal(net->answers[0].view.state, BATCH_UPLOADING);
	assert_int_equal(net->answers[0].view.total, 20);
	net_free(net);
}

static void a_node_alone_reads_its_own_shards(void **state)
{
	struct net *net = net_new(1, 3);
	const struct opt_id key = batch_key("alone");
	const struct opt_id shard = shard_id(&key, 0);
	const struct opt_id upload = shell_upload_id(100);

	(void)state;
	net_start(net);
	net_put_value(net, "0", &shard, &upload, "recipients");
	shell_submit_name(net->shells[0], "alone", 50);
	net_fetch(net, 0, "alone", 0);
	net_run(net);
	assert_int_equal(net->answers[0].status, 0);
	assert_int_equal(net->answers[0].len, 10);
	assert_memory_equal(net->answers[0].data, "recipients", 10);
	assert_int_equal(net->answers[0].entries, net->shells[0]->entry_count);
	assert_true(net->answers[0].entries > 0);
	net_fetch(net, 0, "alone", 1);
	assert_int_equal(net->answers[0].status, OPT_E_NOT_FOUND);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_alone_answers_in_the_same_step_and_asks_nobody),
	    cmocka_unit_test(an_upload_shows_on_its_own_node),
	    cmocka_unit_test(a_node_alone_reads_its_own_shards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
