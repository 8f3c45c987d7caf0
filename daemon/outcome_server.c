/* SPDX-License-Identifier: MIT */
/*
 * From the outcome servers to the core, and the answers back.
 *
 * A report is acknowledged only by the core's EFFECT_OUTCOME_ANSWER. When a connection breaks, its open
 * reports are forgotten here; the outcome server repeats them over a new one, and the core knows repeated
 * facts for what they are.
 *
 * Acknowledgements are collected and written once a turn of the loop.
 */
#include "daemon/outcome_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/tree.h"

enum { READ_SIZE = 65536, BACKLOG = 16 };

struct outcome_server {
	uv_loop_t *loop;
	struct node *node;
	uv_pipe_t listener;
	uv_check_t flush; /* after the events of a turn */
	TAILQ_HEAD(, client) clients;
	char *path;
	int open;
};

struct client {
	TAILQ_ENTRY(client) link;
	struct outcome_server *server;
	uv_pipe_t pipe;
	struct frame_decoder *decoder;
	struct buffer output;
	TAILQ_HEAD(, report) reports; /* not acknowledged yet */
	char input[READ_SIZE];
};

struct report {
	TAILQ_ENTRY(report) link;
	struct client *client;
	uint64_t reply;
	uint64_t seq;
};

struct write_request {
	uv_write_t request;
	char *data;
};

static void acknowledge(struct client *client, uint64_t seq)
{
	const struct frame frame = {.type = FRAME_ACK, .seq = seq};

	frame_encode(&frame, &client->output);
}

static void answered(void *context, const struct effect *effect)
{
	struct report *report = context;

	(void)effect;
	acknowledge(report->client, report->seq);
	TAILQ_REMOVE(&report->client->reports, report, link);
	free(report);
}

static uint64_t expect(struct client *client, uint64_t seq)
{
	struct report *report = calloc(1, sizeof(*report));

	if (report == NULL)
		abort();
	report->client = client;
	report->seq = seq;
	report->reply = node_expect(client->server->node, answered, report);
	TAILQ_INSERT_TAIL(&client->reports, report, link);
	return report->reply;
}

static void take_append(struct client *client, const struct frame *frame, const struct attempt_key *key)
{
	struct event event = {.type = EVENT_OUTCOME};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	event.outcome.reply = expect(client, frame->seq);
	event.outcome.outcome = (struct outcome){
	    .key = *key,
	    .kind = outcome_classify(frame->action, frame->dsn, frame->reason),
	    .at = {(uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000},
	    .dsn = frame->dsn,
	    .relay = frame->relay,
	    .reason = frame->reason,
	};
	node_event(client->server->node, &event);
}

static int take_frame(struct client *client, const struct frame *frame)
{
	struct attempt_key key;
	struct event event = {.type = EVENT_LEFT_SPOOL};

	if (frame->type != FRAME_APPEND && frame->type != FRAME_DONE)
		return OPT_E_INVALID;
	if (attempt_from_text(frame->attempt_text, &key) != 0) {
		/* A message that did not come from us: there is nothing to record. */
		log_warning("outcome_of_foreign_mail", "queue_id", frame->queue_id, NULL);
		acknowledge(client, frame->seq);
		return 0;
	}
	if (frame->type == FRAME_APPEND) {
		take_append(client, frame, &key);
		return 0;
	}
	event.left_spool.reply = expect(client, frame->seq);
	event.left_spool.key = key;
	node_event(client->server->node, &event);
	return 0;
}

static void server_closed(struct outcome_server *server)
{
	if (--server->open > 0)
		return;
	free(server->path);
	free(server);
}

static void client_closed(uv_handle_t *handle)
{
	struct client *client = handle->data;

	frame_decoder_free(client->decoder);
	buffer_done(&client->output);
	server_closed(client->server);
	free(client);
}

static void client_lost(struct client *client)
{
	struct report *report;

	while ((report = TAILQ_FIRST(&client->reports)) != NULL) {
		TAILQ_REMOVE(&client->reports, report, link);
		node_forget(client->server->node, report->reply);
		free(report);
	}
	TAILQ_REMOVE(&client->server->clients, client, link);
	uv_close((uv_handle_t *)&client->pipe, client_closed);
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *client = handle->data;

	(void)suggested;
	*buf = uv_buf_init(client->input, sizeof(client->input));
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct client *client = stream->data;
	struct frame frame;
	int status = 0;

	if (got < 0) {
		client_lost(client);
		return;
	}
	frame_decoder_feed(client->decoder, buf->base, (size_t)got);
	while (status == 0) {
		status = frame_decoder_next(client->decoder, &frame);
		if (status == 0)
			return;
		if (status == 1)
			status = take_frame(client, &frame);
	}
	log_error("outcome_protocol", "error", opt_strerror(status), NULL);
	client_lost(client);
}

static void written(uv_write_t *request, int status)
{
	struct write_request *write = (struct write_request *)request;

	(void)status; /* a broken connection shows in the reader */
	free(write->data);
	free(write);
}

static void flush(uv_check_t *check)
{
	struct outcome_server *server = check->data;
	struct client *client;

	TAILQ_FOREACH (client, &server->clients, link) {
		struct write_request *write;
		uv_buf_t buf = uv_buf_init(client->output.data, (unsigned int)client->output.len);
		int taken;

		if (client->output.len == 0)
			continue;
		taken = uv_try_write((uv_stream_t *)&client->pipe, &buf, 1);
		if (taken > 0)
			buffer_consume(&client->output, (size_t)taken);
		if (client->output.len == 0)
			continue;
		write = calloc(1, sizeof(*write));
		if (write == NULL)
			abort();
		buf = uv_buf_init(client->output.data, (unsigned int)client->output.len);
		write->data = client->output.data;
		buffer_init(&client->output);
		if (uv_write(&write->request, (uv_stream_t *)&client->pipe, &buf, 1, written) != 0)
			written(&write->request, -1);
	}
}

static void incoming(uv_stream_t *listener, int status)
{
	struct outcome_server *server = listener->data;
	struct client *client;

	if (status != 0)
		return;
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->server = server;
	client->decoder = frame_decoder_new();
	buffer_init(&client->output);
	TAILQ_INIT(&client->reports);
	uv_pipe_init(server->loop, &client->pipe, 0);
	client->pipe.data = client;
	server->open++;
	TAILQ_INSERT_TAIL(&server->clients, client, link);
	if (uv_accept(listener, (uv_stream_t *)&client->pipe) != 0 ||
	    uv_read_start((uv_stream_t *)&client->pipe, give_memory, received) != 0)
		client_lost(client);
}

int outcome_server_new(
    uv_loop_t *loop, struct node *node, const char *path, struct outcome_server **ret_server)
{
	struct outcome_server *server = calloc(1, sizeof(*server));
	int status;

	if (server == NULL || (server->path = strdup(path)) == NULL)
		abort();
	server->loop = loop;
	server->node = node;
	TAILQ_INIT(&server->clients);
	uv_pipe_init(loop, &server->listener, 0);
	uv_check_init(loop, &server->flush);
	server->listener.data = server;
	server->flush.data = server;
	server->open = 2;
	uv_check_start(&server->flush, flush);
	unlink(path); /* of an earlier run: the lock on the data folder says that it is gone */
	status = uv_pipe_bind(&server->listener, path);
	if (status == 0 && chmod(path, 0600) != 0)
		status = -errno;
	if (status == 0)
		status = uv_listen((uv_stream_t *)&server->listener, BACKLOG, incoming);
	if (status != 0) {
		log_error("outcome_socket", "path", path, "error", uv_strerror(status), NULL);
		outcome_server_free(server);
		return OPT_E_IO;
	}
	*ret_server = server;
	return 0;
}

static void handle_closed(uv_handle_t *handle)
{
	server_closed(handle->data);
}

void outcome_server_free(struct outcome_server *server)
{
	struct client *client;

	if (server == NULL)
		return;
	while ((client = TAILQ_FIRST(&server->clients)) != NULL)
		client_lost(client);
	unlink(server->path);
	uv_close((uv_handle_t *)&server->flush, handle_closed);
	uv_close((uv_handle_t *)&server->listener, handle_closed);
}
