/* SPDX-License-Identifier: MIT */
/* What a node has promised of a shard stands, also when its batch is over and the node has restarted. */
#include "core_net.h"

#include "queue/state.h"

enum { MAILS = 5 };

static const char *const members[] = {"012", NULL};

static struct shard *shard_of(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "late", 0);
}

/* The first owner knows nothing of the batch and is not there; another one has sent it in the second epoch.
 */
static struct net *sent_without_the_first_owner(void)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, "12", "late", "012", members, MAILS);
	net_put_template(net, "012");
	net_put_values(net, "012", "late", 1);
	net->down[0] = true;
	net_start(net);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[1]->fed_count, MAILS);
	for (size_t i = 0; i < MAILS; i++)
		shell_tell_outcome(net->shells[1], &net->shells[1]->fed[i], OUTCOME_SENT, 1);
	net_advance(net, USEC_PER_SEC);
	for (uint32_t i = 1; i < 3; i++)
		assert_int_equal(shell_view(net->shells[i], "late").state, BATCH_DONE);
	return net;
}

static void an_owner_that_was_away_does_not_send_again_what_is_over(void **state)
{
	struct net *net = sent_without_the_first_owner();

	(void)state;
	net_kill(net, 1);
	net_restart(net, 2);
	net_restart(net, 0);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, 0);
	assert_int_equal(shell_count(net->shells[0], "late", MAIL_SENT), MAILS);
	assert_int_equal(shell_view(net->shells[0], "late").state, BATCH_DONE);
	net_free(net);
}

static void nobody_votes_while_the_journal_is_being_read(void **state)
{
	struct net *net = sent_without_the_first_owner();
	struct shard *shard;

	(void)state;
	net_kill(net, 1);
	net_restart(net, 2);
	shard = shard_of(net, 2);
	assert_int_equal(shard->header, HEADER_UNREAD);
	net->shells[2]->hold_loads = true;
	net_restart(net, 0);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(shard->header, HEADER_LOADING);
	assert_int_equal(net->shells[0]->fed_count, 0);
	net->shells[2]->hold_loads = false;
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, 0);
	assert_true(shard->promised >= 2);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_owner_that_was_away_does_not_send_again_what_is_over),
	    cmocka_unit_test(nobody_votes_while_the_journal_is_being_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
