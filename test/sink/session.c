/* SPDX-License-Identifier: MIT */
/*
 * The connection under a dialog.
 *
 * Nothing is written while bytes are taken: a session with output or an end goes on the dirty list, and
 * session_flush_all() first writes the ledger and then the replies, which is what makes the ledger the last
 * word. While a delay runs the session goes on reading, up to a limit, because a client that goes away in
 * that time is worth knowing: its message is accepted, as a real server would, but flagged.
 *
 * A session owns itself and goes when both of its handles are closed. An error of a connection ends that
 * session only.
 */
#include "test/sink/session.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sink/dialog.h"

enum { INPUT_MAX = 2 * SERVER_READ_MAX, OUTPUT_MAX = 256 * 1024 };

struct session {
	struct server *server;
	uv_tcp_t tcp;
	uv_timer_t timer;
	int handles; /* not closed yet */
	TAILQ_ENTRY(session) all;
	TAILQ_ENTRY(session) in_dirty;
	bool dirty;
	bool reading;
	bool eof;
	bool broken; /* reset by the client */
	char *input; /* what the dialog could not take yet */
	size_t input_len;
	struct dialog dialog;
};

static void advance(struct session *session, const char *bytes, size_t len);

static void mark_dirty(struct session *session)
{
	if (session->dirty)
		return;
	session->dirty = true;
	TAILQ_INSERT_TAIL(&session->server->dirty, session, in_dirty);
}

static void closed(uv_handle_t *handle)
{
	struct session *session = handle->data;
	if (--session->handles > 0)
		return;
	free(session->input);
	dialog_done(&session->dialog);
	free(session);
}

static void session_close(struct session *session)
{
	struct server *server = session->server;
	if (session->dirty)
		TAILQ_REMOVE(&server->dirty, session, in_dirty);
	session->dirty = false;
	TAILQ_REMOVE(&server->sessions, session, all);
	server->open--;
	uv_close((uv_handle_t *)&session->tcp, closed);
	uv_close((uv_handle_t *)&session->timer, closed);
}

static void end(struct session *session)
{
	session->dialog.state = DIALOG_END;
	mark_dirty(session);
}

static void written(uv_write_t *request, int status)
{
	(void)status; /* a broken connection shows at the next read */
	free(request);
}

/* Hands output to the kernel; what it does not take at once goes with a request that owns a copy. */
static void write_output(struct session *session)
{
	struct dialog *dialog = &session->dialog;
	if (dialog->output_len == 0)
		return;
	uv_stream_t *stream = (uv_stream_t *)&session->tcp;
	uv_buf_t buf = uv_buf_init(dialog->output, (unsigned)dialog->output_len);
	int n = uv_stream_get_write_queue_size(stream) == 0 ? uv_try_write(stream, &buf, 1) : UV_EAGAIN;
	size_t done = n > 0 ? (size_t)n : 0;
	size_t rest = dialog->output_len - done;
	if ((n >= 0 || n == UV_EAGAIN) && rest > 0) {
		uv_write_t *request = malloc(sizeof(*request) + rest);
		if (request == NULL)
			abort();
		memcpy(request + 1, dialog->output + done, rest);
		buf = uv_buf_init((char *)(request + 1), (unsigned)rest);
		if (uv_write(request, stream, &buf, 1, written) != 0)
			free(request);
	}
	dialog->output_len = 0;
}

void session_flush_all(struct server *server)
{
	ledger_flush(server->ledger);
	struct session *session;
	while ((session = TAILQ_FIRST(&server->dirty)) != NULL) {
		TAILQ_REMOVE(&server->dirty, session, in_dirty);
		session->dirty = false;
		write_output(session);
		/* A client that does not read its replies gets no more room. */
		size_t waiting = uv_stream_get_write_queue_size((uv_stream_t *)&session->tcp);
		if (session->dialog.state == DIALOG_END || waiting > OUTPUT_MAX)
			session_close(session);
	}
}

void session_close_all(struct server *server)
{
	struct session *session;
	while ((session = TAILQ_FIRST(&server->sessions)) != NULL)
		session_close(session);
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	(void)size;
	struct session *session = handle->data;
	*buf = uv_buf_init(session->server->read_buffer, SERVER_READ_MAX);
}

static void got_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct session *session = stream->data;
	if (n > 0)
		advance(session, buf->base, (size_t)n);
	if (n >= 0)
		return;
	session->eof = true;
	session->broken = n != UV_EOF;
	uv_read_stop(stream);
	session->reading = false;
	/* A message whose answer waits is still accepted; everything else ends with the client. */
	if (session->dialog.state != DIALOG_ANSWER)
		end(session);
}

/* Reads as long as there is room for input. */
static void set_reading(struct session *session)
{
	bool want =
	    !session->eof && session->dialog.state != DIALOG_END && session->input_len < SERVER_READ_MAX;
	if (want == session->reading)
		return;
	session->reading = want;
	if (!want)
		uv_read_stop((uv_stream_t *)&session->tcp);
	else if (uv_read_start((uv_stream_t *)&session->tcp, allocate, got_bytes) != 0)
		end(session);
}

static void keep_input(struct session *session, const char *bytes, size_t len)
{
	if (session->input == NULL)
		session->input = malloc(INPUT_MAX);
	if (session->input == NULL)
		abort();
	memmove(session->input, bytes, len);
	session->input_len = len;
	if (len == 0) {
		free(session->input);
		session->input = NULL;
	}
}

static void delay_over(uv_timer_t *timer)
{
	struct session *session = timer->data;
	bool quiet_end = session->eof && session->input_len == 0;
	if (session->dialog.state == DIALOG_BANNER)
		dialog_greet(&session->dialog);
	else if (session->dialog.state == DIALOG_ANSWER)
		dialog_answer(&session->dialog, session->broken || quiet_end);
	mark_dirty(session);
	advance(session, NULL, 0);
	/* What was sent before the end of the stream has been answered: QUIT behind a message, for example.
	 */
	if (session->eof && session->dialog.state != DIALOG_ANSWER)
		end(session);
}

/* Gives the dialog what waited and what has come, and does what it asks for. */
static void advance(struct session *session, const char *bytes, size_t len)
{
	struct dialog *dialog = &session->dialog;
	if (session->input_len > 0) {
		/* Room is sure: reading stops at SERVER_READ_MAX bytes, and one read brings no more than
		 * that. */
		if (len > 0)
			memcpy(session->input + session->input_len, bytes, len);
		len += session->input_len;
		bytes = session->input;
	}
	size_t used = len > 0 ? dialog_feed(dialog, bytes, len) : 0;
	if (used < len || session->input_len > 0)
		keep_input(session, bytes + used, len - used);
	if (dialog->state == DIALOG_ANSWER && !uv_is_active((uv_handle_t *)&session->timer))
		uv_timer_start(&session->timer, delay_over, dialog->verdict.delay_ms, 0);
	if (dialog->output_len > 0 || dialog->state == DIALOG_END)
		mark_dirty(session);
	set_reading(session);
}

static unsigned local_port(uv_tcp_t *tcp)
{
	struct sockaddr_storage address;
	int len = sizeof(address);
	if (uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &len) != 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

void session_accept(struct server *server, uv_stream_t *listener)
{
	struct session *session = calloc(1, sizeof(*session));
	if (session == NULL)
		abort();
	session->server = server;
	session->handles = 2;
	uv_tcp_init(server->loop, &session->tcp);
	uv_timer_init(server->loop, &session->timer);
	session->tcp.data = session;
	session->timer.data = session;
	TAILQ_INSERT_TAIL(&server->sessions, session, all);
	server->open++;
	bool accepted = uv_accept(listener, (uv_stream_t *)&session->tcp) == 0;
	dialog_init(&session->dialog, server, accepted ? local_port(&session->tcp) : 0);
	if (!accepted) {
		session_close(session);
		return;
	}
	uv_tcp_nodelay(&session->tcp, 1);
	server->stats.connections++;
	uint32_t limit = rules_max_connections(server->rules);
	const struct rule *rule = rules_match(server->rules, STAGE_BANNER, "");
	if (limit > 0 && server->open > limit) {
		server->stats.refused++;
		dialog_refuse(&session->dialog, "421 4.7.0 Too many connections");
	} else if (rule != NULL && rule->delay_ms > 0) {
		uv_timer_start(&session->timer, delay_over, rule->delay_ms, 0);
	} else {
		dialog_greet(&session->dialog);
	}
	mark_dirty(session);
	set_reading(session);
}
