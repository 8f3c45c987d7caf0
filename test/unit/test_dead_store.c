/* SPDX-License-Identifier: MIT */
/*
 * A node that lives and whose store does not answer, for as long as one likes: it costs the others nothing
 * that grows, and who else was away is brought up to date.
 */
#include "core_net.h"

#include "queue/call.h"
#include "queue/peers.h"
#include "queue/place.h"
#include "queue/state.h"
#include "queue/sync.h"
#include "queue/upload.h"
#include "queue/write.h"

enum { SICK = 2, OUTCOMES = 1500, SHARDS = 70 /* more than SYNCS_MAX */, LATER = SHARDS, VALUES = 200 };

static const usec beat = USEC_PER_SEC / 10;

static struct net *net;

static void start_net(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		net->shells[i]->config.window = 200;
		net->shells[i]->config.domain_share = 100;
	}
	net_set_broken(net, 0); /* makes the cores anew */
	net_start(net);
}

/* Its Redis is away, or back. */
static void set_store(uint32_t number, bool answers)
{
	net->shells[number]->hold_writes = net->shells[number]->hold_loads = !answers;
}

static size_t writes_of(uint32_t number)
{
	size_t count = 0;

	for (struct write *write = write_first(net->shells[number]->core); write != NULL;
	     write = write_next(write))
		count++;
	return count;
}

static size_t calls_to(uint32_t number, uint32_t to)
{
	const struct opt_id id = net_node(to);
	const struct peer *peer = peer_find(net->shells[number]->core, &id);
	const struct call *call;
	size_t count = 0;

	TAILQ_FOREACH (call, &peer->calls, link)
		count++;
	return count;
}

static bool repeats(struct write *write)
{
	for (struct write *other = write_next(write); other != NULL; other = write_next(other)) {
		if (other->peer == write->peer && other->peer_token == write->peer_token)
			return true;
	}
	return false;
}

/* Requests of others that wait for the store; none of them twice. */
static size_t requests_at(uint32_t number)
{
	size_t count = 0;

	for (struct write *write = write_first(net->shells[number]->core); write != NULL;
	     write = write_next(write)) {
		if (write->peer == NULL)
			continue;
		count++;
		assert_false(repeats(write));
	}
	return count;
}

static bool any_behind(uint32_t number, uint32_t shards)
{
	for (uint32_t i = 0; i < shards; i++) {
		if (net_shard(net, number, "news", i)->behind != 0)
			return true;
	}
	return false;
}

static void what_a_dead_store_leaves_unanswered_does_not_pile_up(void **state)
{
	static const char *const shards[] = {"012", "012", "012", "012", NULL};
	struct shell *shell;
	size_t writes = 0, calls = 0;

	(void)state;
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", shards, 500);
	start_net(3);
	shell = net->shells[0];
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(shell->fed_count >= 200);
	set_store(SICK, false);
	for (size_t i = 0; i < OUTCOMES; i++) {
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 100 + i);
		net_advance(net, 8 * beat / 10);
		assert_true(shell_answered(shell, 100 + i));
		writes = writes_of(0) > writes ? writes_of(0) : writes;
		calls = calls_to(0, SICK) > calls ? calls_to(0, SICK) : calls;
		assert_true(writes < 600 && calls < 600);
		if (i % 100 == 0)
			assert_true(requests_at(SICK) <= 1100);
	}
	assert_true(calls > 100); /* it is told for a while, as it is alive */
	assert_true(requests_at(SICK) <= 1100);
	set_store(SICK, true);
	net_advance(net, 120 * USEC_PER_SEC);
	assert_false(any_behind(0, 4));
	assert_int_equal(shell_count(net->shells[SICK], "news", MAIL_SENT), OUTCOMES);
	assert_true(writes_of(0) < 10);
	net_free(net);
}

/* The client sends on, and hears that the batch is accepted; the third replica gets its values later. */
static void an_upload_does_not_wait_for_a_dead_store(void **state)
{
	struct batch_settings settings = shell_settings("news");
	const struct opt_id upload = shell_upload_id(1);
	struct shell *shell;

	(void)state;
	net = net_new(3, 3);
	net_start(net);
	shell = net->shells[0];
	for (uint32_t i = 0; i < 3; i++)
		net->shells[i]->no_template = true;
	net_put_template(net, "");
	net_put_values(net, "", "news", VALUES + 1);
	settings.replicas = 3;
	settings.start.us = shell->utc.us + 3600 * USEC_PER_SEC;
	set_store(SICK, false);
	shell_open(shell, 1, &settings, "template");
	for (uint32_t i = 1; i <= VALUES; i++)
		shell_add(shell, 1, 4, i);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(core_upload_pending(shell->core, &upload) >= VALUES - PLACE_LATE_MAX); /* for a while */
	net_advance(net, 7 * USEC_PER_SEC);
	assert_int_equal(core_upload_pending(shell->core, &upload), 0);
	assert_true(calls_to(0, SICK) <= 1); /* the template */
	shell_add(shell, 1, 4, VALUES + 1);
	net_advance(net, USEC_PER_SEC);
	assert_true(calls_to(0, SICK) <= 1);
	shell_commit(shell, 1);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
	assert_null(upload_find(shell->core, &upload)); /* nothing of it is kept for that one */
	set_store(SICK, true);
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 0; i <= VALUES; i++)
		assert_true(net_shard(net, SICK, "news", i)->value_here);
	net_free(net);
}

/* Those of its shards that are wanted; the mail is settled. */
static void settle_one(struct shell *shell, uint32_t index)
{
	const struct opt_id batch = batch_key("news");
	const struct opt_id shard = shard_id(&batch, index);

	for (size_t i = 0; i < shell->fed_count; i++) {
		if (!id_equal(&shell->fed[i].shard, &shard))
			continue;
		shell_tell_outcome(shell, &shell->fed[i], OUTCOME_SENT, 1);
		return;
	}
	fail_msg("no mail of the shard was fed");
}

static void who_was_away_is_brought_up_to_date_beside_a_node_with_a_dead_store(void **state)
{
	const char *shards[SHARDS + 2] = {NULL};
	bool full = false;

	(void)state;
	for (uint32_t i = 0; i < SHARDS; i++)
		shards[i] = "012";
	shards[LATER] = "013";
	net = net_new(4, 3);
	net_put_batch(net, "0123", "news", "012", shards, 2);
	net->down[3] = true;
	start_net(4);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->shells[0]->fed_count, 2 * (SHARDS + 1));
	settle_one(net->shells[0], LATER);
	net_advance(net, USEC_PER_SEC);
	set_store(SICK, false);
	net_restart(net, SICK);
	for (int i = 0; i < 50; i++) {
		net_advance(net, beat);
		full = full || net->shells[0]->core->syncs == SYNCS_MAX;
	}
	assert_true(full);
	net_restart(net, 3);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[3], "news", MAIL_SENT), 1);
	assert_int_equal(net_shard(net, 0, "news", LATER)->behind, 0);
	for (int i = 0; i < 100; i++) {
		net_advance(net, USEC_PER_SEC);
		assert_true(net->shells[0]->core->syncs <= 1); /* it is tried, no more */
	}
	set_store(SICK, true);
	net_advance(net, 120 * USEC_PER_SEC);
	assert_false(any_behind(0, SHARDS + 1));
	net_free(net);
}

/* What is asked again is written once, whatever it is. */
static void a_request_that_comes_again_is_written_once(void **state)
{
	static const char *const shards[] = {"012", NULL};

	(void)state;
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", shards, 20);
	start_net(3);
	net_advance(net, 5 * USEC_PER_SEC);
	set_store(SICK, false);
	shell_tell_control(net->shells[0], "news", CONTROL_PAUSED);
	net_submit(net, 0, 2, "more", 1);
	for (int i = 0; i < 200; i++) {
		net_advance(net, beat);
		requests_at(SICK);
	}
	assert_true(requests_at(SICK) >= 4);
	net_kill(net, 0);
	for (int i = 0; i < 200; i++) {
		net_advance(net, beat);
		requests_at(SICK);
	}
	net_free(net);
}

/* A large upload would be in its memory as a whole. */
static void a_dead_store_takes_few_values_of_an_upload(void **state)
{
	struct batch_settings settings = shell_settings("large");

	(void)state;
	settings.replicas = 3;
	net = net_new(3, 3);
	start_net(3);
	set_store(SICK, false);
	shell_open(net->shells[0], 2, &settings, "template");
	net_advance(net, 3 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 150; i++) {
		shell_add(net->shells[0], 2, 1, i);
		net_advance(net, beat);
	}
	assert_in_range(requests_at(SICK), 90, 110);
	shell_commit(net->shells[0], 2);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(net_said(net, 0, 2, UPLOAD_ACCEPTED));
	set_store(SICK, true);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(net_has_batch(net, SICK, "large"));
	net_free(net);
}

static void who_waits_for_the_stores_of_others_has_one_that_answers(void **state)
{
	static const char *const shards[] = {"012", NULL};

	(void)state;
	net = net_new(3, 3);
	net_put_batch(net, "012", "news", "012", shards, 500);
	start_net(3);
	net_advance(net, 5 * USEC_PER_SEC);
	set_store(1, false);
	set_store(2, false);
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[0], OUTCOME_SENT, 7);
	for (int i = 0; i < 100; i++) {
		net_advance(net, beat);
		assert_int_equal(peer_self_flags(net->shells[0]->core), 0);
	}
	assert_true(peer_self_flags(net->shells[1]->core) != 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_dead_store_leaves_unanswered_does_not_pile_up),
	    cmocka_unit_test(who_was_away_is_brought_up_to_date_beside_a_node_with_a_dead_store),
	    cmocka_unit_test(a_request_that_comes_again_is_written_once),
	    cmocka_unit_test(a_dead_store_takes_few_values_of_an_upload),
	    cmocka_unit_test(an_upload_does_not_wait_for_a_dead_store),
	    cmocka_unit_test(who_waits_for_the_stores_of_others_has_one_that_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
