/* SPDX-License-Identifier: MIT */
/* The HTTP server itself: paths, methods, who may enter, and its sockets. */
#include "api_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/http_listen.h"
#include "queue/error.h"
#include "queue/message/buffer.h"

static void unknown_paths_are_not_found(void **state)
{
	struct fixture *fixture = *state;
	static const char *const paths[] = {"/", "/v1", "/v1/", "/v2/batches", "/v1/batches/",
	    "/v1/batches//report", "/v1/batches/a/b", "/v1/batches/a/report/x", "/v1/nodes/x", "/v1/batchesx",
	    "/v1/batches/%2e%2e", "/v1/batches/a%20b",
	    "/v1/batches/01234567890123456789012345678901234567890123456789012345678901234"};

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		expect_error(fixture, "GET", paths[i], NULL, 404, "not_found");
}

static void other_methods_are_told_which_are_allowed(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *method, *path, *allow;
	} cases[] = {
	    {"PUT", "/v1/batches/x", "Allow: GET, POST"},
	    {"HEAD", "/v1/batches", "Allow: GET"},
	    {"HEAD", "/v1/batches/x/report", "Allow: GET"},
	    {"GET", "/v1/batches/x/commit", "Allow: POST"},
	    {"POST", "/v1/batches/x/upload", "Allow: DELETE"},
	    {"OPTIONS", "/v1/nodes", "Allow: GET"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply reply = fetch_text(fixture, cases[i].method, cases[i].path, NULL);

		assert_int_equal(reply.failed, 0);
		assert_int_equal(reply.status, 405);
		assert_non_null(strstr(reply.headers, cases[i].allow));
		if (strcmp(cases[i].method, "HEAD") != 0)
			assert_string_equal(json_string_value(json_object_get(reply.json, "code")), "method");
		reply_done(&reply);
	}
}

static void a_body_for_a_wrong_page_is_read_and_refused(void **state)
{
	struct fixture *fixture = *state;
	const size_t len = 1000000;
	char *body = calloc(1, len);
	struct reply reply = fetch(fixture, "PUT", "/v1/batches/x", body, len);

	assert_int_equal(reply.failed, 0);
	assert_int_equal(reply.status, 405);
	reply_done(&reply);
	free(body);
}

static bool closed(void *context)
{
	char byte;
	int fd = *(int *)context;
	ssize_t len;

	do
		len = recv(fd, &byte, 1, MSG_DONTWAIT);
	while (len > 0);
	return len == 0 || (errno != EAGAIN && errno != EINTR);
}

static void no_http_and_huge_headers_close_the_connection(void **state)
{
	struct fixture *fixture = *state;
	char *text = malloc(200000);
	int fd;

	fd = raw_connect(fixture);
	raw_send(fd, "\x00\xff\r\n\r\nnonsense\r\n\r\n", 18);
	turn_until(fixture, closed, &fd);
	close(fd);

	memset(text, 'x', 200000);
	memcpy(text, "GET / HTTP/1.1\r\nA: ", 19);
	fd = raw_connect(fixture);
	(void)!send(fd, text, 200000, MSG_DONTWAIT | MSG_NOSIGNAL);
	turn_until(fixture, closed, &fd);
	close(fd);
	free(text);
	json_decref(expect(fixture, "GET", "/v1/nodes", NULL, 200));
}

static void the_server_can_stop_while_requests_wait(void **state)
{
	struct fixture *fixture = *state;
	static const char body[] =
	    "POST /v1/batches/x/commit?upload=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
	    "{\"rows\":1}";
	char upload[OPT_ID_HEX], path[256], text[512];
	int fd;

	open_upload(fixture, "x", upload);
	fake_hold_store(fixture->node, true);
	snprintf(path, sizeof path, "/v1/batches/x/recipients?upload=%s", upload);
	json_decref(expect(fixture, "POST", path, "{\"email\":\"a@example.com\",\"name\":\"A\"}", 200));
	snprintf(text, sizeof text, body, upload);
	fd = raw_connect(fixture);
	raw_send(fd, text, strlen(text));
	while (fake_events(fixture->node, EVENT_UPLOAD_COMMIT) == 0)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	http_server_free(fixture->server);
	fixture->server = NULL;
	close(fd);
}

static void the_socket_is_for_its_group_only(void **state)
{
	struct fixture *fixture = *state;
	char folder[128];
	struct stat status;

	assert_int_equal(stat(fixture->socket + 5, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	snprintf(folder, sizeof folder, "%s/run", fixture->folder);
	assert_int_equal(stat(folder, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0750);
}

static void a_dead_socket_is_replaced_and_a_living_one_is_not(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	char path[108];
	int fd;

	assert_int_equal(http_listen_unix(fixture->socket + 5, NULL), OPT_E_CONFLICT);
	snprintf(path, sizeof path, "%s/dead", fixture->folder);
	strcpy(where.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
	close(fd);
	fd = http_listen_unix(path, NULL);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	fclose(fopen(path, "w"));
	assert_int_equal(http_listen_unix(path, NULL), OPT_E_CONFLICT);
	unlink(path);
}

static void only_loopback_addresses_are_listened_on(void **state)
{
	(void)state;
	assert_int_equal(http_listen_tcp("http://0.0.0.0:8025"), OPT_E_DENIED);
	assert_int_equal(http_listen_tcp("http://192.0.2.1:8025"), OPT_E_DENIED);
	assert_int_equal(http_listen_tcp("http://example.com:8025"), OPT_E_INVALID);
	assert_int_equal(http_listen_tcp("http://127.0.0.1"), OPT_E_INVALID);
	assert_int_equal(http_listen_tcp("http://127.0.0.1:"), OPT_E_INVALID);
	assert_int_equal(http_listen_tcp("http://127.0.0.1:70000"), OPT_E_INVALID);
	assert_int_equal(http_listen_tcp("ftp://127.0.0.1:1"), OPT_E_INVALID);
}

/* A port of the loopback address that is free right now. */
static unsigned free_port(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof where;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
	close(fd);
	return ntohs(where.sin_port);
}

static char *read_token(const struct fixture *fixture)
{
	char path[128], token[80] = "", *header = NULL;
	struct stat status;
	FILE *file;

	snprintf(path, sizeof path, "%s/api.token", fixture->folder);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	file = fopen(path, "r");
	assert_non_null(fgets(token, sizeof token, file));
	fclose(file);
	token[strcspn(token, "\n")] = '\0';
	assert_int_equal(strlen(token), 64);
	assert_true(asprintf(&header, "Authorization: Bearer %s", token) > 0);
	return header;
}

static void a_port_needs_the_token(void **state)
{
	struct fixture *fixture = *state;
	char address[64], *right;

	snprintf(address, sizeof address, "http://127.0.0.1:%u", free_port());
	http_server_free(fixture->server);
	fixture->config.api.items[1] = address;
	fixture->config.api.count = 2;
	fixture->server = http_server_new(fixture->node, &fixture->loop);
	assert_int_equal(http_server_listen(fixture->server), 0);
	fixture->base = strdup(address);
	fake_peer = 1001;
	expect_error(fixture, "GET", "/v1/nodes", NULL, 403, "denied");
	right = read_token(fixture);
	fixture->authorization = strdup(right);
	fixture->authorization[40] ^= 1;
	expect_error(fixture, "GET", "/v1/nodes", NULL, 403, "denied");
	fixture->authorization[40] = '\0';
	expect_error(fixture, "POST", "/v1/batches/x", SETTINGS, 403, "denied");
	free(fixture->authorization);
	fixture->authorization = right;
	json_decref(expect(fixture, "GET", "/v1/nodes", NULL, 200));
	send_batch(fixture, "by-token", 2);
}

static void the_kernel_says_who_is_asking(void **state)
{
	struct fixture *fixture = *state;

	http_server_free(fixture->server);
	fixture->server = http_server_new(fixture->node, &fixture->loop);
	assert_int_equal(http_server_listen(fixture->server), 0);
	fake_peer = 1001;
	send_batch(fixture, "own", 1);
	json_decref(expect(fixture, "GET", "/v1/batches/own", NULL, 200));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(unknown_paths_are_not_found),
	    CASE(other_methods_are_told_which_are_allowed),
	    CASE(a_body_for_a_wrong_page_is_read_and_refused),
	    CASE(no_http_and_huge_headers_close_the_connection),
	    CASE(the_server_can_stop_while_requests_wait),
	    CASE(the_socket_is_for_its_group_only),
	    CASE(a_dead_socket_is_replaced_and_a_living_one_is_not),
	    CASE(only_loopback_addresses_are_listened_on),
	    CASE(a_port_needs_the_token),
	    CASE(the_kernel_says_who_is_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
