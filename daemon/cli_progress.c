/* SPDX-License-Identifier: MIT */
/*
 * Drawing a progress bar and measuring rates.
 *
 * Draws only when standard error is a terminal, so that a pipe stays quiet. Owns nothing.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/cli_progress.h"
#include "daemon/cli_say.h"
#include "daemon/cli_time.h"

enum { BAR_MAX = 40, LINE_MAX_BYTES = 256 };

static const double REDRAW_SECONDS = 0.1;
static const double SAMPLE_SECONDS = 1.0;

double progress_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double progress_rate_add(struct progress_rate *rate, double now, double value)
{
	int last = rate->count - 1;

	if (rate->count == 0 || now - rate->samples[last].at >= SAMPLE_SECONDS) {
		if (rate->count == PROGRESS_SAMPLES) {
			memmove(&rate->samples[0], &rate->samples[1],
			    sizeof rate->samples[0] * (PROGRESS_SAMPLES - 1));
			rate->count--;
		}
		rate->samples[rate->count].at = now;
		rate->samples[rate->count].value = value;
		rate->count++;
	}
	double seconds = now - rate->samples[0].at, grown = value - rate->samples[0].value;
	return seconds > 0 && grown > 0 ? grown / seconds : 0;
}

void progress_bar_start(struct progress_bar *bar)
{
	bar->shown = say_terminal(stderr);
	bar->started = progress_clock();
	bar->drawn = 0;
}

void progress_bar_update(struct progress_bar *bar, uint64_t rows, uint64_t done, uint64_t total)
{
	char line[LINE_MAX_BYTES], rate[CLI_TIME_TEXT], graph[BAR_MAX + 1];
	double now;

	if (!bar->shown)
		return;
	now = progress_clock();
	if (now - bar->drawn < REDRAW_SECONDS)
		return;
	bar->drawn = now;
	cli_rate_format((double)rows / (now - bar->started + 1e-6), rate);
	if (total == 0) {
		snprintf(line, sizeof line, "uploading  %llu rows  %s", (unsigned long long)rows, rate);
	} else {
		double part = done >= total ? 1 : (double)done / (double)total;
		int width = say_width(stderr) - 50;

		width = width < 8 ? 8 : width > BAR_MAX ? BAR_MAX : width;
		for (int i = 0; i < width; i++)
			graph[i] = i < (int)(part * width + 0.5) ? '#' : '.';
		graph[width] = '\0';
		snprintf(line, sizeof line, "uploading [%s] %3d %%  %llu rows  %s", graph, (int)(part * 100),
		    (unsigned long long)rows, rate);
	}
	say_transient(line);
}

void progress_bar_end(struct progress_bar *bar)
{
	if (bar->shown)
		say_transient("");
	bar->shown = false;
}
