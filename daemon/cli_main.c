/* SPDX-License-Identifier: MIT */
/*
 * The optimus command: reads the command line and runs one command.
 *
 * Everything that can be known to be wrong without asking a node ends with CLI_USAGE before one is asked. The
 * commands return exit codes; this file only chooses. SIGPIPE is ignored, so that a closed pipe or a dead
 * node ends as an error of a write.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/cli_client.h"
#include "daemon/cli_control.h"
#include "daemon/cli_help.h"
#include "daemon/cli_keygen.h"
#include "daemon/cli_report.h"
#include "daemon/cli_say.h"
#include "daemon/cli_send.h"
#include "daemon/cli_status.h"
#include "daemon/cli_time.h"
#include "daemon/cli_top.h"
#include "queue/id.h"
#include "queue/record.h"

enum option_code {
	OPT_API = 256,
	OPT_HELP,
	OPT_VERSION,
	OPT_FROM,
	OPT_TEMPLATE,
	OPT_RECIPIENTS,
	OPT_ID,
	OPT_REPLICAS,
	OPT_PRIORITY,
	OPT_AT,
	OPT_EXPIRE,
	OPT_INVALID,
	OPT_DUPLICATES,
	OPT_WATCH,
	OPT_JSON,
	OPT_FORMAT,
	OPT_ONLY,
};

#define COMMON_OPTIONS                                                                                       \
	{"api", required_argument, NULL, OPT_API},                                                           \
	{                                                                                                    \
		"help", no_argument, NULL, OPT_HELP                                                          \
	}

static const struct option GLOBAL_OPTIONS[] = {
    COMMON_OPTIONS,
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

static const struct option SEND_OPTIONS[] = {
    COMMON_OPTIONS,
    {"from", required_argument, NULL, OPT_FROM},
    {"template", required_argument, NULL, OPT_TEMPLATE},
    {"recipients", required_argument, NULL, OPT_RECIPIENTS},
    {"id", required_argument, NULL, OPT_ID},
    {"replicas", required_argument, NULL, OPT_REPLICAS},
    {"priority", required_argument, NULL, OPT_PRIORITY},
    {"at", required_argument, NULL, OPT_AT},
    {"expire", required_argument, NULL, OPT_EXPIRE},
    {"invalid", required_argument, NULL, OPT_INVALID},
    {"duplicates", required_argument, NULL, OPT_DUPLICATES},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"json", no_argument, NULL, OPT_JSON},
    {0},
};

static const struct option STATUS_OPTIONS[] = {
    COMMON_OPTIONS,
    {"watch", no_argument, NULL, OPT_WATCH},
    {"json", no_argument, NULL, OPT_JSON},
    {0},
};

static const struct option REPORT_OPTIONS[] = {
    COMMON_OPTIONS,
    {"format", required_argument, NULL, OPT_FORMAT},
    {"only", required_argument, NULL, OPT_ONLY},
    {0},
};

static const struct option NODES_OPTIONS[] = {
    COMMON_OPTIONS,
    {"json", no_argument, NULL, OPT_JSON},
    {0},
};

static const struct option PLAIN_OPTIONS[] = {
    COMMON_OPTIONS,
    {0},
};

/* All that a command line can say. */
struct line {
	const char *api;
	const char *command;
	const char *operand; /* BATCH or NODE */
	struct send_options send;
	bool watch, json;
	const char *format, *only;
};

struct command {
	const char *name;
	const struct option *options;
	int operands_min, operands_max;
	int (*run)(const struct line *line);
	bool takes_node; /* its operand is a node, not a batch */
};

static int with_client(const struct line *line, int (*run)(struct client *, const struct line *))
{
	const char *api = line->api != NULL ? line->api : getenv("OPTIMUS_API");
	struct client *client;
	int rc;

	if (api == NULL || api[0] == '\0')
		api = CLIENT_DEFAULT_API;
	client = client_new(api);
	if (client == NULL) {
		say("\"%s\" is no address of a node; it must be unix:PATH or http://HOST:PORT", api);
		return CLI_USAGE;
	}
	rc = run(client, line);
	client_free(client);
	return rc;
}

static int do_send(struct client *client, const struct line *line)
{
	return send_run(client, &line->send);
}

static int run_send(const struct line *line)
{
	const struct send_options *send = &line->send;
	const char *missing = send->from == NULL         ? "--from"
	                      : send->template == NULL   ? "--template"
	                      : send->recipients == NULL ? "--recipients"
	                                                 : NULL;

	if (missing != NULL) {
		say("send needs %s; see \"optimus send --help\"", missing);
		return CLI_USAGE;
	}
	return with_client(line, do_send);
}

static int do_status(struct client *client, const struct line *line)
{
	return status_run(
	    client, &(struct status_options){
	                .batch = line->operand, .watch = line->watch, .json = line->json, .out = stdout});
}

static int run_status(const struct line *line)
{
	return with_client(line, do_status);
}

static int do_report(struct client *client, const struct line *line)
{
	return report_run(client, line->operand, line->format != NULL ? line->format : "csv", line->only);
}

static int run_report(const struct line *line)
{
	return with_client(line, do_report);
}

static int do_nodes(struct client *client, const struct line *line)
{
	return nodes_run(client, line->json);
}

static int run_nodes(const struct line *line)
{
	return with_client(line, do_nodes);
}

static int do_control(struct client *client, const struct line *line)
{
	return control_batch_run(client, line->command, line->operand);
}

static int run_control(const struct line *line)
{
	return with_client(line, do_control);
}

static int do_node_control(struct client *client, const struct line *line)
{
	return control_node_run(client, line->command, line->operand);
}

static int run_node_control(const struct line *line)
{
	return with_client(line, do_node_control);
}

static int do_top(struct client *client, const struct line *line)
{
	(void)line;
	return top_run(client);
}

static int run_top(const struct line *line)
{
	return with_client(line, do_top);
}

static int run_keygen(const struct line *line)
{
	(void)line;
	return keygen_run();
}

static const struct command COMMANDS[] = {
    {"send", SEND_OPTIONS, 0, 0, run_send},
    {"status", STATUS_OPTIONS, 0, 1, run_status},
    {"report", REPORT_OPTIONS, 1, 1, run_report},
    {"pause", PLAIN_OPTIONS, 1, 1, run_control},
    {"resume", PLAIN_OPTIONS, 1, 1, run_control},
    {"cancel", PLAIN_OPTIONS, 1, 1, run_control},
    {"nodes", NODES_OPTIONS, 0, 0, run_nodes},
    {"drain", PLAIN_OPTIONS, 0, 1, run_node_control, .takes_node = true},
    {"undrain", PLAIN_OPTIONS, 0, 1, run_node_control, .takes_node = true},
    {"forget", PLAIN_OPTIONS, 1, 1, run_node_control, .takes_node = true},
    {"top", PLAIN_OPTIONS, 0, 0, run_top},
    {"keygen", PLAIN_OPTIONS, 0, 0, run_keygen},
};

static int wrong_value(const char *option, const char *value, const char *expected)
{
	char clean[100];

	say("%s can't be \"%s\"; it is %s", option, say_clean(value, clean, sizeof clean), expected);
	return CLI_USAGE;
}

/* One of two words: *ret_second tells which. */
static int choice(
    const char *option, const char *value, const char *first, const char *second, bool *ret_second)
{
	char expected[64];

	if (strcmp(value, first) == 0 || strcmp(value, second) == 0) {
		*ret_second = strcmp(value, second) == 0;
		return CLI_OK;
	}
	snprintf(expected, sizeof expected, "%s or %s", first, second);
	return wrong_value(option, value, expected);
}

static int whole_number(
    const char *option, const char *value, long long low, long long high, long long *ret_number)
{
	char expected[96], *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (errno == 0 && end != value && *end == '\0' && number >= low && number <= high) {
		*ret_number = number;
		return CLI_OK;
	}
	snprintf(expected, sizeof expected, "a whole number from %lld to %lld", low, high);
	return wrong_value(option, value, expected);
}

static int take_send_option(struct send_options *send, int code, const char *value)
{
	switch (code) {
	case OPT_FROM:
		send->from = value;
		return CLI_OK;
	case OPT_TEMPLATE:
		send->template = value;
		return CLI_OK;
	case OPT_RECIPIENTS:
		send->recipients = value;
		return CLI_OK;
	case OPT_ID:
		send->id = value;
		if (!batch_name_valid(value))
			return wrong_value(
			    "--id", value, "1 to 64 of A-Z a-z 0-9 . _ - and does not begin with . or -");
		return CLI_OK;
	case OPT_REPLICAS:
		return whole_number("--replicas", value, 1, REPLICAS_MAX, &send->replicas);
	case OPT_PRIORITY:
		return whole_number("--priority", value, PRIORITY_MIN, PRIORITY_MAX, &send->priority);
	case OPT_AT:
		send->has_at = true;
		if (cli_time_parse(value, (int64_t)time(NULL), &send->at) < 0)
			return wrong_value("--at", value,
			    "a time with its zone such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00, "
			    "or +30m");
		return CLI_OK;
	case OPT_EXPIRE:
		if (cli_duration_parse(value, &send->expire) < 0 || send->expire == 0)
			return wrong_value(
			    "--expire", value, "a number and a unit, such as 90s, 15m, 12h or 5d");
		return CLI_OK;
	case OPT_INVALID:
		return choice("--invalid", value, "fail", "skip", &send->skip_invalid);
	case OPT_DUPLICATES:
		return choice("--duplicates", value, "skip", "keep", &send->keep_duplicates);
	default:
		return CLI_SOFTWARE;
	}
}

static int take_option(struct line *line, int code, const char *value)
{
	bool second;

	switch (code) {
	case OPT_API:
		line->api = value;
		return CLI_OK;
	case OPT_WATCH:
		line->watch = line->send.watch = true;
		return CLI_OK;
	case OPT_JSON:
		line->json = line->send.json = true;
		return CLI_OK;
	case OPT_FORMAT:
		line->format = value;
		return choice("--format", value, "csv", "jsonl", &second);
	case OPT_ONLY:
		line->only = value;
		if (value[0] == '\0' || value[strspn(value, "abcdefghijklmnopqrstuvwxyz_")] != '\0')
			return wrong_value("--only", value, "the name of a state, such as sent or bounced");
		return CLI_OK;
	default:
		return take_send_option(&line->send, code, value);
	}
}

static int print_help(const char *command)
{
	fputs(help_text(command), stdout);
	return say_flush(NULL);
}

/* What getopt has refused: its words, without its habit of printing them itself. */
static int wrong_option(int got, char **argv, const char *command)
{
	const char *word = argv[optind - 1];
	char clean[100];

	say("%s \"%s\"; see \"optimus%s%s --help\"",
	    got == ':' ? "a value is missing after" : "there is no option",
	    say_clean(word, clean, sizeof clean), command != NULL ? " " : "", command != NULL ? command : "");
	return CLI_USAGE;
}

static int take_operand(const struct command *command, struct line *line, const char *operand)
{
	line->operand = operand;
	if (command->takes_node && !control_node_valid(operand))
		return wrong_value("a node", operand,
		    "its address, or 4 to 40 digits of its id, as \"optimus nodes\" shows them, or \"self\"");
	if (!command->takes_node && !batch_name_valid(operand))
		return wrong_value(
		    "a batch id", operand, "1 to 64 of A-Z a-z 0-9 . _ - and does not begin with . or -");
	return CLI_OK;
}

static int run_command(const struct command *command, int argc, char **argv, struct line *line)
{
	int got, rc;

	optind = 0;
	while ((got = getopt_long(argc, argv, ":", command->options, NULL)) != -1) {
		if (got == '?' || got == ':')
			return wrong_option(got, argv, command->name);
		if (got == OPT_HELP)
			return print_help(command->name);
		rc = take_option(line, got, optarg);
		if (rc != CLI_OK)
			return rc;
	}
	if (argc - optind < command->operands_min) {
		say("%s needs a %s; see \"optimus %s --help\"", command->name,
		    command->takes_node ? "node" : "batch", command->name);
		return CLI_USAGE;
	}
	if (argc - optind > command->operands_max) {
		char clean[100];

		say("%s takes no \"%s\"; see \"optimus %s --help\"", command->name,
		    say_clean(argv[optind + command->operands_max], clean, sizeof clean), command->name);
		return CLI_USAGE;
	}
	rc = optind < argc ? take_operand(command, line, argv[optind]) : CLI_OK;
	if (rc != CLI_OK)
		return rc;
	line->command = command->name;
	return command->run(line);
}

int main(int argc, char **argv)
{
	struct line line = {0};
	char clean[100];
	int got;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	opterr = 0;
	/* '+': the global options end where the command begins. */
	while ((got = getopt_long(argc, argv, "+:", GLOBAL_OPTIONS, NULL)) != -1) {
		if (got == '?' || got == ':')
			return wrong_option(got, argv, NULL);
		if (got == OPT_HELP)
			return print_help(NULL);
		if (got == OPT_VERSION) {
			puts("optimus " OPTIMUS_VERSION);
			return say_flush(NULL);
		}
		line.api = optarg;
	}
	if (optind >= argc) {
		fputs(help_text(NULL), stderr);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++)
		if (strcmp(argv[optind], COMMANDS[i].name) == 0)
			return run_command(&COMMANDS[i], argc - optind, argv + optind, &line);
	if (strcmp(argv[optind], "help") == 0)
		return print_help(optind + 1 < argc ? argv[optind + 1] : NULL);
	say("there is no command \"%s\"; see \"optimus --help\"",
	    say_clean(argv[optind], clean, sizeof clean));
	return CLI_USAGE;
}
