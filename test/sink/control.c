/* SPDX-License-Identifier: MIT */
/*
 * The control socket. There is one in a process, so its state is static here.
 *
 * Answers are tiny and written at once; a caller that does not read them loses them. A line longer than the
 * buffer ends its connection.
 */
#include "test/sink/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL_LINE_MAX = 4096 };

struct caller {
	uv_pipe_t pipe;
	TAILQ_ENTRY(caller) all;
	char line[CONTROL_LINE_MAX];
	size_t len;
};

static struct {
	struct server *server; /* NULL: not listening */
	const char *path;
	uv_pipe_t pipe;
	TAILQ_HEAD(caller_list, caller) callers;
} control;

static void caller_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void caller_close(struct caller *caller)
{
	if (uv_is_closing((uv_handle_t *)&caller->pipe))
		return;
	TAILQ_REMOVE(&control.callers, caller, all);
	uv_close((uv_handle_t *)&caller->pipe, caller_closed);
}

static void answer(struct caller *caller, const char *text)
{
	char line[CONTROL_LINE_MAX];
	int n = snprintf(line, sizeof(line), "%s\n", text);
	uv_buf_t buf = uv_buf_init(line, n < (int)sizeof(line) ? (unsigned)n : (unsigned)sizeof(line) - 1);
	(void)uv_try_write((uv_stream_t *)&caller->pipe, &buf, 1);
}

static void answer_stats(struct caller *caller)
{
	char text[CONTROL_LINE_MAX];
	const struct server_stats *s = &control.server->stats;
	snprintf(text, sizeof(text),
	    "{\"open\": %zu, \"connections\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"messages\": %" PRIu64
	    ", \"recipients\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"rejected\": %" PRIu64
	    ", \"tempfailed\": %" PRIu64 ", \"dropped_before\": %" PRIu64 ", \"dropped_after\": %" PRIu64
	    ", \"dropped_mid\": %" PRIu64 ", \"gone\": %" PRIu64 "}",
	    control.server->open, s->connections, s->refused, s->messages, s->recipients, s->bytes,
	    s->rejected, s->tempfailed, s->dropped_before, s->dropped_after, s->dropped_mid, s->gone);
	answer(caller, text);
}

static void load_rules(struct caller *caller, const char *path)
{
	char error[RULES_ERROR_MAX];
	char text[RULES_ERROR_MAX + 16];
	struct rules *rules;
	if (rules_load(path, &rules, error) != 0) {
		snprintf(text, sizeof(text), "error: %s", error);
		answer(caller, text);
		return;
	}
	rules_free(control.server->rules);
	control.server->rules = rules;
	answer(caller, "ok");
}

static void run(struct caller *caller, const char *line)
{
	if (strcmp(line, "stats") == 0) {
		answer_stats(caller);
	} else if (strncmp(line, "rules ", 6) == 0) {
		load_rules(caller, line + 6);
	} else if (strcmp(line, "quit") == 0) {
		answer(caller, "ok");
		server_stop(control.server);
	} else {
		answer(caller, "error: the commands are stats, rules FILE, quit");
	}
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	(void)size;
	struct caller *caller = handle->data;
	*buf = uv_buf_init(caller->line + caller->len, (unsigned)(CONTROL_LINE_MAX - caller->len));
}

static void got_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct caller *caller = stream->data;
	if (n < 0) {
		caller_close(caller);
		return;
	}
	caller->len += (size_t)n;
	char *lf;
	while (
	    !uv_is_closing((uv_handle_t *)stream) && (lf = memchr(caller->line, '\n', caller->len)) != NULL) {
		*lf = '\0';
		run(caller, caller->line);
		size_t used = (size_t)(lf - caller->line) + 1;
		caller->len -= used;
		memmove(caller->line, lf + 1, caller->len);
	}
	if (caller->len == CONTROL_LINE_MAX)
		caller_close(caller);
}

static void caller_came(uv_stream_t *listener, int status)
{
	if (status != 0)
		return;
	struct caller *caller = calloc(1, sizeof(*caller));
	if (caller == NULL)
		abort();
	uv_pipe_init(listener->loop, &caller->pipe, 0);
	caller->pipe.data = caller;
	TAILQ_INSERT_TAIL(&control.callers, caller, all);
	uv_stream_t *stream = (uv_stream_t *)&caller->pipe;
	if (uv_accept(listener, stream) != 0 || uv_read_start(stream, allocate, got_bytes) != 0)
		caller_close(caller);
}

/* Whether something answers at the socket: then it is not ours to replace. */
static bool alive(const char *path)
{
	uv_os_sock_t fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	bool connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

int control_listen(struct server *server, const char *path)
{
	struct sockaddr_un address;
	if (strlen(path) >= sizeof(address.sun_path))
		return UV_ENAMETOOLONG;
	if (alive(path))
		return UV_EADDRINUSE;
	unlink(path);
	TAILQ_INIT(&control.callers);
	uv_pipe_init(server->loop, &control.pipe, 0);
	control.server = server;
	control.path = path;
	int err = uv_pipe_bind(&control.pipe, path);
	if (err == 0)
		err = uv_listen((uv_stream_t *)&control.pipe, 16, caller_came);
	return err;
}

void control_close(void)
{
	if (control.server == NULL)
		return;
	control.server = NULL;
	struct caller *caller;
	while ((caller = TAILQ_FIRST(&control.callers)) != NULL)
		caller_close(caller);
	uv_close((uv_handle_t *)&control.pipe, NULL);
	unlink(control.path);
}
