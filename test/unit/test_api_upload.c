/* SPDX-License-Identifier: MIT */
/* Submitting a batch over HTTP: the three steps, and all that can be wrong with them. */
#include "api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue/error.h"
#include "queue/message/buffer.h"
#include "queue/message/recipients.h"

static const char *at(char path[256], const char *name, const char *step, const char *upload)
{
	snprintf(path, 256, "/v1/batches/%s/%s?upload=%s", name, step, upload);
	return path;
}

static json_int_t number(json_t *json, const char *name)
{
	assert_true(json_is_integer(json_object_get(json, name)));
	return json_integer_value(json_object_get(json, name));
}

static void a_batch_is_accepted_in_three_steps(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];
	json_t *json = expect(fixture, "POST", "/v1/batches/news", SETTINGS, 200);

	assert_true(json_is_false(json_object_get(json, "exists")));
	assert_int_equal(json_array_size(json_object_get(json, "fields")), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json, "fields"), 0)), "name");
	strcpy(upload, json_string_value(json_object_get(json, "upload")));
	assert_int_equal(strlen(upload), 40);
	json_decref(json);

	json = expect(fixture, "POST", at(path, "news", "recipients", upload),
	    "{\"email\":\"a@example.com\",\"name\":\"Ann\"}\r\n\n{\"name\":\"B\\u00e9\\n\",\"email\":\"b@"
	    "example.com\"}",
	    422);
	assert_int_equal(number(json, "row"), 2); /* a line feed in a header */
	assert_string_equal(json_string_value(json_object_get(json, "field")), "name");
	json_decref(json);
	expect_error(fixture, "POST", path, "", 404, "not_found");

	open_upload(fixture, "news", upload);
	json = expect(fixture, "POST", at(path, "news", "recipients", upload),
	    "{\"email\":\"a@example.com\",\"name\":\"Ann\"}\r\n\n{\"name\":7,\"x\":true,\"email\":\"b@"
	    "example.com\"}",
	    200);
	assert_int_equal(number(json, "rows"), 2);
	json_decref(json);
	json = expect(fixture, "POST", path, "{\"email\":\"c@example.com\",\"name\":\"\"}", 200);
	assert_int_equal(number(json, "rows"), 3);
	json_decref(json);
	json = expect(fixture, "POST", at(path, "news", "commit", upload), "{\"rows\":3}", 201);
	assert_string_equal(json_string_value(json_object_get(json, "id")), "news");
	assert_int_equal(number(json, "total"), 3);
	assert_int_equal(number(json, "ready"), 3);
	json_decref(json);
}

static void a_repeat_is_the_same_batch_and_other_content_a_conflict(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];
	const char *rows = "{\"email\":\"r0@d0.example\",\"name\":\"R 0\"}\n";
	json_t *json;

	send_batch(fixture, "twice", 1);
	json = expect(fixture, "POST", "/v1/batches/twice", SETTINGS, 200);
	assert_true(json_is_true(json_object_get(json, "exists")));
	strcpy(upload, json_string_value(json_object_get(json, "upload")));
	json_decref(json);
	json_decref(expect(fixture, "POST", at(path, "twice", "recipients", upload), rows, 200));
	json_decref(expect(fixture, "POST", at(path, "twice", "commit", upload), "{\"rows\":1}", 200));

	open_upload(fixture, "twice", upload);
	json_decref(expect(fixture, "POST", at(path, "twice", "recipients", upload), rows, 200));
	json_decref(expect(fixture, "POST", path, rows, 200));
	expect_error(fixture, "POST", at(path, "twice", "commit", upload), "{\"rows\":2}", 409, "conflict");
	expect_error(fixture, "POST", path, "{\"rows\":2}", 404, "not_found");
}

static void how_rows_are_cut_into_requests_makes_no_difference(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX], row[128];

	send_batch(fixture, "cut", SHARD_MAILS_MAX + 3);
	open_upload(fixture, "cut", upload);
	at(path, "cut", "recipients", upload);
	for (int i = 0; i < SHARD_MAILS_MAX + 3; i++) {
		snprintf(row, sizeof row, "{\"email\":\"r%d@d%d.example\",\"name\":\"R %d\"}", i, i, i);
		json_decref(expect(fixture, "POST", path, row, 200));
	}
	json_decref(expect(fixture, "POST", at(path, "cut", "commit", upload), "{\"rows\":503}", 200));
}

static void two_uploads_of_one_id_end_as_one_batch(void **state)
{
	struct fixture *fixture = *state;
	char path[256], one[OPT_ID_HEX], two[OPT_ID_HEX];
	const char *row = "{\"email\":\"a@example.com\",\"name\":\"A\"}";

	open_upload(fixture, "both", one);
	open_upload(fixture, "both", two);
	assert_string_not_equal(one, two);
	json_decref(expect(fixture, "POST", at(path, "both", "recipients", one), row, 200));
	json_decref(expect(fixture, "POST", at(path, "both", "recipients", two), row, 200));
	json_decref(expect(fixture, "POST", at(path, "both", "commit", one), "{\"rows\":1}", 201));
	json_decref(expect(fixture, "POST", at(path, "both", "commit", two), "{\"rows\":1}", 200));
}

static void wrong_settings_are_told_apart(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *body, *code;
	} cases[] = {
	    {"", "invalid"},
	    {"{", "invalid"},
	    {"[]", "invalid"},
	    {"{\"from\":\"a@b.example\"}", "invalid"},
	    {"{\"from\":\"a@b.example\",\"template\":\"Subject: x\\n\\n{{a\"}", "template"},
	    {"{\"from\":\"nobody\",\"template\":\"Subject: x\\n\\nx\"}", "invalid"},
	    {"{\"from\":\"a@b.example\",\"expire\":0,\"template\":\"Subject: x\\n\\nx\"}", "invalid"},
	    {"{\"from\":\"a@b.example\",\"columns\":[\"email\"],\"template\":\"From: a@b.example\\nSubject: "
	     "x\\n\\n{{a}}\"}",
	        "template"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		expect_error(fixture, "POST", "/v1/batches/bad", cases[i].body, 422, cases[i].code);
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_OPEN), 0);
	expect_error(fixture, "POST", "/v1/batches/.bad", SETTINGS, 422, "invalid");
}

static void a_wrong_row_ends_the_upload(void **state)
{
	struct fixture *fixture = *state;
	static const char *const rows[] = {"{\"email\":\"nobody\",\"name\":\"x\"}", "{\"name\":\"x\"}", "{}",
	    "null", "{", "{\"email\":\"a@example.com\"}", "{\"email\":\"a@example.com\",\"name\":\"\xff\"}",
	    "{\"email\":\"a@example.com\",\"name\":\"\\u0000\"}",
	    "{\"email\":\"a@example.com\",\"name\":null}"};
	char path[256], upload[OPT_ID_HEX];
	unsigned aborted = 0;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		open_upload(fixture, "rows", upload);
		expect_error(
		    fixture, "POST", at(path, "rows", "recipients", upload), rows[i], 422, "recipient");
		assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_ABORT), ++aborted);
		expect_error(
		    fixture, "POST", at(path, "rows", "commit", upload), "{\"rows\":0}", 404, "not_found");
	}
}

static void nul_bytes_and_huge_lines_are_refused(void **state)
{
	struct fixture *fixture = *state;
	const size_t len = 300000;
	char path[256], upload[OPT_ID_HEX], *body = calloc(1, len);
	struct reply reply;

	open_upload(fixture, "nul", upload);
	reply = fetch(fixture, "POST", at(path, "nul", "recipients", upload), body, len);
	assert_int_equal(reply.status, 422);
	assert_string_equal(json_string_value(json_object_get(reply.json, "code")), "recipient");
	reply_done(&reply);

	memset(body, ' ', len);
	open_upload(fixture, "long", upload);
	reply = fetch(fixture, "POST", at(path, "long", "recipients", upload), body, len);
	assert_int_equal(reply.status, 422);
	assert_int_equal(number(reply.json, "row"), 1);
	reply_done(&reply);

	memset(body, 0, len);
	reply = fetch(fixture, "POST", "/v1/batches/nul", body, len);
	assert_int_equal(reply.status, 422);
	reply_done(&reply);
	free(body);
}

static void steps_in_the_wrong_order_are_refused(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];
	const char *none = "0123456789012345678901234567890123456789";

	expect_error(fixture, "POST", at(path, "order", "recipients", none), "", 404, "not_found");
	expect_error(fixture, "POST", at(path, "order", "commit", none), "{\"rows\":1}", 404, "not_found");
	expect_error(fixture, "POST", "/v1/batches/order/commit", "{\"rows\":1}", 404, "not_found");
	open_upload(fixture, "order", upload);
	expect_error(fixture, "POST", at(path, "other", "recipients", upload), "", 404, "not_found");
	expect_error(fixture, "POST", at(path, "order", "commit", upload), "{\"rows\":0}", 422, "invalid");
	open_upload(fixture, "order", upload);
	expect_error(fixture, "POST", at(path, "order", "commit", upload), "{\"rows\":7}", 422, "invalid");
	open_upload(fixture, "order", upload);
	expect_error(fixture, "POST", at(path, "order", "commit", upload), "seven", 422, "invalid");
}

static void an_upload_can_be_given_up(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];

	open_upload(fixture, "drop", upload);
	json_decref(expect(fixture, "DELETE", at(path, "drop", "upload", upload), NULL, 200));
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_ABORT), 1);
	expect_error(fixture, "DELETE", path, NULL, 404, "not_found");
}

static bool aborted(void *context)
{
	return fake_events(context, EVENT_UPLOAD_ABORT) > 0;
}

static void a_connection_cut_in_the_rows_aborts_the_upload(void **state)
{
	struct fixture *fixture = *state;
	char upload[OPT_ID_HEX], text[512];
	int fd;

	open_upload(fixture, "cut", upload);
	fd = raw_connect(fixture);
	snprintf(text, sizeof text,
	    "POST /v1/batches/cut/recipients?upload=%s HTTP/1.1\r\nHost: x\r\nContent-Length: "
	    "1000\r\n\r\n{\"email\":\"a@",
	    upload);
	raw_send(fd, text, strlen(text));
	for (int i = 0; i < 10; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_false(aborted(fixture->node));
	close(fd);
	turn_until(fixture, aborted, fixture->node);
}

static void a_silent_upload_is_aborted(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];

	http_server_set_upload_idle(fixture->server, 20);
	open_upload(fixture, "silent", upload);
	turn_until(fixture, aborted, fixture->node);
	expect_error(fixture, "POST", at(path, "silent", "recipients", upload), "", 404, "not_found");
}

static bool stuck(void *context)
{
	return fake_waiting(context) > 0;
}

static void a_slow_store_stops_the_reading(void **state)
{
	struct fixture *fixture = *state;
	const unsigned rows = 40000;
	char upload[OPT_ID_HEX], text[512];
	struct buffer body;
	size_t sent = 0;
	ssize_t done;
	int fd;

	open_upload(fixture, "slow", upload);
	fake_hold_store(fixture->node, true);
	buffer_init(&body);
	for (unsigned i = 0; i < rows; i++)
		buffer_printf(&body, "{\"email\":\"r%u@example.com\",\"name\":\"%u\"}\n", i, i);
	fd = raw_connect(fixture);
	snprintf(text, sizeof text,
	    "POST /v1/batches/slow/recipients?upload=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
	    upload, body.len);
	raw_send(fd, text, strlen(text));
	while (!stuck(fixture->node)) {
		done = send(fd, body.data + sent, body.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += done > 0 ? (size_t)done : 0;
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	for (int i = 0; i < 100; i++) {
		done = send(fd, body.data + sent, body.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += done > 0 ? (size_t)done : 0;
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	assert_true(sent < body.len);
	assert_true(fake_events(fixture->node, EVENT_UPLOAD_SHARD) < 20);
	fake_hold_store(fixture->node, false);
	for (done = -1; done <= 0; uv_run(&fixture->loop, UV_RUN_NOWAIT)) {
		ssize_t more = send(fd, body.data + sent, body.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		sent += more > 0 ? (size_t)more : 0;
		done = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
	}
	text[done] = '\0';
	assert_non_null(strstr(text, "HTTP/1.1 200"));
	assert_non_null(strstr(text, "{\"rows\":40000}"));
	close(fd);
	buffer_done(&body);
}

static void a_full_disk_and_a_starting_node_say_so(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];

	open_upload(fixture, "full", upload);
	fake_room(fixture->node, OPT_E_FULL);
	expect_error(fixture, "POST", "/v1/batches/more", SETTINGS, 507, "full");
	expect_error(fixture, "POST", at(path, "full", "recipients", upload), "{}", 507, "full");
	assert_int_equal(fake_events(fixture->node, EVENT_UPLOAD_ABORT), 1);
	fake_room(fixture->node, 0);
	fake_recovered(fixture->node, false);
	struct reply reply = fetch_text(fixture, "POST", "/v1/batches/more", SETTINGS);
	assert_int_equal(reply.status, 503);
	assert_non_null(strcasestr(reply.headers, "Retry-After: 1"));
	reply_done(&reply);
	expect_error(fixture, "GET", "/v1/batches", NULL, 503, "again");
	fake_recovered(fixture->node, true);
}

static void a_store_that_refuses_fails_the_commit(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];

	open_upload(fixture, "fail", upload);
	fake_fail_store(fixture->node, OPT_E_STORE);
	json_decref(expect(fixture, "POST", at(path, "fail", "recipients", upload),
	    "{\"email\":\"a@example.com\",\"name\":\"A\"}", 200));
	expect_error(fixture, "POST", at(path, "fail", "commit", upload), "{\"rows\":1}", 503, "again");
	fake_fail_store(fixture->node, 0);
	expect_error(fixture, "GET", "/v1/batches/fail", NULL, 404, "not_found");
}

static void there_are_at_most_64_uploads(void **state)
{
	struct fixture *fixture = *state;
	char upload[OPT_ID_HEX], name[16];

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "n%d", i);
		open_upload(fixture, name, upload);
	}
	expect_error(fixture, "POST", "/v1/batches/more", SETTINGS, 503, "again");
}

static void an_upload_belongs_to_its_user(void **state)
{
	struct fixture *fixture = *state;
	char path[256], upload[OPT_ID_HEX];

	fake_peer = 1001;
	open_upload(fixture, "mine", upload);
	fake_peer = 1002;
	expect_error(fixture, "POST", at(path, "mine", "recipients", upload), "", 404, "not_found");
	expect_error(fixture, "DELETE", at(path, "mine", "upload", upload), NULL, 404, "not_found");
	fake_peer = 1001;
	send_batch(fixture, "taken", 1);
	fake_peer = 1002;
	expect_error(fixture, "POST", "/v1/batches/taken", SETTINGS, 409, "conflict");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_batch_is_accepted_in_three_steps),
	    CASE(a_repeat_is_the_same_batch_and_other_content_a_conflict),
	    CASE(how_rows_are_cut_into_requests_makes_no_difference),
	    CASE(two_uploads_of_one_id_end_as_one_batch),
	    CASE(wrong_settings_are_told_apart),
	    CASE(a_wrong_row_ends_the_upload),
	    CASE(nul_bytes_and_huge_lines_are_refused),
	    CASE(steps_in_the_wrong_order_are_refused),
	    CASE(an_upload_can_be_given_up),
	    CASE(a_connection_cut_in_the_rows_aborts_the_upload),
	    CASE(a_silent_upload_is_aborted),
	    CASE(a_slow_store_stops_the_reading),
	    CASE(a_full_disk_and_a_starting_node_say_so),
	    CASE(a_store_that_refuses_fails_the_commit),
	    CASE(there_are_at_most_64_uploads),
	    CASE(an_upload_belongs_to_its_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
