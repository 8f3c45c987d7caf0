/* SPDX-License-Identifier: MIT */
/* The end of a batch is a matter of its facts: when it was, and what was counted, is the same after a
 * restart. */
#include "core_net.h"

#include "queue/change.h"
#include "queue/peer.h"
#include "queue/state.h"

enum { MAILS = 5 };

static const char *const members[] = {"012", NULL};

/* All is in the Postfix of node 0. */
static struct net *all_fed(void)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, "012", "over", "012", members, MAILS);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, MAILS);
	return net;
}

/* All is sent by node 0, and known to be over everywhere. */
static struct net *all_sent(void)
{
	struct net *net = all_fed();

	for (size_t i = 0; i < MAILS; i++) {
		shell_tell_outcome(net->shells[0], &net->shells[0]->fed[i], OUTCOME_SENT, 1);
		net_advance(net, USEC_PER_SEC);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shell_view(net->shells[i], "over").state, BATCH_DONE);
	return net;
}

/* Another delivery of a mail that was sent, of which node 0 hears late. */
static void tell_late_word(struct net *net)
{
	struct attempt_key key = net->shells[0]->fed[0];

	key.attempt++;
	shell_tell_outcome(net->shells[0], &key, OUTCOME_SENT, 1);
}

static void it_ends_with_its_last_fact_on_every_node(void **state)
{
	struct net *net = all_sent();
	const struct utc_time end = {net->shells[0]->utc.us - USEC_PER_SEC};

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(shell_view(net->shells[i], "over").finished.us, end.us);
		net_restart(net, i);
		net_advance(net, 10 * USEC_PER_SEC);
		assert_int_equal(shell_view(net->shells[i], "over").finished.us, end.us);
	}
	/* A late fact moves it, and an old one that is told again does not. */
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[0], OUTCOME_DEFERRED, 1);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[1], "over").finished.us, end.us);
	tell_late_word(net);
	net_advance(net, USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(
		    shell_view(net->shells[i], "over").finished.us, net->shells[i]->utc.us - USEC_PER_SEC);
	net_free(net);
}

static void a_late_fact_is_never_hidden_behind_the_summary(void **state)
{
	struct net *net = all_sent();

	(void)state;
	/* Node 1 dies when it has the fact in its store, and before it has taken it in. */
	net->shells[1]->hold_loads = true;
	tell_late_word(net);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[2], "over").duplicates, 1);
	net_kill(net, 1);
	net_kill(net, 0);
	net_kill(net, 2);
	net->shells[1]->hold_loads = false;
	net_restart(net, 1);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[1], "over").duplicates, 1);
	assert_int_equal(shell_view(net->shells[1], "over").state, BATCH_DONE);
	net_free(net);
}

/* It was away, or cut off, when the fact came; those who knew that it lacks it have restarted since. */
static void who_lacks_a_late_fact_gets_it_after_a_restart_of_the_others(void **state)
{
	(void)state;
	for (int was_down = 0; was_down < 2; was_down++) {
		struct net *net = all_sent();

		for (uint32_t i = 0; i < 2 && !was_down; i++)
			net_cut(net, i, 2);
		if (was_down)
			net_kill(net, 2);
		net_advance(net, 10 * USEC_PER_SEC);
		tell_late_word(net);
		net_advance(net, USEC_PER_SEC);
		assert_int_equal(shell_view(net->shells[1], "over").duplicates, 1);
		net_kill(net, 0);
		net_kill(net, 1);
		net_restart(net, 0);
		net_restart(net, 1);
		net_advance(net, 20 * USEC_PER_SEC);
		assert_int_equal(shell_view(net->shells[2], "over").duplicates, 0);
		for (uint32_t i = 0; i < 2 && !was_down; i++)
			net_link(net, i, 2);
		if (was_down)
			net_restart(net, 2);
		net_advance(net, 20 * USEC_PER_SEC);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(shell_view(net->shells[i], "over").duplicates, 1);
			assert_int_equal(shell_view(net->shells[i], "over").state, BATCH_DONE);
		}
		net_free(net);
	}
}

static void who_left_a_shard_does_not_count_it(void **state)
{
	struct net *net = all_sent();
	const struct opt_id key = batch_key("over"), id = shard_id(&key, 0);
	const struct opt_id others[] = {net_node(1), net_node(2)};
	const struct shard *shard = net_shard(net, 0, "over", 0);
	const struct journal_entry entry = {.type = JOURNAL_CONFIG,
	    .config = shard->promised * CONFIGS_AN_EPOCH,
	    .epoch = shard->promised,
	    .members = others,
	    .count = 2};

	(void)state;
	/* The entry that removed it came when all was over here. */
	net_kill(net, 0);
	shell_put_entry(net->shells[0], &id, &entry);
	for (int round = 0; round < 2; round++) {
		/* Whether the summary is believed, or all journals are read. */
		net_restart(net, 0);
		tell_late_word(net);
		net_advance(net, USEC_PER_SEC);
		assert_int_equal(shell_count(net->shells[0], "over", MAIL_SENT), 0);
		assert_int_equal(shell_view(net->shells[0], "over").duplicates, 0);
		assert_int_equal(shell_view(net->shells[0], "over").finished.us, 0);
	}
	assert_int_equal(shell_count(net->shells[1], "over", MAIL_SENT), MAILS);
	assert_int_equal(shell_view(net->shells[1], "over").duplicates, 1);
	net_free(net);
}

/* Node 0 died with a fact that it has told nobody, and was removed. The others are there. */
static struct net *removed_with_a_fact(void)
{
	struct net *net = all_fed();
	const struct opt_id key = batch_key("over"), id = shard_id(&key, 0);
	const struct opt_id others[] = {net_node(1), net_node(2)};
	const struct journal_entry entry = {
	    .type = JOURNAL_CONFIG, .config = CONFIGS_AN_EPOCH, .epoch = 1, .members = others, .count = 2};

	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[0], OUTCOME_BOUNCED, 1);
	net_run(net);
	net_kill(net, 0);
	for (uint32_t i = 1; i < 3; i++) {
		net_kill(net, i);
		shell_put_entry(net->shells[i], &id, &entry);
	}
	net_restart(net, 1);
	net_restart(net, 2);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[1], "over", MAIL_BOUNCED), 0);
	memset(net->cut, 0, sizeof(net->cut));
	return net;
}

static void who_was_removed_while_it_was_away_brings_its_facts(void **state)
{
	struct net *net = removed_with_a_fact();

	(void)state;
	net_restart(net, 0);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_false(net_shard(net, 0, "over", 0)->mine);
	for (uint32_t i = 1; i < 3; i++)
		assert_int_equal(shell_count(net->shells[i], "over", MAIL_BOUNCED), 1);
	net_free(net);
}

static bool nobody_asks_node_2_for_its_journal(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->to == 2 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_JOURNAL;
}

/* The one member that it waits for dies, and it is no member itself. */
static void who_was_removed_does_not_wait_for_the_dead(void **state)
{
	struct net *net = removed_with_a_fact();

	(void)state;
	net->hold = nobody_asks_node_2_for_its_journal;
	net_restart(net, 0);
	net_advance(net, 3 * USEC_PER_SEC);
	assert_false(net_shard(net, 0, "over", 0)->mine);
	assert_non_null(net_shard(net, 0, "over", 0)->sync);
	net_kill(net, 2);
	net->hold = NULL;
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[1], "over", MAIL_BOUNCED), 1);
	net_free(net);
}

/* No home is there to tell it, and where all is finished it asks none: it is said with how the shards ended.
 */
static void who_has_finished_hears_that_the_batch_was_cancelled(void **state)
{
	const struct journal_entry cancel = {
	    .type = JOURNAL_CONTROL, .control = {.version = 1, .what = CONTROL_CANCELLED, .at = {1}}};
	const struct opt_id batch = batch_key("over");
	struct net *net = net_new(4, 3);

	(void)state;
	net_put_batch(net, "0123", "over", "3", members, MAILS);
	net->down[3] = true;
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	for (size_t i = 0; i < MAILS; i++)
		shell_tell_outcome(net->shells[0], &net->shells[0]->fed[i], OUTCOME_SENT, 1);
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(shell_view(net->shells[i], "over").state, BATCH_DONE);
		net_kill(net, i);
	}
	for (uint32_t i = 0; i < 2; i++)
		shell_put_entry(net->shells[i], &batch, &cancel);
	for (uint32_t i = 0; i < 3; i++)
		net_restart(net, i);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shell_view(net->shells[i], "over").state, BATCH_CANCELLED);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_ends_with_its_last_fact_on_every_node),
	    cmocka_unit_test(a_late_fact_is_never_hidden_behind_the_summary),
	    cmocka_unit_test(who_lacks_a_late_fact_gets_it_after_a_restart_of_the_others),
	    cmocka_unit_test(who_left_a_shard_does_not_count_it),
	    cmocka_unit_test(who_was_removed_while_it_was_away_brings_its_facts),
	    cmocka_unit_test(who_was_removed_does_not_wait_for_the_dead),
	    cmocka_unit_test(who_has_finished_hears_that_the_batch_was_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
