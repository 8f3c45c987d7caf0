/* SPDX-License-Identifier: MIT */
/*
 * What happened in a world, as lines: all of them go into a hash (the same seed gives the same hash), the
 * last ones are kept for a failure, and --trace prints them as they come.
 */
#ifndef OPTIMUS_TEST_SIM_TRACE_H
#define OPTIMUS_TEST_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "queue/clock.h"

struct mail;

enum { TRACE_KEPT = 64, TRACE_ARGS = 6 };

union trace_arg {
	uint64_t number;
	const char *text;
	const struct mail *mail;
};

struct trace_line {
	usec at;
	const char *who; /* NULL: nobody */
	const char *format;
	union trace_arg args[TRACE_ARGS];
};

struct trace {
	struct trace_line kept[TRACE_KEPT];
	uint64_t lines;
	uint64_t hash;
	FILE *live; /* NULL: nothing is printed */
};

void trace_init(struct trace *trace, FILE *live);
/*
 * The format knows %u (uint64_t), %x (uint64_t, 8 hex digits), %s (a text that lives as long as the world)
 * and %m (struct mail). Arguments are not formatted until somebody reads the line.
 */
void trace_add(struct trace *trace, usec at, const char *who, const char *format,
    const union trace_arg args[TRACE_ARGS]);
void trace_print(const struct trace *trace, FILE *out);

#define N(value)                                                                                             \
	{                                                                                                    \
		.number = (uint64_t)(value)                                                                  \
	}
#define T(value)                                                                                             \
	{                                                                                                    \
		.text = (value)                                                                              \
	}
#define M(value)                                                                                             \
	{                                                                                                    \
		.mail = (value)                                                                              \
	}
#define TRACE(w, format, ...)                                                                                \
	trace_add(&(w)->trace, (w)->now, NULL, (format), (const union trace_arg[TRACE_ARGS]){__VA_ARGS__})
/* The same about a node, which a world of one does not name. */
#define TRACE_NODE(node, format, ...)                                                                        \
	trace_add(&(node)->world->trace, (node)->world->now,                                                 \
	    (node)->world->node_count > 1 ? (node)->name : NULL, (format),                                   \
	    (const union trace_arg[TRACE_ARGS]){__VA_ARGS__})

#endif
