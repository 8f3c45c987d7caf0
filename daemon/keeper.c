/* SPDX-License-Identifier: MIT */
/*
 * The keeper process and its client.
 *
 *   optimusd -> keeper   one byte: the verb
 *   keeper -> optimusd   exit status (1 byte), length of the output (2 bytes, big-endian), the output
 */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue/error.h"
#include "queue/tree.h"

enum { ARGUMENTS_MAX = 32 + 4 * CONFIG_LIST_MAX, HEAD_SIZE = 3 };

/*
 * Seconds for deliveries under way to finish and be reported. Of a node that was away they may be second
 * copies of what others have sent again, and the rest of its queue, which nobody has tried, waits for them;
 * ended at once, all of it would be in doubt. docs/architecture.md weighs it.
 */
static const char stop_patience[] = "5";

static const char *const verbs[KEEPER_VERBS] = {
    "prepare", "start", "stop", "kill", "status", "sweep", "remove"};

/* The arguments of `prepare`, which hold all of the configuration; the other verbs need the folder alone. */
struct script {
	char *path;
	char *arguments[ARGUMENTS_MAX];
	size_t count;
};

static void add(struct script *script, const char *argument)
{
	if (script->count + 1 < ARGUMENTS_MAX)
		script->arguments[script->count++] = strdup(argument);
}

static void add_option(struct script *script, const char *option, const char *value)
{
	if (value == NULL)
		return;
	add(script, option);
	add(script, value);
}

static void add_joined(struct script *script, const char *option, const char *folder, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		abort();
	add_option(script, option, path);
	free(path);
}

static void make_script(struct script *script, const struct config *config)
{
	char number[16];

	if (asprintf(&script->path, "%s/optimus-instance", config->libexec) < 0)
		abort();
	add_option(script, "--libexec", config->libexec);
	add_option(script, "--user", config->user);
	if (config->redis != NULL)
		add_option(script, "--redis", config->redis + strlen("unix:"));
	else
		add_joined(script, "--redis", config->data, "redis/redis.sock");
	add_joined(script, "--outcome", config->data, "outcome.sock");
	add_option(script, "--hostname", config->hostname);
	snprintf(number, sizeof(number), "%u", config->pickups);
	add_option(script, "--pickups", number);
	add_option(script, "--relay", config->relay);
	for (size_t i = 0; i < config->routes.count; i++)
		add_option(script, "--route", config->routes.items[i]);
	for (size_t i = 0; i < config->postfix.count; i++)
		add_option(script, "--set", config->postfix.items[i]);
}

static _Noreturn void run_script(
    const struct script *script, const char *dir, enum keeper_verb verb, int output)
{
	const char *argv[ARGUMENTS_MAX + 8] = {script->path, verbs[verb], "--dir", dir};
	static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	size_t count = 4;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; verb == KEEPER_PREPARE && i < script->count; i++)
		argv[count++] = script->arguments[i];
	if (verb == KEEPER_STOP) {
		argv[count++] = "--wait";
		argv[count++] = stop_patience;
	}
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		_exit(71);
	execve(script->path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
	fprintf(stderr, "optimusd: can't run %s: %s\n", script->path, strerror(errno));
	_exit(69);
}

static size_t read_all(int fd, char *data, size_t size)
{
	size_t len = 0;

	for (;;) {
		char rest[256];
		ssize_t got = len < size ? read(fd, data + len, size - len) : read(fd, rest, sizeof(rest));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return len;
		if (len < size)
			len += (size_t)got;
	}
}

/* Runs one verb and sends the answer. False when optimusd is gone. */
static bool serve(const struct script *script, const char *dir, enum keeper_verb verb, int peer)
{
	char answer[HEAD_SIZE + KEEPER_OUTPUT_MAX];
	int output[2];
	int status = 0;
	size_t len;
	pid_t child;

	if (pipe2(output, O_CLOEXEC) != 0)
		return false;
	child = fork();
	if (child == 0)
		run_script(script, dir, verb, output[1]);
	close(output[1]);
	len = child < 0 ? 0 : read_all(output[0], answer + HEAD_SIZE, KEEPER_OUTPUT_MAX);
	close(output[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	answer[0] = (char)(child < 0 ? 71 : WIFEXITED(status) ? WEXITSTATUS(status) : 70);
	answer[1] = (char)(len >> 8);
	answer[2] = (char)(len & 255);
	return send(peer, answer, HEAD_SIZE + len, MSG_NOSIGNAL) == (ssize_t)(HEAD_SIZE + len);
}

static _Noreturn void keeper_main(const struct config *config, int peer)
{
	struct script script = {.count = 0};
	char verb;

	prctl(PR_SET_NAME, "optimus-keeper");
	signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is for optimusd, which ends us in its time */
	signal(SIGTERM, SIG_IGN);
	make_script(&script, config);
	while (read(peer, &verb, 1) == 1) {
		if (verb < 0 || verb >= KEEPER_VERBS)
			break;
		if (!serve(&script, config->postfix_dir, (enum keeper_verb)verb, peer))
			break;
	}
	_exit(0);
}

int keeper_fork(const struct config *config, int lock)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return OPT_E_IO;
	fflush(NULL);
	child = fork();
	if (child < 0) {
		close(pair[0]);
		close(pair[1]);
		return OPT_E_IO;
	}
	if (child == 0) {
		close(pair[0]);
		close(lock);
		keeper_main(config, pair[1]);
	}
	close(pair[1]);
	return pair[0];
}

struct command {
	TAILQ_ENTRY(command) link;
	enum keeper_verb verb;
	keeper_done_fn *fn;
	void *context;
};

struct keeper {
	uv_pipe_t pipe;
	TAILQ_HEAD(, command) commands; /* the first one is being run */
	char answer[HEAD_SIZE + KEEPER_OUTPUT_MAX + 1];
	size_t len;
	bool gone;
	keeper_lost_fn *lost;
	void *lost_context;
	bool freed;
};

static void send_first(struct keeper *keeper)
{
	struct command *command = TAILQ_FIRST(&keeper->commands);
	char verb;
	uv_buf_t buf = uv_buf_init(&verb, 1);

	if (command == NULL)
		return;
	verb = (char)command->verb;
	if (uv_try_write((uv_stream_t *)&keeper->pipe, &buf, 1) != 1)
		keeper->gone = true;
}

static void finish_first(struct keeper *keeper, int status, const char *output)
{
	struct command *command = TAILQ_FIRST(&keeper->commands);

	if (command == NULL)
		return;
	TAILQ_REMOVE(&keeper->commands, command, link);
	send_first(keeper);
	command->fn(command->context, status, output);
	free(command);
}

static void lost(struct keeper *keeper)
{
	keeper->gone = true;
	while (!TAILQ_EMPTY(&keeper->commands) && !keeper->freed) {
		struct command *command = TAILQ_FIRST(&keeper->commands);

		TAILQ_REMOVE(&keeper->commands, command, link);
		command->fn(command->context, -1, "");
		free(command);
	}
}

static void give_memory(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct keeper *keeper = handle->data;

	(void)suggested;
	*buf = uv_buf_init(
	    keeper->answer + keeper->len, (unsigned int)(sizeof(keeper->answer) - 1 - keeper->len));
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct keeper *keeper = stream->data;
	size_t want;

	(void)buf;
	if (got < 0) {
		uv_read_stop(stream);
		lost(keeper);
		if (!keeper->freed)
			keeper->lost(keeper->lost_context);
		return;
	}
	keeper->len += (size_t)got;
	if (keeper->len < HEAD_SIZE)
		return;
	want = HEAD_SIZE + ((size_t)(unsigned char)keeper->answer[1] << 8 | (unsigned char)keeper->answer[2]);
	if (want > sizeof(keeper->answer) - 1 || keeper->len < want)
		return;
	keeper->answer[want] = '\0';
	keeper->len = 0;
	finish_first(keeper, (unsigned char)keeper->answer[0], keeper->answer + HEAD_SIZE);
}

struct keeper *keeper_new(uv_loop_t *loop, int fd, keeper_lost_fn *fn, void *context)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper == NULL)
		abort();
	keeper->lost = fn;
	keeper->lost_context = context;
	TAILQ_INIT(&keeper->commands);
	uv_pipe_init(loop, &keeper->pipe, 0);
	keeper->pipe.data = keeper;
	if (uv_pipe_open(&keeper->pipe, fd) != 0 ||
	    uv_read_start((uv_stream_t *)&keeper->pipe, give_memory, received) != 0)
		keeper->gone = true;
	return keeper;
}

void keeper_run(struct keeper *keeper, enum keeper_verb verb, keeper_done_fn *fn, void *context)
{
	struct command *command = calloc(1, sizeof(*command));

	if (command == NULL)
		abort();
	*command = (struct command){.verb = verb, .fn = fn, .context = context};
	TAILQ_INSERT_TAIL(&keeper->commands, command, link);
	if (TAILQ_FIRST(&keeper->commands) == command)
		send_first(keeper);
	if (keeper->gone)
		lost(keeper);
}

static void closed(uv_handle_t *handle)
{
	struct keeper *keeper = handle->data;
	struct command *command;

	while ((command = TAILQ_FIRST(&keeper->commands)) != NULL) {
		TAILQ_REMOVE(&keeper->commands, command, link);
		free(command);
	}
	free(keeper);
}

void keeper_free(struct keeper *keeper)
{
	if (keeper == NULL)
		return;
	keeper->freed = true;
	uv_close((uv_handle_t *)&keeper->pipe, closed);
}
