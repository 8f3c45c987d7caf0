/* SPDX-License-Identifier: MIT */
/* The HTTP API's commands: what they answer, to whom, and when. */
#include "api_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "queue/error.h"

static const char *text(const json_t *json, const char *name)
{
	assert_true(json_is_string(json_object_get(json, name)));
	return json_string_value(json_object_get(json, name));
}

static void expect_state(struct fixture *fixture, const char *method, const char *path, const char *state)
{
	json_t *json = expect(fixture, method, path, NULL, 200);

	assert_string_equal(text(json, "state"), state);
	json_decref(json);
}

static void a_batch_is_paused_resumed_and_cancelled(void **state)
{
	struct fixture *fixture = *state;
	json_t *json;

	send_batch(fixture, "news", 3);
	expect_state(fixture, "POST", "/v1/batches/news/pause", "paused");
	expect_state(fixture, "GET", "/v1/batches/news", "paused");
	expect_state(fixture, "POST", "/v1/batches/news/pause", "paused"); /* again: the same */
	expect_state(fixture, "POST", "/v1/batches/news/resume", "sending");
	expect_state(fixture, "POST", "/v1/batches/news/cancel", "cancelled");
	json = expect(fixture, "GET", "/v1/batches/news", NULL, 200);
	assert_int_equal(json_integer_value(json_object_get(json, "cancelled")), 3);
	assert_int_equal(json_integer_value(json_object_get(json, "ready")), 0);
	assert_int_equal(strlen(text(json, "finished")), 20);
	json_decref(json);
	expect_state(fixture, "POST", "/v1/batches/news/cancel", "cancelled");
	expect_error(fixture, "POST", "/v1/batches/news/resume", NULL, 409, "conflict");
	expect_error(fixture, "POST", "/v1/batches/news/pause", NULL, 409, "conflict");
}

static void a_batch_that_is_not_there_can_not_be_commanded(void **state)
{
	struct fixture *fixture = *state;
	char upload[OPT_ID_HEX];

	expect_error(fixture, "POST", "/v1/batches/none/pause", NULL, 404, "not_found");
	open_upload(fixture, "coming", upload);
	expect_error(fixture, "POST", "/v1/batches/coming/cancel", NULL, 503, "again");
	expect_error(fixture, "GET", "/v1/batches/news/pause", NULL, 405, "method");
	fake_recovered(fixture->node, false);
	expect_error(fixture, "POST", "/v1/batches/news/pause", NULL, 503, "again");
	expect_error(fixture, "POST", "/v1/nodes/self/drain", NULL, 503, "again");
}

static void only_the_submitter_and_the_operator_command_a_batch(void **state)
{
	struct fixture *fixture = *state;

	fake_peer = 1001;
	send_batch(fixture, "mine", 1);
	fake_peer = 1002;
	expect_error(fixture, "POST", "/v1/batches/mine/cancel", NULL, 404, "not_found");
	fake_peer = 1001;
	expect_state(fixture, "POST", "/v1/batches/mine/pause", "paused");
	fake_peer = 0;
	expect_state(fixture, "POST", "/v1/batches/mine/resume", "sending");
}

static void only_the_operator_commands_nodes(void **state)
{
	struct fixture *fixture = *state;

	fake_peer = 1001;
	expect_error(fixture, "POST", "/v1/nodes/self/drain", NULL, 403, "denied");
	expect_error(fixture, "POST", "/v1/nodes/self/undrain", NULL, 403, "denied");
	expect_error(fixture, "POST", "/v1/nodes/0808080808080808/forget", NULL, 403, "denied");
	fake_peer = 0;
}

static void a_node_drains_until_it_is_undrained(void **state)
{
	struct fixture *fixture = *state;
	json_t *json;

	expect_state(fixture, "POST", "/v1/nodes/self/drain", "draining");
	json = expect(fixture, "GET", "/v1/nodes", NULL, 200);
	assert_string_equal(text(json_array_get(json_object_get(json, "nodes"), 0), "state"), "draining");
	json_decref(json);
	/* As `optimus nodes` shows it, and in full. */
	expect_state(fixture, "POST", "/v1/nodes/070707070707/undrain", "up");
	expect_state(fixture, "POST", "/v1/nodes/0707070707070707070707070707070707070707/drain", "draining");
	expect_state(fixture, "POST", "/v1/nodes/self/undrain", "up");
}

static void nodes_that_are_not_there_can_not_be_commanded(void **state)
{
	struct fixture *fixture = *state;

	expect_error(fixture, "POST", "/v1/nodes/080808080808/drain", NULL, 404, "not_found");
	expect_error(fixture, "POST", "/v1/nodes/080808080808/forget", NULL, 404, "not_found");
	/* Too short to be sure, and longer than any. */
	expect_error(fixture, "POST", "/v1/nodes/070/drain", NULL, 404, "not_found");
	expect_error(fixture, "POST", "/v1/nodes/07070707070707070707070707070707070707070/drain", NULL, 404,
	    "not_found");
	expect_error(fixture, "POST", "/v1/nodes/self/forget", NULL, 409, "conflict");
}

/* A node whose id begins like that of the fixture's own. */
static void meet(struct fixture *fixture, uint8_t last, const char *address, uint32_t flags)
{
	struct presence presence = {.incarnation = 1, .weight = WEIGHT_ONE, .flags = flags};

	memset(presence.node.bytes, 7, OPT_ID_SIZE);
	presence.node.bytes[OPT_ID_SIZE - 1] = last;
	presence.sequence = 1 + flags;
	strcpy(presence.address, address);
	fake_member(fixture->node, &presence);
}

static void a_name_that_two_nodes_share_commands_neither(void **state)
{
	struct fixture *fixture = *state;

	meet(fixture, 8, "[::1]:7301", 0);
	expect_error(fixture, "POST", "/v1/nodes/070707070707/drain", NULL, 409, "conflict");
	expect_state(fixture, "POST", "/v1/nodes/0707070707070707070707070707070707070707/drain", "draining");
	expect_state(fixture, "POST", "/v1/nodes/127.0.0.1:7300/undrain", "up");
}

static void a_node_that_is_gone_is_forgotten_and_one_that_lives_is_not(void **state)
{
	struct fixture *fixture = *state;
	json_t *json;

	meet(fixture, 8, "[::1]:7301", 0);
	expect_error(fixture, "POST", "/v1/nodes/%5B::1%5D:7301/forget", NULL, 409, "conflict");
	meet(fixture, 8, "[::1]:7301", PRESENCE_LEFT);
	expect_error(fixture, "POST", "/v1/nodes/%5B::1%5D:7301/drain", NULL, 503, "again");
	expect_state(fixture, "POST", "/v1/nodes/%5B::1%5D:7301/forget", "gone");
	json = expect(fixture, "GET", "/v1/nodes", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 1);
	json_decref(json);
	expect_error(fixture, "POST", "/v1/nodes/%5B::1%5D:7301/forget", NULL, 404, "not_found");
}

static void a_store_that_refuses_is_an_error_and_all_is_as_it_was(void **state)
{
	struct fixture *fixture = *state;

	send_batch(fixture, "news", 1);
	fake_fail_store(fixture->node, OPT_E_STORE);
	expect_error(fixture, "POST", "/v1/batches/news/pause", NULL, 503, "again");
	expect_error(fixture, "POST", "/v1/nodes/self/drain", NULL, 503, "again");
	fake_fail_store(fixture->node, 0);
	expect_state(fixture, "GET", "/v1/batches/news", "sending");
}

static bool command_came(void *context)
{
	const struct fixture *fixture = context;

	return fake_events(fixture->node, EVENT_CONTROL) > 0;
}

static void a_client_that_leaves_before_the_answer_harms_nobody(void **state)
{
	static const char request[] =
	    "POST /v1/batches/news/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
	struct fixture *fixture = *state;
	int fd;

	send_batch(fixture, "news", 1);
	fake_hold_store(fixture->node, true);
	fd = raw_connect(fixture);
	raw_send(fd, request, strlen(request));
	turn_until(fixture, command_came, fixture);
	close(fd);
	fake_hold_store(fixture->node, false);
	expect_state(fixture, "GET", "/v1/batches/news", "paused");
	expect_state(fixture, "POST", "/v1/batches/news/resume", "sending");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_batch_is_paused_resumed_and_cancelled),
	    CASE(a_batch_that_is_not_there_can_not_be_commanded),
	    CASE(only_the_submitter_and_the_operator_command_a_batch),
	    CASE(only_the_operator_commands_nodes),
	    CASE(a_node_drains_until_it_is_undrained),
	    CASE(nodes_that_are_not_there_can_not_be_commanded),
	    CASE(a_name_that_two_nodes_share_commands_neither),
	    CASE(a_node_that_is_gone_is_forgotten_and_one_that_lives_is_not),
	    CASE(a_store_that_refuses_is_an_error_and_all_is_as_it_was),
	    CASE(a_client_that_leaves_before_the_answer_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
