/* SPDX-License-Identifier: MIT */
/*
 * optimus-sink: an SMTP server that keeps a ledger of every message it accepts, and misbehaves on request.
 *
 * Tests and benchmarks send to it and compare what the sender reports with the ledger. One thread, one loop.
 * After it listens it prints "listening HOST:PORT" for each --listen, in their order. SIGTERM and SIGINT end
 * it: connections are closed, the ledger is complete.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <sodium.h>

#include "test/sink/ask.h"
#include "test/sink/control.h"
#include "test/sink/server.h"
#include "test/sink/session.h"

enum { LISTENERS_MAX = 64, BACKLOG = 4096, DEFAULT_MAX_SIZE = 32 * 1024 * 1024, EXIT_USAGE = 2 };

static struct {
	uv_tcp_t sockets[LISTENERS_MAX];
	const char *names[LISTENERS_MAX];
	size_t count;
	uv_signal_t term;
	uv_signal_t interrupt;
	uv_prepare_t prepare;
	uv_check_t check;
	bool stopped;
} running;

static const char usage[] =
    "usage: optimus-sink --listen HOST:PORT [--listen ...] [--ledger FILE] [--save DIR] [--rules FILE]\n"
    "                    [--control PATH] [--max-size BYTES] [--no-dsn]\n"
    "       optimus-sink --control PATH --ask COMMAND     COMMAND is stats, rules FILE or quit\n";

static void close_handle(void *handle)
{
	uv_close(handle, NULL);
}

void server_stop(struct server *server)
{
	if (running.stopped)
		return;
	running.stopped = true;
	session_flush_all(server);
	for (size_t i = 0; i < running.count; i++)
		close_handle(&running.sockets[i]);
	close_handle(&running.term);
	close_handle(&running.interrupt);
	close_handle(&running.prepare);
	close_handle(&running.check);
	session_close_all(server);
	control_close();
}

static void got_signal(uv_signal_t *handle, int number)
{
	(void)number;
	server_stop(handle->data);
}

static void connection_came(uv_stream_t *listener, int status)
{
	if (status == 0)
		session_accept(listener->data, listener);
}

/* Before the loop sleeps (timers have run) and after it has read: whatever is to be written is written. */
static void before_sleep(uv_prepare_t *handle)
{
	session_flush_all(handle->data);
}

static void after_poll(uv_check_t *handle)
{
	session_flush_all(handle->data);
}

static int parse_address(const char *text, struct sockaddr_storage *address)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	if (colon == NULL)
		return -1;
	size_t len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	char *rest;
	unsigned long port = strtoul(colon + 1, &rest, 10);
	if (len >= sizeof(host) || colon[1] == '\0' || *rest != '\0' || port > 65535)
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)address) == 0)
		return 0;
	return uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)address);
}

static void print_address(uv_tcp_t *socket)
{
	struct sockaddr_storage address;
	int len = sizeof(address);
	char host[64];
	uv_tcp_getsockname(socket, (struct sockaddr *)&address, &len);
	if (address.ss_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
		uv_ip6_name(v6, host, sizeof(host));
		printf("listening [%s]:%u\n", host, (unsigned)ntohs(v6->sin6_port));
	} else {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
		uv_ip4_name(v4, host, sizeof(host));
		printf("listening %s:%u\n", host, (unsigned)ntohs(v4->sin_port));
	}
}

static int listen_at(struct server *server, const char *name, uv_tcp_t *socket)
{
	struct sockaddr_storage address;
	memset(&address, 0, sizeof(address));
	if (parse_address(name, &address) != 0) {
		fprintf(stderr, "optimus-sink: %s is no HOST:PORT\n", name);
		return -1;
	}
	uv_tcp_init(server->loop, socket);
	socket->data = server;
	int err = uv_tcp_bind(socket, (struct sockaddr *)&address, 0);
	if (err == 0)
		err = uv_listen((uv_stream_t *)socket, BACKLOG, connection_came);
	if (err != 0) {
		fprintf(stderr, "optimus-sink: can't listen at %s: %s\n", name, uv_strerror(err));
		return -1;
	}
	return 0;
}

/* Thousands of connections need as many descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

struct options {
	const char *ledger;
	const char *rules;
	const char *control;
	const char *ask;
};

static int parse_options(int argc, char **argv, struct server *server, struct options *options)
{
	static const struct option names[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"ledger", required_argument, NULL, 'L'},
	    {"save", required_argument, NULL, 's'},
	    {"rules", required_argument, NULL, 'r'},
	    {"control", required_argument, NULL, 'c'},
	    {"ask", required_argument, NULL, 'a'},
	    {"max-size", required_argument, NULL, 'm'},
	    {"no-dsn", no_argument, NULL, 'd'},
	    {NULL, 0, NULL, 0},
	};
	int option;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'l' && running.count < LISTENERS_MAX)
			running.names[running.count++] = optarg;
		else if (option == 'L')
			options->ledger = optarg;
		else if (option == 's')
			server->save_dir = optarg;
		else if (option == 'r')
			options->rules = optarg;
		else if (option == 'c')
			options->control = optarg;
		else if (option == 'a')
			options->ask = optarg;
		else if (option == 'm')
			server->max_size = strtoull(optarg, NULL, 10);
		else if (option == 'd')
			server->dsn = false;
		else
			return -1;
	}
	if (optind < argc || server->max_size == 0)
		return -1;
	return options->ask != NULL ? (options->control != NULL ? 0 : -1) : (running.count > 0 ? 0 : -1);
}

static int open_files(struct server *server, const struct options *options)
{
	char error[RULES_ERROR_MAX];
	if (options->rules != NULL && rules_load(options->rules, &server->rules, error) != 0) {
		fprintf(stderr, "optimus-sink: %s: %s\n", options->rules, error);
		return -1;
	}
	server->ledger = ledger_open(options->ledger);
	if (server->ledger == NULL) {
		fprintf(stderr, "optimus-sink: can't open %s: %s\n", options->ledger, strerror(errno));
		return -1;
	}
	return 0;
}

static int start(struct server *server, const struct options *options)
{
	if (open_files(server, options) != 0)
		return -1;
	for (size_t i = 0; i < running.count; i++) {
		if (listen_at(server, running.names[i], &running.sockets[i]) != 0)
			return -1;
	}
	int err = options->control != NULL ? control_listen(server, options->control) : 0;
	if (err != 0) {
		fprintf(stderr, "optimus-sink: can't listen at %s: %s\n", options->control, uv_strerror(err));
		return -1;
	}
	uv_signal_init(server->loop, &running.term);
	uv_signal_init(server->loop, &running.interrupt);
	uv_prepare_init(server->loop, &running.prepare);
	uv_check_init(server->loop, &running.check);
	running.term.data = running.interrupt.data = running.prepare.data = running.check.data = server;
	uv_signal_start(&running.term, got_signal, SIGTERM);
	uv_signal_start(&running.interrupt, got_signal, SIGINT);
	uv_prepare_start(&running.prepare, before_sleep);
	uv_check_start(&running.check, after_poll);
	for (size_t i = 0; i < running.count; i++)
		print_address(&running.sockets[i]);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct options options = {0};
	server.loop = uv_default_loop();
	server.max_size = DEFAULT_MAX_SIZE;
	server.dsn = true;
	TAILQ_INIT(&server.sessions);
	TAILQ_INIT(&server.dirty);
	if (parse_options(argc, argv, &server, &options) != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (options.ask != NULL)
		return ask_control(options.control, options.ask);
	if (sodium_init() < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	server.attempts = attempts_new();
	if (start(&server, &options) != 0)
		return 1;
	uv_run(server.loop, UV_RUN_DEFAULT);
	ledger_close(server.ledger);
	attempts_free(server.attempts);
	rules_free(server.rules);
	uv_loop_close(server.loop);
	return 0;
}
