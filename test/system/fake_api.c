/* SPDX-License-Identifier: MIT */
/*
 * A node's HTTP API, faked, for the tests of the command line.
 *
 *   fake_api DIR [FIELD]...
 *
 * listens on DIR/api.sock and says "ready" on standard output. The FIELDs are what its "template" asks for.
 * Bodies are kept as DIR/ID.begin, DIR/ID.rows, DIR/ID.commit; requests are listed in DIR/log. It counts rows
 * by their line ends. How it behaves is chosen by the batch id: the word before the first '-' is an error
 * code of docs/api.md, at step one, or one of
 *
 *   row7          refuses row 7 when the upload has ended
 *   againtwice    answers "again" to the first two attempts at step one
 *   commitagain   never commits
 *   hangup        closes the connection at the commit
 *   nonsense      answers with what is no JSON
 *   moving        its counts grow with every look, until it is done
 *   stopped       like moving, but it ends cancelled
 *   cutreport     its report breaks off
 *   lost          its report says at the end what it lacks
 *   busy          has mails in Postfix when it is commanded
 *   endless       its report never ends
 *
 * One thread, so no locks. Ends with its standard input.
 */
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct call {
	FILE *body;
	unsigned long rows;
};

static const char *dir;
static char **fields;
static int field_count;
static unsigned long rows_of_upload;
static int looks, attempts;

static enum MHD_Result answer_with(
    struct MHD_Connection *connection, unsigned status, const char *body, const char *retry_after)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result rc;

	MHD_add_response_header(response, "Content-Type", "application/json");
	if (retry_after != NULL)
		MHD_add_response_header(response, "Retry-After", retry_after);
	rc = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, const char *code)
{
	static const struct {
		const char *code;
		unsigned status;
	} table[] = {{"invalid", 422}, {"template", 422}, {"recipient", 422}, {"denied", 403},
	    {"not_found", 404}, {"conflict", 409}, {"again", 503}, {"full", 507}};
	char body[256];

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (strcmp(code, table[i].code) != 0)
			continue;
		snprintf(body, sizeof body, "{\"error\":\"the fake says %s\",\"code\":\"%s\",\"line\":3}",
		    code, code);
		return answer_with(
		    connection, table[i].status, body, strcmp(code, "again") == 0 ? "40" : NULL);
	}
	return MHD_NO;
}

static bool is_error(const char *word)
{
	static const char *const codes[] = {
	    "invalid", "template", "recipient", "denied", "not_found", "conflict", "again", "full"};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (strcmp(word, codes[i]) == 0)
			return true;
	return false;
}

static void batch_json(
    char *out, size_t size, const char *id, const char *state, unsigned long total, unsigned long sent)
{
	snprintf(out, size,
	    "{\"id\":\"%s\",\"state\":\"%s\",\"total\":%lu,\"ready\":%lu,\"claimed\":0,\"retry\":0,\"sent\":%"
	    "lu,"
	    "\"bounced\":0,\"expired\":0,\"cancelled\":0,\"suppressed\":0,\"unknown\":0,\"unavailable\":0,"
	    "\"replicas\":3,\"duplicates\":0,\"in_doubt_resent\":0,\"created\":\"2026-12-01T08:00:00Z\","
	    "\"finished\":null}",
	    id, state, total, total - sent, sent);
}

static enum MHD_Result begin(struct MHD_Connection *connection, const char *word)
{
	char body[4096] = "{\"upload\":\"0123456789012345678901234567890123456789\",\"fields\":[";

	rows_of_upload = 0;
	if (is_error(word))
		return refuse(connection, word);
	if (strcmp(word, "againtwice") == 0 && attempts++ < 2)
		return answer_with(connection, 503, "{\"error\":\"not now\",\"code\":\"again\"}", "1");
	if (strcmp(word, "nonsense") == 0)
		return answer_with(connection, 200, "<html>", NULL);
	for (int i = 0; i < field_count; i++) {
		size_t len = strlen(body);

		snprintf(body + len, sizeof body - len, "%s\"%s\"", i > 0 ? "," : "", fields[i]);
	}
	strcat(body, "],\"exists\":false}");
	return answer_with(connection, 200, body, NULL);
}

static enum MHD_Result rows(struct MHD_Connection *connection, const char *word, const struct call *call)
{
	char body[64];

	rows_of_upload += call->rows;
	if (strcmp(word, "row7") == 0)
		return answer_with(connection, 422,
		    "{\"error\":\"it is not nice\",\"code\":\"recipient\",\"row\":7,\"field\":\"city\"}",
		    NULL);
	snprintf(body, sizeof body, "{\"rows\":%lu}", rows_of_upload);
	return answer_with(connection, 200, body, NULL);
}

static enum MHD_Result commit(struct MHD_Connection *connection, const char *word, const char *id)
{
	char body[1024];

	if (strcmp(word, "hangup") == 0)
		return MHD_NO;
	if (strcmp(word, "commitagain") == 0)
		return answer_with(connection, 503, "{\"error\":\"not now\",\"code\":\"again\"}", "1");
	batch_json(body, sizeof body, id, "sending", rows_of_upload, 0);
	return answer_with(connection, 201, body, NULL);
}

static enum MHD_Result look(struct MHD_Connection *connection, const char *word, const char *id)
{
	char body[1024];
	bool stopped = strcmp(word, "stopped") == 0;

	if (is_error(word))
		return refuse(connection, word);
	if (strcmp(word, "moving") != 0 && !stopped) {
		batch_json(body, sizeof body, id, "done", 100, 100);
		return answer_with(connection, 200, body, NULL);
	}
	looks++;
	batch_json(body, sizeof body, id,
	    looks < 3 ? "sending"
	    : stopped ? "cancelled"
	              : "done",
	    100, (unsigned long)(looks < 3 ? looks * 30 : 100));
	return answer_with(connection, 200, body, NULL);
}

static ssize_t report_piece(void *context, uint64_t pos, char *buf, size_t max)
{
	static const char line[] = "a@example.com,sent,2.0.0,ok,mx,n1,1,,,\n";
	size_t len = sizeof line - 1;

	if (context != NULL && pos > 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (len > max)
		len = max;
	memcpy(buf, line, len);
	return (ssize_t)len;
}

static ssize_t lost_piece(void *context, uint64_t pos, char *buf, size_t max)
{
	(void)context;
	if (pos > 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return report_piece(NULL, 0, buf, max);
}

static enum MHD_Result report(struct MHD_Connection *connection, const char *word)
{
	static const char text[] = "email,state\na@example.com,sent\nb@example.com,bounced\n";
	const char *te = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "TE");
	struct MHD_Response *response;
	enum MHD_Result rc;

	if (is_error(word))
		return refuse(connection, word);
	if (strcmp(word, "lost") == 0 && te != NULL && strcmp(te, "trailers") == 0) {
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, lost_piece, NULL, NULL);
		MHD_add_response_footer(
		    response, "Optimus-Missing", "shard 2 of 2 (1 mail) is on no node that answers");
		rc = MHD_queue_response(connection, 200, response);
		MHD_destroy_response(response);
		return rc;
	}
	if (strcmp(word, "cutreport") != 0 && strcmp(word, "endless") != 0)
		return answer_with(connection, 200, text, NULL);
	response = MHD_create_response_from_callback(
	    MHD_SIZE_UNKNOWN, 4096, report_piece, strcmp(word, "cutreport") == 0 ? &dir : NULL, NULL);
	rc = MHD_queue_response(connection, 200, response);
	MHD_destroy_response(response);
	return rc;
}

/* pause, resume, cancel; drain, undrain, forget. */
static enum MHD_Result command(
    struct MHD_Connection *connection, const char *word, const char *id, const char *verb)
{
	const char *state = strcmp(verb, "pause") == 0    ? "paused"
	                    : strcmp(verb, "cancel") == 0 ? "cancelled"
	                                                  : "sending";
	char body[256];

	if (is_error(word))
		return refuse(connection, word);
	snprintf(body, sizeof body, "{\"id\":\"%s\",\"state\":\"%s\",\"claimed\":%d}", id, state,
	    strcmp(word, "busy") == 0 ? 7 : 0);
	return answer_with(connection, 200, body, NULL);
}

static enum MHD_Result command_node(struct MHD_Connection *connection, const char *id, const char *verb)
{
	if (strcmp(verb, "forget") == 0 && strcmp(id, "[::1]:4100") != 0)
		return refuse(connection, strcmp(id, "self") == 0 ? "conflict" : "not_found");
	return answer_with(connection, 200,
	    strcmp(verb, "drain") == 0 ? "{\"state\":\"draining\"}" : "{\"state\":\"up\"}", NULL);
}

static enum MHD_Result dispatch(
    struct MHD_Connection *connection, const char *method, const char *url, const struct call *call)
{
	char id[128] = "", page[64] = "", word[128];
	char body[2048];

	if (strcmp(url, "/v1/nodes") == 0)
		return answer_with(connection, 200,
		    "{\"nodes\":[{\"id\":\"aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb\",\"address\":"
		    "\"m\xc3\xbcnchen:4000\","
		    "\"state\":\"up\",\"weight\":1,\"owned\":5,\"replicas\":9,\"in_flight\":7,\"sent\":12345,"
		    "\"rate\":612.5,\"postfix\":\"up\",\"version\":\"0.1.0\"}]}",
		    NULL);
	if (strcmp(url, "/v1/batches") == 0) {
		snprintf(body, sizeof body, "{\"batches\":[");
		batch_json(body + strlen(body), 900, "newer", "sending", 200, 50);
		strcat(body, ",");
		batch_json(body + strlen(body), 900, "older-one", "done", 100000, 100000);
		strcat(body, "]}");
		return answer_with(connection, 200, body, NULL);
	}
	if (strcmp(method, "POST") == 0 && sscanf(url, "/v1/nodes/%64[]a-z0-9.:[]/%32[a-z]", id, page) == 2)
		return command_node(connection, id, page);
	if (sscanf(url, "/v1/batches/%64[A-Za-z0-9._-]/%32[a-z]", id, page) < 1)
		return answer_with(connection, 404, "no such page", NULL);
	snprintf(word, sizeof word, "%s", id);
	word[strcspn(word, "-")] = '\0';
	if (strcmp(method, "POST") == 0 && page[0] == '\0')
		return begin(connection, word);
	if (strcmp(method, "POST") == 0 && strcmp(page, "recipients") == 0)
		return rows(connection, word, call);
	if (strcmp(method, "POST") == 0 && strcmp(page, "commit") == 0)
		return commit(connection, word, id);
	if (strcmp(method, "POST") == 0 &&
	    (strcmp(page, "pause") == 0 || strcmp(page, "resume") == 0 || strcmp(page, "cancel") == 0))
		return command(connection, word, id, page);
	if (strcmp(method, "GET") == 0 && page[0] == '\0')
		return look(connection, word, id);
	if (strcmp(method, "GET") == 0 && strcmp(page, "report") == 0)
		return report(connection, word);
	if (strcmp(method, "DELETE") == 0 && strcmp(page, "upload") == 0)
		return answer_with(connection, 200, "{}", NULL);
	return answer_with(connection, 404, "{\"error\":\"no such page\",\"code\":\"not_found\"}", NULL);
}

/* The file that keeps this request's body: rows are added to what came before. */
static FILE *open_body(const char *url)
{
	char id[128] = "", page[64] = "begin", path[512];

	if (sscanf(url, "/v1/batches/%64[A-Za-z0-9._-]/%32[a-z]", id, page) < 1)
		return NULL;
	snprintf(path, sizeof path, "%s/%s.%s", dir, id, strcmp(page, "recipients") == 0 ? "rows" : page);
	return fopen(path, strcmp(page, "recipients") == 0 ? "a" : "w");
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **state)
{
	struct call *call = *state;
	char path[512];

	(void)context;
	(void)version;
	if (call == NULL) {
		FILE *log;

		*state = call = calloc(1, sizeof *call);
		if (strcmp(method, "POST") == 0)
			call->body = open_body(url);
		snprintf(path, sizeof path, "%s/log", dir);
		log = fopen(path, "a");
		if (log != NULL) {
			fprintf(log, "%s %s\n", method, url);
			fclose(log);
		}
		return MHD_YES;
	}
	if (*size > 0) {
		for (size_t i = 0; i < *size; i++)
			call->rows += data[i] == '\n';
		if (call->body != NULL)
			fwrite(data, 1, *size, call->body);
		*size = 0;
		return MHD_YES;
	}
	if (call->body != NULL)
		fclose(call->body);
	call->body = NULL;
	return dispatch(connection, method, url, call);
}

static void on_end(
    void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct call *call = *state;

	(void)context;
	(void)connection;
	(void)code;
	if (call != NULL && call->body != NULL)
		fclose(call->body);
	free(call);
	*state = NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct MHD_Daemon *daemon;
	int fd;

	if (argc < 2)
		return 2;
	dir = argv[1];
	fields = argv + 2;
	field_count = argc - 2;
	snprintf(address.sun_path, sizeof address.sun_path, "%s/api.sock", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0) {
		perror(address.sun_path);
		return 1;
	}
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request,
	    NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)512 * 1024, MHD_OPTION_END);
	if (daemon == NULL)
		return 1;
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	MHD_stop_daemon(daemon);
	return 0;
}
