/* SPDX-License-Identifier: MIT */
/*
 * Members that are alive and say nothing: the shards that need their word wait, without holding up the others
 * and without filling journals.
 */
#include "core_net.h"

#include "queue/peer.h"
#include "queue/state.h"

enum { MAILS = 400, SHUT = 4 /* shards */ };

static const char *const shut_members[SHUT + 1] = {"012", "012", "012", "012", NULL};
static const char *const open_members[] = {"034", "034", "034", "034", NULL};

static size_t from[NET_MAX]; /* of shell->fed: what was delivered */

static bool is_silenced(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->from == 0 && frame->to == 1 && ((const uint8_t *)frame->data)[1] == PEER_APPEND;
}

/* What is held never comes. */
static void drop_held(struct net *net)
{
	size_t kept = 0;

	for (size_t i = 0; i < net->frame_count; i++) {
		if (net->hold != NULL && net->hold(net, &net->frames[i]))
			free(net->frames[i].data);
		else
			net->frames[kept++] = net->frames[i];
	}
	net->frame_count = kept;
}

/* All that Postfix was given was sent. */
static void deliver(struct net *net)
{
	for (uint32_t i = 0; i < net->count; i++) {
		struct shell *shell = net->shells[i];

		for (; from[i] < shell->fed_count; ++from[i])
			shell_tell_outcome(shell, &shell->fed[from[i]], OUTCOME_SENT, 1 + from[i]);
	}
	net_run(net);
}

static void advance(struct net *net, usec duration)
{
	for (uint64_t end = net->shells[0]->now.us + duration; net->shells[0]->now.us < end;) {
		net_advance(net, USEC_PER_SEC / 10);
		drop_held(net);
		deliver(net);
	}
}

/* Of the journal of that shard of "shut". */
static size_t entries_of(const struct net *net, uint32_t index)
{
	const struct opt_id key = batch_key("shut"), id = shard_id(&key, index);
	size_t count = 0;

	for (size_t i = 0; i < net->shells[0]->entry_count; i++)
		count += id_equal(&net->shells[0]->entries[i].id, &id);
	return count;
}

static void command(struct net *net, enum control_what what)
{
	shell_tell_control(net->shells[0], "shut", what);
	shell_tell_control(net->shells[0], "open", what);
	net_advance(net, USEC_PER_SEC);
}

/* Node 0 feeds both batches, "shut" first. Of the other members of its shards one is gone, one says nothing.
 */
static struct net *start_net(uint32_t open_mails_max)
{
	const struct opt_id first = batch_key("shut"), second = batch_key("open");
	struct net *net = net_new(5, 3);

	memset(from, 0, sizeof(from));
	net->shells[0]->config.open_mails_max = open_mails_max;
	net_set_broken(net, 0); /* makes the cores anew */
	assert_true(id_compare(&first, &second) < 0);
	net_put_batch(net, "01234", "shut", "034", shut_members, MAILS);
	net_put_batch(net, "01234", "open", "034", open_members, MAILS);
	net_start(net);
	for (uint32_t i = 1; i < net->count; i++)
		shell_tell_drain(net->shells[i], true); /* they take nothing from it */
	command(net, CONTROL_PAUSED);
	deliver(net);
	assert_int_equal(core_numbers(net->shells[0]->core).in_flight, 0);
	assert_true(shell_count(net->shells[0], "shut", MAIL_READY) > 100);
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != 2)
			net_cut(net, i, 2);
	}
	net_advance(net, 10 * USEC_PER_SEC);
	net->hold = is_silenced;
	command(net, CONTROL_RUNNING);
	return net;
}

static void shards_whose_members_are_silent_hold_up_no_others(void **state)
{
	struct net *net = start_net(1000000);
	struct shell *shell = net->shells[0];

	(void)state;
	advance(net, 15 * USEC_PER_SEC);
	assert_int_equal(shell_count(shell, "open", MAIL_SENT), 4 * MAILS);
	assert_int_equal(shell_count(shell, "shut", MAIL_SENT), 100);
	assert_int_equal(shell->outcome_answer_count, from[0]);
	net_free(net);
}

static void nor_do_they_fill_their_journals_and_they_go_on_when_they_are_answered(void **state)
{
	size_t before[SHUT];
	struct net *net = start_net(1000000);

	(void)state;
	for (uint32_t i = 0; i < SHUT; i++)
		before[i] = entries_of(net, i);
	advance(net, 600 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHUT; i++)
		assert_in_range(entries_of(net, i) - before[i], 2, 30);
	net->hold = NULL;
	advance(net, 70 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[0], "shut", MAIL_SENT), SHUT * MAILS);
	net_free(net);
}

/* A member is back: nobody waits for the end of the rest. */
static void they_go_on_at_once_when_another_member_is_back(void **state)
{
	struct net *net = start_net(1000000);

	(void)state;
	advance(net, 100 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[0], "shut", MAIL_SENT), 100);
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != 2)
			net_link(net, i, 2);
	}
	advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[0], "shut", MAIL_SENT), SHUT * MAILS);
	net_free(net);
}

static void where_there_is_no_room_they_stay_closed(void **state)
{
	struct net *net = start_net(MAILS / 2);
	uint32_t opened = 0;

	(void)state;
	advance(net, 200 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHUT; i++)
		opened += net_shard(net, 0, "shut", i)->mails != NULL;
	assert_int_equal(opened, 1);
	assert_int_equal(shell_count(net->shells[0], "open", MAIL_SENT), 4 * MAILS);
	net->hold = NULL;
	advance(net, 70 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[0], "shut", MAIL_SENT), SHUT * MAILS);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shards_whose_members_are_silent_hold_up_no_others),
	    cmocka_unit_test(nor_do_they_fill_their_journals_and_they_go_on_when_they_are_answered),
	    cmocka_unit_test(they_go_on_at_once_when_another_member_is_back),
	    cmocka_unit_test(where_there_is_no_room_they_stay_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
