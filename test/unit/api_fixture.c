/* SPDX-License-Identifier: MIT */
/*
 * The fixture's life, and its HTTP client: libcurl in a thread, while this thread turns the loop.
 */
#include "api_fixture.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api_node.h"
#include "queue/message/buffer.h"

uid_t fake_peer;

static int peer(int fd, uid_t *ret_uid)
{
	(void)fd;
	*ret_uid = fake_peer;
	return 0;
}

int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	assert_non_null(fixture);
	strcpy(fixture->folder, "/tmp/optimus-api.XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->socket, sizeof fixture->socket, "unix:%s/run/api.sock", fixture->folder);
	fixture->config = (struct config){
	    .data = fixture->folder,
	    .listen = "127.0.0.1:7300",
	    .hostname = "node.example",
	    .weight = 1,
	    .core = core_config_default(),
	};
	memset(fixture->config.core.node.bytes, 7, OPT_ID_SIZE);
	strcpy(fixture->config.core.presence.address, "127.0.0.1:7300");
	strcpy(fixture->config.core.presence.version, "1.2.3");
	fixture->config.core.presence.incarnation = 1;
	fixture->config.api.items[0] = fixture->socket;
	fixture->config.api.count = 1;
	uv_loop_init(&fixture->loop);
	fixture->node = node_make(&fixture->loop, &fixture->config);
	fake_recovered(fixture->node, true);
	fake_peer = 0;
	fixture->server = http_server_new(fixture->node, &fixture->loop);
	http_server_set_peer(fixture->server, peer);
	assert_int_equal(http_server_listen(fixture->server), 0);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;
	char path[128];

	http_server_free(fixture->server);
	node_unmake(fixture->node);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	assert_int_not_equal(access(fixture->socket + 5, F_OK), 0);
	snprintf(path, sizeof path, "%s/run", fixture->folder);
	rmdir(path);
	snprintf(path, sizeof path, "%s/api.token", fixture->folder);
	unlink(path);
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture->authorization);
	free(fixture->base);
	free(fixture);
	return 0;
}

struct transfer {
	CURL *curl;
	CURLcode code;
	struct buffer headers;
	struct buffer body;
	uv_async_t done;
	bool finished;
};

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
	buffer_add(context, data, size * count);
	return size * count;
}

static void *perform(void *context)
{
	struct transfer *transfer = context;

	transfer->code = curl_easy_perform(transfer->curl);
	uv_async_send(&transfer->done);
	return NULL;
}

static void on_done(uv_async_t *async)
{
	((struct transfer *)async->data)->finished = true;
}

static bool finished(void *context)
{
	return ((struct transfer *)context)->finished;
}

static struct curl_slist *prepare(
    struct fixture *fixture, CURL *curl, const char *method, const char *path, const void *body, size_t len)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char url[1024];

	snprintf(url, sizeof url, "%s%s", fixture->base ? fixture->base : "http://localhost", path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	if (!fixture->base)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, fixture->socket + 5);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	}
	if (fixture->authorization)
		headers = curl_slist_append(headers, fixture->authorization);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)FIXTURE_LIMIT_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_data);
	return headers;
}

struct reply fetch(
    struct fixture *fixture, const char *method, const char *path, const void *body, size_t len)
{
	struct transfer transfer = {.curl = curl_easy_init()};
	struct reply reply = {0};
	struct curl_slist *headers;
	pthread_t thread;

	assert_non_null(transfer.curl);
	buffer_init(&transfer.headers);
	buffer_init(&transfer.body);
	headers = prepare(fixture, transfer.curl, method, path, body, len);
	curl_easy_setopt(transfer.curl, CURLOPT_WRITEDATA, &transfer.body);
	curl_easy_setopt(transfer.curl, CURLOPT_HEADERDATA, &transfer.headers);
	uv_async_init(&fixture->loop, &transfer.done, on_done);
	transfer.done.data = &transfer;
	assert_int_equal(pthread_create(&thread, NULL, perform, &transfer), 0);
	turn_until(fixture, finished, &transfer);
	pthread_join(thread, NULL);
	uv_close((uv_handle_t *)&transfer.done, NULL);
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	reply.failed = transfer.code;
	curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &reply.status);
	reply.len = transfer.body.len;
	reply.body = strdup(buffer_text(&transfer.body));
	reply.headers = strdup(buffer_text(&transfer.headers));
	reply.json = json_loadb(transfer.body.data, transfer.body.len, 0, NULL);
	buffer_done(&transfer.headers);
	buffer_done(&transfer.body);
	curl_slist_free_all(headers);
	curl_easy_cleanup(transfer.curl);
	return reply;
}

struct reply fetch_text(struct fixture *fixture, const char *method, const char *path, const char *body)
{
	return fetch(fixture, method, path, body, body ? strlen(body) : 0);
}

void reply_done(struct reply *reply)
{
	free(reply->headers);
	free(reply->body);
	json_decref(reply->json);
}

json_t *expect(struct fixture *fixture, const char *method, const char *path, const char *body, long status)
{
	struct reply reply = fetch_text(fixture, method, path, body);
	json_t *json = json_incref(reply.json);

	if (reply.failed || reply.status != status || !json)
		fail_msg("%s %s: libcurl %d, status %ld, not %ld: %s", method, path, reply.failed,
		    reply.status, status, reply.body);
	reply_done(&reply);
	return json;
}

void expect_error(struct fixture *fixture, const char *method, const char *path, const char *body,
    long status, const char *code)
{
	json_t *json = expect(fixture, method, path, body, status);

	if (strcmp(json_string_value(json_object_get(json, "code")), code) != 0)
		fail_msg("%s %s: code %s, not %s", method, path,
		    json_string_value(json_object_get(json, "code")), code);
	assert_true(strlen(json_string_value(json_object_get(json, "error"))) > 10);
	json_decref(json);
}

static void on_limit(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

void turn_until(struct fixture *fixture, condition_fn *condition, void *context)
{
	bool late = false;
	uv_timer_t *limit = calloc(1, sizeof *limit);

	uv_timer_init(&fixture->loop, limit);
	limit->data = &late;
	uv_timer_start(limit, on_limit, FIXTURE_LIMIT_MS, 0);
	while (!condition(context) && !late)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)limit, (uv_close_cb)(void (*)(void))free);
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	if (late)
		fail_msg("the condition did not come true in time");
}

int raw_connect(struct fixture *fixture)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(where.sun_path, fixture->socket + 5);
	assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
	return fd;
}

void raw_send(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

void open_upload(struct fixture *fixture, const char *name, char upload[OPT_ID_HEX])
{
	char path[128];
	json_t *json;

	snprintf(path, sizeof path, "/v1/batches/%s", name);
	json = expect(fixture, "POST", path, SETTINGS, 200);
	strcpy(upload, json_string_value(json_object_get(json, "upload")));
	json_decref(json);
}

void send_batch(struct fixture *fixture, const char *name, unsigned count)
{
	char upload[OPT_ID_HEX], path[256], commit[64];
	struct buffer rows;

	open_upload(fixture, name, upload);
	buffer_init(&rows);
	for (unsigned i = 0; i < count; i++)
		buffer_printf(&rows, "{\"email\":\"r%u@d%u.example\",\"name\":\"R %u\"}\n", i, i, i);
	snprintf(path, sizeof path, "/v1/batches/%s/recipients?upload=%s", name, upload);
	json_decref(expect(fixture, "POST", path, buffer_text(&rows), 200));
	buffer_done(&rows);
	snprintf(path, sizeof path, "/v1/batches/%s/commit?upload=%s", name, upload);
	snprintf(commit, sizeof commit, "{\"rows\":%u}", count);
	json_decref(expect(fixture, "POST", path, commit, 201));
}
