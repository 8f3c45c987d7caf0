/* SPDX-License-Identifier: MIT */
/*
 * Claims and outcomes on their way to the other members, while members die, come, and owners change: each
 * counts at last, or is made again, and whoever waits for it is told.
 */
#include "core_net.h"

#include "queue/peer.h"
#include "queue/state.h"

static struct net *net;

/* Tells what came of the mails from `settled` on that Postfix was given. */
static void settle_from(struct shell *shell, size_t *settled)
{
	for (; *settled < shell->fed_count; ++*settled)
		shell_tell_outcome(shell, &shell->fed[*settled], OUTCOME_SENT, 100 + *settled);
}

/* Its Postfix still has mails of a shard that went to the other node, which dies. */
static void outcomes_of_a_former_owner_count_when_the_owner_is_dead(void **state)
{
	static const char *const pair[] = {"10", NULL};
	struct shell *shell;
	size_t fed;

	(void)state;
	net = net_new(2, 2);
	shell = net->shells[1];
	for (uint32_t i = 0; i < 2; i++) {
		net->shells[i]->config.window = 100;
		net->shells[i]->config.domain_share = 100;
	}
	net_set_broken(net, 0); /* makes the cores anew */
	net_put_batch(net, "01", "news", "01", pair, 60);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	fed = shell->fed_count;
	assert_true(fed > 50);
	assert_int_equal(shell_drain(shell, true), CONTROL_OK);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).owned, 1);
	assert_int_equal(shell_drain(shell, false), CONTROL_OK);
	net_advance(net, 2 * USEC_PER_SEC);
	net_kill(net, 0);
	net->frame_count = 0;
	for (size_t i = 0; i < fed; i++)
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 100 + i);
	for (int i = 0; i < 60; i++) {
		net_refuse(net, 0);
		net_advance(net, USEC_PER_SEC);
		settle_from(shell, &fed);
	}
	assert_true(shell_answered(shell, 105));
	assert_int_equal(shell_count(shell, "news", MAIL_SENT), 60);
	assert_int_equal(shell->done, 1);
	net_free(net);
}

/* Postfix would get no more answers once unreplicated_max of them wait. */
static void outcomes_of_a_shard_whose_members_are_all_forgotten_wait_for_nobody(void **state)
{
	static const char *const others[] = {"12", NULL};
	const struct opt_id batch = batch_key("news");
	struct attempt_key key = {
	    .shard = shard_id(&batch, 0), .epoch = 1, .attempt = 1, .node = net_node(0)};

	(void)state;
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", others, 3);
	net_start(net);
	net_advance(net, 2 * USEC_PER_SEC);
	net_kill(net, 1);
	net_kill(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	shell_tell_outcome(net->shells[0], &key, OUTCOME_SENT, 55);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).unreplicated, 1);
	for (uint32_t i = 1; i < 3; i++) {
		struct event forget = {.type = EVENT_FORGET, .forget.node = net_node(i)};

		shell_step(net->shells[0], &forget);
	}
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(core_numbers(net->shells[0]->core).unreplicated, 0);
	assert_true(shell_answered(net->shells[0], 55));
	net_free(net);
}

/* Whether the oldest write is the entry of a configuration of that shard. */
static bool writes_configuration(const struct shell *shell, const struct opt_id *shard)
{
	const struct shell_write *write = &shell->writes[0];
	struct journal_reader *reader = journal_reader_new();
	struct journal_entry entry;
	const bool it_does = write->type == EFFECT_STORE_APPEND && id_equal(&write->id, shard) &&
	                     journal_read(reader, shard, write->data, write->len, &entry) == 0 &&
	                     entry.type == JOURNAL_CONFIG;

	journal_reader_free(reader);
	return it_does;
}

/* Until the first configuration with another member is about to be written. */
static void run_to_configuration(struct shell *shell, const struct opt_id *shard, size_t *settled)
{
	for (int i = 0; i < 2000; i++) {
		net_advance(net, USEC_PER_SEC / 20);
		if (*settled < shell->fed_count)
			shell_tell_outcome(shell, &shell->fed[(*settled)++], OUTCOME_SENT, 7);
		for (size_t k = shell->write_count; k > 0; k--) {
			if (writes_configuration(shell, shard))
				return;
			shell_answer_write(shell, 0);
		}
	}
	fail_msg("no other node becomes a member");
}

/* Claims that were made while there was no other member have a time limit as well once there is one. */
static void claims_under_way_when_the_first_other_member_comes_are_made_again(void **state)
{
	static const char *const shards[] = {"0", NULL};
	const struct opt_id batch = batch_key("news"), id = shard_id(&batch, 0);
	struct shell *shell;
	size_t settled = 0;

	(void)state;
	net = net_new(2, 2);
	shell = net->shells[0];
	net_put_batch(net, "0", "news", "0", shards, 300);
	net_put_values(net, "0", "news", 1);
	net_put_template(net, "0");
	net_start(net);
	shell->hold_writes = true;
	run_to_configuration(shell, &id, &settled);
	settle_from(shell, &settled);
	net_run(net); /* there is room: claims are written behind the configuration */
	shell_answer_write(shell, 0);
	net_kill(net, 1);
	shell->hold_writes = false;
	net_run(net);
	for (int i = 0; i < 300; i++) {
		settle_from(shell, &settled);
		net_refuse(net, 1);
		net_advance(net, USEC_PER_SEC);
	}
	assert_int_equal(shell->fed_count, 300);
	net_free(net);
}

/* It was no member by the record, joined, and left; its part of the batch is over. */
static void a_report_about_a_shard_that_was_left_is_told_after_a_restart(void **state)
{
	static const char *const shards[] = {"0", "12", NULL};
	const struct opt_id batch = batch_key("news");
	struct shard_counts counts = {.index = 0, .finished = true, .states = {[MAIL_SENT] = 1}};
	const struct journal_entry over = {.type = JOURNAL_FINISHED,
	    .at = {UINT64_C(1700000000) * USEC_PER_SEC},
	    .shards = &counts,
	    .count = 1};
	struct attempt_key key = {
	    .shard = shard_id(&batch, 1), .epoch = 2, .attempt = 1, .node = net_node(0)};
	struct buffer bytes;

	(void)state;
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", shards, 1);
	buffer_init(&bytes);
	journal_encode(&over, &bytes);
	net->shells[0]->entries[net->shells[0]->entry_count++] =
	    (struct shell_blob){.id = batch, .data = bytes.data, .len = bytes.len};
	net->shells[0]->hold_loads = true;
	net_start(net);
	shell_tell_outcome(net->shells[0], &key, OUTCOME_SENT, 55);
	net->shells[0]->hold_loads = false;
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(shell_answered(net->shells[0], 55));
	assert_int_equal(shell_count(net->shells[1], "news", MAIL_SENT), 1);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(outcomes_of_a_former_owner_count_when_the_owner_is_dead),
	    cmocka_unit_test(outcomes_of_a_shard_whose_members_are_all_forgotten_wait_for_nobody),
	    cmocka_unit_test(claims_under_way_when_the_first_other_member_comes_are_made_again),
	    cmocka_unit_test(a_report_about_a_shard_that_was_left_is_told_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
