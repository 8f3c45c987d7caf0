/* SPDX-License-Identifier: MIT */
/*
 * HTTP through libcurl, one request at a time, over one connection that is kept.
 *
 * Every failure ends as an exit code and a sentence in the answer; the caller decides whether to print it.
 * Errors that the node explains are passed on in its words. Proxies of the environment are not used: the API
 * is on this machine or behind a tunnel.
 *
 * It does not follow redirects, and it does not repeat a request, except client_call_patiently() after the
 * node has said "again", which means that nothing was done.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "daemon/cli_client.h"
#include "daemon/cli_say.h"
#include "queue/message/buffer.h"

enum {
	TOKEN_MAX = 200,
	CONNECT_SECONDS = 10,
	STALL_SECONDS = 300, /* a commit may take a while; a node that is silent for longer is lost */
	UPLOAD_BLOCK = 512 * 1024,
	PATIENCE_SECONDS = 30,
	ERROR_BODY_MAX = 64 * 1024,
};

struct client {
	CURL *curl;
	char *api;  /* as the user gave it, for messages */
	char *base; /* of the URLs */
	char curl_error[CURL_ERROR_SIZE];

	/* Of the request that is running: */
	struct buffer body;
	struct buffer missing; /* the trailer of an answer that lacks something */
	client_produce produce;
	client_consume consume;
	void *context;
	bool stopped;  /* by produce or consume */
	bool too_long; /* the answer */
};

struct client *client_new(const char *api)
{
	struct client *client;
	const char *path = NULL;

	if (strncmp(api, "unix:", 5) == 0 && api[5] != '\0')
		path = api + 5;
	else if (strncmp(api, "http://", 7) != 0 || api[7] == '\0')
		return NULL;
	client = calloc(1, sizeof *client);
	if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort();
	client->curl = curl_easy_init();
	client->api = strdup(api);
	client->base = strdup(path != NULL ? "http://localhost" : api);
	if (client->curl == NULL || client->api == NULL || client->base == NULL)
		abort();
	size_t len = strlen(client->base);
	if (client->base[len - 1] == '/')
		client->base[len - 1] = '\0';
	buffer_init(&client->body);
	buffer_init(&client->missing);
	return client;
}

void client_free(struct client *client)
{
	if (client == NULL)
		return;
	curl_easy_cleanup(client->curl);
	curl_global_cleanup();
	free(client->api);
	free(client->base);
	buffer_done(&client->body);
	buffer_done(&client->missing);
	free(client);
}

void client_answer_done(struct client_answer *answer)
{
	json_decref(answer->json);
	memset(answer, 0, sizeof *answer);
}

static size_t on_read(char *data, size_t size, size_t count, void *context)
{
	struct client *client = context;
	long got = client->produce(client->context, data, size * count);

	if (got < 0) {
		client->stopped = true;
		return CURL_READFUNC_ABORT;
	}
	return (size_t)got;
}

static size_t on_write(char *data, size_t size, size_t count, void *context)
{
	struct client *client = context;
	size_t len = size * count;
	long status = 0;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (client->consume != NULL && status >= 200 && status < 300) {
		if (client->consume(client->context, data, len))
			return len;
		client->stopped = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (client->body.len + len > (status >= 400 ? ERROR_BODY_MAX : CLIENT_ANSWER_MAX)) {
		client->too_long = true;
		return CURL_WRITEFUNC_ERROR;
	}
	buffer_add(&client->body, data, len);
	return len;
}

/* Header lines, and trailers, one a call. */
static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	static const char name[] = "optimus-missing:";
	struct client *client = context;
	size_t len = size * count, skip = sizeof name - 1;

	if (len <= skip || strncasecmp(data, name, skip) != 0)
		return len;
	buffer_clear(&client->missing);
	while (skip < len && data[skip] == ' ')
		skip++;
	buffer_add(&client->missing, data + skip, len - skip);
	return len;
}

static const char *unix_path(const struct client *client)
{
	return strncmp(client->api, "unix:", 5) == 0 ? client->api + 5 : NULL;
}

/* Nothing, or not all of an answer, came back. */
static int transport_failure(struct client *client, CURLcode rc, struct client_answer *answer)
{
	const char *path = unix_path(client);
	long os_error = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os_error);
	switch (rc) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		/* libcurl does not hand out errno for Unix sockets in all versions: ask the file itself. */
		if (path != NULL && (os_error == EACCES || os_error == EPERM)) {
			snprintf(answer->error, sizeof answer->error,
			    "this user may not open %s; join its group (usually optimus) or use sudo", path);
			return CLI_DENIED;
		}
		snprintf(answer->error, sizeof answer->error,
		    "no node answers at %s%s%s%s; start one (optimusd) or say where one is with --api or "
		    "OPTIMUS_API",
		    client->api, os_error != 0 ? " (" : "", os_error != 0 ? strerror((int)os_error) : "",
		    os_error != 0 ? ")" : "");
		return CLI_UNAVAILABLE;
	case CURLE_URL_MALFORMAT:
		snprintf(answer->error, sizeof answer->error, "\"%s\" is no address of a node", client->api);
		return CLI_USAGE;
	case CURLE_OPERATION_TIMEDOUT:
		answer->sent = true;
		snprintf(answer->error, sizeof answer->error, "the node at %s takes too long to answer",
		    client->api);
		return CLI_AGAIN;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		snprintf(
		    answer->error, sizeof answer->error, "what answers at %s speaks no HTTP", client->api);
		return CLI_PROTOCOL;
	default:
		answer->sent = true;
		snprintf(answer->error, sizeof answer->error, "the connection to the node at %s broke: %s",
		    client->api, client->curl_error[0] != '\0' ? client->curl_error : curl_easy_strerror(rc));
		return CLI_AGAIN;
	}
}

static int exit_of_code(const char *code, long status)
{
	static const struct {
		const char *code;
		int exit;
	} table[] = {
	    {"invalid", CLI_DATA},
	    {"template", CLI_DATA},
	    {"recipient", CLI_DATA},
	    {"denied", CLI_DENIED},
	    {"not_found", CLI_NO_INPUT},
	    {"conflict", CLI_CONFLICT},
	    {"again", CLI_AGAIN},
	    {"full", CLI_AGAIN},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(code, table[i].code) == 0)
			return table[i].exit;
	if (code[0] != '\0' && status >= 400 && status < 500)
		return CLI_DATA;
	return CLI_PROTOCOL;
}

/* The node answered with an error: its words, or what the bare status means. */
static int node_failure(const struct client *client, struct client_answer *answer)
{
	const char *text = json_string_value(json_object_get(answer->json, "error"));
	const char *code = json_string_value(json_object_get(answer->json, "code"));

	if (text == NULL) {
		snprintf(answer->error, sizeof answer->error,
		    "what answers at %s is no node of this version: HTTP status %ld without a reason",
		    client->api, answer->status);
		return CLI_PROTOCOL;
	}
	say_clean(text, answer->error, sizeof answer->error);
	if (code != NULL)
		say_clean(code, answer->code, sizeof answer->code);
	const char *field = json_string_value(json_object_get(answer->json, "field"));
	if (field != NULL)
		say_clean(field, answer->field, sizeof answer->field);
	answer->line = json_integer_value(json_object_get(answer->json, "line"));
	answer->row = json_integer_value(json_object_get(answer->json, "row"));
	return exit_of_code(answer->code, answer->status);
}

static int finish(struct client *client, CURLcode rc, struct client_answer *answer)
{
	curl_off_t retry_after = 0;
	const char *wrong = NULL;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &retry_after);
	answer->retry_after = retry_after > 0 && retry_after < 86400 ? (unsigned)retry_after : 0;
	if (client->stopped && client->consume != NULL)
		return CLI_OK;
	if (client->stopped) {
		snprintf(answer->error, sizeof answer->error, "the upload was given up");
		return CLI_DATA;
	}
	/* An error that arrives while the upload still runs may break the connection behind it; it counts. */
	if (rc != CURLE_OK && answer->status < 400 && !client->too_long)
		return transport_failure(client, rc, answer);
	if (client->too_long)
		wrong = "its answer is too long";
	else if (client->body.len > 0)
		answer->json = json_loadb(client->body.data, client->body.len, JSON_REJECT_DUPLICATES, NULL);
	if (answer->status >= 400)
		return node_failure(client, answer);
	if (client->consume != NULL && answer->status == 200)
		return CLI_OK;
	if (wrong == NULL && answer->status / 100 != 2)
		wrong = "its answer has an unexpected status";
	if (wrong == NULL && !json_is_object(answer->json) && client->body.len > 0)
		wrong = "its answer is no JSON object";
	if (wrong == NULL)
		return CLI_OK;
	snprintf(answer->error, sizeof answer->error, "what answers at %s is no node of this version: %s",
	    client->api, wrong);
	return CLI_PROTOCOL;
}

/* Prepares what all requests have in common. */
static void prepare(struct client *client, const char *path)
{
	char *url;

	curl_easy_reset(client->curl);
	if (asprintf(&url, "%s%s", client->base, path) < 0)
		abort();
	curl_easy_setopt(client->curl, CURLOPT_URL, url);
	free(url);
	if (unix_path(client) != NULL)
		curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, unix_path(client));
	curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
	curl_easy_setopt(client->curl, CURLOPT_USERAGENT, "optimus");
	curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->curl_error);
	curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
	client->curl_error[0] = '\0';
	buffer_clear(&client->body);
	buffer_clear(&client->missing);
	client->produce = NULL;
	client->consume = NULL;
	client->context = NULL;
	client->stopped = client->too_long = false;
}

/* What a node asks for where it can't see who calls. */
static struct curl_slist *append_token(struct curl_slist *headers)
{
	const char *token = getenv("OPTIMUS_TOKEN");
	char header[TOKEN_MAX + sizeof("Authorization: Bearer ")];

	if (token == NULL || *token == '\0' || strlen(token) > TOKEN_MAX || strpbrk(token, "\r\n") != NULL)
		return headers;
	snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
	return curl_slist_append(headers, header);
}

static int perform(struct client *client, struct curl_slist *headers, struct client_answer *answer)
{
	CURLcode rc;

	/* Without this libcurl asks first whether a body is welcome, and waits for the answer. */
	headers = curl_slist_append(headers, "Expect:");
	if (headers == NULL)
		abort();
	headers = append_token(headers);
	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
	rc = curl_easy_perform(client->curl);
	curl_slist_free_all(headers);
	return finish(client, rc, answer);
}

int client_call(struct client *client, const char *method, const char *path, const char *body, size_t len,
    struct client_answer *answer)
{
	struct curl_slist *headers = NULL;

	prepare(client, path);
	if (strcmp(method, "POST") == 0) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body != NULL ? body : "");
		curl_easy_setopt(
		    client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body != NULL ? len : 0));
	} else if (strcmp(method, "GET") != 0) {
		curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
	}
	return perform(client, headers, answer);
}

int client_call_patiently(struct client *client, const char *method, const char *path, const char *body,
    size_t len, struct client_answer *answer)
{
	unsigned waited = 0, pause = 1;

	for (;;) {
		int rc = client_call(client, method, path, body, len, answer);
		unsigned seconds = answer->retry_after > 0 ? answer->retry_after : pause;

		if (rc == CLI_OK || strcmp(answer->code, "again") != 0 || waited + seconds > PATIENCE_SECONDS)
			return rc;
		nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
		waited += seconds;
		pause *= 2;
		client_answer_done(answer);
	}
}

int client_upload(struct client *client, const char *path, client_produce produce, void *context,
    struct client_answer *answer)
{
	struct curl_slist *headers = NULL;

	prepare(client, path);
	client->produce = produce;
	client->context = context;
	headers = curl_slist_append(headers, "Content-Type: application/x-ndjson");
	headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
	curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(client->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(client->curl, CURLOPT_READDATA, client);
	curl_easy_setopt(client->curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BLOCK);
	return perform(client, headers, answer);
}

int client_stream(struct client *client, const char *path, client_consume consume, void *context,
    struct client_answer *answer)
{
	struct curl_slist *headers = curl_slist_append(NULL, "TE: trailers");
	int rc;

	prepare(client, path);
	client->consume = consume;
	client->context = context;
	headers = curl_slist_append(headers, "Connection: TE");
	curl_easy_setopt(client->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(client->curl, CURLOPT_HEADERDATA, client);
	rc = perform(client, headers, answer);
	if (rc != CLI_OK || client->stopped || client->missing.len == 0)
		return rc;
	while (
	    client->missing.len > 0 && strchr("\r\n", client->missing.data[client->missing.len - 1]) != NULL)
		client->missing.len--;
	say_clean(buffer_text(&client->missing), answer->error, sizeof answer->error);
	return CLI_AGAIN;
}
