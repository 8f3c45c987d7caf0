/* SPDX-License-Identifier: MIT */
/* Rule 4: mail that another node has claimed is waited for, and not for ever, whatever became of that node.
 */
#include "core_net.h"

#include "queue/state.h"

enum { MAILS = 20 };

static const usec hold = 60 * USEC_PER_SEC; /* doubt_hold */

static const char *const trio[] = {"012", NULL};
static const char *const five[] = {"01234", NULL};

static struct opt_id the_shard(void)
{
	const struct opt_id key = batch_key("news");

	return shard_id(&key, 0);
}

static struct shard *shard_at(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "news", 0);
}

/* Node 3 had owned the shard, and had claimed all of it, before it left it to the three members. */
static struct net *make_net(void)
{
	struct net *net = net_new(4, 3);
	const struct opt_id id = the_shard();
	struct claim claims[MAILS];
	const struct journal_entry entry = {.type = JOURNAL_CLAIMS,
	    .epoch = 2,
	    .node = net_node(3),
	    .generation = 1,
	    .claims = claims,
	    .count = MAILS};

	for (uint32_t i = 0; i < MAILS; i++)
		claims[i] = (struct claim){.index = i, .attempt = 1};
	net_put_batch(net, "0123", "news", "012", trio, MAILS);
	net_put_values(net, "012", "news", 1);
	for (uint32_t i = 0; i < 3; i++)
		shell_put_entry(net->shells[i], &id, &entry);
	return net;
}

/* An owner waits for node 3, and has it as alive. */
static void check_waits(const struct net *net)
{
	uint32_t owners = 0;

	for (uint32_t i = 0; i < 3; i++) {
		owners += shard_at(net, i)->owning;
		assert_int_equal(shard_at(net, i)->states[MAIL_CLAIMED], MAILS);
	}
	assert_int_equal(owners, 1);
	assert_int_equal(net_fed(net), 0);
}

static void check_resent(const struct net *net)
{
	assert_int_equal(net_fed(net), MAILS);
	assert_int_equal(shell_view(net->shells[0], "news").in_doubt_resent, MAILS);
}

/* Node 3 is there, and its claims are given up after `hold`. */
static void check_waits_once(struct net *net)
{
	net_start(net);
	net_advance(net, hold - 10 * USEC_PER_SEC);
	check_waits(net);
	net_advance(net, 30 * USEC_PER_SEC);
	check_resent(net);
}

/* It says itself that it has none of it. */
static void a_node_that_has_lost_its_journal_is_asked(void **state)
{
	struct net *net = make_net();

	(void)state;
	check_waits_once(net);
	net_free(net);
}

/* The others say that it lives. */
static void a_node_that_does_not_answer_is_not_waited_for(void **state)
{
	struct net *net = make_net();

	(void)state;
	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++) {
		if (shard_at(net, i)->owning)
			net_cut(net, i, 3);
	}
	net_advance(net, 2 * hold - 30 * USEC_PER_SEC);
	check_waits(net);
	net_advance(net, 60 * USEC_PER_SEC);
	check_resent(net);
	net_free(net);
}

static void a_node_that_can_not_read_its_spool_is_not_waited_for(void **state)
{
	struct net *net = make_net();

	(void)state;
	net->shells[3]->hold_engine = true;
	check_waits_once(net);
	net_free(net);
}

/* What its journal says has not reached anybody. */
static void put_outcomes(struct shell *shell)
{
	struct outcome outcomes[MAILS];
	const struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = outcomes, .count = MAILS};
	struct buffer bytes;

	for (uint32_t i = 0; i < MAILS; i++)
		outcomes[i] = (struct outcome){
		    .key = {.shard = the_shard(), .index = i, .epoch = 2, .node = net_node(3), .attempt = 1},
		    .kind = OUTCOME_SENT,
		    .at = shell->utc,
		    .dsn = "2.0.0",
		    .relay = "",
		    .reason = ""};
	buffer_init(&bytes);
	journal_encode(&entry, &bytes);
	shell->entries[shell->entry_count++] =
	    (struct shell_blob){.id = the_shard(), .data = bytes.data, .len = bytes.len};
}

/* Node 3 is asked while it can't read its journal. */
static struct net *ask_who_can_not_compare(void)
{
	struct net *net = make_net();

	net_start(net);
	put_outcomes(net->shells[3]); /* of these it did not know at its start: it would have told them */
	net->shells[3]->hold_loads = true;
	for (int i = 0; i < 90 && net->shells[3]->core->asked_count == 0; i++)
		net_advance(net, USEC_PER_SEC);
	assert_int_equal(net->shells[3]->core->asked_count, MAILS);
	check_waits(net);
	return net;
}

static void what_a_node_has_written_down_comes_before_its_not_knowing(void **state)
{
	struct net *net = ask_who_can_not_compare();

	(void)state;
	net_advance(net, 10 * USEC_PER_SEC); /* and it has looked into its spool several times */
	check_waits(net);
	net->shells[3]->hold_loads = false;
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shell_count(net->shells[i], "news", MAIL_SENT), MAILS);
	assert_int_equal(net_fed(net), 0);
	assert_int_equal(shell_view(net->shells[0], "news").in_doubt_resent, 0);
	assert_int_equal(net->shells[3]->core->asked_count, 0);
	net_free(net);
}

static void a_journal_that_can_not_be_compared_is_not_waited_for_without_end(void **state)
{
	struct net *net = ask_who_can_not_compare();

	(void)state;
	net_advance(net, hold / 2 - 5 * USEC_PER_SEC);
	check_waits(net);
	net_advance(net, 10 * USEC_PER_SEC);
	check_resent(net);
	assert_int_equal(net->shells[3]->core->asked_count, 0);
	net_free(net);
}

/* Slow destinations exist. */
static void a_mail_in_a_living_postfix_is_waited_for(void **state)
{
	struct net *net = make_net();
	struct shell *shell = net->shells[3];

	(void)state;
	shell->spool_alive = true;
	shell->stepped = shell->now; /* it was not away */
	shell->generation = 1;
	for (uint32_t i = 0; i < MAILS; i++) {
		const struct attempt_key key = {
		    .shard = the_shard(), .index = i, .epoch = 2, .node = net_node(3), .attempt = 1};

		shell_put_in_spool(shell, &key, SPOOL_ACTIVE, "active/x");
	}
	net_start(net);
	net_advance(net, 10 * hold);
	check_waits(net);
	for (uint32_t i = 0; i < MAILS; i++)
		shell_tell_outcome(shell, &shell->spool[i].key, OUTCOME_SENT, 1);
	shell->spool_count = 0;
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[0], "news", MAIL_SENT), MAILS);
	assert_int_equal(net_fed(net), 0);
	net_free(net);
}

/* The time counts from when the node that had the mail was heard last, not from the latest takeover. */
static void a_second_takeover_does_not_begin_to_wait_anew(void **state)
{
	struct net *net = net_new(5, 5);

	(void)state;
	net_put_batch(net, "01234", "news", "01234", five, MAILS);
	net_put_values(net, "01234", "news", 1);
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, MAILS);
	net_kill(net, 0);
	net_advance(net, hold - 20 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->owning);
	net_kill(net, 1);
	net_advance(net, 15 * USEC_PER_SEC);
	assert_true(shard_at(net, 2)->owning);
	assert_int_equal(net->shells[2]->fed_count, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->shells[1]->fed_count, 0);
	assert_int_equal(net->shells[2]->fed_count, MAILS);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_that_has_lost_its_journal_is_asked),
	    cmocka_unit_test(a_node_that_does_not_answer_is_not_waited_for),
	    cmocka_unit_test(a_node_that_can_not_read_its_spool_is_not_waited_for),
	    cmocka_unit_test(what_a_node_has_written_down_comes_before_its_not_knowing),
	    cmocka_unit_test(a_journal_that_can_not_be_compared_is_not_waited_for_without_end),
	    cmocka_unit_test(a_mail_in_a_living_postfix_is_waited_for),
	    cmocka_unit_test(a_second_takeover_does_not_begin_to_wait_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
