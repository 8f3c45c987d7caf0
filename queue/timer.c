/* SPDX-License-Identifier: MIT */
/* Deadlines in a red-black tree (libbsd's), ordered by time and then by the order of arming. */
#include "queue/timer.h"

static int compare(const struct timer *a, const struct timer *b)
{
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return 0;
}

RB_GENERATE_STATIC(timer_tree, timer, node, compare)

void timers_init(struct timers *timers)
{
	RB_INIT(&timers->tree);
	timers->next_order = 0;
}

void timer_init(struct timer *timer, enum timer_kind kind, void *owner)
{
	*timer = (struct timer){.kind = kind, .owner = owner};
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t due)
{
	timer_disarm(timers, timer);
	timer->due = due;
	timer->order = timers->next_order++;
	timer->armed = true;
	RB_INSERT(timer_tree, &timers->tree, timer);
}

void timer_disarm(struct timers *timers, struct timer *timer)
{
	if (!timer->armed)
		return;
	RB_REMOVE(timer_tree, &timers->tree, timer);
	timer->armed = false;
}

struct timer *timers_first(struct timers *timers)
{
	return RB_MIN(timer_tree, &timers->tree);
}
