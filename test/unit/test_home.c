/* SPDX-License-Identifier: MIT */
/*
 * The register of a batch decides once, whoever proposes, dies or joins.
 */
#include "core_net.h"

#include <stdio.h>

#include "queue/home.h"
#include "queue/homesync.h"
#include "queue/peer.h"
#include "queue/registers.h"

enum { MANY = 20, FEW = 12 };

static struct net *net;
static char names[MANY][16]; /* of batches */

static int set_up(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		snprintf(names[i], sizeof(names[i]), "news-%u", i);
	net = net_new(4, 3);
	net->down[3] = true;
	net_start(net);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

/* Node 0 accepts so many batches, one after the other. */
static void submit_each(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		net_submit(net, 0, 100 + i, names[i], 1);
		net_advance(net, USEC_PER_SEC);
		assert_true(net_said(net, 0, 100 + i, UPLOAD_ACCEPTED));
	}
}

/*
 * Others of the same names are submitted to the node. Those whose names node 0 has accepted get the answer
 * that is wanted; returns their number.
 */
static uint32_t submit_others(uint32_t node, uint32_t number, enum upload_answer wanted)
{
	uint32_t decided = 0;

	for (uint32_t i = 0; i < FEW; i++)
		net_submit(net, node, number + i, names[i], 9);
	net_advance(net, 30 * USEC_PER_SEC);
	for (uint32_t i = 0; i < FEW; i++) {
		decided += net_said(net, 0, 100 + i, UPLOAD_ACCEPTED);
		assert_true(
		    !net_said(net, 0, 100 + i, UPLOAD_ACCEPTED) || net_said(net, node, number + i, wanted));
	}
	return decided;
}

/* A name whose batch has node 3 as a home, once it is there. */
static const char *name_of_a_moved_home(void)
{
	/* One in four is not, so of all of these not every one can fail. */
	submit_each(MANY);
	net_restart(net, 3);
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < MANY; i++) {
		if (net_has_batch(net, 3, names[i]))
			return names[i];
	}
	fail_msg("nothing was pushed to the new home");
	return NULL;
}

static void a_node_that_joins_learns_what_was_decided(void **state)
{
	const char *name;

	(void)state;
	name = name_of_a_moved_home();
	/* Two of the three that decided go; what they decided stays. */
	net_kill(net, 0);
	net_kill(net, 1);
	net_advance(net, 8 * USEC_PER_SEC);
	net_submit(net, 3, 1, name, 1);
	net_submit(net, 3, 2, name, 9);
	net_advance(net, 15 * USEC_PER_SEC);
	assert_true(net_said(net, 3, 1, UPLOAD_SAME));
	assert_true(net_said(net, 3, 2, UPLOAD_CONFLICT));
}

/* What was decided by nodes that can't be heard is not decided again by those that came since. */
static void homes_that_can_not_know_do_not_vote(void **state)
{
	(void)state;
	net_cut(net, 0, 2);
	net_cut(net, 1, 2);
	net_advance(net, 8 * USEC_PER_SEC);
	submit_each(FEW);
	/* Of four members the two are left that know nothing; of some batches they are two of three homes. */
	net_kill(net, 0);
	net_kill(net, 1);
	net_restart(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(submit_others(3, 200, UPLOAD_AGAIN), FEW);
	/* The others are back: everybody is told what was decided. */
	net_restart(net, 0);
	net_restart(net, 1);
	net_link(net, 0, 2);
	net_link(net, 1, 2);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_int_equal(submit_others(3, 300, UPLOAD_CONFLICT), FEW);
}

static void a_promise_outlives_a_restart(void **state)
{
	(void)state;
	net_submit(net, 0, 1, "news", 1);
	for (uint32_t i = 1; i < 3; i++)
		net->shells[i]->hold_writes = true;
	net_run(net);
	for (uint32_t i = 1; i < 3; i++)
		shell_answer_writes(net->shells[i], 0); /* template and shard */
	net_run(net);
	/* The promise is being written: nothing was answered, nothing is decided. */
	assert_true(shell_waits(net->shells[1], EFFECT_STORE_REGISTER));
	assert_int_equal(net->shells[1]->register_count, 0);
	assert_int_equal(net->shells[0]->record_count, 0);
	shell_answer_writes(net->shells[1], 0);
	assert_int_equal(net->shells[1]->register_count, 1);
	net->shells[1]->hold_writes = net->shells[2]->hold_writes = false;
	net_run(net);
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
}

static void a_home_that_sees_other_members_does_not_vote(void **state)
{
	struct presence stranger = net->shells[3]->config.presence;
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = &stranger};

	(void)state;
	/* Only nodes 1 and 2 have heard of a fifth node, and no heartbeat tells the others. */
	memset(stranger.node.bytes, 0x99, OPT_ID_SIZE);
	net_cut(net, 0, 2);
	net_cut(net, 1, 2);
	shell_step(net->shells[1], &event);
	net_submit(net, 0, 1, "news", 1);
	for (int i = 0; i < 3; i++)
		shell_run(net->shells[0]);
	assert_false(net_has_batch(net, 0, "news"));
	net_run(net);
	assert_false(net_said(net, 0, 1, UPLOAD_ACCEPTED));
	/* They agree after a few heartbeats. */
	net_link(net, 0, 2);
	net_link(net, 1, 2);
	net_advance(net, 9 * USEC_PER_SEC);
	assert_true(net_said(net, 0, 1, UPLOAD_ACCEPTED));
}

static void joined(uint32_t node)
{
	struct event event = {.type = EVENT_JOINED};

	shell_step(net->shells[node], &event);
}

/* Of four, those two that were started first can't be heard: the others are no cluster of their own. */
static void who_lacks_the_node_it_was_to_join_begins_no_cluster(void **state)
{
	(void)state;
	net_free(net);
	net = net_new(4, 3);
	for (uint32_t i = 0; i < 4; i++)
		net->down[i] = true;
	for (uint32_t i = 2; i < 4; i++) {
		net->shells[i]->config.joins = net->shells[i]->config.company = true;
		net_restart(net, i);
	}
	net_advance(net, 5 * USEC_PER_SEC);
	net_submit(net, 2, 1, "news", 1);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(net_said(net, 2, 1, UPLOAD_AGAIN));
	/* One that has found its way does not make up for the other. */
	joined(2);
	net_submit(net, 2, 2, "news", 1);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(net_said(net, 2, 2, UPLOAD_AGAIN));
	net_restart(net, 0);
	net_restart(net, 1);
	joined(3);
	net_submit(net, 2, 3, "news", 1);
	net_advance(net, 20 * USEC_PER_SEC);
	assert_true(net_said(net, 2, 3, UPLOAD_ACCEPTED));
}

/* Those that were a cluster are one after a restart, whoever of those whom they joined is there. */
static void a_cluster_that_has_begun_outlives_those_it_began_with(void **state)
{
	(void)state;
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 3; i++) {
		net->shells[i]->config.joins = net->shells[i]->config.company = true;
		net_kill(net, i);
	}
	net_restart(net, 1);
	net_restart(net, 2);
	net_advance(net, 10 * USEC_PER_SEC);
	net_submit(net, 2, 1, "news", 1);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_true(net_said(net, 2, 1, UPLOAD_ACCEPTED));
}

/* Four nodes know one another; then 0 and 1 decide, of what they are homes of, what 2 and 3 do not hear. */
static void decide_apart(void)
{
	net_restart(net, 3);
	net_advance(net, 8 * USEC_PER_SEC);
	for (uint32_t i = 0; i < 4; i++)
		net_cut(net, i / 2, 2 + i % 2);
	net_advance(net, 8 * USEC_PER_SEC);
	for (uint32_t i = 0; i < FEW; i++)
		net_submit(net, 0, 100 + i, names[i], 1);
	net_advance(net, 30 * USEC_PER_SEC);
}

static void who_restarts_remembers_whom_to_hear(void **state)
{
	(void)state;
	decide_apart();
	for (uint32_t i = 0; i < 4; i++)
		net_kill(net, i);
	net_restart(net, 2);
	net_restart(net, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_true(submit_others(2, 200, UPLOAD_AGAIN) > 0);
	for (uint32_t i = 0; i < 4; i++)
		net->cut[i / 2][2 + i % 2] = net->cut[2 + i % 2][i / 2] = false;
	net_restart(net, 0);
	net_restart(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_true(submit_others(2, 300, UPLOAD_CONFLICT) > 0);
}

/* A forgotten home that decided something with one that is away: that one has to be heard first. */
static void what_a_forgotten_home_decided_is_asked_of_the_others(void **state)
{
	(void)state;
	decide_apart();
	net_kill(net, 0);
	net_advance(net, 10 * USEC_PER_SEC);
	net_forget(net, 2, 0);
	net_advance(net, 5 * USEC_PER_SEC);
	assert_true(submit_others(3, 200, UPLOAD_AGAIN) > 0);
	net_link(net, 1, 2);
	net_link(net, 1, 3);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_true(submit_others(3, 300, UPLOAD_CONFLICT) > 0);
}

static enum peer_type type_of(const struct net_frame *frame, struct opt_id *ret_upload)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;
	enum peer_type type = PEER_TYPES;

	if (peer_read(reader, frame->data, frame->len, &message) == 0 && !message.answer) {
		type = message.type;
		*ret_upload = message.upload;
	}
	peer_reader_free(reader);
	return type;
}

static bool is_prepare(const struct net *n, const struct net_frame *frame)
{
	struct opt_id upload;

	(void)n;
	return type_of(frame, &upload) == PEER_PREPARE;
}

/* Uploads of which node 1 proposes something to node 2, without an answer so far. */
static uint32_t proposed(void)
{
	struct opt_id uploads[FEW], upload;
	uint32_t count = 0;

	for (size_t i = 0; i < net->frame_count; i++) {
		const struct net_frame *frame = &net->frames[i];
		bool known = false;

		if (frame->from != 1 || frame->to != 2 || type_of(frame, &upload) != PEER_PREPARE)
			continue;
		for (uint32_t k = 0; k < count; k++)
			known = known || id_equal(&uploads[k], &upload);
		if (!known)
			uploads[count++] = upload;
	}
	return count;
}

/* What a client has tried in vain a dozen times: proposals for one batch outbid each other. */
static void aborts_of_one_batch_are_proposed_one_after_the_other(void **state)
{
	struct batch_settings settings = shell_settings("news");

	(void)state;
	settings.replicas = 0;
	for (uint32_t i = 0; i < FEW; i++) {
		shell_open(net->shells[0], 100 + i, &settings, "template");
		shell_add(net->shells[0], 100 + i, 4, i);
	}
	net_run(net);
	assert_int_equal(net->shells[1]->upload_count, FEW);
	net->hold = is_prepare;
	net_kill(net, 0);
	for (int i = 0; i < 300 && proposed() == 0; i++)
		net_advance(net, 100 * USEC_PER_MSEC);
	net_advance(net, 3 * USEC_PER_SEC);
	assert_int_equal(proposed(), 1);
	net->hold = NULL;
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(net->shells[1]->upload_count, 0);
	assert_int_equal(net->shells[2]->upload_count, 0);
}

static bool is_record(const struct net *n, const struct net_frame *frame)
{
	struct opt_id upload;

	(void)n;
	return type_of(frame, &upload) == PEER_RECORD;
}

static bool has_register(uint32_t node, const char *name)
{
	const struct opt_id batch = batch_key(name);
	const struct shell *shell = net->shells[node];

	for (size_t i = 0; i < shell->register_count; i++) {
		if (id_equal(&shell->registers[i].id, &batch))
			return true;
	}
	return false;
}

/* Node 0 knows what two others have decided; they neither know nor hold anything that they would ask about.
 */
static bool decided_elsewhere(const char *name)
{
	uint32_t homes = 0;

	net_submit(net, 0, 100, name, 1);
	net_run(net);
	for (uint32_t i = 1; i < net->count; i++)
		homes += has_register(i, name) && net->shells[i]->upload_count == 0;
	return homes == 2 && net_has_batch(net, 0, name);
}

/* Nobody but the homes is left who could know of the batch, and they were not told. */
static void homes_find_out_what_they_have_decided(void **state)
{
	bool home[5], found = false;
	char name[16];

	(void)state;
	for (uint32_t i = 0; i < 200 && !found; i++) {
		snprintf(name, sizeof(name), "news-%u", i);
		net_free(net);
		net = net_new(5, 1);
		net_start(net);
		net->hold = is_record;
		found = decided_elsewhere(name);
	}
	assert_true(found);
	for (uint32_t i = 1; i < 5; i++) {
		home[i] = has_register(i, name);
		assert_false(net_has_batch(net, i, name));
		if (net->shells[i]->upload_count > 0)
			net_kill(net, i);
	}
	net_kill(net, 0);
	net->hold = NULL;
	net_advance(net, 90 * USEC_PER_SEC);
	for (uint32_t i = 1; i < 5; i++)
		assert_true(net->down[i] || net_has_batch(net, i, name) == home[i]);
}

/* Of seven nodes the last one comes later, and takes the place of a home. */
enum { ALL = 7, NEWCOMER = ALL - 1 };
static uint32_t left, coordinator; /* the home that is none any more, and who proposed to it */

static bool is_accept_for_others(const struct net *n, const struct net_frame *frame)
{
	struct opt_id upload;

	(void)n;
	return frame->to != left && type_of(frame, &upload) == PEER_ACCEPT;
}

/* Bits of the homes, as node 0 sees them. */
static uint32_t homes_of(const char *name)
{
	const struct opt_id batch = batch_key(name);
	struct peer *homes[REPLICAS_MAX];
	uint32_t count, bits = 0;

	home_hash(net->shells[0]->core, &batch, homes, &count);
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < ALL; k++) {
			const struct opt_id node = net_node(k);

			bits |= (uint32_t)id_equal(&homes[i]->id, &node) << k;
		}
	}
	return bits;
}

static void start_all_but_the_newcomer(void)
{
	net_free(net);
	net = net_new(ALL, 3);
	net->down[NEWCOMER] = true;
	net_start(net);
	net_advance(net, 5 * USEC_PER_SEC);
}

/* Answers for all mails: nobody becomes a replica of what is finished, and gets the record with it. */
static void settle_all(void)
{
	for (uint32_t i = 0; i < ALL; i++) {
		struct shell *shell = net->shells[i];

		for (size_t k = 0; k < shell->fed_count; k++)
			shell_tell_outcome(shell, &shell->fed[k], OUTCOME_SENT, 1);
	}
	net_advance(net, 5 * USEC_PER_SEC);
}

/*
 * One home alone accepts the record of an upload, of which it holds nothing else, and dies; so does who
 * proposed it. The homes move away from the one, and what another upload brought is decided without it.
 */
static bool leave_a_register_behind(const char *name, uint32_t before, uint32_t after)
{
	const struct opt_id batch = batch_key(name);
	const uint32_t other = (uint32_t)__builtin_ctz(before & after);

	left = (uint32_t)__builtin_ctz(before & ~after);
	coordinator = (uint32_t)__builtin_ctz(~before);
	start_all_but_the_newcomer();
	net->hold = is_accept_for_others;
	net_submit(net, coordinator, 1, name, 1);
	net_run(net);
	if (!has_register(left, name) || net->shells[left]->upload_count > 0)
		return false;
	assert_true(register_find(&net->shells[left]->core->registers->tree, &batch)->len > 0);
	net_kill(net, left);
	net_kill(net, coordinator);
	net->hold = NULL;
	net_restart(net, NEWCOMER);
	net_advance(net, 20 * USEC_PER_SEC);
	net_submit(net, other, 2, name, 9);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_true(net_said(net, other, 2, UPLOAD_ACCEPTED));
	for (uint32_t i = 0; i < ALL; i++)
		assert_true((after >> i & 1U) == 0 || net_has_batch(net, i, name));
	settle_all();
	return true;
}

/* Of as many names, once the view has settled. */
static void look_at_homes(uint32_t *ret_homes, uint32_t count)
{
	char name[16];

	net_advance(net, 8 * USEC_PER_SEC);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "news-%u", i);
		ret_homes[i] = homes_of(name);
	}
}

/* The homes of the name are in the bits. */
static const char *find_left_register(uint32_t *ret_homes)
{
	static char name[16];
	uint32_t before[200] = {0}, after[200] = {0};

	start_all_but_the_newcomer();
	look_at_homes(before, 200);
	net_restart(net, NEWCOMER);
	look_at_homes(after, 200);
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "news-%u", i);
		*ret_homes = after[i];
		if (before[i] != after[i] && leave_a_register_behind(name, before[i], after[i]))
			return name;
	}
	fail_msg("no batch has such homes");
	return NULL;
}

static void a_former_home_keeps_its_register_until_all_homes_have_the_record(void **state)
{
	uint32_t homes;
	const char *name = find_left_register(&homes);
	const struct opt_id batch = batch_key(name);

	(void)state;
	net_kill(net, NEWCOMER);
	net_advance(net, 10 * USEC_PER_SEC);
	net_restart(net, left);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_true(has_register(left, name));
	net_restart(net, NEWCOMER);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_false(has_register(left, name) || home_has(net->shells[left]->core, &batch));
	assert_false(net_has_batch(net, left, name));
	/* It is not decided again when one of the homes is gone. */
	net_kill(net, (uint32_t)__builtin_ctz(homes));
	net_advance(net, 10 * USEC_PER_SEC);
	for (uint32_t upload = 3; upload < 5; upload++) {
		net_submit(net, left, upload, name, 1);
		net_advance(net, 30 * USEC_PER_SEC);
		assert_false(net_said(net, left, upload, UPLOAD_ACCEPTED));
	}
	assert_true(net_said(net, left, 4, UPLOAD_CONFLICT));
}

/* Others need not hear a home that is new before they vote: that it has the record is no reason yet. */
static void a_record_of_new_homes_takes_no_register_away(void **state)
{
	uint32_t homes;
	const char *name = find_left_register(&homes);

	(void)state;
	net_restart(net, left);
	for (int i = 0; i < 200; i++) {
		for (uint32_t k = 0; k < ALL; k++) {
			if ((homes >> k & 1U) != 0)
				homesync_unlearn(net->shells[k]->core);
		}
		net_advance(net, USEC_PER_SEC / 50);
	}
	assert_true(has_register(left, name));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_node_that_joins_learns_what_was_decided),
	    TEST(homes_that_can_not_know_do_not_vote),
	    TEST(a_promise_outlives_a_restart),
	    TEST(a_home_that_sees_other_members_does_not_vote),
	    TEST(who_lacks_the_node_it_was_to_join_begins_no_cluster),
	    TEST(a_cluster_that_has_begun_outlives_those_it_began_with),
	    TEST(who_restarts_remembers_whom_to_hear),
	    TEST(what_a_forgotten_home_decided_is_asked_of_the_others),
	    TEST(aborts_of_one_batch_are_proposed_one_after_the_other),
	    TEST(homes_find_out_what_they_have_decided),
	    TEST(a_former_home_keeps_its_register_until_all_homes_have_the_record),
	    TEST(a_record_of_new_homes_takes_no_register_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
