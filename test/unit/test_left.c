/* SPDX-License-Identifier: MIT */
/* A node that is no member of a shard any more keeps nothing of it to itself: not what it learnt too late,
 * and not over a restart. What it has told it does not tell again. */
#include "core_net.h"

#include "queue/change.h"
#include "queue/peer.h"
#include "queue/state.h"

enum { MAILS = 5 };

/* The second shard is node 3's alone. */
static const char *const members[] = {"012", "3", NULL};

static void put_members(struct net *net, uint32_t number, uint32_t epoch, const char *who)
{
	const struct opt_id key = batch_key("left"), id = shard_id(&key, 0);
	struct opt_id ids[REPLICAS_MAX];
	const struct journal_entry entry = {.type = JOURNAL_CONFIG,
	    .config = epoch * CONFIGS_AN_EPOCH,
	    .epoch = epoch,
	    .members = ids,
	    .count = strlen(who)};

	for (size_t i = 0; i < entry.count; i++)
		ids[i] = net_node((uint32_t)(who[i] - '0'));
	shell_put_entry(net->shells[number], &id, &entry);
}

static const struct shard *shard_at(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "left", 0);
}

/* Nobody is told of these. */
static void tell_in_secret(struct net *net, uint32_t number, const struct attempt_key *key)
{
	for (uint32_t i = 0; i < net->count; i++)
		net->cut[i][number] = net->cut[number][i] = true;
	shell_tell_outcome(net->shells[number], key, OUTCOME_BOUNCED, 1);
	net_run(net);
}

static const struct attempt_key *fed(const struct net *net, uint32_t number, uint32_t index, uint32_t mail)
{
	const struct opt_id key = batch_key("left"), id = shard_id(&key, index);
	const struct shell *shell = net->shells[number];

	for (size_t i = 0; i < shell->fed_count; i++) {
		if (id_equal(&shell->fed[i].shard, &id) && shell->fed[i].index == mail)
			return &shell->fed[i];
	}
	fail_msg("the mail is not there");
	return NULL;
}

/*
 * The node that owns the first shard, by the record or since it came to it, has died with a fact that nobody
 * else has. The other members have removed it.
 */
static struct net *removed_with_a_fact(uint32_t owner)
{
	struct net *net = net_new(4, 3);

	net_put_batch(net, "0123", "left", "012", members, MAILS);
	net_put_values(net, "0123", "left", 2);
	for (uint32_t i = 0; i < 4; i++)
		put_members(net, i, 2, owner == 3 ? "312" : "012");
	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(shard_at(net, owner)->owning);
	tell_in_secret(net, owner, fed(net, owner, 0, 0));
	net_kill(net, owner);
	for (uint32_t i = 1; i < 3; i++) {
		net_kill(net, i);
		put_members(net, i, 20, "12");
	}
	net_restart(net, 1);
	net_restart(net, 2);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[1], "left", MAIL_BOUNCED), 0);
	memset(net->cut, 0, sizeof(net->cut));
	return net;
}

static struct peer_reader *reader;

/* To compare journals of the first shard with it. */
static bool is_question(const struct net_frame *frame)
{
	const struct opt_id key = batch_key("left"), id = shard_id(&key, 0);
	struct peer_message message;

	return peer_read(reader, frame->data, frame->len, &message) == 0 && message.type == PEER_JOURNAL &&
	       !message.answer && id_equal(&message.shard, &id);
}

static uint32_t asks;

/* Nothing is held. */
static bool count_questions(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	asks += is_question(frame);
	return false;
}

static bool nobody_answers(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return is_question(frame);
}

/* It hears that it is no member any more, and dies before it could tell anybody what it has. */
static void leave_untold(struct net *net, uint32_t number)
{
	net->hold = nobody_answers;
	net_restart(net, number);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_false(shard_at(net, number)->mine);
	net_kill(net, number);
	net->hold = NULL;
	assert_int_equal(shell_count(net->shells[1], "left", MAIL_BOUNCED), 0);
}

static void restart(struct net *net, uint32_t number)
{
	asks = 0;
	net->hold = count_questions;
	net_restart(net, number);
	net_advance(net, 20 * USEC_PER_SEC);
	net->hold = NULL;
	assert_false(shard_at(net, number)->mine);
}

static void expect_known(const struct net *net, uint32_t bounced)
{
	for (uint32_t i = 1; i < 3; i++)
		assert_int_equal(shell_count(net->shells[i], "left", MAIL_BOUNCED), bounced);
}

static void who_left_tells_what_it_has_after_a_restart(void **state)
{
	(void)state;
	for (uint32_t owner = 0; owner < 4; owner += 3) {
		struct net *net = removed_with_a_fact(owner);

		leave_untold(net, owner);
		restart(net, owner);
		expect_known(net, 1);
		net_free(net);
	}
}

/* All else that it has of the batch is over: it goes by the summary the next time. */
static void what_is_untold_is_not_hidden_behind_the_summary(void **state)
{
	struct net *net = removed_with_a_fact(3);

	(void)state;
	net->hold = nobody_answers;
	net_restart(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_false(shard_at(net, 3)->mine);
	for (uint32_t i = 0; i < MAILS; i++)
		shell_tell_outcome(net->shells[3], fed(net, 3, 1, i), OUTCOME_SENT, 1);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[3], "left").state, BATCH_DONE);
	net_kill(net, 3);
	net->hold = NULL;
	restart(net, 3);
	expect_known(net, 1);
	assert_int_equal(shell_view(net->shells[3], "left").state, BATCH_DONE);
	/* Now nothing is left to read but that. */
	restart(net, 3);
	assert_true(net_shard(net, 3, "left", 1)->batch->summary);
	assert_int_equal(shell_count(net->shells[3], "left", MAIL_SENT), MAILS);
	net_free(net);
}

/* It is its own word, and no member takes it for one of its own. */
static bool says_told(const struct net *net, uint32_t number)
{
	const struct shell *shell = net->shells[number];

	for (size_t i = 0; i < shell->entry_count; i++) {
		if (shell->entries[i].len == 2 &&
		    ((const uint8_t *)shell->entries[i].data)[1] == JOURNAL_TOLD)
			return true;
	}
	return false;
}

static void what_was_told_is_not_told_again(void **state)
{
	(void)state;
	for (uint32_t owner = 0; owner < 4; owner += 3) {
		struct net *net = removed_with_a_fact(owner);

		restart(net, owner);
		expect_known(net, 1);
		assert_int_not_equal(asks, 0);
		restart(net, owner);
		assert_int_equal(asks, 0);
		assert_true(says_told(net, owner) && !says_told(net, 1) && !says_told(net, 2));
		net_free(net);
	}
}

static void what_came_after_that_is_told(void **state)
{
	struct net *net = removed_with_a_fact(3);

	(void)state;
	restart(net, 3);
	tell_in_secret(net, 3, fed(net, 3, 0, 1));
	net_kill(net, 3);
	memset(net->cut, 0, sizeof(net->cut));
	expect_known(net, 1);
	restart(net, 3);
	expect_known(net, 2);
	net_free(net);
}

/* The one that is gone gets it, if ever, from those who have it. */
static void a_majority_is_enough(void **state)
{
	struct net *net = removed_with_a_fact(3);

	(void)state;
	for (uint32_t i = 1; i < 3; i++) {
		net_kill(net, i);
		put_members(net, i, 40, "120");
	}
	net_restart(net, 1);
	net_restart(net, 2);
	net_kill(net, 0);
	restart(net, 3);
	expect_known(net, 1);
	restart(net, 3);
	assert_int_equal(asks, 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_left_tells_what_it_has_after_a_restart),
	    cmocka_unit_test(what_is_untold_is_not_hidden_behind_the_summary),
	    cmocka_unit_test(what_was_told_is_not_told_again),
	    cmocka_unit_test(what_came_after_that_is_told),
	    cmocka_unit_test(a_majority_is_enough),
	};

	int failed;

	reader = peer_reader_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	peer_reader_free(reader);
	return failed;
}
