/* SPDX-License-Identifier: MIT */
/* Pause, resume, cancel and drain, given on any node of several. */
#include "core_net.h"

#include "queue/peer.h"

static const char *const spread[] = {"012", "120", "201", NULL};

/* Node 3 has nothing of the batch. */
static struct net *four_nodes(const char *homes, const char *const *members)
{
	struct net *net = net_new(4, 3);

	net_put_batch(net, strchr(homes, '3') == NULL ? "012" : "0123", "news", homes, members, 10);
	return net;
}

static enum control_answer command(struct net *net, uint32_t number, enum control_what what)
{
	struct shell *shell = net->shells[number];
	struct event event = {.type = EVENT_CONTROL, .control = {.reply = 1, .batch = "news", .what = what}};
	size_t before = shell->control_answer_count;

	shell_step(shell, &event);
	for (int i = 0; i < 50 && shell->control_answer_count == before; i++)
		net_advance(net, 100 * USEC_PER_MSEC);
	assert_int_equal(shell->control_answer_count, before + 1);
	return shell->control_answers[before];
}

static void check_state(struct net *net, const char *nodes, enum batch_state state)
{
	for (; *nodes != '\0'; nodes++)
		assert_int_equal(shell_view(net->shells[*nodes - '0'], "news").state, state);
}

static void a_command_on_any_node_reaches_all_who_take_part(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_PAUSED);
	assert_int_equal(command(net, 1, CONTROL_RUNNING), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_SENDING);
	assert_int_equal(command(net, 2, CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(command(net, 0, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_PAUSED);
	assert_int_equal(command(net, 3, CONTROL_CANCELLED), CONTROL_OK);
	assert_int_equal(command(net, 0, CONTROL_CANCELLED), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_CANCELLED);
	assert_int_equal(command(net, 3, CONTROL_RUNNING), CONTROL_ALREADY);
	assert_int_equal(command(net, 1, CONTROL_PAUSED), CONTROL_ALREADY);
	net_free(net);
}

static void the_homes_tell_all_who_take_part(void **state)
{
	struct net *net = four_nodes("0", spread);

	(void)state;
	net_start(net);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_PAUSED);
	net_free(net);
}

static void a_command_is_durable_on_a_majority_of_the_homes_when_it_is_answered(void **state)
{
	struct net *net = four_nodes("012", spread);
	struct event event = {
	    .type = EVENT_CONTROL, .control = {.reply = 1, .batch = "news", .what = CONTROL_PAUSED}};

	(void)state;
	net_start(net);
	net->shells[1]->hold_writes = net->shells[2]->hold_writes = true;
	shell_step(net->shells[3], &event);
	net_run(net);
	assert_int_equal(net->shells[3]->control_answer_count, 0);
	net->shells[1]->hold_writes = false;
	net_run(net);
	assert_int_equal(net->shells[3]->control_answer_count, 1);
	assert_int_equal(net->shells[3]->control_answers[0], CONTROL_OK);
	net->shells[2]->hold_writes = false;
	net_free(net);
}

static void without_a_majority_of_the_homes_a_command_is_to_be_tried_again(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	net_kill(net, 1);
	net_kill(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(command(net, 0, CONTROL_PAUSED), CONTROL_AGAIN);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_AGAIN);
	check_state(net, "0", BATCH_SENDING);
	net_free(net);
}

/* What node 3 commands, and node 0 tells, is on its way to all but node 0. */
static bool reaches_only_node_0(const struct net *net, const struct net_frame *frame)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;
	bool held;

	(void)net;
	held = peer_read(reader, frame->data, frame->len, &message) == 0 && message.type == PEER_CONTROL &&
	       !message.answer && frame->to != 0 && (frame->from == 0 || frame->from == 3);
	peer_reader_free(reader);
	return held;
}

static void command_in_vain(struct net *net, enum control_what what)
{
	net->hold = reaches_only_node_0;
	assert_int_equal(command(net, 3, what), CONTROL_AGAIN);
}

/* Neither node 0 nor what is on its way can be seen. */
static void command_after_it(struct net *net, enum control_what what)
{
	for (uint32_t i = 1; i < 4; i++)
		net_cut(net, 0, i);
	assert_int_equal(command(net, 1, what), CONTROL_OK);
	net->hold = NULL;
	for (uint32_t i = 1; i < 4; i++)
		net_link(net, 0, i);
	net_advance(net, 5 * USEC_PER_SEC);
}

static void a_command_that_was_not_acknowledged_never_undoes_a_later_one(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	command_in_vain(net, CONTROL_PAUSED);
	check_state(net, "0", BATCH_PAUSED);
	command_after_it(net, CONTROL_RUNNING);
	check_state(net, "012", BATCH_SENDING);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	check_state(net, "012", BATCH_PAUSED);
	command_in_vain(net, CONTROL_RUNNING);
	check_state(net, "0", BATCH_SENDING);
	command_after_it(net, CONTROL_PAUSED);
	check_state(net, "012", BATCH_PAUSED);
	net_free(net);
}

/* The homes that noted the version of the command start anew in between. */
static void a_version_that_was_given_is_known_after_a_restart(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	command_in_vain(net, CONTROL_PAUSED);
	for (uint32_t i = 1; i < 3; i++) {
		net_kill(net, i);
		net_advance(net, USEC_PER_SEC);
		net_restart(net, i);
		net_advance(net, 5 * USEC_PER_SEC);
	}
	command_after_it(net, CONTROL_RUNNING);
	check_state(net, "012", BATCH_SENDING);
	net_free(net);
}

static void a_node_that_was_away_learns_of_the_command(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	net_kill(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(command(net, 3, CONTROL_CANCELLED), CONTROL_OK);
	net_advance(net, USEC_PER_SEC);
	net_restart(net, 0);
	net_advance(net, 5 * USEC_PER_SEC);
	check_state(net, "012", BATCH_CANCELLED);
	net_free(net);
}

static void forget(struct net *net, uint32_t node)
{
	net_kill(net, node);
	net_advance(net, 10 * USEC_PER_SEC);
	net_forget(net, 3, node);
	net_advance(net, 5 * USEC_PER_SEC);
}

static void nobody_waits_for_homes_that_were_forgotten(void **state)
{
	struct net *net = four_nodes("012", spread);

	(void)state;
	net_start(net);
	forget(net, 1);
	forget(net, 2);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	check_state(net, "0", BATCH_PAUSED);
	assert_int_equal(command(net, 0, CONTROL_CANCELLED), CONTROL_OK);
	net_free(net);
}

static void where_all_homes_were_forgotten_the_present_ones_take_commands(void **state)
{
	struct net *net = four_nodes("1", spread);

	(void)state;
	net_start(net);
	forget(net, 1);
	assert_int_equal(command(net, 3, CONTROL_PAUSED), CONTROL_OK);
	net_run(net);
	/* The present homes have the batch by now, and tell those that are left. */
	check_state(net, "023", BATCH_PAUSED);
	net_free(net);
}

static void a_batch_that_nobody_knows_takes_no_command(void **state)
{
	struct net *net = net_new(3, 3);

	(void)state;
	net_start(net);
	assert_int_equal(command(net, 1, CONTROL_PAUSED), CONTROL_NOT_FOUND);
	net_free(net);
}

/*
 * The one home can't reach the owner: the owner hears of the command from the replicas that refuse its
 * claims, and nothing is fed.
 */
static size_t fed_after_cancel(uint32_t broken_rule)
{
	static const char *const one[] = {"012", NULL};
	struct net *net = four_nodes("3", one);
	size_t fed;

	for (uint32_t i = 0; i < 4; i++) {
		net->shells[i]->hold_loads = false;
		net->shells[i]->hold_engine = true;
	}
	net_set_broken(net, broken_rule);
	net_start(net);
	net_cut(net, 0, 3);
	assert_int_equal(command(net, 3, CONTROL_CANCELLED), CONTROL_OK);
	net_run(net);
	check_state(net, "12", BATCH_CANCELLED);
	check_state(net, "0", BATCH_SENDING);
	for (uint32_t i = 0; i < 4; i++)
		net->shells[i]->hold_engine = false;
	net_advance(net, 10 * USEC_PER_SEC);
	fed = net->shells[0]->fed_count;
	if (broken_rule == CORE_BUG_NONE)
		check_state(net, "0", BATCH_CANCELLED);
	net_free(net);
	return fed;
}

static void replicas_refuse_claims_of_a_cancelled_batch(void **state)
{
	(void)state;
	assert_int_equal(fed_after_cancel(CORE_BUG_NONE), 0);
	assert_true(fed_after_cancel(CORE_BUG_CANCEL_NOT_REFUSED) > 0);
}

static enum control_answer drain(struct net *net, uint32_t number, uint32_t node, bool on)
{
	struct shell *shell = net->shells[number];
	struct event event = {.type = EVENT_DRAIN, .drain = {.reply = 1, .node = net_node(node), .on = on}};
	size_t before = shell->control_answer_count;

	shell_step(shell, &event);
	for (int i = 0; i < 50 && shell->control_answer_count == before; i++)
		net_advance(net, 100 * USEC_PER_MSEC);
	assert_int_equal(shell->control_answer_count, before + 1);
	return shell->control_answers[before];
}

static void any_node_can_drain_another(void **state)
{
	struct net *net = net_new(3, 3);

	(void)state;
	net_start(net);
	assert_int_equal(drain(net, 0, 1, true), CONTROL_OK);
	assert_true(core_numbers(net->shells[1]->core).draining);
	assert_false(core_numbers(net->shells[0]->core).draining);
	assert_int_equal(drain(net, 2, 1, true), CONTROL_OK);
	assert_int_equal(drain(net, 1, 1, false), CONTROL_OK);
	assert_false(core_numbers(net->shells[1]->core).draining);
	assert_int_equal(drain(net, 0, 7, true), CONTROL_NOT_FOUND);
	net_kill(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(drain(net, 0, 1, true), CONTROL_AGAIN);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_on_any_node_reaches_all_who_take_part),
	    cmocka_unit_test(the_homes_tell_all_who_take_part),
	    cmocka_unit_test(a_command_is_durable_on_a_majority_of_the_homes_when_it_is_answered),
	    cmocka_unit_test(without_a_majority_of_the_homes_a_command_is_to_be_tried_again),
	    cmocka_unit_test(a_command_that_was_not_acknowledged_never_undoes_a_later_one),
	    cmocka_unit_test(a_version_that_was_given_is_known_after_a_restart),
	    cmocka_unit_test(a_node_that_was_away_learns_of_the_command),
	    cmocka_unit_test(nobody_waits_for_homes_that_were_forgotten),
	    cmocka_unit_test(where_all_homes_were_forgotten_the_present_ones_take_commands),
	    cmocka_unit_test(a_batch_that_nobody_knows_takes_no_command),
	    cmocka_unit_test(replicas_refuse_claims_of_a_cancelled_batch),
	    cmocka_unit_test(any_node_can_drain_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
