/* SPDX-License-Identifier: MIT */
/* Every member learns of the end of a shard, also when nobody remembers that it does not know it. */
#include "core_net.h"

#include "queue/describe.h"
#include "queue/peer.h"
#include "queue/replica.h"
#include "queue/state.h"

static const usec beat = USEC_PER_SEC / 10;

enum { MAILS = 20 };

static const char *const one[] = {"012", NULL};

static struct net *start_net(const char *have, bool last_is_down)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, have, "news", "012", one, MAILS);
	net->down[2] = last_is_down;
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	return net;
}

/* The batch of all shells starts and ends so long after now. */
static struct net *net_with_times(usec start, usec end)
{
	struct net *net = net_new(3, 3);
	struct buffer bytes = net_record("news", "012", one, MAILS);
	struct batch_record record;

	assert_int_equal(record_decode(bytes.data, bytes.len, &record), 0);
	record.settings.start.us = net->shells[0]->utc.us + start;
	record.expires.us = net->shells[0]->utc.us + end;
	buffer_clear(&bytes);
	record_encode(&record, &bytes);
	record_done(&record);
	net_put_record(net, "012", &bytes);
	buffer_done(&bytes);
	return net;
}

static struct shard *shard_at(const struct net *net, uint32_t number)
{
	return net_shard(net, number, "news", 0);
}

/* Postfix answers for the mails from `from` on, `count` of them. */
static void send_mails(struct net *net, uint32_t number, size_t from, size_t count)
{
	struct shell *shell = net->shells[number];

	for (size_t i = from; i < from + count; i++)
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 1);
	net_run(net);
}

static uint32_t feeder(const struct net *net)
{
	return net->shells[0]->fed_count >= MAILS ? 0 : 1;
}

static void a_member_that_comes_when_all_is_over_and_forgotten_learns_it(void **state)
{
	struct net *net = start_net("01", true);

	(void)state;
	for (int i = 0; i < 30 && net->shells[0]->fed_count + net->shells[1]->fed_count < MAILS; i++)
		net_advance(net, USEC_PER_SEC);
	send_mails(net, feeder(net), 0, MAILS);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(shell_view(net->shells[i], "news").state, BATCH_DONE);
	net_kill(net, 0);
	net_kill(net, 1);
	net_restart(net, 0);
	net_restart(net, 1);
	net_advance(net, 5 * USEC_PER_SEC);
	net_restart(net, 2);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[2], "news", MAIL_SENT), MAILS);
	assert_int_equal(shell_view(net->shells[2], "news").state, BATCH_DONE);
	net_free(net);
}

/* A link that carries nothing, of which nobody knows that it is broken. */
static void hide(struct net *net, uint32_t number, bool hidden)
{
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != number)
			net->cut[i][number] = net->cut[number][i] = hidden;
	}
}

static void who_misses_something_while_it_is_brought_up_to_date_is_still_behind(void **state)
{
	struct net *net = start_net("012", false);
	struct shard *shard;
	uint32_t owner;

	(void)state;
	for (int i = 0; i < 30 && net->shells[0]->fed_count + net->shells[1]->fed_count < MAILS; i++)
		net_advance(net, USEC_PER_SEC);
	owner = feeder(net);
	shard = shard_at(net, owner);
	assert_true(shard->owning && shard->behind == 0);
	assert_int_equal(shell_drain(net->shells[2], true), CONTROL_OK); /* it won't take the shard over */
	net_advance(net, USEC_PER_SEC);
	hide(net, 2, true);
	send_mails(net, owner, 0, 5);
	for (int i = 0; i < 100 && shard->behind == 0; i++)
		net_advance(net, beat);
	net->shells[2]->hold_loads = true;
	hide(net, 2, false);
	for (int i = 0; i < 100 && shard->sync == NULL; i++)
		net_advance(net, beat);
	assert_true(shard->sync != NULL && shard->behind == 1 << 2); /* its journal is being read there */
	replica_behind(net->shells[owner]->core, shard, 1 << 2);
	net->shells[2]->hold_loads = false;
	/* It has no reason to ask by itself. */
	for (int i = 0; i < 60000 && shard->sync != NULL; i++) {
		shard_at(net, 2)->synced = true;
		net_advance(net, USEC_PER_MSEC);
	}
	assert_null(shard->sync);
	assert_int_equal(shell_count(net->shells[2], "news", MAIL_SENT), 5);
	assert_int_equal(shard->behind, 1 << 2);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(shard->behind, 0);
	net_free(net);
}

static void what_is_taken_over_when_its_time_was_over_expires(void **state)
{
	struct net *net = net_with_times(20 * USEC_PER_SEC, 20 * USEC_PER_SEC + 1);
	const uint64_t begin = net->shells[0]->utc.us + 20 * USEC_PER_SEC;

	(void)state;
	net_start(net);
	while (net->shells[0]->utc.us < begin - USEC_PER_SEC / 2)
		net_advance(net, beat);
	net_kill(net, 0);
	hide(net, 2, true); /* no promise before the end */
	net_advance(net, 2 * USEC_PER_SEC);
	hide(net, 2, false);
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 1; i < 3; i++) {
		assert_int_equal(net->shells[i]->fed_count, 0);
		assert_int_equal(shell_count(net->shells[i], "news", MAIL_EXPIRED), MAILS);
		assert_int_equal(shell_view(net->shells[i], "news").state, BATCH_DONE);
	}
	net_free(net);
}

static void what_others_have_started_ends_again_where_the_clock_is_slow(void **state)
{
	struct net *net = net_with_times(10 * USEC_PER_SEC, 7200 * USEC_PER_SEC);

	(void)state;
	net->shells[2]->utc.us -= 3600 * USEC_PER_SEC;
	net_start(net);
	for (int i = 0; i < 60 && net->shells[0]->fed_count + net->shells[1]->fed_count < MAILS; i++)
		net_advance(net, USEC_PER_SEC);
	send_mails(net, feeder(net), 0, MAILS);
	assert_int_equal(shell_view(net->shells[2], "news").state, BATCH_DONE);
	/* A late word opens it again. */
	shell_tell_outcome(net->shells[feeder(net)], &net->shells[feeder(net)]->fed[0], OUTCOME_BOUNCED, 1);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[2], "news").state, BATCH_DONE);
	assert_int_equal(shell_count(net->shells[2], "news", MAIL_SENT), MAILS);
	net_free(net);
}

static void nobody_waits_for_a_member_that_is_gone(void **state)
{
	struct net *net = start_net("012", false);
	uint32_t owner;

	(void)state;
	for (int i = 0; i < 30 && net->shells[0]->fed_count + net->shells[1]->fed_count < MAILS; i++)
		net_advance(net, USEC_PER_SEC);
	owner = feeder(net);
	hide(net, 2, true);
	net_advance(net, 8 * USEC_PER_SEC);
	send_mails(net, owner, 0, MAILS / 2);
	net_advance(net, 2 * USEC_PER_SEC);
	assert_int_equal(shard_at(net, owner)->behind, 4);
	assert_null(shard_at(net, owner)->sync);
	assert_false(describe_spreading(net->shells[owner]->core));
	hide(net, 2, false);
	net_advance(net, 8 * USEC_PER_SEC);
	assert_int_equal(shard_at(net, owner)->behind, 0);
	assert_int_equal(shell_count(net->shells[2], "news", MAIL_SENT), MAILS / 2);
	net_free(net);
}

static bool no_record_comes(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->to == 2 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_RECORD;
}

/* It has an empty store. It says so, and nobody else waits for it. */
static void a_member_that_does_not_know_the_shard_holds_up_nobody(void **state)
{
	struct net *net = net_new(3, 3);
	uint32_t asked = 0;
	struct shard *shard;

	(void)state;
	net_put_batch(net, "01", "news", "012", one, MAILS);
	net->hold = no_record_comes;
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	assert_null(shard_at(net, 2));
	shard = shard_at(net, 0);
	assert_true(shard->owning);
	replica_behind(net->shells[0]->core, shard, 1 << 1 | 1 << 2);
	net_advance(net, 15 * USEC_PER_SEC);
	assert_int_equal(shard->behind, 1 << 2);
	assert_null(shard->sync);
	/* It is asked again, now and then. */
	for (int i = 0; i < 60; i++) {
		const uint64_t before = shard->unknown_at.us;

		net_advance(net, USEC_PER_SEC);
		asked += shard->unknown_at.us != before;
	}
	assert_true(asked >= 5 && asked <= 6);
	net_free(net);
}

/* A member has promised the owner's epoch to itself, and another one is gone: nothing goes without the first.
 */
static void an_epoch_that_was_promised_to_two_is_given_up_where_both_are_needed(void **state)
{
	struct net *net = start_net("012", false);
	struct shard *other;
	uint32_t owner, epoch;

	(void)state;
	for (int i = 0; i < 30 && net->shells[0]->fed_count + net->shells[1]->fed_count < MAILS; i++)
		net_advance(net, USEC_PER_SEC);
	owner = feeder(net);
	epoch = shard_at(net, owner)->epoch;
	other = shard_at(net, 1 - owner);
	net_kill(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	other->promised_to = shard_at(net, 1 - owner)->members[1 - owner];
	assert_ptr_not_equal(other->promised_to, other->owner);
	for (size_t i = 0; i < MAILS; i++)
		shell_tell_outcome(net->shells[owner], &net->shells[owner]->fed[i], OUTCOME_DEFERRED, 1);
	net_run(net);
	net_advance(net, 3600 * USEC_PER_SEC);
	assert_int_equal(net->shells[owner]->fed_count, 2 * MAILS);
	assert_true(shard_at(net, owner)->epoch > epoch);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_member_that_comes_when_all_is_over_and_forgotten_learns_it),
	    cmocka_unit_test(who_misses_something_while_it_is_brought_up_to_date_is_still_behind),
	    cmocka_unit_test(nobody_waits_for_a_member_that_is_gone),
	    cmocka_unit_test(what_is_taken_over_when_its_time_was_over_expires),
	    cmocka_unit_test(what_others_have_started_ends_again_where_the_clock_is_slow),
	    cmocka_unit_test(a_member_that_does_not_know_the_shard_holds_up_nobody),
	    cmocka_unit_test(an_epoch_that_was_promised_to_two_is_given_up_where_both_are_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
