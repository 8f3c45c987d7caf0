/* SPDX-License-Identifier: MIT */
/* What the HTTP API shows: batches, nodes, and the report of every mail. */
#include "api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue/error.h"
#include "queue/journal.h"
#include "queue/message/buffer.h"

static json_int_t number(const json_t *json, const char *name)
{
	assert_true(json_is_integer(json_object_get(json, name)));
	return json_integer_value(json_object_get(json, name));
}

static const char *text(const json_t *json, const char *name)
{
	assert_true(json_is_string(json_object_get(json, name)));
	return json_string_value(json_object_get(json, name));
}

static const struct opt_id node_id_of_fact = {{9}};

/* Adds a fact to the journal of the batch's first shard. */
static void outcome(struct fixture *fixture, const char *batch, uint32_t index, enum outcome_kind kind,
    const char *dsn, const char *reason)
{
	struct opt_id key = batch_key(batch), shard = shard_id(&key, 0);
	struct outcome fact = {
	    .key = {.shard = shard, .index = index, .epoch = 1, .node = node_id_of_fact, .attempt = 1},
	    .kind = kind,
	    .at = {1700000100 * USEC_PER_SEC},
	    .dsn = dsn,
	    .relay = "mx.example[192.0.2.1]:25",
	    .reason = reason,
	};
	struct journal_entry entry = {.type = JOURNAL_OUTCOMES, .outcomes = &fact, .count = 1};
	struct buffer bytes;

	buffer_init(&bytes);
	journal_encode(&entry, &bytes);
	fake_journal(fixture->node, &shard, bytes.data, bytes.len);
	buffer_done(&bytes);
}

static void a_batch_shows_its_numbers(void **state)
{
	struct fixture *fixture = *state;
	json_t *json;
	static const char *const counts[] = {"ready", "claimed", "retry", "sent", "bounced", "expired",
	    "cancelled", "suppressed", "unknown", "unavailable"};
	json_int_t sum = 0;

	send_batch(fixture, "one", 3);
	json = expect(fixture, "GET", "/v1/batches/one", NULL, 200);
	assert_string_equal(text(json, "id"), "one");
	assert_int_equal(number(json, "total"), 3);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		sum += number(json, counts[i]);
	assert_int_equal(sum, 3);
	assert_int_equal(strlen(text(json, "created")), 20);
	assert_true(json_is_null(json_object_get(json, "finished")));
	assert_int_equal(number(json, "duplicates"), 0);
	assert_int_equal(number(json, "in_doubt_resent"), 0);
	assert_true(number(json, "replicas") >= 0);
	json_decref(json);
}

static void batches_are_listed_newest_first(void **state)
{
	struct fixture *fixture = *state;
	json_t *json, *list;

	json = expect(fixture, "GET", "/v1/batches", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(json, "batches")), 0);
	json_decref(json);
	send_batch(fixture, "first", 1);
	send_batch(fixture, "second", 1);
	send_batch(fixture, "third", 1);
	json = expect(fixture, "GET", "/v1/batches", NULL, 200);
	list = json_object_get(json, "batches");
	assert_int_equal(json_array_size(list), 3);
	assert_string_equal(text(json_array_get(list, 0), "id"), "third");
	assert_string_equal(text(json_array_get(list, 2), "id"), "first");
	json_decref(json);
}

static void a_batch_being_uploaded_shows_its_rows(void **state)
{
	struct fixture *fixture = *state;
	char upload[OPT_ID_HEX];
	json_t *json;

	open_upload(fixture, "coming", upload);
	json = expect(fixture, "GET", "/v1/batches/coming", NULL, 200);
	assert_string_equal(text(json, "state"), "uploading");
	assert_true(json_is_null(json_object_get(json, "created")));
	json_decref(json);
	expect_error(fixture, "GET", "/v1/batches/coming/report", NULL, 503, "again");
}

static void other_users_batches_do_not_exist(void **state)
{
	struct fixture *fixture = *state;
	json_t *json;

	fake_peer = 1001;
	send_batch(fixture, "mine", 1);
	fake_peer = 1002;
	expect_error(fixture, "GET", "/v1/batches/mine", NULL, 404, "not_found");
	expect_error(fixture, "GET", "/v1/batches/mine/report", NULL, 404, "not_found");
	json = expect(fixture, "GET", "/v1/batches", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(json, "batches")), 0);
	json_decref(json);
	fake_peer = 0;
	json_decref(expect(fixture, "GET", "/v1/batches/mine", NULL, 200));
}

static void the_node_shows_itself(void **state)
{
	struct fixture *fixture = *state;
	json_t *json, *node;

	fake_recovered(fixture->node, false); /* also while it starts */
	json = expect(fixture, "GET", "/v1/nodes", NULL, 200);
	node = json_array_get(json_object_get(json, "nodes"), 0);
	assert_string_equal(text(node, "id"), "0707070707070707070707070707070707070707");
	assert_string_equal(text(node, "address"), "127.0.0.1:7300");
	assert_string_equal(text(node, "state"), "up");
	assert_string_equal(text(node, "postfix"), "up");
	assert_int_equal(number(node, "weight"), WEIGHT_ONE);
	assert_int_equal(number(node, "owned"), 0);
	assert_true(json_real_value(json_object_get(node, "rate")) > 12.2);
	assert_true(strlen(text(node, "version")) > 0);
	json_decref(json);
}

static void links_are_counted_by_what_ended_them(void **state)
{
	struct fixture *fixture = *state;
	json_t *json = expect(fixture, "GET", "/v1/links", NULL, 200);
	const json_t *ended = json_object_get(json, "ended");

	assert_int_equal(number(json, "up"), 2);
	assert_int_equal(number(json, "half_open"), 0);
	assert_int_equal(number(json, "accepted"), 7);
	assert_int_equal(number(json, "dialled"), 3);
	assert_int_equal(number(ended, link_end_name(LINK_FOREIGN)), 5);
	assert_int_equal(number(ended, link_end_name(LINK_MALFORMED)), 0);
	assert_int_equal(json_object_size(ended), LINK_ENDS);
	json_decref(json);
}

static void the_other_nodes_are_shown_as_they_are_known(void **state)
{
	struct fixture *fixture = *state;
	struct presence other = {.node = {{9}}, .incarnation = 1, .sequence = 1, .weight = 50};
	json_t *json, *node;

	strcpy(other.address, "192.0.2.9:4100");
	strcpy(other.version, "0.9");
	fake_member(fixture->node, &other);
	json = expect(fixture, "GET", "/v1/nodes", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 2);
	node = json_array_get(json_object_get(json, "nodes"), 1);
	assert_string_equal(text(node, "id"), "0900000000000000000000000000000000000000");
	assert_string_equal(text(node, "address"), "192.0.2.9:4100");
	assert_string_equal(text(node, "postfix"), "unknown"); /* no heartbeat of it has come */
	assert_string_equal(text(node, "version"), "0.9");
	assert_int_equal(number(node, "weight"), 50);
	assert_int_equal(number(node, "in_flight"), 0);
	json_decref(json);
}

static void where_too_few_nodes_answer_nobody_says_that_there_is_no_batch(void **state)
{
	struct fixture *fixture = *state;
	struct presence other = {
	    .node = {{9}}, .incarnation = 1, .sequence = 1, .weight = WEIGHT_ONE, .flags = PRESENCE_LEFT};

	expect_error(fixture, "GET", "/v1/batches/none", NULL, 404, "not_found");
	fake_member(fixture->node, &other);
	expect_error(fixture, "GET", "/v1/batches/none", NULL, 503, "again");
	expect_error(fixture, "GET", "/v1/batches/none/report", NULL, 503, "again");
	expect_error(fixture, "POST", "/v1/batches/none/pause", NULL, 503, "again");
}

static void the_report_has_a_line_for_every_recipient(void **state)
{
	struct fixture *fixture = *state;
	struct opt_id key = batch_key("rep"), shard = shard_id(&key, 0);
	struct reply reply;
	char hex[OPT_ID_HEX], expected[1024];

	send_batch(fixture, "rep", 3);
	outcome(fixture, "rep", 0, OUTCOME_SENT, "2.0.0", "250 2.0.0 \"ok\", queued\nas 1");
	outcome(fixture, "rep", 1, OUTCOME_DEFERRED, "4.2.0", "busy");
	reply = fetch_text(fixture, "GET", "/v1/batches/rep/report", NULL);
	assert_int_equal(reply.status, 200);
	assert_non_null(strcasestr(reply.headers, "text/csv"));
	id_to_hex(&shard, hex);
	snprintf(expected, sizeof expected,
	    "email,state,dsn,reason,relay,node,attempts,first_attempt,last_attempt,message_id\n"
	    "r0@d0.example,sent,2.0.0,\"250 2.0.0 \"\"ok\"\", queued\nas 1\",mx.example[192.0.2.1]:25,"
	    "0900000000000000000000000000000000000000,1,2023-11-14T22:15:00Z,2023-11-14T22:15:00Z,%s.0@"
	    "example.com\n"
	    "r1@d1.example,retry,4.2.0,busy,mx.example[192.0.2.1]:25,"
	    "0900000000000000000000000000000000000000,1,2023-11-14T22:15:00Z,2023-11-14T22:15:00Z,%s.1@"
	    "example.com\n"
	    "r2@d2.example,ready,,,,,0,,,%s.2@example.com\n",
	    hex, hex, hex);
	assert_string_equal(reply.body, expected);
	reply_done(&reply);
}

static void the_report_as_json_is_json_whatever_the_remote_said(void **state)
{
	struct fixture *fixture = *state;
	struct reply reply;
	json_t *line;
	char *next;

	send_batch(fixture, "rep", 2);
	outcome(fixture, "rep", 0, OUTCOME_BOUNCED, "5.1.1", "bad \xff \"quoted\" \\ \x01 caf\xc3\xa9\r\n");
	reply = fetch_text(fixture, "GET", "/v1/batches/rep/report?format=jsonl", NULL);
	assert_int_equal(reply.status, 200);
	next = strchr(reply.body, '\n');
	assert_non_null(next);
	line = json_loadb(reply.body, (size_t)(next - reply.body), 0, NULL);
	assert_string_equal(text(line, "email"), "r0@d0.example");
	assert_string_equal(text(line, "state"), "bounced");
	assert_string_equal(text(line, "reason"), "bad \xEF\xBF\xBD \"quoted\" \\ \x01 caf\xc3\xa9\r\n");
	assert_int_equal(number(line, "attempts"), 1);
	json_decref(line);
	line = json_loads(next + 1, 0, NULL);
	assert_string_equal(text(line, "state"), "ready");
	assert_true(json_is_null(json_object_get(line, "first_attempt")));
	assert_string_equal(text(line, "node"), "");
	json_decref(line);
	reply_done(&reply);
}

static void the_report_can_be_filtered(void **state)
{
	struct fixture *fixture = *state;
	struct reply reply;

	send_batch(fixture, "rep", 1200);
	outcome(fixture, "rep", 7, OUTCOME_SENT, "2.0.0", "ok");
	reply = fetch_text(fixture, "GET", "/v1/batches/rep/report?only=sent&format=jsonl", NULL);
	assert_int_equal(reply.status, 200);
	assert_non_null(strstr(reply.body, "r7@d7.example"));
	assert_ptr_equal(strchr(reply.body, '\n'), reply.body + reply.len - 1);
	reply_done(&reply);
	reply = fetch_text(fixture, "GET", "/v1/batches/rep/report?only=unavailable&format=jsonl", NULL);
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.len, 0);
	reply_done(&reply);
	expect_error(fixture, "GET", "/v1/batches/rep/report?only=lost", NULL, 422, "invalid");
	expect_error(fixture, "GET", "/v1/batches/rep/report?only=in_doubt", NULL, 422, "invalid");
	expect_error(fixture, "GET", "/v1/batches/rep/report?format=xml", NULL, 422, "invalid");
	expect_error(fixture, "GET", "/v1/batches/none/report", NULL, 404, "not_found");
}

static size_t count_lines(const char *body)
{
	size_t lines = 0;

	for (; *body; body++)
		lines += *body == '\n';
	return lines;
}

static void a_long_report_is_whole_and_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct reply reply;
	const char *at;

	send_batch(fixture, "long", 20000);
	reply = fetch_text(fixture, "GET", "/v1/batches/long/report", NULL);
	assert_int_equal(reply.failed, 0);
	assert_int_equal(count_lines(reply.body), 20001);
	at = reply.body;
	for (int i = 0; i < 20000; i += 999) {
		char email[64];

		snprintf(email, sizeof email, "\nr%d@d%d.example,", i, i);
		at = strstr(at, email);
		assert_non_null(at);
	}
	reply_done(&reply);
}

static void a_slow_reader_holds_only_a_few_shards(void **state)
{
	struct fixture *fixture = *state;
	char block[4096];
	size_t before, lines = 0;
	ssize_t len;
	int fd, small = 4096;

	send_batch(fixture, "slow", 60000);
	before = fake_reads(fixture->node);
	fd = raw_connect(fixture);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	snprintf(block, sizeof block, "GET /v1/batches/slow/report HTTP/1.0\r\n\r\n");
	raw_send(fd, block, strlen(block));
	for (int i = 0; i < 2000; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	/* 120 shards, two reads each; what the socket's buffers took and the ring of four, no more. */
	assert_in_range(fake_reads(fixture->node) - before, 2, 40);
	do {
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
		len = recv(fd, block, sizeof block, MSG_DONTWAIT);
		for (ssize_t i = 0; i < len; i++)
			lines += block[i] == '\n';
	} while (len != 0);
	assert_true(lines > 60000);
	close(fd);
}

static void a_reader_that_goes_away_leaves_nothing_behind(void **state)
{
	struct fixture *fixture = *state;
	char line[128];
	int fd;

	send_batch(fixture, "left", 5000);
	fake_hold_store(fixture->node, true);
	fd = raw_connect(fixture);
	snprintf(line, sizeof line, "GET /v1/batches/left/report HTTP/1.1\r\nHost: x\r\n\r\n");
	raw_send(fd, line, strlen(line));
	for (int i = 0; i < 20; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	close(fd);
	fake_hold_store(fixture->node, false);
	json_decref(expect(fixture, "GET", "/v1/batches/left", NULL, 200));
}

static void a_store_that_fails_is_an_error_and_not_a_short_report(void **state)
{
	struct fixture *fixture = *state;

	send_batch(fixture, "broken", 10);
	fake_fail_store(fixture->node, OPT_E_STORE);
	expect_error(fixture, "GET", "/v1/batches/broken/report", NULL, 503, "again");
}

static void a_broken_shard_in_the_middle_cuts_the_answer(void **state)
{
	struct fixture *fixture = *state;
	struct opt_id key = batch_key("cut"), shard = shard_id(&key, 20);
	struct reply reply;

	send_batch(fixture, "cut", 15000);
	fake_journal(fixture->node, &shard, "nonsense", 8);
	reply = fetch_text(fixture, "GET", "/v1/batches/cut/report", NULL);
	assert_int_equal(reply.status, 200);
	assert_int_not_equal(reply.failed, 0);
	assert_int_equal(count_lines(reply.body), 10001);
	reply_done(&reply);
}

/* The store has those shards of the batch no more, and nobody else has ever had them. */
static void lose(struct fixture *fixture, const char *batch, const uint32_t *shards, size_t count)
{
	struct opt_id key = batch_key(batch);

	for (size_t i = 0; i < count; i++) {
		struct opt_id shard = shard_id(&key, shards[i]);

		fake_lost(fixture->node, &shard);
	}
}

static void a_report_says_at_its_end_which_shards_nobody_has(void **state)
{
	static const uint32_t gone[] = {0, 2, 3, 4, 9};
	struct fixture *fixture = *state;
	struct reply reply;

	send_batch(fixture, "holes", 5000);
	lose(fixture, "holes", gone, 5);
	fixture->authorization = strdup("TE: trailers");
	reply = fetch_text(fixture, "GET", "/v1/batches/holes/report", NULL);
	assert_int_equal(reply.failed, 0);
	assert_int_equal(reply.status, 200);
	assert_int_equal(count_lines(reply.body), 2501);
	assert_null(strstr(reply.body, "r499@"));
	assert_non_null(strstr(reply.body, "r500@"));
	assert_non_null(strstr(reply.body, "r4499@"));
	assert_non_null(strcasestr(reply.headers,
	    "Optimus-Missing: shards 1, 3-5, 10 of 10 (2500 mails) are on no node that answers\r\n"));
	reply_done(&reply);
}

static void a_client_without_trailers_sees_a_report_break_off_that_lacks_something(void **state)
{
	static const uint32_t gone[] = {1};
	struct fixture *fixture = *state;
	struct reply reply;

	send_batch(fixture, "holes", 1500);
	lose(fixture, "holes", gone, 1);
	reply = fetch_text(fixture, "GET", "/v1/batches/holes/report?only=sent", NULL);
	assert_int_not_equal(reply.failed, 0);
	reply_done(&reply);
	reply = fetch_text(fixture, "GET", "/v1/batches/holes/report", NULL);
	assert_int_not_equal(reply.failed, 0);
	assert_int_equal(count_lines(reply.body), 1001);
	reply_done(&reply);
}

static void a_report_of_which_nothing_is_left_is_an_error(void **state)
{
	static const uint32_t gone[] = {0, 1};
	struct fixture *fixture = *state;

	send_batch(fixture, "nothing", 1000);
	lose(fixture, "nothing", gone, 2);
	expect_error(fixture, "GET", "/v1/batches/nothing/report", NULL, 503, "again");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_batch_shows_its_numbers),
	    CASE(batches_are_listed_newest_first),
	    CASE(a_batch_being_uploaded_shows_its_rows),
	    CASE(other_users_batches_do_not_exist),
	    CASE(the_node_shows_itself),
	    CASE(links_are_counted_by_what_ended_them),
	    CASE(the_other_nodes_are_shown_as_they_are_known),
	    CASE(where_too_few_nodes_answer_nobody_says_that_there_is_no_batch),
	    CASE(the_report_has_a_line_for_every_recipient),
	    CASE(the_report_as_json_is_json_whatever_the_remote_said),
	    CASE(the_report_can_be_filtered),
	    CASE(a_long_report_is_whole_and_in_order),
	    CASE(a_slow_reader_holds_only_a_few_shards),
	    CASE(a_reader_that_goes_away_leaves_nothing_behind),
	    CASE(a_store_that_fails_is_an_error_and_not_a_short_report),
	    CASE(a_report_says_at_its_end_which_shards_nobody_has),
	    CASE(a_client_without_trailers_sees_a_report_break_off_that_lacks_something),
	    CASE(a_report_of_which_nothing_is_left_is_an_error),
	    CASE(a_broken_shard_in_the_middle_cuts_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
