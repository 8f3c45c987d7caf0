/* SPDX-License-Identifier: MIT */
/*
 * Progress on a terminal: the bar of an upload, and rates over the last seconds.
 */
#ifndef OPTIMUS_DAEMON_CLI_PROGRESS_H
#define OPTIMUS_DAEMON_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds of a clock that only goes forward. */
double progress_clock(void);

/* A rate over about the last ten seconds. Zero it first. */
enum { PROGRESS_SAMPLES = 11 };
struct progress_rate {
	struct {
		double at;
		double value;
	} samples[PROGRESS_SAMPLES];
	int count;
};
/* Notes that the counter stood at `value` at `now`, and returns its growth a second; 0 while it isn't known.
 */
double progress_rate_add(struct progress_rate *rate, double now, double value);

/* The bar on standard error; draws nothing when that is no terminal. */
struct progress_bar {
	bool shown;
	double started, drawn;
};
void progress_bar_start(struct progress_bar *bar);
/* At most ten times a second. `done` of `total` bytes; total 0: not known. */
void progress_bar_update(struct progress_bar *bar, uint64_t rows, uint64_t done, uint64_t total);
void progress_bar_end(struct progress_bar *bar);

#endif
