/* SPDX-License-Identifier: MIT */
/* A takeover may take long, as long as it gets further; what was taken over goes first. */
#include "core_net.h"

#include "queue/peer.h"
#include "queue/state.h"

static const usec beat = USEC_PER_SEC / 10;
static const usec slowness = 9 * USEC_PER_SEC;

enum {
	MAILS = 20,
	LARGE = 200, /* entries of JOURNAL_ENTRIES_MAX claims: as much as four parts */
	SHARDS = 9,
};

static const char *const one[] = {"012", NULL};
static const char *const two[] = {"012", "012", NULL};
static const char *const nine[] = {"012", "012", "012", "012", "012", "012", "012", "012", "012", NULL};

static struct opt_id id_of(uint32_t index)
{
	const struct opt_id key = batch_key("news");

	return shard_id(&key, index);
}

static struct shard *shard_of(const struct net *net, uint32_t number, uint32_t index)
{
	return net_shard(net, number, "news", index);
}

static struct shard *shard_at(const struct net *net, uint32_t number)
{
	return shard_of(net, number, 0);
}

/* Claims of node 0 that only that node's journal has. */
static void put_claims(struct net *net, uint32_t number, uint32_t index, uint32_t count)
{
	const struct opt_id id = id_of(index);
	struct claim claims[JOURNAL_ENTRIES_MAX];
	struct journal_entry entry = {.type = JOURNAL_CLAIMS,
	    .epoch = 1,
	    .node = net_node(0),
	    .claims = claims,
	    .count = JOURNAL_ENTRIES_MAX};

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < JOURNAL_ENTRIES_MAX; k++)
			claims[k] =
			    (struct claim){.index = k % MAILS, .attempt = i * JOURNAL_ENTRIES_MAX + k + 1};
		shell_put_entry(net->shells[number], &id, &entry);
	}
}

static bool parts_are_slow(const struct net *net, const struct net_frame *frame)
{
	return frame->len > PEER_PART_MAX / 2 && net->shells[frame->to]->now.us - frame->at.us < slowness;
}

/* Node 0 owned the shards, and is not there any more. */
static struct net *owner_is_dead(const char *const *members, uint32_t mails)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, "012", "news", "012", members, mails);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	net_kill(net, 0);
	return net;
}

/* Nobody else tries: its epoch is the first that is asked for. */
static void the_first_live_replica_in_the_shards_order_takes_over(void **state)
{
	static const char *const members[] = {"012", "021", "012", "021", NULL};
	struct net *net = owner_is_dead(members, MAILS);

	(void)state;
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t heir = i % 2 == 0 ? 1 : 2;

		assert_true(shard_of(net, heir, i)->owning);
		assert_int_equal(shard_of(net, heir, i)->epoch, 3);
		assert_int_equal(shard_of(net, 3 - heir, i)->promised, 3);
	}
	net_free(net);
}

/* What node 1 asks of node 2 is lost, its heartbeats are not. */
static bool first_heir_is_not_heard(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->from == 1 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_PROMISE;
}

static void the_next_replica_takes_over_when_the_first_does_not(void **state)
{
	struct net *net = owner_is_dead(one, MAILS);

	(void)state;
	net->hold = first_heir_is_not_heard;
	net_advance(net, 20 * USEC_PER_SEC);
	net->hold = NULL;
	net_advance(net, beat);
	for (int i = 0; i < 100 && !shard_at(net, 1)->owning && !shard_at(net, 2)->owning; i++)
		net_advance(net, beat);
	assert_true(shard_at(net, 2)->owning);
	net_free(net);
}

/* Each part takes less than LIMIT, and all of them more than PROMISE_MAX. */
static void a_takeover_that_gets_further_is_given_time(void **state)
{
	struct net *net = owner_is_dead(one, MAILS);
	const uint64_t killed = net->shells[1]->now.us;

	(void)state;
	put_claims(net, 2, 0, LARGE);
	net->hold = parts_are_slow;
	for (int i = 0; i < 1200 && !shard_at(net, 1)->owning; i++)
		net_advance(net, beat);
	assert_true(shard_at(net, 1)->owning);
	assert_true(net->shells[1]->now.us - killed > 35 * USEC_PER_SEC); /* or it shows nothing */
	assert_int_equal(shard_at(net, 1)->epoch, 3); /* the first one that it asked for */
	net_free(net);
}

/* Node 2 is asked for its journal of that shard. */
static bool asks_for_journal(const struct net_frame *frame, uint32_t index)
{
	const struct opt_id id = id_of(index);

	return frame->to == 2 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_JOURNAL &&
	       memmem(frame->data, frame->len, id.bytes, OPT_ID_SIZE) != NULL;
}

static bool parts_are_slow_or_never_come(const struct net *net, const struct net_frame *frame)
{
	return asks_for_journal(frame, 1) || parts_are_slow(net, frame);
}

/* Node 2 also answers about many other shards. */
static void advance_among_others(struct net *net, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++) {
		shard_at(net, 1)->members[2]->compared += 20;
		net_advance(net, USEC_PER_SEC);
	}
}

/* What a member says of other shards is no sign that it will say anything of this one. */
static void a_union_that_stands_still_among_others_is_begun_again(void **state)
{
	struct net *net = owner_is_dead(two, MAILS);
	uint32_t epoch;

	(void)state;
	put_claims(net, 2, 0, 4 * LARGE);
	net->hold = parts_are_slow_or_never_come;
	for (int i = 0; i < 100 && shard_of(net, 1, 1)->sync == NULL; i++)
		net_advance(net, beat);
	assert_non_null(shard_of(net, 1, 1)->sync);
	epoch = shard_of(net, 1, 1)->promised;
	advance_among_others(net, 55);
	assert_int_equal(shard_of(net, 1, 1)->promised, epoch);
	advance_among_others(net, 20);
	assert_true(shard_of(net, 1, 1)->promised > epoch);
	/* The other one has had its 60 seconds as well, but it gets further. */
	assert_non_null(shard_of(net, 1, 0)->sync);
	for (int i = 0; i < 200 && !shard_of(net, 1, 0)->owning; i++)
		advance_among_others(net, 1);
	assert_true(shard_of(net, 1, 0)->owning);
	assert_int_equal(shard_of(net, 1, 0)->epoch, 3);
	net->hold = NULL;
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(shard_of(net, 1, 1)->owning);
	net_free(net);
}

/* How many shards are looked at before this one. */
static uint32_t turn_of(uint32_t index)
{
	const struct opt_id own = id_of(index);
	uint32_t before = 0;

	for (uint32_t i = 0; i < SHARDS; i++) {
		const struct opt_id id = id_of(i);

		before += id_compare(&id, &own) < 0;
	}
	return before;
}

/* One after the other. */
static bool each_has_its_turn(const struct net *net, const struct net_frame *frame)
{
	static uint64_t begun;
	static const struct net *of;

	for (uint32_t i = 0; i < SHARDS; i++) {
		if (!asks_for_journal(frame, i))
			continue;
		if (of != net)
			begun = frame->at.us;
		of = net;
		return net->shells[2]->now.us < begun + (turn_of(i) + 1) * slowness;
	}
	return false;
}

/* The link to a member is slow, and many takeovers share it. */
static void a_union_that_waits_for_its_turn_is_given_time(void **state)
{
	struct net *net = owner_is_dead(nine, 1);
	const uint64_t killed = net->shells[1]->now.us;

	(void)state;
	shell_drain(net->shells[2], true); /* it takes nothing */
	net->hold = each_has_its_turn;
	for (int i = 0; i < 1200 && net->shells[1]->core->owned_shards < SHARDS; i++)
		net_advance(net, beat);
	assert_true(net->shells[1]->now.us - killed > 80 * USEC_PER_SEC); /* or it shows nothing */
	for (uint32_t i = 0; i < SHARDS; i++) {
		assert_true(shard_of(net, 1, i)->owning);
		assert_int_equal(shard_of(net, 1, i)->epoch, 3);
	}
	net_free(net);
}

/* A member that has promised and then says nothing ends it, and the next one begins. */
static void a_takeover_that_stands_still_is_begun_again(void **state)
{
	struct net *net = owner_is_dead(one, MAILS);
	uint32_t epoch;

	(void)state;
	net->shells[2]->hold_loads = true;
	for (int i = 0; i < 100 && shard_at(net, 1)->takeover == NULL; i++)
		net_advance(net, beat);
	assert_non_null(shard_at(net, 1)->takeover);
	epoch = shard_at(net, 1)->promised;
	net_advance(net, 9 * USEC_PER_SEC);
	assert_int_equal(shard_at(net, 1)->promised, epoch);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->promised > epoch);
	net->shells[2]->hold_loads = false;
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->owning);
	net_free(net);
}

/* The new owner has enough of its own to feed, and gives what comes free to the mails that have waited
 * longest. */
static void what_was_taken_over_is_fed_before_the_rest(void **state)
{
	/* Nobody has so little that it asks the others for more. */
	static const char *const members[] = {"012", "120", "120", "120", "201", "201", "201", NULL};
	struct net *net = net_new(3, 3);
	struct shell *heir = net->shells[1];
	size_t fed;

	(void)state;
	net_put_batch(net, "012", "news", "012", members, 200);
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	fed = heir->fed_count;
	assert_int_equal(fed, heir->config.window);
	net_kill(net, 0);
	for (int i = 0; i < 100 && !shard_at(net, 1)->owning; i++)
		net_advance(net, beat);
	assert_true(shard_at(net, 1)->owning);
	assert_int_equal(heir->fed_count, fed);
	shell_tell_outcome(heir, &heir->fed[0], OUTCOME_SENT, 1); /* the first room: the shard is opened */
	net_advance(net, beat);
	assert_int_equal(heir->fed_count, fed + 1);
	for (size_t i = 1; i < 20; i++)
		shell_tell_outcome(heir, &heir->fed[i], OUTCOME_SENT, 1);
	net_advance(net, beat);
	assert_int_equal(heir->fed_count, fed + 20);
	for (size_t i = fed + 1; i < heir->fed_count; i++)
		assert_memory_equal(&heir->fed[i].shard, &shard_at(net, 1)->id, sizeof(struct opt_id));
	net_free(net);
}

static const char *mostly_slow(uint32_t index)
{
	return index < 120 ? "slow.example" : "quick.example";
}

/* A destination that takes nothing keeps no shard closed that has mails for others. */
static void what_was_taken_over_for_a_slow_domain_holds_up_nothing_else(void **state)
{
	static const char *const members[] = {"012", "012", "012", "012", NULL};
	struct net *net = net_new(3, 3);
	struct shell *heir = net->shells[1];
	size_t told = 0, quick = 0;

	(void)state;
	net_put_batch(net, "012", "news", "012", members, 200);
	for (int i = 0; i < 3; i++) {
		net->shells[i]->core->config.domain_share = 20;
		net->shells[i]->domain = mostly_slow;
	}
	net->shells[0]->core->config.window = 1;
	net_start(net);
	shell_drain(net->shells[2], true); /* it takes nothing */
	net_advance(net, USEC_PER_SEC);
	net_kill(net, 0);
	for (int i = 0; i < 200; i++) {
		net_advance(net, beat);
		for (; told < heir->fed_count; told++) {
			if (heir->fed[told].index < 120)
				continue;
			quick++;
			shell_tell_outcome(heir, &heir->fed[told], OUTCOME_SENT, 1);
		}
	}
	assert_int_equal(quick, 4 * 80);
	net_free(net);
}

/* Three nodes at work; node 0 owns the shards. */
static struct net *three_at_work(const char *const *members, uint32_t mails)
{
	struct net *net = net_new(3, 3);

	net_put_batch(net, "012", "news", "012", members, mails);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < net->count; i++)
		net->shells[i]->taken_count = 0;
	return net;
}

/* What the node says of the first shard that it takes over from now on. */
static void assert_takes_over(struct net *net, uint32_t number, uint32_t from, const char *why)
{
	const struct shell *shell = net->shells[number];
	const struct opt_id node = net_node(from);

	for (int i = 0; i < 300 && shell->taken_count == 0; i++)
		net_advance(net, beat);
	if (shell->taken_count == 0)
		fail_msg("it never takes over: %s", why);
	assert_memory_equal(&shell->taken[0].from, &node, sizeof(node));
	assert_string_equal(shell->taken[0].why, why);
	net_free(net);
}

static void who_takes_over_from_the_dead_says_so(void **state)
{
	struct net *net = three_at_work(one, MAILS);

	(void)state;
	net_kill(net, 0);
	assert_takes_over(net, 1, 0, "refused");
	net = three_at_work(one, MAILS);
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	assert_takes_over(net, 1, 0, "silent");
}

static void who_takes_over_from_the_forgotten_says_so(void **state)
{
	struct net *net = three_at_work(one, MAILS);

	(void)state;
	net_cut(net, 1, 2); /* neither can do anything yet */
	net_kill(net, 0);
	net_advance(net, 8 * USEC_PER_SEC);
	net_forget(net, 1, 0);
	net_link(net, 1, 2);
	assert_takes_over(net, 1, 0, "forgotten");
}

/* It is the latest owner that counts. */
static void who_takes_over_from_an_heir_says_so(void **state)
{
	struct net *net = three_at_work(one, MAILS);

	(void)state;
	net_kill(net, 0);
	net_advance(net, 8 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->owning);
	net_restart(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	net_advance(net, USEC_PER_SEC);
	net_kill(net, 1);
	assert_takes_over(net, 2, 1, "refused");
}

static void who_takes_over_from_the_living_says_so(void **state)
{
	struct net *net = three_at_work(one, MAILS);

	(void)state;
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	assert_takes_over(net, 1, 0, "draining");
	net = three_at_work(one, MAILS);
	shell_tell_engine_down(net->shells[0]);
	net->shells[0]->hold_engine = true;
	assert_takes_over(net, 1, 0, "unable");
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", nine, 200);
	net_start(net); /* the others have nothing to do */
	assert_takes_over(net, 1, 0, "moved");
}

static void who_takes_its_own_again_says_so(void **state)
{
	struct net *net = three_at_work(one, MAILS);

	(void)state;
	net_kill(net, 0);
	net_restart(net, 0);
	assert_takes_over(net, 0, 0, "again");
}

/* The batch of nodes 0 to 2, which begins in an hour; node 3 has no part in it. */
static struct net *net_with_later_batch(void)
{
	struct net *net = net_new(4, 4);
	struct buffer bytes = net_record("news", "012", one, MAILS);
	struct batch_record record;

	assert_int_equal(record_decode(bytes.data, bytes.len, &record), 0);
	record.settings.start.us = net->shells[0]->utc.us + 3600 * USEC_PER_SEC;
	record.expires.us = record.settings.start.us + 3600 * USEC_PER_SEC;
	buffer_clear(&bytes);
	record_encode(&record, &bytes);
	record_done(&record);
	net_put_record(net, "012", &bytes);
	net_put_template(net, "012");
	net_put_values(net, "012", "news", 1);
	buffer_done(&bytes);
	net_start(net);
	net_advance(net, 20 * USEC_PER_SEC);
	return net;
}

static void a_shard_whose_time_has_not_come_has_an_owner_and_its_replicas(void **state)
{
	struct net *net = net_with_later_batch();
	const struct shard *shard;

	(void)state;
	assert_true(shard_at(net, 0)->owning);
	net_kill(net, 0);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(shard_at(net, 1)->owning);
	net_advance(net, 600 * USEC_PER_SEC); /* replace_after, and more */
	shard = shard_at(net, 3);
	assert_non_null(shard);
	assert_true(shard->mine);
	assert_int_equal(shard->member_count, 3);
	assert_int_equal(net_fed(net), 0);
	net_advance(net, 3600 * USEC_PER_SEC);
	assert_int_equal(net_fed(net), MAILS);
	net_free(net);
}

static void a_shard_whose_time_has_not_come_leaves_who_drains(void **state)
{
	struct net *net = net_with_later_batch();

	(void)state;
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_false(shard_at(net, 0)->owning);
	assert_int_equal(shard_at(net, 1)->owning + shard_at(net, 2)->owning, 1);
	assert_int_equal(net_fed(net), 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_live_replica_in_the_shards_order_takes_over),
	    cmocka_unit_test(the_next_replica_takes_over_when_the_first_does_not),
	    cmocka_unit_test(a_takeover_that_gets_further_is_given_time),
	    cmocka_unit_test(a_union_that_stands_still_among_others_is_begun_again),
	    cmocka_unit_test(a_union_that_waits_for_its_turn_is_given_time),
	    cmocka_unit_test(a_takeover_that_stands_still_is_begun_again),
	    cmocka_unit_test(what_was_taken_over_is_fed_before_the_rest),
	    cmocka_unit_test(what_was_taken_over_for_a_slow_domain_holds_up_nothing_else),
	    cmocka_unit_test(who_takes_over_from_the_dead_says_so),
	    cmocka_unit_test(who_takes_over_from_the_forgotten_says_so),
	    cmocka_unit_test(who_takes_over_from_an_heir_says_so),
	    cmocka_unit_test(who_takes_over_from_the_living_says_so),
	    cmocka_unit_test(who_takes_its_own_again_says_so),
	    cmocka_unit_test(a_shard_whose_time_has_not_come_has_an_owner_and_its_replicas),
	    cmocka_unit_test(a_shard_whose_time_has_not_come_leaves_who_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
