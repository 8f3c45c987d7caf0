/* SPDX-License-Identifier: MIT */
/*
 * A member that says what no working node says. Rules of safety do not hold against one that lies, but what
 * it says must not end a node, nor stay and end it at every start, nor part the others from one another.
 */
#include "core_net.h"

#include "queue/home.h"
#include "queue/peer.h"
#include "queue/state.h"

enum { MAILS = 4, FAULTY = 2 };

static const char *const one[] = {"012", NULL};
static struct net *net;
static uint64_t token; /* of what the faulty member said last */
static size_t ended;   /* links that working nodes ended between them */
static void (*take_effect)(struct shell *shell, const struct effect *effect);

static void see_effect(struct shell *shell, const struct effect *effect)
{
	const struct opt_id faulty = net_node(FAULTY);

	if (effect->type == EFFECT_PEER_END && !id_equal(&effect->id, &faulty) &&
	    !id_equal(&shell->config.node, &faulty))
		ended++;
	take_effect(shell, effect);
}

static int set_up(void **state)
{
	(void)state;
	net = net_new(4, 3);
	take_effect = net->shells[0]->other;
	ended = 0;
	for (uint32_t i = 0; i < net->count; i++)
		net->shells[i]->other = see_effect;
	net_put_batch(net, "012", "news", "012", one, MAILS);
	net_start(net);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(net_fed(net), MAILS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

static struct shard *shard_at(uint32_t number)
{
	return net_shard(net, number, "news", 0);
}

static struct opt_id shard_of_news(void)
{
	const struct opt_id key = batch_key("news");

	return shard_id(&key, 0);
}

static void say(uint32_t to, struct peer_message *message)
{
	struct event event = {.type = EVENT_FRAME, .frame.node = net_node(FAULTY)};
	struct buffer bytes;

	if (!message->answer)
		message->token = ++token;
	buffer_init(&bytes);
	peer_encode(message, &bytes);
	event.frame.data = bytes.data;
	event.frame.len = bytes.len;
	shell_step(net->shells[to], &event);
	buffer_done(&bytes);
	net_run(net);
}

static void say_to_all(struct peer_message *message)
{
	for (uint32_t i = 0; i < FAULTY; i++)
		say(i, message);
}

static void say_entry(enum append_kind kind, const struct journal_entry *entry)
{
	struct peer_message append = {.type = PEER_APPEND,
	    .shard = shard_of_news(),
	    .epoch = 1,
	    .config = 1,
	    .what = kind,
	    .entry_count = 1};
	struct buffer bytes;
	struct span span;

	buffer_init(&bytes);
	journal_encode(entry, &bytes);
	span = (struct span){bytes.data, bytes.len};
	append.entries = &span;
	say_to_all(&append);
	buffer_done(&bytes);
}

/* Whatever the working nodes have written can be read again. */
static void check_journals(void)
{
	struct journal_reader *reader = journal_reader_new();

	for (uint32_t i = 0; i < FAULTY; i++) {
		const struct shell *shell = net->shells[i];

		for (size_t k = 0; k < shell->entry_count; k++) {
			const struct shell_blob *blob = &shell->entries[k];
			struct journal_entry entry;

			assert_int_equal(journal_read(reader, &blob->id, blob->data, blob->len, &entry), 0);
		}
	}
	journal_reader_free(reader);
}

/* The faulty one is gone, and the others go on and start again. */
static void go_on_without_it(void)
{
	net_kill(net, FAULTY);
	net_advance(net, 60 * USEC_PER_SEC);
	for (uint32_t i = 0; i < FAULTY; i++) {
		const uint32_t promised = shard_at(i)->promised;

		net_restart(net, i);
		net_advance(net, 20 * USEC_PER_SEC);
		/* Of what is finished it is not asked any more. */
		assert_true(shard_at(i)->promised >= promised || shard_at(i)->phase == SHARD_FINISHED);
	}
	check_journals();
	assert_int_equal(ended, 0);
}

/* ---- members that are named twice */

static void check_members(uint32_t number)
{
	const struct shard *shard = shard_at(number);

	for (int i = 0; i < shard->member_count; i++) {
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(shard->members[i], shard->members[k]);
	}
}

static void name_twice(uint32_t twice, enum append_kind kind)
{
	const struct opt_id members[] = {net_node(twice), net_node(twice), net_node(FAULTY)};
	const struct journal_entry entry = {
	    .type = JOURNAL_CONFIG, .config = 1000, .epoch = 1, .members = members, .count = 3};

	say_entry(kind, &entry);
	net_advance(net, 5 * USEC_PER_SEC);
	for (uint32_t i = 0; i < FAULTY; i++) {
		net_restart(net, i);
		net_advance(net, 10 * USEC_PER_SEC);
	}
	for (uint32_t i = 0; i < FAULTY; i++)
		check_members(i);
}

static void a_configuration_that_names_a_member_twice_is_not_taken(void **state)
{
	(void)state;
	for (uint32_t twice = 0; twice < FAULTY; twice++) {
		name_twice(twice, APPEND_FACTS);
		name_twice(twice, APPEND_UNION);
	}
}

static void a_record_that_names_a_node_twice_is_not_taken(void **state)
{
	static const char *const members[] = {"102", NULL};
	const struct opt_id was = net_node(0), is = net_node(1);
	struct buffer record = net_record("twice", "102", members, MAILS);
	struct peer_message message = {.type = PEER_RECORD,
	    .batch = batch_key("twice"),
	    .upload = shell_upload_id(1),
	    .what = RECORD_DECIDED,
	    .data = record.data,
	    .len = record.len};

	(void)state;
	for (size_t i = 0; i + OPT_ID_SIZE <= record.len; i++) {
		if (memcmp(record.data + i, was.bytes, OPT_ID_SIZE) == 0)
			memcpy(record.data + i, is.bytes, OPT_ID_SIZE);
	}
	say(1, &message);
	net_advance(net, 5 * USEC_PER_SEC);
	net_restart(net, 1);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_null(net_shard(net, 1, "twice", 0));
	buffer_done(&record);
}

/* ---- numbers that have no next one */

static void promise_of(uint32_t epoch)
{
	struct peer_message promise = {
	    .type = PEER_PROMISE, .shard = shard_of_news(), .epoch = epoch, .config = 1};

	say_to_all(&promise);
	go_on_without_it();
}

static void an_epoch_without_a_next_one_parts_nobody(void **state)
{
	(void)state;
	promise_of(INT32_MAX);
	for (uint32_t i = 0; i < FAULTY; i++)
		assert_true(shard_at(i)->promised < 100);
}

static void the_last_epoch_parts_nobody(void **state)
{
	(void)state;
	promise_of(PEER_NUMBER_MAX);
	for (uint32_t i = 0; i < FAULTY; i++)
		assert_int_equal(shard_at(i)->promised, PEER_NUMBER_MAX);
}

/* The first mail was deferred. */
static struct outcome deferred(uint32_t epoch, uint32_t node, uint32_t attempt)
{
	return (struct outcome){
	    .key = {.index = 0, .epoch = epoch, .node = net_node(node), .attempt = attempt},
	    .kind = OUTCOME_DEFERRED,
	    .at = net->shells[0]->utc,
	    .dsn = "4.0.0",
	    .relay = "",
	    .reason = ""};
}

static void outcome_of(uint32_t attempt)
{
	const struct outcome outcome = deferred(9, FAULTY, attempt);
	const struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = &outcome, .count = 1};

	say_entry(APPEND_FACTS, &entry);
	net_advance(net, 60 * USEC_PER_SEC);
	go_on_without_it();
	for (int minutes = 0; minutes < 60; minutes++)
		net_advance(net, 60 * USEC_PER_SEC);
	check_journals();
	assert_int_equal(ended, 0);
}

static void an_attempt_without_a_next_one_is_not_taken(void **state)
{
	(void)state;
	outcome_of(INT32_MAX);
	assert_int_equal(shell_count(net->shells[0], "news", MAIL_UNKNOWN), 0);
}

static void a_mail_that_can_have_no_next_attempt_ends(void **state)
{
	(void)state;
	outcome_of(PEER_NUMBER_MAX);
	assert_int_equal(shell_count(net->shells[0], "news", MAIL_UNKNOWN), 1);
}

static void what_a_journal_holds_that_no_peer_may_say_is_not_taken(void **state)
{
	const struct opt_id id = shard_of_news();
	const struct outcome outcome = deferred(shard_at(0)->epoch, 0, INT32_MAX);
	const struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = &outcome, .count = 1};

	(void)state;
	shell_put_entry(net->shells[FAULTY], &id, &entry);
	net_restart(net, FAULTY);
	for (int minutes = 0; minutes < 90; minutes++)
		net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(shell_count(net->shells[FAULTY], "news", MAIL_RETRY), 1);
	for (uint32_t i = 0; i < FAULTY; i++)
		assert_int_equal(shell_count(net->shells[i], "news", MAIL_CLAIMED), MAILS);
	go_on_without_it();
}

static void give_version(uint64_t version)
{
	struct peer_message message = {.type = PEER_VERSION, .batch = batch_key("news"), .version = version};

	say_to_all(&message);
}

static enum control_answer command(uint32_t number, enum control_what what)
{
	struct shell *shell = net->shells[number];
	const size_t before = shell->control_answer_count;

	shell_tell_control(shell, "news", what);
	net_advance(net, 10 * USEC_PER_SEC);
	assert_int_equal(shell->control_answer_count, before + 1);
	return shell->control_answers[before];
}

static void commands_go_on_after_a_version_without_a_next_one(void **state)
{
	(void)state;
	give_version(INT64_MAX);
	assert_int_equal(command(0, CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(command(1, CONTROL_RUNNING), CONTROL_OK);
	go_on_without_it();
}

static void the_last_version_leaves_nothing_but_a_cancel(void **state)
{
	(void)state;
	give_version(PEER_VERSION_MAX);
	assert_int_equal(command(0, CONTROL_PAUSED), CONTROL_FAILED);
	assert_int_equal(command(0, CONTROL_CANCELLED), CONTROL_OK);
	go_on_without_it();
	assert_int_equal(shell_view(net->shells[1], "news").state, BATCH_CANCELLED);
}

static void a_command_without_a_next_one_is_not_taken(void **state)
{
	struct peer_message message = {.type = PEER_CONTROL,
	    .batch = batch_key("news"),
	    .version = INT64_MAX,
	    .what = CONTROL_PAUSED,
	    .at = net->shells[0]->utc};

	(void)state;
	say_to_all(&message);
	assert_int_equal(command(0, CONTROL_PAUSED), CONTROL_OK);
	assert_int_equal(command(0, CONTROL_RUNNING), CONTROL_OK);
	go_on_without_it();
}

static uint64_t asked_token; /* of the question of node 0 to the faulty one */

static bool holds_status(const struct net *held_net, const struct net_frame *frame)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;
	bool holds = false;

	(void)held_net;
	if (frame->to == FAULTY && peer_read(reader, frame->data, frame->len, &message) == 0 &&
	    message.type == PEER_STATUS && !message.answer) {
		asked_token = message.token;
		holds = true;
	}
	peer_reader_free(reader);
	return holds;
}

/* The faulty one is asked what was given, and says so. */
static void status_says(uint64_t given)
{
	struct peer_message message = {.type = PEER_STATUS, .answer = true, .given = given};

	net->hold = holds_status;
	asked_token = 0;
	shell_tell_control(net->shells[0], "news", CONTROL_PAUSED);
	net_run(net);
	assert_true(asked_token != 0);
	message.token = asked_token;
	say(0, &message);
	net_advance(net, 10 * USEC_PER_SEC);
	net->hold = NULL;
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(ended, 0);
}

static void a_given_version_without_a_next_one_parts_nobody(void **state)
{
	(void)state;
	status_says(INT64_MAX);
	status_says(PEER_VERSION_MAX);
	go_on_without_it();
}

/* What it says of the writes of node 0, which has just started. */
static void heard_says(uint64_t before)
{
	struct peer_message message = {.type = PEER_HEARTBEAT,
	    .what = BEAT_TELLS,
	    .at = net->shells[0]->utc,
	    .heard = {.life = 1, .before = before}};

	net_restart(net, 0);
	say(0, &message);
	net_advance(net, 20 * USEC_PER_SEC);
	net_submit(net, 0, 7, "more", 1);
	net_advance(net, 60 * USEC_PER_SEC);
	assert_int_equal(ended, 0);
	assert_true(net->shells[0]->sequence < UINT64_C(1000000000000000000));
}

static void writes_are_counted_on_from_whatever_was_heard(void **state)
{
	(void)state;
	heard_says(INT64_MAX);
	assert_true(net->shells[0]->sequence < PEER_HEARD_MAX);
	heard_says(PEER_HEARD_MAX);
	assert_true(net->shells[0]->sequence > PEER_HEARD_MAX);
	heard_says(PEER_HEARD_MAX);
	go_on_without_it();
	assert_true(net_said(net, 0, 7, UPLOAD_ACCEPTED));
}

static void a_ballot_without_a_next_one_parts_nobody(void **state)
{
	struct peer_message message = {.type = PEER_PREPARE,
	    .batch = batch_key("more"),
	    .upload = shell_upload_id(3),
	    .ballot = {INT64_MAX, net_node(FAULTY)}};
	struct peer *homes[REPLICAS_MAX];
	uint32_t count;

	(void)state;
	message.hash = home_hash(net->shells[FAULTY]->core, &message.batch, homes, &count);
	say_to_all(&message);
	net_submit(net, 0, 7, "more", 1);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_int_equal(ended, 0);
	/* Of that batch it has the word. */
	net_submit(net, 0, 8, "another", 1);
	net_advance(net, 30 * USEC_PER_SEC);
	assert_true(net_said(net, 0, 8, UPLOAD_ACCEPTED));
	go_on_without_it();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_configuration_that_names_a_member_twice_is_not_taken),
	    TEST(a_record_that_names_a_node_twice_is_not_taken),
	    TEST(an_epoch_without_a_next_one_parts_nobody),
	    TEST(the_last_epoch_parts_nobody),
	    TEST(an_attempt_without_a_next_one_is_not_taken),
	    TEST(a_mail_that_can_have_no_next_attempt_ends),
	    TEST(what_a_journal_holds_that_no_peer_may_say_is_not_taken),
	    TEST(commands_go_on_after_a_version_without_a_next_one),
	    TEST(the_last_version_leaves_nothing_but_a_cancel),
	    TEST(a_command_without_a_next_one_is_not_taken),
	    TEST(a_given_version_without_a_next_one_parts_nobody),
	    TEST(writes_are_counted_on_from_whatever_was_heard),
	    TEST(a_ballot_without_a_next_one_parts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
