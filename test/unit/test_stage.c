/* SPDX-License-Identifier: MIT */
/*
 * A submission on several nodes: accepted when a majority of every shard's replicas has it, held by nobody
 * when it came to nothing, and one batch whoever else submits it.
 */
#include "core_net.h"

static struct net *net;

static int set_up(void **state)
{
	(void)state;
	net = net_new(3, 3);
	net_start(net);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

static struct batch_settings settings_of(const char *name)
{
	struct batch_settings settings = shell_settings(name);

	settings.replicas = 0;
	return settings;
}

static void begin(uint32_t node, uint32_t number, const char *name, uint32_t content)
{
	const struct batch_settings settings = settings_of(name);

	shell_open(net->shells[node], number, &settings, "template");
	shell_add(net->shells[node], number, 4, content);
	shell_add(net->shells[node], number, 3, content + 1);
}

static void submit(uint32_t node, uint32_t number, const char *name, uint32_t content)
{
	begin(node, number, name, content);
	shell_commit(net->shells[node], number);
}

static enum upload_answer answer_to(uint32_t node, uint32_t number)
{
	enum upload_answer answer;

	assert_true(shell_committed(net->shells[node], number, &answer));
	return answer;
}

static bool answered(uint32_t node, uint32_t number)
{
	enum upload_answer answer;

	return shell_committed(net->shells[node], number, &answer);
}

/* Shards that the store of the node has of the upload. */
static uint32_t shards_of(uint32_t node, uint32_t number)
{
	const struct shell *shell = net->shells[node];
	const struct opt_id upload = shell_upload_id(number);
	uint32_t count = 0;

	for (size_t i = 0; i < shell->value_count; i++)
		count += id_equal(&shell->values[i].upload, &upload);
	return count;
}

static void hold(uint32_t first, uint32_t last, bool on)
{
	for (uint32_t i = first; i <= last; i++)
		net->shells[i]->hold_writes = on;
}

static void every_replica_has_an_accepted_batch(void **state)
{
	(void)state;
	submit(0, 1, "news", 1);
	net_run(net);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(net_has_batch(net, i, "news"));
		assert_int_equal(shards_of(i, 1), 2);
		assert_int_equal(net->shells[i]->upload_count, 0);
		assert_int_equal(net->shells[i]->register_count, 0);
	}
	assert_int_equal(net_fed(net), 7);
}

static void nothing_is_accepted_before_a_majority_has_every_shard(void **state)
{
	const struct opt_id upload = shell_upload_id(1);

	(void)state;
	hold(1, 2, true);
	submit(0, 1, "news", 1);
	net_run(net);
	assert_false(answered(0, 1));
	assert_int_equal(core_upload_pending(net->shells[0]->core, &upload), 2);
	for (uint32_t i = 0; i < 3; i++)
		assert_false(net_has_batch(net, i, "news"));
	assert_int_equal(net_fed(net), 0);
	/* The template and both shards on one more node. */
	shell_answer_write(net->shells[1], 0);
	shell_answer_write(net->shells[1], 0);
	net_run(net);
	assert_int_equal(core_upload_pending(net->shells[0]->core, &upload), 1);
	assert_false(answered(0, 1));
	hold(1, 1, false);
	net_run(net);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
	assert_true(net_has_batch(net, 0, "news") && net_has_batch(net, 1, "news"));
	hold(2, 2, false);
	net_run(net);
	assert_true(net_has_batch(net, 2, "news"));
	assert_int_equal(shards_of(2, 1), 2);
}

static void a_record_that_too_few_replicas_have_is_not_accepted(void **state)
{
	(void)state;
	begin(0, 1, "news", 1);
	net_run(net);
	/* The homes vote, but the others can't store the record of the batch. */
	hold(1, 2, true);
	shell_commit(net->shells[0], 1);
	net_run(net);
	for (int votes = 0; votes < 2; votes++) {
		shell_answer_writes(net->shells[1], 0);
		shell_answer_writes(net->shells[2], 0);
		net_run(net);
	}
	assert_true(net_has_batch(net, 0, "news"));
	assert_true(shell_waits(net->shells[1], EFFECT_STORE_COMMIT));
	assert_false(answered(0, 1));
	hold(1, 1, false);
	net_run(net);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
}

static void a_dead_replica_does_not_hold_up_an_upload(void **state)
{
	(void)state;
	begin(0, 1, "news", 1);
	net_kill(net, 2);
	net_run(net);
	shell_add(net->shells[0], 1, 2, 7);
	net_run(net);
	shell_commit(net->shells[0], 1);
	net_advance(net, 8 * USEC_PER_SEC);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
	assert_true(net_has_batch(net, 1, "news"));
	/* It comes back and learns of it. */
	net_restart(net, 2);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_true(net_has_batch(net, 2, "news"));
}

static void without_a_majority_the_client_has_to_try_again(void **state)
{
	const struct batch_settings settings = settings_of("later");

	(void)state;
	begin(0, 1, "news", 1);
	net_kill(net, 1);
	net_kill(net, 2);
	net_advance(net, 8 * USEC_PER_SEC);
	shell_add(net->shells[0], 1, 2, 7);
	shell_commit(net->shells[0], 1);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(answer_to(0, 1), UPLOAD_AGAIN);
	shell_open(net->shells[0], 2, &settings, "template");
	assert_int_equal(shell_last_answer(net->shells[0]), UPLOAD_AGAIN);
	assert_false(net_has_batch(net, 0, "news"));
	/* They are back: the id is free. */
	net_restart(net, 1);
	net_restart(net, 2);
	net_advance(net, 60 * USEC_PER_SEC);
	submit(0, 3, "news", 1);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(answer_to(0, 3), UPLOAD_ACCEPTED);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(shards_of(i, 1), 0);
}

static void two_nodes_with_one_id_make_one_batch(void **state)
{
	(void)state;
	submit(0, 1, "news", 1);
	submit(1, 2, "news", 1);
	submit(2, 3, "news", 5);
	net_advance(net, 15 * USEC_PER_SEC);
	{
		int accepted = 0, same = 0, conflict = 0;

		for (uint32_t i = 0; i < 3; i++) {
			accepted += answer_to(i, i + 1) == UPLOAD_ACCEPTED;
			same += answer_to(i, i + 1) == UPLOAD_SAME;
			conflict += answer_to(i, i + 1) == UPLOAD_CONFLICT;
		}
		assert_int_equal(accepted, 1);
		assert_int_equal(accepted + same + conflict, 3);
		assert_true(conflict == 1 || conflict == 2);
	}
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(net->shells[i]->record_count, 1);
		assert_int_equal(net->shells[i]->value_count, 2);
		assert_int_equal(net->shells[i]->upload_count, 0);
		assert_memory_equal(net->shells[i]->records[0].data, net->shells[0]->records[0].data,
		    net->shells[0]->records[0].len);
	}
	assert_int_equal(net_fed(net), 7);
}

static void a_repeat_on_any_node_is_the_same_batch(void **state)
{
	(void)state;
	submit(0, 1, "news", 1);
	net_run(net);
	submit(2, 2, "news", 1);
	submit(1, 3, "news", 9);
	net_run(net);
	assert_int_equal(answer_to(2, 2), UPLOAD_SAME);
	assert_int_equal(answer_to(1, 3), UPLOAD_CONFLICT);
}

/* Node 2 hears of the decision only when it proposes its own upload; its store has not answered then. */
static void commit_what_another_node_had_accepted(void)
{
	begin(2, 2, "news", 1);
	net_run(net);
	net->cut[0][2] = net->cut[2][0] = true;
	submit(0, 1, "news", 1);
	net_run(net);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
	assert_false(net_has_batch(net, 2, "news"));
	hold(2, 2, true);
	shell_commit(net->shells[2], 2);
	net_run(net);
}

/* Whoever is told that the batch is there already may ask the same node for it at once. */
static void the_same_is_said_by_a_node_that_has_the_record(void **state)
{
	(void)state;
	commit_what_another_node_had_accepted();
	assert_true(shell_waits(net->shells[2], EFFECT_STORE_COMMIT));
	assert_false(answered(2, 2));
	shell_answer_writes(net->shells[2], 0);
	net_run(net);
	assert_int_equal(answer_to(2, 2), UPLOAD_SAME);
	assert_true(net_has_batch(net, 2, "news"));
}

static void without_room_for_the_record_nothing_is_called_the_same(void **state)
{
	(void)state;
	commit_what_another_node_had_accepted();
	shell_answer_writes(net->shells[2], OPT_E_FULL);
	net_run(net);
	assert_int_equal(answer_to(2, 2), UPLOAD_AGAIN);
	assert_false(net_has_batch(net, 2, "news"));
}

/* A full disk refuses that as well, at first. */
static void a_drop_that_the_store_refused_is_repeated(void **state)
{
	(void)state;
	begin(0, 1, "news", 1);
	net_run(net);
	hold(0, 2, true);
	shell_abort(net->shells[0], 1);
	net_run(net);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(shell_waits(net->shells[i], EFFECT_STORE_DROP_UPLOAD));
		shell_answer_writes(net->shells[i], OPT_E_FULL);
		assert_int_equal(shards_of(i, 1), 2);
	}
	hold(0, 2, false);
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(net->shells[i]->upload_count, 0);
		assert_int_equal(shards_of(i, 1), 0);
		assert_int_equal(net->shells[i]->dropped_count, 1);
	}
}

static void what_a_dead_coordinator_staged_goes_and_its_id_is_free(void **state)
{
	(void)state;
	begin(0, 1, "news", 1);
	net_run(net);
	assert_int_equal(shards_of(1, 1), 2);
	net_kill(net, 0);
	net_advance(net, 40 * USEC_PER_SEC);
	for (uint32_t i = 1; i < 3; i++) {
		assert_int_equal(shards_of(i, 1), 0);
		assert_int_equal(net->shells[i]->upload_count, 0);
	}
	submit(1, 2, "news", 3);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(answer_to(1, 2), UPLOAD_ACCEPTED);
	/* Its own part goes when it is back. */
	net_restart(net, 0);
	net_advance(net, 40 * USEC_PER_SEC);
	assert_int_equal(shards_of(0, 1), 0);
	assert_int_equal(net->shells[0]->upload_count, 0);
	assert_true(net_has_batch(net, 0, "news"));
}

static void an_upload_that_is_given_up_goes_everywhere(void **state)
{
	(void)state;
	begin(0, 1, "news", 1);
	net_run(net);
	shell_abort(net->shells[0], 1);
	net_run(net);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(net->shells[i]->upload_count, 0);
		assert_int_equal(shards_of(i, 1), 0);
	}
}

/* The homes have accepted the record, and its coordinator dies before anybody hears of that. */
static void decide_and_kill(void)
{
	begin(0, 1, "news", 1);
	net_run(net);
	hold(1, 2, true);
	shell_commit(net->shells[0], 1);
	net_run(net);
	shell_answer_writes(net->shells[1], 0);
	shell_answer_writes(net->shells[2], 0); /* promised */
	net_run(net);
	shell_answer_writes(net->shells[1], 0);
	shell_answer_writes(net->shells[2], 0); /* accepted */
	net_kill(net, 0);
	hold(1, 2, false);
	net_run(net);
}

static void a_commit_that_was_decided_survives_its_coordinator(void **state)
{
	(void)state;
	decide_and_kill();
	assert_false(net_has_batch(net, 1, "news"));
	/* A home forgets nothing by a restart. */
	for (uint32_t i = 1; i < 3; i++) {
		net_kill(net, i);
		net_restart(net, i);
		net_run(net);
	}
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 1; i < 3; i++) {
		assert_true(net_has_batch(net, i, "news"));
		assert_int_equal(shards_of(i, 1), 2);
	}
	/* Whoever repeats it is told so. */
	submit(1, 2, "news", 1);
	net_run(net);
	assert_int_equal(answer_to(1, 2), UPLOAD_SAME);
	net_restart(net, 0);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(net_has_batch(net, 0, "news"));
	assert_int_equal(shards_of(0, 1), 2);
}

/* Seven replicas of each shard make a record too long for a message before there are too many shards. */
static void an_upload_takes_as_many_shards_as_its_record_has_room_for(void **state)
{
	const struct opt_id upload = shell_upload_id(1);

	(void)state;
	begin(0, 1, "news", 1);
	assert_int_equal(core_upload_shards_max(net->shells[0]->core, &upload), BATCH_SHARDS_MAX);
	net_free(net);
	net = net_new(7, 7);
	net_start(net);
	begin(0, 1, "news", 1);
	assert_in_range(core_upload_shards_max(net->shells[0]->core, &upload), 20000, BATCH_SHARDS_MAX - 1);
}

static void a_long_template_goes_in_parts(void **state)
{
	const struct batch_settings settings = settings_of("news");
	const size_t size = 1200 * 1024;
	char *template = malloc(size + 1);
	struct shell *shell = net->shells[0];

	(void)state;
	assert_non_null(template);
	memset(template, 'x', size);
	template[size] = '\0';
	shell_open(shell, 1, &settings, template);
	shell_add(shell, 1, 4, 1);
	shell_commit(shell, 1);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(answer_to(0, 1), UPLOAD_ACCEPTED);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(shards_of(i, 1), 1);
		assert_int_equal(net->shells[i]->template_len, size);
	}
	free(template);
}

static void a_holder_whose_store_refuses_does_not_count(void **state)
{
	(void)state;
	hold(1, 2, true);
	begin(0, 1, "news", 1);
	net_run(net);
	shell_answer_writes(net->shells[1], OPT_E_FULL);
	shell_answer_writes(net->shells[2], OPT_E_STORE);
	hold(1, 2, false);
	net_run(net);
	shell_commit(net->shells[0], 1);
	net_run(net);
	assert_int_equal(answer_to(0, 1), UPLOAD_AGAIN);
	assert_false(net_has_batch(net, 0, "news"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(every_replica_has_an_accepted_batch),
	    TEST(nothing_is_accepted_before_a_majority_has_every_shard),
	    TEST(a_record_that_too_few_replicas_have_is_not_accepted),
	    TEST(a_dead_replica_does_not_hold_up_an_upload),
	    TEST(without_a_majority_the_client_has_to_try_again),
	    TEST(two_nodes_with_one_id_make_one_batch),
	    TEST(a_repeat_on_any_node_is_the_same_batch),
	    TEST(the_same_is_said_by_a_node_that_has_the_record),
	    TEST(without_room_for_the_record_nothing_is_called_the_same),
	    TEST(a_drop_that_the_store_refused_is_repeated),
	    TEST(what_a_dead_coordinator_staged_goes_and_its_id_is_free),
	    TEST(an_upload_that_is_given_up_goes_everywhere),
	    TEST(a_commit_that_was_decided_survives_its_coordinator),
	    TEST(an_upload_takes_as_many_shards_as_its_record_has_room_for),
	    TEST(a_long_template_goes_in_parts),
	    TEST(a_holder_whose_store_refuses_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
