/* SPDX-License-Identifier: MIT */
/*
 * In a large cluster a home votes on a batch only when it knows what may have been decided about it. One core
 * is asked for its vote; what the members around the batch say to it is written by the test. At the end
 * several cores, of which only a part comes back after a failure of the power.
 */
#include "core_net.h"

#include <stdio.h>

#include "dht/ring.h"
#include "queue/peer.h"
#include "queue/register.h"

enum { MEMBERS = 71 /* the core is the first */, REPLICAS = 3, NEAR = 2 * REPLICAS + 2, SAID_MAX = 4096 };

/* What the core has said to somebody, heartbeats left out. */
struct said {
	struct opt_id to;
	struct peer_message message;
	char data[4096];
};

static struct shell *shell;
static struct peer_reader *reader;
static struct opt_id ids[MEMBERS];
static bool named[MEMBERS]; /* the core has heard of it since its start */
static bool dead[MEMBERS];
static uint32_t unmarked; /* 0: none */
static struct opt_id batch;
static char name[16];
static uint32_t near[NEAR]; /* the closest members first, of those that are named */
static uint32_t first[2];   /* the two that are closer to the batch than the core */
static struct said said[SAID_MAX];
static size_t said_count;
static uint64_t token;

static uint32_t number_of(const struct opt_id *id)
{
	for (uint32_t i = 0; i < MEMBERS; i++) {
		if (id_equal(&ids[i], id))
			return i;
	}
	fail_msg("not one of the members");
	return 0;
}

/* The closest to the batch, of all or of those that are named. */
static void closest(const struct opt_id *key, bool all, uint32_t count, uint32_t ret_numbers[])
{
	struct ring_node nodes[MEMBERS];
	struct opt_id found[NEAR];
	struct ring *ring;
	size_t used = 0;

	for (uint32_t i = 0; i < MEMBERS; i++) {
		if (all || named[i])
			nodes[used++] = (struct ring_node){.node = ids[i], .weight = WEIGHT_ONE};
	}
	ring = ring_new(nodes, used, NULL);
	assert_int_equal(ring_closest(ring, key, count, found), count);
	for (uint32_t i = 0; i < count; i++)
		ret_numbers[i] = number_of(&found[i]);
	ring_free(ring);
}

/* A batch whose third home is the core. */
static void choose_batch(void)
{
	uint32_t homes[REPLICAS];

	for (uint32_t i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "news-%u", i);
		batch = batch_key(name);
		closest(&batch, true, REPLICAS, homes);
		if (homes[2] != 0)
			continue;
		first[0] = homes[0];
		first[1] = homes[1];
		return;
	}
	fail_msg("no such batch");
}

static void take_effect(struct shell *from, const struct effect *effect)
{
	struct said *what = &said[said_count];

	(void)from;
	if (effect->type != EFFECT_SEND)
		return;
	assert_true(said_count < SAID_MAX);
	assert_int_equal(peer_read(reader, effect->data, effect->len, &what->message), 0);
	if (what->message.type == PEER_HEARTBEAT)
		return;
	assert_true(what->message.len <= sizeof(what->data));
	if (what->message.len > 0)
		memcpy(what->data, what->message.data, what->message.len);
	what->to = effect->id;
	said_count++;
}

static void hear(uint32_t from, struct peer_message *message)
{
	struct event event = {.type = EVENT_FRAME};
	struct buffer bytes;

	buffer_init(&bytes);
	peer_encode(message, &bytes);
	event.frame.node = ids[from];
	event.frame.data = bytes.data;
	event.frame.len = bytes.len;
	shell_step(shell, &event);
	shell_run(shell);
	buffer_done(&bytes);
}

/* Time goes on, and those that are not dead say so. */
static void live(uint32_t seconds)
{
	for (uint32_t second = 0; second < seconds; second++) {
		for (uint32_t i = 1; i < MEMBERS; i++) {
			/* None of them has heard anything of the core's store that it does not have. */
			struct peer_message heartbeat = {
			    .type = PEER_HEARTBEAT, .at = shell->utc, .what = BEAT_TELLS};

			if (named[i] && !dead[i])
				hear(i, &heartbeat);
		}
		shell_advance(shell, USEC_PER_SEC);
	}
}

static void tell(uint32_t about, enum event_type type)
{
	struct event event = {.type = type, .peer.node = ids[about]};

	shell_step(shell, &event);
}

/* The core hears of it, and gets a link. */
static void meet(uint32_t member)
{
	struct presence presence = {.node = ids[member], .weight = WEIGHT_ONE, .incarnation = 1};
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = &presence};

	snprintf(presence.address, sizeof(presence.address), "127.0.0.1:%u", 5000 + member);
	shell_step(shell, &event);
	tell(member, EVENT_PEER_UP);
	named[member] = true;
}

static void look_around(void)
{
	live(2);
	closest(&batch, false, NEAR, near);
}

static void kill_member(uint32_t member)
{
	dead[member] = true;
	tell(member, EVENT_PEER_DOWN);
	live(12);
}

/* The mark of before the start, with all members but that one. */
static void put_mark(void)
{
	struct opt_id members[MEMBERS];
	struct reg mark = {.record = members, .len = sizeof(members)};
	struct buffer bytes;

	memcpy(members, ids, sizeof(members));
	if (unmarked != 0) {
		members[unmarked] = members[MEMBERS - 1];
		mark.len -= sizeof(members[0]);
	}
	buffer_init(&bytes);
	register_encode(&mark, &bytes);
	shell->mark = (struct shell_blob){.id = register_mark(), .data = bytes.data, .len = bytes.len};
}

/* The core starts, as a new node or with the mark, and hears of all but the first `unnamed` of its batch. */
static void begin(bool new_node, uint32_t unnamed)
{
	struct core_config config = shell_config();

	config.node = ids[0];
	config.replicas = REPLICAS;
	config.presence.node = ids[0];
	config.presence.weight = WEIGHT_ONE;
	config.presence.incarnation = 1;
	snprintf(config.presence.address, sizeof(config.presence.address), "127.0.0.1:5000");
	shell = shell_new_stopped(&config);
	shell->other = take_effect;
	if (!new_node)
		put_mark();
	shell_start(shell);
	named[0] = true;
	for (uint32_t i = 1; i < MEMBERS; i++) {
		if ((unnamed < 1 || i != first[0]) && (unnamed < 2 || i != first[1]))
			meet(i);
	}
	look_around();
}

static int set_up(void **state)
{
	(void)state;
	reader = peer_reader_new();
	memset(named, 0, sizeof(named));
	memset(dead, 0, sizeof(dead));
	said_count = 0;
	unmarked = 0;
	for (uint32_t i = 0; i < MEMBERS; i++) {
		struct id_hash hash;

		id_hash_init(&hash);
		id_hash_add(&hash, &i, sizeof(i));
		ids[i] = id_hash_done(&hash);
	}
	choose_batch();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	shell_free(shell);
	peer_reader_free(reader);
	return 0;
}

static struct opt_id hash_of_near(void)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus near", 12);
	for (uint32_t i = 0; i < NEAR; i++)
		id_hash_add(&hash, ids[near[i]].bytes, OPT_ID_SIZE);
	return id_hash_done(&hash);
}

/* What the core answers to the request. */
static const struct said *ask(uint32_t from, struct peer_message *request)
{
	request->token = ++token;
	hear(from, request);
	for (size_t i = said_count; i-- > 0;) {
		if (said[i].message.answer && said[i].message.token == token)
			return &said[i];
	}
	fail_msg("no answer");
	return NULL;
}

static uint32_t another(void)
{
	uint32_t i = 0;

	while (near[i] == 0 || dead[near[i]])
		i++;
	return near[i];
}

static const struct said *prepare(void)
{
	struct peer_message request = {.type = PEER_PREPARE,
	    .batch = batch,
	    .upload = shell_upload_id(1),
	    .ballot = {.round = ++token, .node = ids[another()]},
	    .hash = hash_of_near()};

	return ask(another(), &request);
}

static bool votes(void)
{
	const enum peer_status status = prepare()->message.status;

	assert_true(status == PEER_OK || status == PEER_BUSY);
	return status == PEER_OK;
}

static const struct said *read_here(void)
{
	struct peer_message request = {.type = PEER_READ, .batch = batch, .hash = hash_of_near()};

	return ask(another(), &request);
}

/* The latest PEER_READ that the core has sent to it; NULL: none. */
static const struct said *asked(uint32_t member)
{
	for (size_t i = said_count; i-- > 0;) {
		if (!said[i].message.answer && said[i].message.type == PEER_READ &&
		    id_equal(&said[i].to, &ids[member]))
			return &said[i];
	}
	return NULL;
}

static void answer_with(uint32_t member, enum read_word what, const struct buffer *bytes)
{
	const struct said *request = asked(member);
	struct peer_message answer = {.type = PEER_READ, .answer = true, .what = what};

	assert_non_null(request);
	answer.token = request->message.token;
	if (bytes != NULL) {
		answer.data = bytes->data;
		answer.len = bytes->len;
	}
	hear(member, &answer);
}

/* All around the batch but these say that they know nothing. */
static void others_answer(uint32_t but, uint32_t but_too)
{
	for (uint32_t i = 0; i < NEAR; i++) {
		if (near[i] != 0 && near[i] != but && near[i] != but_too && !dead[near[i]])
			answer_with(near[i], READ_NOTHING, NULL);
	}
}

static void a_home_votes_when_all_that_live_around_the_batch_have_answered(void **state)
{
	(void)state;
	begin(false, 0);
	assert_false(votes());
	for (uint32_t i = 0; i < NEAR; i++)
		assert_true(near[i] == 0 || asked(near[i]) != NULL);
	others_answer(near[NEAR - 1], 0);
	assert_false(votes());
	answer_with(near[NEAR - 1], READ_NOTHING, NULL);
	assert_true(votes());
}

static void who_could_not_say_is_asked_again(void **state)
{
	struct peer_message busy = {.type = PEER_READ, .answer = true, .status = PEER_BUSY};

	(void)state;
	begin(false, 0);
	assert_false(votes());
	others_answer(first[0], 0);
	busy.token = asked(first[0])->message.token;
	hear(first[0], &busy);
	assert_false(votes());
	assert_true(asked(first[0])->message.token != busy.token);
	answer_with(first[0], READ_NOTHING, NULL);
	assert_true(votes());
}

static void one_home_of_three_may_be_away(void **state)
{
	(void)state;
	begin(false, 0);
	kill_member(first[0]);
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
}

static void two_homes_of_three_may_not(void **state)
{
	(void)state;
	begin(false, 0);
	kill_member(first[0]);
	kill_member(first[1]);
	assert_false(votes());
	others_answer(0, 0);
	assert_false(votes());
}

/* Without the new one the homes are another: of these two are away. */
static void new_nodes_are_no_part_of_a_majority(void **state)
{
	(void)state;
	begin(false, 0);
	kill_member(first[1]);
	kill_member(near[3]);
	assert_false(votes());
	others_answer(first[0], 0);
	answer_with(first[0], READ_NEW, NULL);
	assert_false(votes());
}

static void old_nodes_are(void **state)
{
	(void)state;
	begin(false, 0);
	kill_member(first[1]);
	kill_member(near[3]);
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
}

static void what_others_have_accepted_becomes_the_homes_own(void **state)
{
	const struct opt_id upload = shell_upload_id(7);
	const struct ballot ballot = {.round = 1, .node = ids[5]};
	struct reg reg = {.len = 0};
	struct buffer bytes;
	const struct said *promise;

	(void)state;
	begin(false, 0);
	assert_false(votes());
	buffer_init(&bytes);
	register_accept(&reg, &ballot, &upload, "record", 6);
	register_encode(&reg, &bytes);
	others_answer(near[5], 0);
	answer_with(near[5], READ_REGISTER, &bytes);
	promise = prepare();
	assert_int_equal(promise->message.status, PEER_OK);
	assert_true(id_equal(&promise->message.upload, &upload));
	assert_int_equal(promise->message.accepted.round, 1);
	assert_int_equal(promise->message.len, 6);
	assert_memory_equal(promise->data, "record", 6);
	register_done(&reg);
	buffer_done(&bytes);
}

static void a_record_that_somebody_has_is_the_answer(void **state)
{
	const char *const members[] = {"012", NULL};
	struct buffer bytes = net_record(name, "012", members, 3);
	const struct said *answer;

	(void)state;
	begin(false, 0);
	assert_false(votes());
	answer_with(near[6], READ_RECORD, &bytes);
	answer = prepare();
	assert_int_equal(answer->message.status, PEER_OK);
	assert_int_equal(answer->message.what, HOME_WORD_DECIDED);
	assert_int_equal(answer->message.len, bytes.len);
	assert_memory_equal(answer->data, bytes.data, bytes.len);
	assert_int_equal(read_here()->message.what, READ_RECORD);
	buffer_done(&bytes);
}

/* Somebody may have decided in between. */
static void answers_of_before_members_changed_do_not_count(void **state)
{
	struct event forget = {.type = EVENT_FORGET, .forget.node = ids[0]};
	const uint32_t gone = first[0];

	(void)state;
	begin(false, 0);
	kill_member(gone);
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
	forget.forget.node = ids[gone];
	shell_step(shell, &forget);
	named[gone] = false;
	look_around();
	said_count = 0;
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
}

static void what_nobody_votes_on_is_not_asked_any_more(void **state)
{
	(void)state;
	begin(false, 0);
	assert_false(votes());
	others_answer(near[7], 0);
	live(62);
	said_count = 0;
	live(62);
	assert_null(asked(near[7]));
}

static void a_node_may_end_while_it_asks(void **state)
{
	(void)state;
	begin(false, 0);
	assert_false(votes());
	shell_crash(shell);
}

static void a_node_says_what_it_knows(void **state)
{
	struct peer_message other = {.type = PEER_READ, .batch = batch, .hash = {{1}}};

	(void)state;
	begin(false, 0);
	assert_int_equal(ask(another(), &other)->message.status, PEER_BUSY);
	assert_int_equal(read_here()->message.status, PEER_OK);
	assert_int_equal(read_here()->message.what, READ_NOTHING);
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
	assert_int_equal(read_here()->message.what, READ_REGISTER);
}

static void a_new_node_says_that_it_is_new(void **state)
{
	(void)state;
	begin(true, 0);
	assert_int_equal(read_here()->message.status, PEER_OK);
	assert_int_equal(read_here()->message.what, READ_NEW);
}

/* After a failure of the power a part is back, and takes itself for all: two of the batch's homes are not. */
static void homes_that_nobody_names_any_more_count_as_away(void **state)
{
	(void)state;
	begin(false, 2);
	assert_int_equal(near[0], 0);
	assert_false(votes());
	others_answer(0, 0);
	assert_false(votes());
	/* One of them is back: it knows what a majority decided. */
	meet(first[0]);
	look_around();
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
}

static void one_that_nobody_names_and_one_that_is_gone_are_two(void **state)
{
	(void)state;
	begin(false, 1);
	kill_member(first[1]);
	assert_false(votes());
	others_answer(0, 0);
	assert_false(votes());
}

static void one_that_nobody_names_is_not_waited_for(void **state)
{
	(void)state;
	begin(false, 1);
	assert_int_equal(read_here()->message.status, PEER_OK);
	assert_false(votes());
	others_answer(0, 0);
	assert_true(votes());
}

/* Who asks may be new, and count this answer for that of a majority. */
static void who_lacks_most_homes_does_not_say_that_nothing_was_decided(void **state)
{
	(void)state;
	begin(false, 2);
	assert_int_equal(read_here()->message.status, PEER_BUSY);
	meet(first[0]);
	look_around();
	assert_int_equal(read_here()->message.status, PEER_OK);
}

/* The operator's word is that they do not come back. */
static void forgotten_ones_are_not_waited_for(void **state)
{
	struct event forget = {.type = EVENT_FORGET};

	(void)state;
	begin(false, 2);
	assert_false(votes());
	others_answer(0, 0);
	assert_false(votes());
	for (int i = 0; i < 2; i++) {
		forget.forget.node = ids[first[i]];
		shell_step(shell, &forget);
	}
	live(2);
	assert_true(votes());
}

static bool mark_names(uint32_t member)
{
	struct reg mark;
	bool found = false;

	assert_int_equal(register_decode(shell->mark.data, shell->mark.len, &mark), 0);
	for (size_t i = 0; i < mark.len / OPT_ID_SIZE; i++)
		found = found ||
		        memcmp((char *)mark.record + i * OPT_ID_SIZE, ids[member].bytes, OPT_ID_SIZE) == 0;
	register_done(&mark);
	return found;
}

/* So that the node knows after a restart whom it has to hear. */
static void no_vote_before_the_mark_names_all_around_the_batch(void **state)
{
	(void)state;
	unmarked = first[0];
	begin(false, 1);
	assert_false(mark_names(first[0]));
	meet(first[0]);
	look_around();
	shell->hold_writes = true;
	assert_false(votes());
	others_answer(0, 0);
	assert_false(votes());
	shell->hold_writes = false;
	shell_run(shell);
	assert_true(votes());
	for (uint32_t i = 0; i < NEAR; i++)
		assert_true(mark_names(near[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	    T(a_home_votes_when_all_that_live_around_the_batch_have_answered),
	    T(who_could_not_say_is_asked_again),
	    T(one_home_of_three_may_be_away),
	    T(two_homes_of_three_may_not),
	    T(new_nodes_are_no_part_of_a_majority),
	    T(old_nodes_are),
	    T(what_others_have_accepted_becomes_the_homes_own),
	    T(a_record_that_somebody_has_is_the_answer),
	    T(answers_of_before_members_changed_do_not_count),
	    T(what_nobody_votes_on_is_not_asked_any_more),
	    T(a_node_may_end_while_it_asks),
	    T(a_node_says_what_it_knows),
	    T(a_new_node_says_that_it_is_new),
	    T(homes_that_nobody_names_any_more_count_as_away),
	    T(one_that_nobody_names_and_one_that_is_gone_are_two),
	    T(one_that_nobody_names_is_not_waited_for),
	    T(who_lacks_most_homes_does_not_say_that_nothing_was_decided),
	    T(forgotten_ones_are_not_waited_for),
	    T(no_vote_before_the_mark_names_all_around_the_batch),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
