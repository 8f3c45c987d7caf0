/* SPDX-License-Identifier: MIT */
/* The members of shards change: who is gone is replaced, who is missing is added, who has nothing to do
 * comes. */
#include "core_net.h"

#include "queue/change.h"
#include "queue/peer.h"
#include "queue/state.h"

static const usec beat = USEC_PER_SEC / 10;

enum { SHARDS = 4, MAILS = 20, MANY = 40 /* shards */ };

static const char *const three[] = {"012", "012", "012", "012", NULL};
static const char *const alone[] = {"0", "0", "0", "0", NULL};

static struct net *make_net(uint32_t count, uint32_t replicas, uint32_t broken_rule)
{
	struct net *net = net_new(count, replicas);

	for (uint32_t i = 0; i < count; i++)
		net->shells[i]->config.replace_after = 20 * USEC_PER_SEC;
	net_set_broken(net, broken_rule);
	return net;
}

static void put_batch(
    struct net *net, const char *have, const char *homes, const char *const *members, uint32_t mails)
{
	uint32_t shards = 0;

	while (members[shards] != NULL)
		shards++;
	net_put_batch(net, have, "moving", homes, members, mails);
	net_put_template(net, have);
	net_put_values(net, have, "moving", shards);
}

/* MANY shards, whose members are those of the four orders in turn. */
static void put_many(struct net *net, const char *have, const char *const *orders, uint32_t mails)
{
	const char *members[MANY + 1] = {NULL};

	for (uint32_t i = 0; i < MANY; i++)
		members[i] = orders[i % 4];
	put_batch(net, have, "012", members, mails);
}

/* All shards have the same members. */
static struct net *start_net(
    uint32_t count, const char *homes, const char *const *members, uint32_t broken_rule)
{
	struct net *net = make_net(count, (uint32_t)strlen(homes), broken_rule);

	put_batch(net, members[0], homes, members, MAILS);
	net_start(net);
	return net;
}

static const struct shard *shard_of(const struct net *net, uint32_t number, uint32_t index)
{
	return net_shard(net, number, "moving", index);
}

static bool is_member(const struct net *net, uint32_t number, uint32_t index, uint32_t who)
{
	const struct shard *shard = shard_of(net, number, index);
	const struct opt_id id = net_node(who);

	for (int i = 0; shard != NULL && i < shard->member_count; i++) {
		if (id_equal(&shard->members[i]->id, &id))
			return true;
	}
	return false;
}

static uint32_t owners(const struct net *net, uint32_t index)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < net->count; i++)
		count += !net->down[i] && shard_of(net, i, index) != NULL && shard_of(net, i, index)->owning;
	return count;
}

/* Postfix answers for all that it was given since `from`. */
static void answer_all(struct net *net, size_t from[NET_MAX], enum outcome_kind kind)
{
	for (uint32_t i = 0; i < net->count; i++) {
		for (; from[i] < net->shells[i]->fed_count && !net->down[i]; from[i]++)
			shell_tell_outcome(net->shells[i], &net->shells[i]->fed[from[i]], kind, 1);
	}
	net_run(net);
}

static void defer_all(struct net *net, size_t from[NET_MAX])
{
	for (int i = 0; i < 5; i++) {
		answer_all(net, from, OUTCOME_DEFERRED);
		net_advance(net, beat);
	}
}

/* All is sent in the end, each mail once, and everybody who is a member knows it. */
static void check_all_sent(struct net *net, size_t from[NET_MAX], uint32_t teller)
{
	for (int i = 0; i < 1000 && shell_count(net->shells[teller], "moving", MAIL_SENT) < SHARDS * MAILS;
	     i++) {
		answer_all(net, from, OUTCOME_SENT);
		net_advance(net, USEC_PER_SEC);
	}
	assert_int_equal(shell_count(net->shells[teller], "moving", MAIL_SENT), SHARDS * MAILS);
	assert_int_equal(shell_view(net->shells[teller], "moving").duplicates, 0);
}

/* All others agree that node 3 has the places of node 2. */
static void check_replaced(const struct net *net)
{
	for (uint32_t i = 0; i < SHARDS; i++) {
		for (uint32_t node = 0; node < 4; node++) {
			const struct shard *shard = shard_of(net, node, i);

			if (node == 2)
				continue;
			assert_true(shard->mine);
			assert_int_equal(shard->config, shard_of(net, 1, i)->config);
			assert_int_equal(shard->member_count, 3);
			assert_true(is_member(net, node, i, 3) && !is_member(net, node, i, 2));
		}
		assert_int_equal(owners(net, i), 1);
	}
}

static void who_is_gone_for_good_is_replaced(void **state)
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_kill(net, 2);
	net_advance(net, 15 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_true(is_member(net, 0, i, 2)); /* it may come back */
	net_advance(net, 15 * USEC_PER_SEC);
	check_replaced(net);
	assert_int_equal(net->shells[3]->value_count, SHARDS);
	assert_int_equal(net->shells[3]->upload_count, 0);
	assert_int_equal(shell_count(net->shells[3], "moving", MAIL_RETRY), SHARDS * MAILS);
	/* And now another one may die. */
	net_kill(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	check_all_sent(net, from, 3);
	net_free(net);
}

static bool newcomer_asks_for_journal(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->from == 3 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_JOURNAL;
}

/* The first request that is held gets that answer. */
static void answer_held(struct net *net, enum peer_status status)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;
	struct event event = {.type = EVENT_FRAME};
	struct buffer bytes;
	size_t i = 0;

	while (i < net->frame_count && !net->hold(net, &net->frames[i]))
		i++;
	assert_true(i < net->frame_count);
	assert_int_equal(peer_read(reader, net->frames[i].data, net->frames[i].len, &message), 0);
	message.answer = true;
	message.status = status;
	buffer_init(&bytes);
	peer_encode(&message, &bytes);
	peer_reader_free(reader);
	event.frame.node = net->shells[net->frames[i].to]->config.node;
	event.frame.data = bytes.data;
	event.frame.len = bytes.len;
	shell_step(net->shells[net->frames[i].from], &event);
	buffer_done(&bytes);
}

static uint32_t places_of(const struct net *net, uint32_t who)
{
	uint32_t places = 0;

	for (uint32_t i = 0; i < SHARDS; i++)
		places += is_member(net, 0, i, who);
	return places;
}

/* The owner has forgotten the shard: the newcomer has nothing of it yet. */
static void a_newcomer_does_not_take_what_is_unknown_for_empty(void **state)
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_kill(net, 2);
	net->hold = newcomer_asks_for_journal;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(places_of(net, 3), 0);
	answer_held(net, PEER_UNKNOWN);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(places_of(net, 3), 0);
	net->hold = NULL;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(places_of(net, 3), SHARDS);
	assert_int_equal(shell_count(net->shells[3], "moving", MAIL_RETRY), SHARDS * MAILS);
	net_free(net);
}

static bool is_answer(const struct net_frame *frame, uint32_t from, enum peer_type type)
{
	const uint8_t *bytes = frame->data; /* an array, the type as one byte behind its tag */

	return frame->from == from && frame->to == 0 && frame->len > 2 && bytes[1] == 0xcc &&
	       bytes[2] == PEER_ANSWER + type;
}

static bool newcomer_says_that_it_joins(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return is_answer(frame, 3, PEER_JOIN);
}

static size_t held(const struct net *net)
{
	size_t count = 0;

	for (size_t i = 0; i < net->frame_count; i++)
		count += net->hold(net, &net->frames[i]);
	return count;
}

/* Who replaces node 2 joins, as far as `hold` lets it. */
static struct net *start_joining(bool (*hold)(const struct net *net, const struct net_frame *frame))
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);

	for (int i = 0; i < 300 && net->shells[0]->fed_count < SHARDS * MAILS; i++)
		net_advance(net, beat);
	assert_int_equal(net->shells[0]->fed_count, SHARDS * MAILS);
	net_kill(net, 2);
	net->hold = hold;
	for (int i = 0; i < 300 && held(net) == 0; i++)
		net_advance(net, beat);
	assert_true(held(net) > 0);
	net_advance(net, 3 * USEC_PER_SEC);
	return net;
}

static void nobody_becomes_a_member_of_what_is_finished(void **state)
{
	struct net *net = start_joining(newcomer_says_that_it_joins);
	size_t from[NET_MAX] = {0};

	(void)state;
	answer_all(net, from, OUTCOME_SENT);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_int_equal(shard_of(net, 0, i)->phase, SHARD_FINISHED);
	net->hold = NULL;
	net_run(net);
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_false(is_member(net, 0, i, 3) || is_member(net, 3, i, 3));
	net_free(net);
}

static bool newcomer_says_that_it_is_stored(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return is_answer(frame, 3, PEER_APPEND);
}

static bool members_say_that_it_is_stored(const struct net *net, const struct net_frame *frame)
{
	return newcomer_says_that_it_is_stored(net, frame) || is_answer(frame, 1, PEER_APPEND);
}

static bool nobody_goes_on(const struct net *net, const struct net_frame *frame)
{
	return members_say_that_it_is_stored(net, frame) || newcomer_asks_for_journal(net, frame);
}

/* The owner finishes the shard, and ends its change with it, when it has told nobody but the newcomer. */
static void a_newcomer_is_a_member_for_all_also_where_all_is_over(void **state)
{
	struct net *net = start_joining(newcomer_asks_for_journal);
	size_t from[NET_MAX] = {0};

	(void)state;
	net->hold = nobody_goes_on;
	answer_all(net, from, OUTCOME_SENT);
	net->hold = members_say_that_it_is_stored;
	net_run(net);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_true(shard_of(net, 3, i)->mine && shard_of(net, 3, i)->phase == SHARD_FINISHED);
	net->hold = newcomer_says_that_it_is_stored;
	net_advance(net, USEC_PER_SEC);
	net->hold = NULL;
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++) {
		for (uint32_t node = 0; node < 2; node++) {
			assert_true(is_member(net, node, i, 3));
			assert_int_equal(shard_of(net, node, i)->config, shard_of(net, 3, i)->config);
		}
	}
	net_free(net);
}

static void who_comes_back_after_it_was_replaced_leaves(void **state)
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_kill(net, 2);
	net_advance(net, 40 * USEC_PER_SEC);
	net_restart(net, 2);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++) {
		assert_false(shard_of(net, 2, i)->mine);
		assert_true(is_member(net, 2, i, 3));
	}
	assert_int_equal(core_numbers(net->shells[2]->core).replicas, 0);
	assert_int_equal(shell_view(net->shells[2], "moving").states[MAIL_RETRY], 0);
	check_all_sent(net, from, 3);
	net_free(net);
}

static void who_was_replaced_says_what_became_of_its_mail(void **state)
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	net_kill(net, 0);
	from[0] = net->shells[0]->fed_count; /* nobody reports these: its Postfix died with it */
	assert_int_equal(from[0], SHARDS * MAILS);
	net_advance(net, 40 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_false(is_member(net, 1, i, 0));
	net->shells[0]->hold_engine = true; /* it hears of that before it has looked into its spool */
	net_restart(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	net->shells[0]->hold_engine = false;
	net_advance(net, beat);
	check_all_sent(net, from, 1);
	assert_int_equal(shell_view(net->shells[1], "moving").in_doubt_resent, SHARDS * MAILS);
	net_free(net);
}

static void a_batch_gets_the_replicas_that_were_missing_when_it_was_accepted(void **state)
{
	struct net *net = start_net(3, "012", alone, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_advance(net, 30 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++) {
		for (uint32_t node = 0; node < 3; node++) {
			assert_non_null(shard_of(net, node, i));
			assert_int_equal(shard_of(net, node, i)->member_count, 3);
			assert_true(shard_of(net, node, i)->mine);
		}
	}
	net_kill(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	check_all_sent(net, from, 1);
	net_free(net);
}

/* All numbers of its epoch are used up: most of them, maybe, for newcomers that died before they counted. */
static void an_owner_that_has_no_number_left_takes_another_epoch(void **state)
{
	(void)state;
	for (int single = 0; single < 2; single++) {
		struct net *net = start_net(4, "012", single ? alone : three, CORE_BUG_NONE);
		size_t from[NET_MAX] = {0};
		uint32_t epochs[SHARDS];

		defer_all(net, from);
		for (uint32_t i = 0; i < SHARDS; i++) {
			struct shard *shard = net_shard(net, 0, "moving", i);

			assert_true(shard->owning);
			epochs[i] = shard->epoch;
			shard->config_used = (shard->epoch + 1) * CONFIGS_AN_EPOCH - 1;
		}
		if (!single)
			net_kill(net, 2);
		net_advance(net, 60 * USEC_PER_SEC);
		for (uint32_t i = 0; i < SHARDS; i++) {
			const struct shard *shard = shard_of(net, 0, i);

			assert_int_equal(shard->member_count, 3);
			assert_true(single || !is_member(net, 0, i, 2));
			assert_true(shard->owning);
			assert_int_equal(shard->epoch, epochs[i] + 1);
		}
		check_all_sent(net, from, 0);
		net_free(net);
	}
}

/* The submitter's number counts, whatever the nodes' own is: 3. */
static void restored_to(uint32_t number, const char *homes, const char *const *members)
{
	struct net *net = make_net(5, 3, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	put_batch(net, "01234", homes, members, MAILS);
	net_start(net);
	defer_all(net, from);
	net_advance(net, 30 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++)
		assert_int_equal(shard_of(net, 0, i)->member_count, number);
	net_kill(net, 1);
	net_advance(net, 40 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++) {
		assert_int_equal(shard_of(net, 0, i)->member_count, number);
		assert_false(is_member(net, 0, i, 1));
	}
	net_free(net);
}

static void a_batch_keeps_the_number_of_replicas_that_it_was_submitted_with(void **state)
{
	static const char *const two[] = {"01", "01", "01", "01", NULL};

	(void)state;
	restored_to(2, "01", two);
	restored_to(4, "0123", three);
}

static bool newcomer_asks_for_anything(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->to == 3 && frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_JOIN;
}

/* What one node lost comes back bit by bit, and mail goes out meanwhile. */
static void few_shards_of_an_owner_change_at_once(void **state)
{
	struct net *net = make_net(4, 3, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};
	uint32_t places = 0;

	(void)state;
	put_many(net, "012", three, 2);
	net_start(net);
	defer_all(net, from);
	net_kill(net, 2);
	net->hold = newcomer_asks_for_anything;
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->core->changes, 8);
	assert_true(net->shells[1]->core->changes <= 8);
	net->hold = NULL;
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 0; i < MANY; i++)
		places += is_member(net, 3, i, 3);
	assert_int_equal(places, MANY);
	net_free(net);
}

/* The configurations of the shards, and their owners, as all live nodes know them together. */
struct places {
	uint32_t config[MANY];
	uint32_t owner[MANY];
	uint32_t members[MANY]; /* bits */
};

static struct places places_now(const struct net *net)
{
	struct places places = {{0}, {0}, {0}};

	for (uint32_t i = 0; i < MANY; i++) {
		for (uint32_t node = 0; node < net->count; node++) {
			const struct shard *shard = net->down[node] ? NULL : shard_of(net, node, i);

			if (shard == NULL || !shard->owning)
				continue;
			places.owner[i] = node;
			places.config[i] = shard->config;
			for (uint32_t who = 0; who < net->count; who++)
				places.members[i] |= (uint32_t)is_member(net, node, i, who) << who;
		}
	}
	return places;
}

/* MANY shards over nodes 0 to 3, three replicas each; node 4 is not there yet. All wait for a retry. */
static struct net *four_of_five(size_t from[NET_MAX])
{
	static const char *const orders[] = {"012", "123", "230", "301"};
	struct net *net = make_net(5, 3, CORE_BUG_NONE);

	net->down[4] = true;
	put_many(net, "0123", orders, MAILS);
	net_start(net);
	for (int i = 0; i < 20; i++)
		defer_all(net, from);
	assert_int_equal(net_fed(net), MANY * MAILS);
	return net;
}

/* Nothing has to be fed: a node that joins gets nothing, and when it leaves nothing happens. */
static void who_joins_moves_nothing_that_has_no_need_to_move(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = four_of_five(from);
	const struct places before = places_now(net);
	struct places after;

	(void)state;
	net_restart(net, 4);
	net_advance(net, 60 * USEC_PER_SEC);
	after = places_now(net);
	assert_memory_equal(&before, &after, sizeof(before));
	net_kill(net, 4);
	net_advance(net, 60 * USEC_PER_SEC);
	after = places_now(net);
	assert_memory_equal(&before, &after, sizeof(before));
	net_free(net);
}

static void who_leaves_for_good_moves_nothing_but_its_own_places(void **state)
{
	size_t from[NET_MAX] = {0};
	struct net *net = four_of_five(from);
	const struct places before = places_now(net);
	struct places after;

	(void)state;
	net_restart(net, 4);
	net_advance(net, 10 * USEC_PER_SEC);
	net_kill(net, 3);
	net_advance(net, 90 * USEC_PER_SEC);
	after = places_now(net);
	for (uint32_t i = 0; i < MANY; i++) {
		const uint32_t gone = 1U << 3, kept = before.members[i] & ~gone;

		assert_int_equal(__builtin_popcount(after.members[i]), 3);
		if (before.owner[i] != 3)
			assert_int_equal(after.owner[i], before.owner[i]);
		if ((before.members[i] & gone) == 0)
			assert_int_equal(after.config[i], before.config[i]);
		else /* one comes, one goes */
			assert_int_equal(after.members[i] & kept, kept);
		assert_int_equal(after.members[i] & gone, 0);
	}
	net_free(net);
}

static void a_newcomer_remembers_what_it_is_a_member_of(void **state)
{
	struct net *net = start_net(3, "012", alone, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_advance(net, 30 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++)
		net_restart(net, i);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < SHARDS; i++) {
		for (uint32_t node = 0; node < 3; node++)
			assert_int_equal(shard_of(net, node, i)->member_count, 3);
		assert_int_equal(owners(net, i), 1);
	}
	assert_int_equal(core_numbers(net->shells[2]->core).replicas, SHARDS);
	net_kill(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	check_all_sent(net, from, 2);
	net_free(net);
}

static void a_node_that_drains_alone_finds_somebody_else(void **state)
{
	struct net *net = start_net(2, "0", alone, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0};

	(void)state;
	defer_all(net, from);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 0);
	/* Where there are two nodes there are two copies, although its submitter was content with one. */
	assert_int_equal(core_numbers(net->shells[0]->core).replicas, SHARDS);
	assert_int_equal(core_numbers(net->shells[1]->core).owned, SHARDS);
	/* It is needed for nothing any more. */
	net_kill(net, 0);
	check_all_sent(net, from, 1);
	net_free(net);
}

static void who_came_after_others_had_left_hears_of_a_command(void **state)
{
	struct net *net = net_new(3, 1);
	size_t from[NET_MAX] = {0};

	(void)state;
	put_batch(net, "0", "0", alone, MAILS);
	net->down[2] = true;
	net_start(net);
	defer_all(net, from);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(shell_drain(net->shells[0], true), CONTROL_OK);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[1]->core).owned, SHARDS);
	/* Its home never hears that the shards went on from there. */
	net_restart(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	assert_int_equal(shell_drain(net->shells[1], true), CONTROL_OK);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[2]->core).owned, SHARDS);
	net_kill(net, 1);
	net_link(net, 0, 2);
	net_advance(net, 5 * USEC_PER_SEC);
	shell_tell_control(net->shells[0], "moving", CONTROL_PAUSED);
	net_advance(net, 40 * USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[2], "moving").state, BATCH_PAUSED);
	shell_tell_control(net->shells[0], "moving", CONTROL_RUNNING);
	net_advance(net, 40 * USEC_PER_SEC);
	assert_int_equal(shell_view(net->shells[2], "moving").state, BATCH_SENDING);
	net_free(net);
}

/* The Postfix of each node sends five mails, if it has as many. Returns how many all have sent. */
static size_t send_some(struct net *net, size_t settled[NET_MAX])
{
	size_t all = 0;

	for (uint32_t i = 0; i < net->count; i++) {
		struct shell *shell = net->shells[i];

		for (int k = 0; k < 5 && settled[i] < shell->fed_count; k++)
			shell_tell_outcome(shell, &shell->fed[settled[i]++], OUTCOME_SENT, 1);
		all += settled[i];
	}
	net_advance(net, beat);
	return all;
}

/* Three nodes have run for a while, and the batch rests, when the fourth comes. */
static void a_node_that_joins_gets_its_share_of_what_is_there(void **state)
{
	struct net *net = net_new(4, 3);
	size_t settled[NET_MAX] = {0};
	uint64_t begin;

	(void)state;
	put_many(net, "012", three, 100);
	net->down[3] = true;
	net_start(net);
	shell_tell_control(net->shells[0], "moving", CONTROL_PAUSED);
	net_advance(net, 12 * USEC_PER_SEC);
	net_restart(net, 3);
	net_advance(net, 6 * USEC_PER_SEC);
	shell_tell_control(net->shells[0], "moving", CONTROL_RUNNING);
	begin = net->shells[0]->now.us;
	for (int i = 0; i < 600 && send_some(net, settled) < 4000; i++)
		;
	assert_int_equal(net_fed(net), 4000);
	/* 50 a second each, so 20 seconds at best. It has to become a member first, which takes some of them.
	 */
	assert_true(net->shells[0]->now.us - begin < 23 * USEC_PER_SEC);
	assert_true(settled[3] >= 750);
	net_free(net);
}

/* Faults in the middle: after so many messages since the member was gone. */

static uint32_t victim;

static void kill_victim(struct net *net)
{
	net_kill(net, victim);
}

/* 0: there were fewer messages. */
static size_t crash_after(size_t messages, uint32_t who)
{
	struct net *net = start_net(4, "012", three, CORE_BUG_NONE);
	size_t from[NET_MAX] = {0}, reached;

	defer_all(net, from);
	net_kill(net, 2);
	net_advance(net, 18 * USEC_PER_SEC);
	net->delivered = 0;
	net->stop_after = messages;
	net->stop = kill_victim;
	victim = who;
	net_advance(net, 15 * USEC_PER_SEC);
	reached = net->delivered >= messages ? net->delivered : 0;
	net->stop_after = 0;
	if (net->down[who])
		net_restart(net, who);
	net_advance(net, 60 * USEC_PER_SEC);
	check_replaced(net);
	check_all_sent(net, from, 3);
	net_free(net);
	return reached;
}

static void an_owner_that_dies_at_any_step_leaves_one_configuration(void **state)
{
	(void)state;
	for (size_t i = 1; crash_after(i, 0) > 0; i += 3)
		;
}

static void a_newcomer_that_dies_at_any_step_leaves_one_configuration(void **state)
{
	(void)state;
	for (size_t i = 1; crash_after(i, 3) > 0; i += 3)
		;
}

static void cut_newcomer(struct net *net)
{
	net_cut(net, 0, 1);
}

static bool has_config(const struct net *net, uint32_t number, const struct opt_id *shard)
{
	const struct shell *shell = net->shells[number];
	struct journal_reader *reader = journal_reader_new();
	bool found = false;

	for (size_t i = 0; i < shell->entry_count; i++) {
		struct journal_entry entry;

		if (id_equal(&shell->entries[i].id, shard) &&
		    journal_read(reader, shard, shell->entries[i].data, shell->entries[i].len, &entry) == 0)
			found = found || entry.type == JOURNAL_CONFIG;
	}
	journal_reader_free(reader);
	return found;
}

/* Cuts the newcomer off after each number of messages. False: new members counted that were none. */
static bool members_count_only_when_they_are(uint32_t broken_rule)
{
	bool holds = true;

	for (size_t messages = 1;; messages++) {
		struct net *net = start_net(2, "01", alone, broken_rule);
		size_t from[NET_MAX] = {0};
		bool reached;

		defer_all(net, from);
		net_advance(net, 6 * USEC_PER_SEC);
		net->delivered = 0;
		net->stop_after = messages;
		net->stop = cut_newcomer;
		net_advance(net, 10 * USEC_PER_SEC);
		reached = net->delivered >= messages;
		for (uint32_t i = 0; i < SHARDS; i++) {
			const struct shard *shard = shard_of(net, 0, i);

			if (shard->member_count == 1)
				continue;
			/* A majority of two are both, and they have all. */
			holds = holds && has_config(net, 1, &shard->id) && net->shells[1]->template_len > 0;
			for (size_t k = 0; k < net->shells[0]->entry_count && holds; k++)
				holds = net->shells[1]->value_count > 0;
		}
		net_free(net);
		if (!reached)
			return holds;
	}
}

static void new_members_count_when_most_of_the_old_and_of_the_new_know_and_have_all(void **state)
{
	(void)state;
	assert_true(members_count_only_when_they_are(CORE_BUG_NONE));
	assert_false(members_count_only_when_they_are(CORE_BUG_CONFIG_OLD_MAJORITY_ONLY));
	assert_false(members_count_only_when_they_are(CORE_BUG_NEWCOMER_EMPTY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_is_gone_for_good_is_replaced),
	    cmocka_unit_test(a_newcomer_does_not_take_what_is_unknown_for_empty),
	    cmocka_unit_test(nobody_becomes_a_member_of_what_is_finished),
	    cmocka_unit_test(a_newcomer_is_a_member_for_all_also_where_all_is_over),
	    cmocka_unit_test(who_comes_back_after_it_was_replaced_leaves),
	    cmocka_unit_test(who_was_replaced_says_what_became_of_its_mail),
	    cmocka_unit_test(an_owner_that_has_no_number_left_takes_another_epoch),
	    cmocka_unit_test(a_batch_gets_the_replicas_that_were_missing_when_it_was_accepted),
	    cmocka_unit_test(a_batch_keeps_the_number_of_replicas_that_it_was_submitted_with),
	    cmocka_unit_test(few_shards_of_an_owner_change_at_once),
	    cmocka_unit_test(who_joins_moves_nothing_that_has_no_need_to_move),
	    cmocka_unit_test(who_leaves_for_good_moves_nothing_but_its_own_places),
	    cmocka_unit_test(a_newcomer_remembers_what_it_is_a_member_of),
	    cmocka_unit_test(a_node_that_drains_alone_finds_somebody_else),
	    cmocka_unit_test(who_came_after_others_had_left_hears_of_a_command),
	    cmocka_unit_test(a_node_that_joins_gets_its_share_of_what_is_there),
	    cmocka_unit_test(an_owner_that_dies_at_any_step_leaves_one_configuration),
	    cmocka_unit_test(a_newcomer_that_dies_at_any_step_leaves_one_configuration),
	    cmocka_unit_test(new_members_count_when_most_of_the_old_and_of_the_new_know_and_have_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
