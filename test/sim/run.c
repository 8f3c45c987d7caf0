/* SPDX-License-Identifier: MIT */
/*
 * One seed is one plan, one world, one result. Shrinking tries the plan again with one fault less, or with
 * fewer batches, as long as what breaks stays the same.
 */
#include "test/sim/run.h"

#include <inttypes.h>
#include <string.h>

#include "queue/journal.h"
#include "test/sim/world.h"

void runner_init(struct runner *runner)
{
	arena_init(&runner->arena);
	runner->reader = journal_reader_new();
}

void runner_done(struct runner *runner)
{
	arena_done(&runner->arena);
	journal_reader_free(runner->reader);
}

static void draw(struct plan *plan, uint64_t seed, const struct run_options *options)
{
	plan_draw(plan, seed, options->nodes);
	plan->config.broken_rule = options->broken_rule;
	for (int i = 0; i < FAULTS; i++) {
		if (options->off & UINT64_C(1) << i)
			plan_switch_off(plan, (enum fault)i);
	}
	if (options->batches_max > 0 && plan->batches > options->batches_max)
		plan->batches = options->batches_max;
}

struct run_result run_seed(struct runner *runner, uint64_t seed, const struct run_options *options)
{
	static struct world w;
	struct run_result result = {.good = false};
	struct plan plan;

	draw(&plan, seed, options);
	world_init(&w, &plan, &runner->arena, runner->reader, options->live);
	result.good = world_run(&w);
	result.hash = w.trace.hash;
	result.steps = w.steps;
	result.mails = w.truth.mails;
	memcpy(result.failure, w.failure, sizeof(result.failure));
	if (!result.good && options->report != NULL) {
		if (options->live == NULL)
			trace_print(&w.trace, options->report);
		plan_print(&plan, options->report);
		fprintf(options->report, "seed %" PRIu64 " FAILED at %" PRIu64 ".%06" PRIu64 " s: %s\n", seed,
		    w.now / USEC_PER_SEC, w.now % USEC_PER_SEC, w.failure);
	}
	world_done(&w);
	return result;
}

/* The same invariant, whatever the mail. */
static bool same_failure(const char *a, const char *b)
{
	size_t len = strcspn(a, ":0123456789");

	return strncmp(a, b, len < 4 ? 4 : len) == 0;
}

void run_shrink(struct runner *runner, uint64_t seed, const struct run_options *options)
{
	struct run_options less = *options;
	struct run_result first;
	struct plan plan;

	less.live = NULL;
	less.report = NULL;
	first = run_seed(runner, seed, &less);
	if (first.good)
		return;
	plan_draw(&plan, seed, options->nodes);
	for (uint32_t nodes = 1; nodes < plan.nodes; nodes++) {
		struct run_options fewer = less;
		struct run_result result;

		fewer.nodes = nodes;
		result = run_seed(runner, seed, &fewer);
		if (!result.good && same_failure(first.failure, result.failure)) {
			less = fewer;
			break;
		}
	}
	for (uint32_t batches = 1; batches < plan.batches; batches++) {
		struct run_options fewer = less;
		struct run_result result;

		fewer.batches_max = batches;
		result = run_seed(runner, seed, &fewer);
		if (!result.good && same_failure(first.failure, result.failure)) {
			less = fewer;
			break;
		}
	}
	for (int i = 0; i < FAULTS; i++) {
		struct run_options fewer = less;
		struct run_result result;

		if (!plan_has(&plan, (enum fault)i))
			continue;
		fewer.off |= UINT64_C(1) << i;
		result = run_seed(runner, seed, &fewer);
		if (!result.good && same_failure(first.failure, result.failure))
			less = fewer;
	}
	less.report = options->report;
	fprintf(options->report, "the smallest set that still fails:");
	for (int i = 0; i < FAULTS; i++) {
		if (plan_has(&plan, (enum fault)i) && !(less.off & UINT64_C(1) << i))
			fprintf(options->report, " %s", fault_name((enum fault)i));
	}
	fprintf(
	    options->report, " (%u batches)\nagain:", less.batches_max > 0 ? less.batches_max : plan.batches);
	fprintf(options->report, " simulator --seed %" PRIu64 " --bug %u", seed, less.broken_rule);
	fprintf(options->report, " --nodes %u", less.nodes > 0 ? less.nodes : plan.nodes);
	if (less.batches_max > 0)
		fprintf(options->report, " --batches %u", less.batches_max);
	for (int i = 0; i < FAULTS; i++) {
		if (less.off & UINT64_C(1) << i)
			fprintf(options->report, " --without %s", fault_name((enum fault)i));
	}
	fputc('\n', options->report);
	run_seed(runner, seed, &less);
}
