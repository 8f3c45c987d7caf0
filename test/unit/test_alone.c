/* SPDX-License-Identifier: MIT */
/* Rule 7: who goes on without a majority, with which proof, and how two that did so find together again. */
#include "core_net.h"

#include "queue/change.h"
#include "queue/error.h"
#include "queue/peer.h"
#include "queue/state.h"

enum { SHARDS = 2, MAILS = 200 /* more than a window, so that some are left */ };

static const char *const pair[] = {"01", "10", NULL};
static const char *const trio[] = {"012", "012", NULL};

static struct net *start_net(uint32_t count, const char *const *members)
{
	const char *all = count == 2 ? "01" : "012";
	struct net *net = net_new(count, count);

	for (uint32_t i = 0; i < count; i++)
		net->shells[i]->config.alone_after = 600 * USEC_PER_SEC;
	net_put_batch(net, all, "alone", all, members, MAILS);
	net_put_values(net, all, "alone", SHARDS);
	net_start(net);
	/* Who has just started takes its own shards over. */
	net_advance(net, USEC_PER_SEC);
	return net;
}

static const struct shard *shard_of(const struct net *net, uint32_t number, uint32_t index)
{
	return net_shard(net, number, "alone", index);
}

static bool owns(const struct net *net, uint32_t number, uint32_t index)
{
	return shard_of(net, number, index)->owning;
}

/* Postfix answers for all that this node was given since `from`: returns how many these were. */
static size_t send_all(struct net *net, uint32_t number, size_t *from)
{
	const size_t before = *from;

	while (*from < net->shells[number]->fed_count) {
		shell_tell_outcome(net->shells[number], &net->shells[number]->fed[*from], OUTCOME_SENT, 1);
		++*from;
		net_run(net);
	}
	return *from - before;
}

/* Whether claims of that node are in its own journals with the mark, or without. */
static size_t claims(const struct net *net, uint32_t number, bool marked)
{
	const struct shell *shell = net->shells[number];
	struct journal_reader *journal = journal_reader_new();
	size_t count = 0;

	for (size_t i = 0; i < shell->entry_count; i++) {
		struct journal_entry entry;

		assert_int_equal(journal_read(journal, &shell->entries[i].id, shell->entries[i].data,
		                     shell->entries[i].len, &entry),
		    0);
		for (size_t k = 0; entry.type == JOURNAL_CLAIMS && k < entry.count; k++)
			count += ((entry.claims[k].flags & CLAIM_ALONE) != 0) == marked &&
			         id_equal(&entry.node, &shell->config.node);
	}
	journal_reader_free(journal);
	return count;
}

static void an_owner_of_two_goes_on_when_the_other_dies(void **state)
{
	struct net *net = start_net(2, pair);
	size_t from = 0, unmarked;

	(void)state;
	assert_true(owns(net, 0, 0) && owns(net, 1, 1));
	unmarked = claims(net, 0, false);
	assert_true(unmarked > 0);
	assert_int_equal(claims(net, 0, true), 0);
	net_kill(net, 1);
	net_advance(net, 8 * USEC_PER_SEC);
	for (int i = 0; i < 50; i++) {
		send_all(net, 0, &from);
		net_advance(net, USEC_PER_SEC);
	}
	assert_int_equal(shell_count(net->shells[0], "alone", MAIL_SENT), MAILS);
	assert_int_equal(shard_of(net, 0, 0)->phase, SHARD_FINISHED);
	/* What could not be shown to a second node says so. */
	assert_true(claims(net, 0, true) > 0);
	net_free(net);
}

static void a_refused_port_proves_death_only_after_a_while(void **state)
{
	struct net *net = start_net(2, pair);

	(void)state;
	net_kill(net, 1);
	net_advance(net, 5 * USEC_PER_SEC);
	net_refuse(net, 1);
	net_advance(net, 2 * USEC_PER_SEC);
	assert_false(owns(net, 0, 1)); /* it may be starting again */
	net_advance(net, 9 * USEC_PER_SEC);
	net_refuse(net, 1);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(owns(net, 0, 1));
	net_free(net);
}

static void silence_proves_death_only_after_alone_after(void **state)
{
	struct net *net = start_net(2, pair);

	(void)state;
	net_cut(net, 0, 1);
	net_advance(net, 580 * USEC_PER_SEC);
	assert_true(owns(net, 0, 0) && !owns(net, 0, 1));
	assert_true(owns(net, 1, 1) && !owns(net, 1, 0));
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(owns(net, 0, 0) && owns(net, 0, 1));
	net_free(net);
}

static void silence_proves_nothing_where_alone_after_is_never(void **state)
{
	struct net *net = net_new(2, 2);

	(void)state;
	for (uint32_t i = 0; i < 2; i++)
		net->shells[i]->config.alone_after = 0;
	net_set_broken(net, CORE_BUG_NONE); /* makes the cores anew, with this configuration */
	net_put_batch(net, "01", "alone", "01", pair, MAILS);
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	net_cut(net, 0, 1);
	net_advance(net, 3000 * USEC_PER_SEC);
	assert_false(owns(net, 0, 1));
	net_free(net);
}

static void the_last_of_three_waits_until_the_others_are_forgotten(void **state)
{
	struct net *net = start_net(3, trio);
	size_t from = 0;

	(void)state;
	net_kill(net, 0);
	net_kill(net, 1);
	net_advance(net, 40 * USEC_PER_SEC);
	assert_false(owns(net, 2, 0));
	net_forget(net, 2, 0);
	net_forget(net, 2, 1);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(owns(net, 2, 0) && owns(net, 2, 1));
	assert_true(shard_of(net, 2, 0)->alone);
	for (int i = 0; i < 300; i++) {
		send_all(net, 2, &from);
		net_advance(net, USEC_PER_SEC);
	}
	assert_int_equal(shell_count(net->shells[2], "alone", MAIL_SENT), SHARDS * MAILS);
	net_free(net);
}

static void two_that_went_on_alone_find_together(void **state)
{
	struct net *net = start_net(2, pair);
	size_t from[2] = {0};

	(void)state;
	net_cut(net, 0, 1);
	net_advance(net, 650 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(owns(net, i, 0) && owns(net, i, 1));
	send_all(net, 0, &from[0]);
	net_link(net, 0, 1);
	for (int i = 0; i < 300; i++) {
		send_all(net, 0, &from[0]);
		send_all(net, 1, &from[1]);
		net_advance(net, USEC_PER_SEC);
		if (i < 60)
			continue;
		for (uint32_t shard = 0; shard < SHARDS; shard++)
			assert_true(owns(net, 0, shard) + owns(net, 1, shard) <= 1);
	}
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(shell_count(net->shells[i], "alone", MAIL_SENT), SHARDS * MAILS);
	assert_int_equal(
	    shell_view(net->shells[0], "alone").duplicates, shell_view(net->shells[1], "alone").duplicates);
	net_free(net);
}

/* Not by chance, either: both draw the same numbers here. */
static void two_that_go_on_alone_never_own_the_same_epoch(void **state)
{
	struct net *net = start_net(2, pair);

	(void)state;
	net_cut(net, 0, 1);
	net_restart(net, 0);
	net_restart(net, 1);
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 2; i++) {
		assert_false(owns(net, i, 0) || owns(net, i, 1));
		net->shells[i]->core->random = 1;
		net_forget(net, i, 1 - i);
	}
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t shard = 0; shard < SHARDS; shard++) {
		assert_true(owns(net, 0, shard) && owns(net, 1, shard));
		assert_int_not_equal(shard_of(net, 0, shard)->epoch, shard_of(net, 1, shard)->epoch);
	}
	net_free(net);
}

/* The entry that makes 1 and 2 the shard's members, in the stores of these two. */
static void change_members(struct net *net, uint32_t index)
{
	const struct opt_id key = batch_key("alone"), id = shard_id(&key, index);
	const struct opt_id members[] = {net_node(1), net_node(2)};
	const struct journal_entry entry = {
	    .type = JOURNAL_CONFIG, .epoch = 1, .config = 64, .members = members, .count = 2};

	for (uint32_t i = 1; i < 3; i++)
		shell_put_entry(net->shells[i], &id, &entry);
}

static void answer(struct net *net, uint32_t number, enum outcome_kind kind)
{
	struct shell *shell = net->shells[number];

	for (size_t i = 0; i < shell->fed_count; i++)
		shell_tell_outcome(shell, &shell->fed[i], kind, 1);
	net_run(net);
}

/*
 * Node 0 was away when it was replaced by 2, and goes on alone when 1 is dead; so does 2. Who of them has to
 * go must tell both members what it sent, and not only the one from which it hears that it is none.
 */
static void who_was_no_member_any_more_tells_all_of_them_what_it_did(void **state)
{
	static const char *const one[] = {"01", NULL};
	struct net *net = net_new(3, 2);
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = &net->shells[1]->config.presence};

	(void)state;
	net_put_batch(net, "012", "alone", "012", one, 1);
	net_put_values(net, "012", "alone", 1);
	change_members(net, 0);
	net->down[1] = true;
	net->cut[0][2] = net->cut[2][0] = true;
	net_start(net);
	shell_step(net->shells[0], &event);
	shell_step(net->shells[2], &event);
	for (int i = 0; i < 10; i++) {
		net_refuse(net, 1);
		net_advance(net, 5 * USEC_PER_SEC);
	}
	assert_true(owns(net, 0, 0) && owns(net, 2, 0));
	answer(net, 0, OUTCOME_SENT);
	answer(net, 2, OUTCOME_BOUNCED);
	net_restart(net, 1);
	net_advance(net, USEC_PER_SEC);
	net_link(net, 0, 2);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_false(shard_of(net, 0, 0)->mine);
	for (uint32_t i = 1; i < 3; i++)
		assert_int_equal(shell_count(net->shells[i], "alone", MAIL_SENT), 1);
	net_free(net);
}

/* A node says to node 1 what stands in these entries. */
static void say(
    struct net *net, uint32_t from, enum append_kind what, const struct journal_entry *said, uint32_t count)
{
	const struct opt_id key = batch_key("alone");
	struct buffer bytes[2], frame;
	struct span entries[2];
	struct peer_message append = {.type = PEER_APPEND,
	    .token = what + 1,
	    .shard = shard_id(&key, 0),
	    .epoch = shard_of(net, 1, 0)->promised,
	    .config = 1,
	    .what = what,
	    .entries = entries,
	    .entry_count = count};
	struct event event = {.type = EVENT_FRAME, .frame.node = net_node(from)};

	for (uint32_t i = 0; i < count; i++) {
		buffer_init(&bytes[i]);
		journal_encode(&said[i], &bytes[i]);
		entries[i] = (struct span){bytes[i].data, bytes[i].len};
	}
	buffer_init(&frame);
	peer_encode(&append, &frame);
	event.frame.data = frame.data;
	event.frame.len = frame.len;
	shell_step(net->shells[1], &event);
	buffer_done(&frame);
	for (uint32_t i = 0; i < count; i++)
		buffer_done(&bytes[i]);
}

/* Two facts of node 0 that node 2 brings, of which node 1 stores but the second: it has to read its journal
 * again. */
static void tell_half(struct net *net)
{
	struct shell *shell = net->shells[1];
	struct outcome outcomes[2];
	struct journal_entry entries[2];

	for (uint32_t i = 0; i < 2; i++) {
		outcomes[i] =
		    (struct outcome){.key = {.index = i, .epoch = 1, .node = net_node(0), .attempt = 1},
		        .kind = OUTCOME_SENT,
		        .at = shell->utc,
		        .dsn = "",
		        .relay = "",
		        .reason = ""};
		entries[i] =
		    (struct journal_entry){.type = JOURNAL_OUTCOMES, .outcomes = &outcomes[i], .count = 1};
	}
	shell->hold_loads = shell->hold_writes = true;
	say(net, 2, APPEND_UNION, entries, 2);
	assert_int_equal(shell->write_count, 2);
}

static void store_half(struct shell *shell)
{
	shell_answer_write(shell, OPT_E_FULL);
	shell_answer_write(shell, 0);
	shell->hold_writes = false;
}

/* Node 1 is the only member from now on. */
static void leave_to_node_1(struct net *net)
{
	const struct opt_id self = net_node(1);
	const struct journal_entry entry = {.type = JOURNAL_CONFIG,
	    .config = shard_of(net, 1, 0)->promised * CONFIGS_AN_EPOCH,
	    .epoch = shard_of(net, 1, 0)->promised,
	    .members = &self,
	    .count = 1};

	say(net, 0, APPEND_CONFIG, &entry, 1);
	net_run(net);
	assert_int_equal(shard_of(net, 1, 0)->member_count, 1);
}

/* Node 1 is left alone, as the only member or of two; and it may be about to take over when it learns so. */
static void who_is_left_knows_its_own_journal_before_it_owns(void **state)
{
	static const char *const one[] = {"01", NULL};
	enum { DEAD, REMOVED, BEGUN, WAYS };

	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct net *net = net_new(3, 2);
		struct shell *shell = net->shells[1];

		net_put_batch(net, "01", "alone", "01", one, 2);
		net_put_values(net, "01", "alone", 1);
		net_start(net);
		net_advance(net, USEC_PER_SEC);
		assert_true(owns(net, 0, 0));
		net_kill(net, 0);
		net_advance(net, 20 * USEC_PER_SEC);
		tell_half(net);
		if (way != BEGUN)
			store_half(shell);
		if (way == REMOVED)
			leave_to_node_1(net);
		else
			net_forget(net, 1, 0);
		for (int i = 0; i < 15; i++) { /* a store may take so long */
			net_advance(net, USEC_PER_SEC / 10);
			if (shell->hold_writes && shard_of(net, 1, 0)->takeover != NULL)
				store_half(shell);
		}
		assert_false(shell->hold_writes || owns(net, 1, 0));
		shell->hold_loads = false;
		net_advance(net, 3 * USEC_PER_SEC);
		assert_true(owns(net, 1, 0));
		assert_int_equal(shell_count(shell, "alone", MAIL_SENT), 1);
		net_free(net);
	}
}

static struct peer_reader *reader;

/* Nobody hears from node 2 what has become of the upload. */
static bool no_record(const struct net *net, const struct net_frame *frame)
{
	struct peer_message message;

	(void)net;
	return peer_read(reader, frame->data, frame->len, &message) == 0 && message.type == PEER_RECORD &&
	       !message.answer;
}

/* A batch that node 2 has accepted, and of whose shard it has no part. */
static struct net *accepted_elsewhere(char name[8])
{
	for (int i = 0; i < 64; i++) {
		struct net *net = net_new(3, 2);
		const struct shard *shard;

		snprintf(name, 8, "news%d", i);
		net_start(net);
		net_advance(net, 10 * USEC_PER_SEC);
		net->hold = no_record;
		net_submit(net, 2, 1, name, 1);
		net_advance(net, USEC_PER_SEC);
		shard = net_shard(net, 2, name, 0);
		if (shard != NULL && !shard->mine && !net_has_batch(net, 0, name) &&
		    !net_has_batch(net, 1, name))
			return net;
		net_free(net);
	}
	fail_msg("every batch is node 2's");
	return NULL;
}

/*
 * Who was given the mails, and hears only when the other one is away that they are to be sent. If it has
 * restarted meanwhile it does not know whether that one has taken them over.
 */
static void the_first_owner_of_two_goes_on_alone_only_if_it_has_not_restarted(void **state)
{
	char name[8];

	(void)state;
	reader = peer_reader_new();
	for (int restarted = 0; restarted < 2; restarted++) {
		struct net *net = accepted_elsewhere(name);
		const struct opt_id first = net_shard(net, 2, name, 0)->members[0]->id, zero = net_node(0);
		const uint32_t owner = id_equal(&first, &zero) ? 0 : 1;

		if (restarted)
			net_restart(net, owner);
		net_kill(net, 1 - owner);
		net_advance(net, 8 * USEC_PER_SEC);
		assert_false(net_has_batch(net, owner, name));
		net->hold = NULL;
		net_advance(net, 5 * USEC_PER_SEC);
		assert_true(net_has_batch(net, owner, name));
		assert_int_equal(net_shard(net, owner, name, 0)->owning, !restarted);
		assert_int_equal(net_fed(net), restarted ? 0 : 4);
		net_restart(net, 1 - owner);
		net_advance(net, 20 * USEC_PER_SEC);
		assert_int_equal(net_fed(net), 4);
		net_free(net);
	}
	peer_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_owner_of_two_goes_on_when_the_other_dies),
	    cmocka_unit_test(a_refused_port_proves_death_only_after_a_while),
	    cmocka_unit_test(silence_proves_death_only_after_alone_after),
	    cmocka_unit_test(silence_proves_nothing_where_alone_after_is_never),
	    cmocka_unit_test(the_last_of_three_waits_until_the_others_are_forgotten),
	    cmocka_unit_test(two_that_went_on_alone_find_together),
	    cmocka_unit_test(two_that_go_on_alone_never_own_the_same_epoch),
	    cmocka_unit_test(who_was_no_member_any_more_tells_all_of_them_what_it_did),
	    cmocka_unit_test(the_first_owner_of_two_goes_on_alone_only_if_it_has_not_restarted),
	    cmocka_unit_test(who_is_left_knows_its_own_journal_before_it_owns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
