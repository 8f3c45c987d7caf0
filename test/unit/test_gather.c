/* SPDX-License-Identifier: MIT */
/* What any node says of any batch: counts and shards, from whoever knows them. */
#include "core_net.h"

#include "queue/cluster.h"
#include "queue/query.h"
#include "queue/state.h"

enum { MANY = 9001 /* shards: three messages */ };

static const struct net_answer *ask(struct net *net, uint32_t number, const char *batch)
{
	size_t before = net->answers[number].count;

	net_query(net, number, batch);
	if (net->answers[number].count == before)
		net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->answers[number].count, before + 1);
	return &net->answers[number];
}

static uint64_t sum(const struct batch_view *view)
{
	uint64_t total = view->unavailable;

	for (int state = 0; state < MAIL_STATES; state++)
		total += view->states[state];
	return total;
}

static void a_node_alone_answers_in_the_same_step_and_asks_nobody(void **state)
{
	struct net *net = net_new(1, 3);
	struct batch_view view;

	(void)state;
	net_start(net);
	shell_submit_name(net->shells[0], "alone", 700);
	shell_tell_outcome(net->shells[0], &net->shells[0]->fed[0], OUTCOME_SENT, 1);
	shell_run(net->shells[0]);
	net_query(net, 0, "alone");
	assert_int_equal(net->answers[0].count, 1);
	assert_int_equal(net->answers[0].status, 0);
	view = shell_view(net->shells[0], "alone");
	assert_memory_equal(net->answers[0].view.states, view.states, sizeof(view.states));
	assert_int_equal(net->answers[0].view.states[MAIL_SENT], 1);
	assert_int_equal(net->answers[0].view.state, BATCH_SENDING);
	assert_string_equal(net->answers[0].name, "alone");
	assert_int_equal(sum(&net->answers[0].view), 700);
	net_query(net, 0, "nothing");
	assert_int_equal(net->answers[0].count, 2);
	assert_int_equal(net->answers[0].status, OPT_E_NOT_FOUND);
	assert_int_equal(net->sent[0] + net->directory_gets, 0);
	net_free(net);
}

static void an_upload_shows_on_its_own_node(void **state)
{
	struct net *net = net_new(1, 3);
	const struct batch_settings settings = shell_settings("coming");

	(void)state;
	net_start(net);
	shell_open(net->shells[0], 1, &settings, "template");
	shell_add(net->shells[0], 1, 20, 0);
	shell_run(net->shells[0]);
	net_query(net, 0, "coming");
	assert_int_equal(net->answers[0].status, 0);
	assert_int_equal(net->answers[0].view.state, BATCH_UPLOADING);
	assert_int_equal(net->answers[0].view.total, 20);
	net_free(net);
}

static void a_node_alone_reads_its_own_shards(void **state)
{
	struct net *net = net_new(1, 3);
	const struct opt_id key = batch_key("alone");
	const struct opt_id shard = shard_id(&key, 0);
	const struct opt_id upload = shell_upload_id(100);

	(void)state;
	net_start(net);
	net_put_value(net, "0", &shard, &upload, "recipients");
	shell_submit_name(net->shells[0], "alone", 50);
	net_fetch(net, 0, "alone", 0);
	net_run(net);
	assert_int_equal(net->answers[0].status, 0);
	assert_int_equal(net->answers[0].len, 10);
	assert_memory_equal(net->answers[0].data, "recipients", 10);
	assert_int_equal(net->answers[0].entries, net->shells[0]->entry_count);
	assert_true(net->answers[0].entries > 0);
	net_fetch(net, 0, "alone", 1);
	assert_int_equal(net->answers[0].status, OPT_E_NOT_FOUND);
	net_free(net);
}

/* Node 3 has nothing of it; the homes are 0, 1 and 2. */
static const char *const spread[] = {"012", "120", "201", "1", NULL};

static struct net *four_nodes(const char *const *members, uint32_t mails)
{
	struct net *net = net_new(4, 3);

	net_put_batch(net, "012", "news", "012", members, mails);
	net_start(net);
	return net;
}

static void check_same(const struct net_answer *a, const struct net_answer *b)
{
	assert_int_equal(a->status, 0);
	assert_int_equal(b->status, 0);
	assert_memory_equal(a->view.states, b->view.states, sizeof(a->view.states));
	assert_int_equal(a->view.unavailable, b->view.unavailable);
	assert_int_equal(a->view.total, b->view.total);
	assert_int_equal(a->view.state, b->view.state);
	assert_int_equal(a->view.replicas, b->view.replicas);
	assert_true(a->view.finished.us == b->view.finished.us);
	assert_string_equal(a->name, b->name);
}

static void every_node_says_the_same_of_a_batch(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net_advance(net, 20 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 4; i++) {
		ask(net, i, "news");
		assert_int_equal(sum(&net->answers[i].view), 40);
		assert_int_equal(net->answers[i].view.total, 40);
		assert_int_equal(net->answers[i].view.unavailable, 0);
		assert_int_equal(net->answers[i].view.shards, 4);
		assert_int_equal(net->answers[i].view.state, BATCH_SENDING);
		assert_int_equal(net->answers[i].view.replicas, 1);
		assert_int_equal(net->answers[i].view.finished.us, 0);
	}
	for (uint32_t i = 1; i < 4; i++)
		check_same(&net->answers[0], &net->answers[i]);
	net_free(net);
}

static void replicas_are_those_that_can_be_reached(void **state)
{
	static const char *const all[] = {"012", "120", NULL};
	struct net *net = four_nodes(all, 10);

	(void)state;
	assert_int_equal(ask(net, 3, "news")->view.replicas, 3);
	net_kill(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(ask(net, 3, "news")->view.replicas, 2);
	assert_int_equal(net->answers[3].view.unavailable, 0);
	net_free(net);
}

static void mails_that_no_live_node_has_are_unavailable(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net_kill(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 4; i += 2) {
		ask(net, i, "news");
		assert_int_equal(net->answers[i].view.unavailable, 10);
		assert_int_equal(net->answers[i].view.replicas, 0);
		assert_int_equal(sum(&net->answers[i].view), 40);
	}
	net_free(net);
}

static void forget(struct net *net, uint32_t at, uint32_t number)
{
	net_forget(net, at, number);
	net_advance(net, 2 * USEC_PER_SEC);
}

/* Until then one of them may come back. */
static void mails_whose_nodes_are_all_forgotten_are_unknown(void **state)
{
	static const char *const pairs[] = {"012", "13", "1", NULL};
	struct net *net = four_nodes(pairs, 10);

	(void)state;
	net_kill(net, 1);
	net_kill(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	forget(net, 0, 3);
	for (uint32_t i = 0; i < 4; i += 2)
		assert_int_equal(ask(net, i, "news")->view.unavailable, 20);
	forget(net, 2, 1);
	for (uint32_t i = 0; i < 4; i += 2) {
		ask(net, i, "news");
		assert_int_equal(net->answers[i].view.unavailable, 0);
		assert_int_equal(net->answers[i].view.states[MAIL_UNKNOWN], 20);
		assert_int_equal(sum(&net->answers[i].view), 30);
		assert_int_equal(net->answers[i].view.state, BATCH_SENDING);
	}
	net_free(net);
}

/* Who took a shard over from them has it, and need not be in the record; who is away may be that one. */
static void who_may_have_a_shard_of_the_forgotten_is_waited_for(void **state)
{
	static const char *const gone[] = {"1", NULL};
	struct net *net = four_nodes(gone, 10);

	(void)state;
	net_kill(net, 1);
	net_kill(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	forget(net, 0, 1);
	assert_int_equal(ask(net, 0, "news")->view.unavailable, 10);
	net_restart(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	ask(net, 0, "news");
	assert_int_equal(net->answers[0].view.states[MAIL_UNKNOWN], 10);
	assert_int_equal(net->answers[0].view.state, BATCH_DONE);
	assert_true(net->answers[0].view.finished.us > 0);
	/* It was not lost after all. */
	net_restart(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(ask(net, 0, "news")->view.states[MAIL_UNKNOWN], 0);
	assert_int_equal(net->answers[0].view.unavailable, 0);
	net_free(net);
}

/* A fact that comes late has the journal of a finished shard read again. */
static void counts_stand_while_a_journal_is_read_again(void **state)
{
	struct net *net = net_new(1, 3);
	struct shell *shell = net->shells[0];

	(void)state;
	net_start(net);
	shell_submit_name(shell, "alone", 2);
	shell_tell_outcome(shell, &shell->fed[0], OUTCOME_SENT, 1);
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_BOUNCED, 2);
	shell_run(shell);
	shell->hold_loads = true;
	shell_tell_outcome(shell, &shell->fed[1], OUTCOME_SENT, 3);
	shell_run(shell);
	assert_int_equal(shell->journal_load_count, 1);
	ask(net, 0, "alone");
	assert_int_equal(net->answers[0].view.states[MAIL_SENT], 1);
	assert_int_equal(net->answers[0].view.states[MAIL_BOUNCED], 1);
	assert_int_equal(net->answers[0].view.state, BATCH_DONE);
	shell->hold_loads = false;
	shell_run(shell);
	assert_true(shell_answered(shell, 3));
	assert_int_equal(ask(net, 0, "alone")->view.states[MAIL_SENT], 2);
	assert_int_equal(net->answers[0].view.state, BATCH_DONE);
	net_free(net);
}

static bool is_silent(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->from == 3;
}

/* As many as one question goes to; forgotten nodes take nobody's place in it. */
static void nobody_is_left_out_in_a_large_cluster(void **state)
{
	static const char *const gone[] = {"1", NULL};
	struct net *net = four_nodes(gone, 10);
	struct core *core = net->shells[0]->core;

	(void)state;
	net_kill(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 1100; i++) {
		const struct presence old = {
		    .node.bytes = {0, 0, 1, (uint8_t)(i >> 8), (uint8_t)i}, .weight = WEIGHT_ONE};

		peer_of(core, &old.node);
		view_presence(core->view, &old, core->now);
		view_forget(core->view, &old.node, core->now);
	}
	forget(net, 0, 1);
	net->hold = is_silent;
	assert_int_equal(ask(net, 0, "news")->view.unavailable, 10);
	net->hold = NULL;
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(ask(net, 0, "news")->view.states[MAIL_UNKNOWN], 10);
	net_free(net);
}

static void a_node_that_is_silent_is_left_out_after_two_seconds(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net->cut[1][3] = net->cut[3][1] = true; /* nobody tells them */
	net_query(net, 3, "news");
	net_advance(net, 1900 * USEC_PER_MSEC);
	assert_int_equal(net->answers[3].count, 0);
	net_advance(net, 200 * USEC_PER_MSEC);
	assert_int_equal(net->answers[3].count, 1);
	assert_int_equal(net->answers[3].view.unavailable, 10);
	assert_int_equal(sum(&net->answers[3].view), 40);
	net_free(net);
}

static void nobody_is_asked_who_is_not_alive(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net_kill(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	net_query(net, 0, "news");
	net_run(net);
	assert_int_equal(net->answers[0].count, 1);
	net_free(net);
}

static void not_found_takes_a_majority_of_the_homes(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	assert_int_equal(ask(net, 0, "nothing")->status, OPT_E_NOT_FOUND);
	assert_int_equal(net->directory_gets, 1);
	for (uint32_t i = 1; i < 4; i++)
		net_kill(net, i);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(ask(net, 0, "nothing")->status, OPT_E_AGAIN);
	net_free(net);
}

/* The batch was accepted when there were other nodes: the homes of today have it by now, or the directory
 * helps. */
static void homes_of_another_day_are_found(void **state)
{
	static const char *const one[] = {"0", NULL};
	struct net *net = net_new(8, 1);

	(void)state;
	net_put_batch(net, "0", "news", "0", one, 10);
	net_start(net);
	net->directory[0] = net_node(0);
	net->directory_count = 1;
	for (uint32_t i = 1; i < 8; i++) {
		ask(net, i, "news");
		assert_int_equal(net->answers[i].status, 0);
		assert_int_equal(net->answers[i].view.total, 10);
	}
	net_free(net);
}

static bool is_record(const struct net *net, const struct net_frame *frame)
{
	(void)net;
	return frame->len > 1 && ((const uint8_t *)frame->data)[1] == PEER_RECORD;
}

/* Node 4 is no home any more: all others came after the batch, and nobody has pushed it to them yet. */
enum { HOLDER = 4 };

static struct net *newcomers(void)
{
	static const char *const one[] = {"4", NULL};
	struct net *net = net_new(8, 1);

	net->hold = is_record;
	net_put_batch(net, "4", "news", "4", one, 10);
	net_start(net);
	return net;
}

static void check_try_again(struct net *net)
{
	net_query(net, 7, "news");
	net_fetch(net, 7, "news", 0);
	net_run(net);
	net_advance(net, net->directory_silent ? QUERY_WAIT : 0);
	assert_int_equal(net->answers[7].count, 2);
	assert_int_equal(net->answers[7].status, OPT_E_AGAIN);
	net_query(net, 7, "news");
	net_run(net);
	net_advance(net, net->directory_silent ? QUERY_WAIT : 0);
	assert_int_equal(net->answers[7].count, 3);
	assert_int_equal(net->answers[7].status, OPT_E_AGAIN);
	assert_int_equal(net->directory_gets, 3);
}

static void a_directory_that_can_not_be_asked_is_no_proof(void **state)
{
	struct net *net = newcomers();

	(void)state;
	net->directory_status = OPT_E_AGAIN;
	check_try_again(net);
	net->directory_status = 0;
	assert_int_equal(ask(net, 7, "nothing")->status, OPT_E_NOT_FOUND);
	net->directory[0] = net_node(HOLDER);
	net->directory_count = 1;
	assert_int_equal(ask(net, 7, "news")->status, 0);
	net_free(net);
}

static void a_directory_that_is_silent_is_no_proof(void **state)
{
	struct net *net = newcomers();

	(void)state;
	net->directory_silent = true;
	check_try_again(net);
	net_free(net);
}

static void who_is_named_and_away_may_have_it(void **state)
{
	struct net *net = newcomers();

	(void)state;
	net->directory[0] = net_node(HOLDER);
	net->directory_count = 1;
	net_kill(net, HOLDER);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(ask(net, 7, "news")->status, OPT_E_AGAIN);
	net_forget(net, 7, HOLDER);
	net_advance(net, 2 * USEC_PER_SEC);
	assert_int_equal(ask(net, 7, "news")->status, OPT_E_NOT_FOUND);
	net_free(net);
}

/* Puts the end of the batch into the shell's store, so that nothing is left to do: two mails sent a shard. */
static void put_finished(struct net *net, uint32_t number, const char *const *members)
{
	struct shell *shell = net->shells[number];
	struct shard_counts *shards = calloc(MANY, sizeof(*shards));
	struct journal_entry entry = {.type = JOURNAL_FINISHED, .at = {shell->utc.us + 1}, .shards = shards};
	const struct opt_id key = batch_key("news");

	assert_non_null(shards);
	for (uint32_t i = 0; members[i] != NULL; i++) {
		if (strchr(members[i], (int)('0' + number)) == NULL)
			continue;
		shards[entry.count].index = i;
		shards[entry.count].last = entry.at;
		shards[entry.count++].states[MAIL_SENT] = 2;
	}
	shell_put_entry(shell, &key, &entry);
	free(shards);
}

static void a_batch_of_any_size_fits(void **state)
{
	static const char *many[MANY + 1];
	struct net *net = net_new(4, 3);

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		many[i] = i % 3 == 0 ? "0" : i % 3 == 1 ? "12" : "2";
	net_put_batch(net, "012", "news", "012", many, 2);
	for (uint32_t i = 0; i < 3; i++)
		put_finished(net, i, many);
	net_start(net);
	for (uint32_t i = 0; i < 4; i++) {
		ask(net, i, "news");
		assert_int_equal(net->answers[i].view.states[MAIL_SENT], 2 * MANY);
		assert_int_equal(net->answers[i].view.unavailable, 0);
		assert_int_equal(net->answers[i].view.state, BATCH_DONE);
		check_same(&net->answers[0], &net->answers[i]);
		assert_true(net->answers[i].view.finished.us > 0);
	}
	net_free(net);
}

static void who_knows_most_is_believed(void **state)
{
	static const char *const all[] = {"012", "120", "201", NULL};
	struct net *net = net_new(4, 3);

	(void)state;
	net_put_batch(net, "012", "news", "012", all, 2);
	put_finished(net, 1, all);
	for (uint32_t i = 0; i < 4; i++)
		net->shells[i]->hold_engine = true;
	net_start(net);
	for (uint32_t i = 0; i < 4; i++) {
		ask(net, i, "news");
		assert_int_equal(net->answers[i].view.states[MAIL_SENT], 6);
		assert_int_equal(net->answers[i].view.state, BATCH_DONE);
		assert_int_equal(net->answers[i].view.replicas, 3);
		check_same(&net->answers[0], &net->answers[i]);
	}
	net_free(net);
}

static void a_shard_is_read_from_the_node_that_knows_most(void **state)
{
	struct net *net = four_nodes(spread, 10);
	const struct opt_id key = batch_key("news");
	const struct opt_id upload = shell_upload_id(1);
	const struct opt_id shard = shard_id(&key, 3);

	(void)state;
	net_put_value(net, "1", &shard, &upload, "the fourth");
	net_fetch(net, 3, "news", 3);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_int_equal(net->answers[3].count, 1);
	assert_int_equal(net->answers[3].status, 0);
	assert_int_equal(net->answers[3].len, 10);
	assert_memory_equal(net->answers[3].data, "the fourth", 10);
	net_free(net);
}

static void a_shard_that_one_node_can_not_read_comes_from_another(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net_advance(net, 20 * USEC_PER_SEC);
	net_put_values(net, "2", "news", 1);
	for (uint32_t i = 0; i < 4; i++) {
		net_fetch(net, i, "news", 0);
		net_advance(net, 10 * USEC_PER_SEC);
		assert_int_equal(net->answers[i].count, 1);
		assert_int_equal(net->answers[i].status, 0);
		assert_int_equal(net->answers[i].len, 10);
		assert_int_equal(net->answers[i].entries, net->answers[0].entries);
	}
	net_free(net);
}

static void a_shard_without_a_live_member_can_be_asked_for_again(void **state)
{
	struct net *net = four_nodes(spread, 10);

	(void)state;
	net_kill(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	net_fetch(net, 3, "news", 3);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net->answers[3].count, 1);
	assert_int_equal(net->answers[3].status, OPT_E_AGAIN);
	net_free(net);
}

static void a_node_that_starts_says_try_again(void **state)
{
	struct net *net = net_new(3, 3);

	(void)state;
	net_put_batch(net, "012", "news", "012", spread, 10);
	net->shells[0]->hold_loads = true;
	net_start(net);
	net_query(net, 0, "news");
	assert_int_equal(net->answers[0].status, OPT_E_AGAIN);
	net_query(net, 0, "nothing");
	assert_int_equal(net->answers[0].status, OPT_E_AGAIN);
	net_fetch(net, 0, "news", 1);
	assert_int_equal(net->answers[0].status, OPT_E_AGAIN);
	assert_int_equal(net->answers[0].count, 3);
	net->shells[0]->hold_loads = false;
	net_advance(net, 5 * USEC_PER_SEC);
	net_query(net, 0, "news");
	net_run(net);
	assert_int_equal(net->answers[0].status, 0);
	assert_int_equal(net->answers[0].view.unavailable, 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_alone_answers_in_the_same_step_and_asks_nobody),
	    cmocka_unit_test(an_upload_shows_on_its_own_node),
	    cmocka_unit_test(a_node_alone_reads_its_own_shards),
	    cmocka_unit_test(every_node_says_the_same_of_a_batch),
	    cmocka_unit_test(replicas_are_those_that_can_be_reached),
	    cmocka_unit_test(mails_that_no_live_node_has_are_unavailable),
	    cmocka_unit_test(mails_whose_nodes_are_all_forgotten_are_unknown),
	    cmocka_unit_test(who_may_have_a_shard_of_the_forgotten_is_waited_for),
	    cmocka_unit_test(counts_stand_while_a_journal_is_read_again),
	    cmocka_unit_test(nobody_is_left_out_in_a_large_cluster),
	    cmocka_unit_test(a_node_that_is_silent_is_left_out_after_two_seconds),
	    cmocka_unit_test(nobody_is_asked_who_is_not_alive),
	    cmocka_unit_test(not_found_takes_a_majority_of_the_homes),
	    cmocka_unit_test(homes_of_another_day_are_found),
	    cmocka_unit_test(a_directory_that_can_not_be_asked_is_no_proof),
	    cmocka_unit_test(a_directory_that_is_silent_is_no_proof),
	    cmocka_unit_test(who_is_named_and_away_may_have_it),
	    cmocka_unit_test(a_batch_of_any_size_fits),
	    cmocka_unit_test(who_knows_most_is_believed),
	    cmocka_unit_test(a_shard_is_read_from_the_node_that_knows_most),
	    cmocka_unit_test(a_shard_that_one_node_can_not_read_comes_from_another),
	    cmocka_unit_test(a_shard_without_a_live_member_can_be_asked_for_again),
	    cmocka_unit_test(a_node_that_starts_says_try_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
