/* SPDX-License-Identifier: MIT */
/*
 * simulator: runs seeds and says which fail. docs/simulator.md explains how to read what it prints.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/core.h"
#include "test/sim/run.h"
#include "test/sim/world.h"

struct command {
	uint64_t first, last;
	bool hash;
	bool twice;
	bool shrink;
	bool progress;
	bool expect_failure;
	bool keep_going;
	struct run_options run;
};

static const char usage[] =
    "usage: simulator [--seeds A..B | --seed N] [--bug N] [--expect-failure] [--twice]\n"
    "                 [--without FAULT]... [--batches N] [--trace] [--hash] [--shrink] [--progress]\n"
    "                 [--keep-going] [--nodes N]\n";

enum option_code {
	OPTION_SEEDS = 256,
	OPTION_SEED,
	OPTION_TRACE,
	OPTION_HASH,
	OPTION_TWICE,
	OPTION_BUG,
	OPTION_EXPECT,
	OPTION_PROGRESS,
	OPTION_SHRINK,
	OPTION_WITHOUT,
	OPTION_BATCHES,
	OPTION_KEEP_GOING,
	OPTION_NODES,
};

static const struct option long_options[] = {
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"trace", no_argument, NULL, OPTION_TRACE},
    {"hash", no_argument, NULL, OPTION_HASH},
    {"twice", no_argument, NULL, OPTION_TWICE},
    {"bug", required_argument, NULL, OPTION_BUG},
    {"expect-failure", no_argument, NULL, OPTION_EXPECT},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"shrink", no_argument, NULL, OPTION_SHRINK},
    {"without", required_argument, NULL, OPTION_WITHOUT},
    {"batches", required_argument, NULL, OPTION_BATCHES},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {NULL, 0, NULL, 0},
};

static uint64_t number(const char *text, char **end)
{
	uint64_t value = strtoull(text, end, 10);

	if (*end == text) {
		fprintf(stderr, "simulator: %s is no number\n%s", text, usage);
		exit(2);
	}
	return value;
}

static void take_seeds(struct command *command, const char *text)
{
	char *end;

	command->first = number(text, &end);
	command->last = command->first;
	if (strncmp(end, "..", 2) == 0)
		command->last = number(end + 2, &end);
	if (*end != '\0' || command->last < command->first) {
		fprintf(stderr, "simulator: %s is no range of seeds\n%s", text, usage);
		exit(2);
	}
}

static void take_without(struct command *command, const char *name)
{
	for (int i = 0; i < FAULTS; i++) {
		if (strcmp(fault_name((enum fault)i), name) == 0) {
			command->run.off |= UINT64_C(1) << i;
			return;
		}
	}
	fprintf(stderr, "simulator: no fault is called %s\n", name);
	exit(2);
}

static void parse(struct command *command, int argc, char **argv)
{
	char *end;
	int code;

	while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (code) {
		case OPTION_SEEDS:
		case OPTION_SEED:
			take_seeds(command, optarg);
			break;
		case OPTION_TRACE:
			command->run.live = stdout;
			break;
		case OPTION_HASH:
			command->hash = true;
			break;
		case OPTION_TWICE:
			command->twice = true;
			break;
		case OPTION_BUG:
			command->run.broken_rule = (uint32_t)number(optarg, &end);
			break;
		case OPTION_EXPECT:
			command->expect_failure = true;
			break;
		case OPTION_PROGRESS:
			command->progress = true;
			break;
		case OPTION_SHRINK:
			command->shrink = true;
			break;
		case OPTION_WITHOUT:
			take_without(command, optarg);
			break;
		case OPTION_BATCHES:
			command->run.batches_max = (uint32_t)number(optarg, &end);
			break;
		case OPTION_KEEP_GOING:
			command->keep_going = true;
			break;
		case OPTION_NODES:
			command->run.nodes = (uint32_t)number(optarg, &end);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc || command->run.broken_rule >= CORE_BUGS || command->run.nodes > WORLD_NODES_MAX) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* A seed that fails without the planted bug, too, has not found it. */
static bool fails_anyway(struct runner *runner, const struct command *command, uint64_t seed)
{
	struct run_options sound = command->run;

	if (sound.broken_rule == 0)
		return false;
	sound.broken_rule = 0;
	return !run_seed(runner, seed, &sound).good;
}

/* 0: it holds; 1: it failed; 3: two runs of it differ. */
static int one(struct runner *runner, const struct command *command, uint64_t seed)
{
	struct run_result result = run_seed(runner, seed, &command->run);

	if (command->hash)
		printf("seed %" PRIu64 " hash %016" PRIx64 " steps %" PRIu64 " mails %" PRIu64 "\n", seed,
		    result.hash, result.steps, result.mails);
	if (command->twice) {
		struct run_result second = run_seed(runner, seed, &command->run);

		if (second.hash != result.hash || second.steps != result.steps) {
			fprintf(stderr, "seed %" PRIu64 " does not reproduce\n", seed);
			return 3;
		}
	}
	if (!result.good && command->expect_failure && fails_anyway(runner, command, seed))
		return 0;
	if (!result.good && command->keep_going)
		printf("seed %" PRIu64 ": %s\n", seed, result.failure);
	if (!result.good && command->shrink)
		run_shrink(runner, seed, &command->run);
	return result.good ? 0 : 1;
}

static int run_all(struct runner *runner, const struct command *command)
{
	uint64_t failed = 0;

	for (uint64_t seed = command->first; seed <= command->last; seed++) {
		int status = one(runner, command, seed);

		if (status == 3)
			return 1;
		failed += status != 0;
		if (failed > 0 && command->expect_failure) {
			printf("bug %" PRIu32 " was found by seed %" PRIu64 ", after %" PRIu64 " seeds\n",
			    command->run.broken_rule, seed, seed - command->first + 1);
			return 0;
		}
		if (failed > 0 && !command->keep_going)
			return 1;
		if (command->progress && seed % 100 == 0)
			fprintf(stderr, "%" PRIu64 "\n", seed);
	}
	if (command->expect_failure) {
		printf("bug %" PRIu32 " was not found\n", command->run.broken_rule);
		return 1;
	}
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", command->last - command->first + 1, failed);
	return failed > 0;
}

int main(int argc, char **argv)
{
	struct command command = {.first = 1, .last = 100, .run = {.report = stdout, .nodes = 1}};
	struct runner runner;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(&command, argc, argv);
	if (command.expect_failure || command.keep_going)
		command.run.report = NULL;
	runner_init(&runner);
	status = run_all(&runner, &command);
	runner_done(&runner);
	return status;
}
