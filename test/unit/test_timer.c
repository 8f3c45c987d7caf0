/* SPDX-License-Identifier: MIT */
/*
 * Deadlines come out in their order, equal ones in the order of arming, and a moved or disarmed one only
 * where it belongs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/timer.h"

enum { MANY = 1000 };

static struct timers timers;
static struct timer items[MANY];

static int set_up(void **state)
{
	(void)state;
	timers_init(&timers);
	for (size_t i = 0; i < MANY; i++)
		timer_init(&items[i], TIMER_SHARD_RETRY, &items[i]);
	return 0;
}

static struct timer *pop(void)
{
	struct timer *first = timers_first(&timers);

	if (first != NULL)
		timer_disarm(&timers, first);
	return first;
}

static void the_earliest_comes_first(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		timer_arm(&timers, &items[i], (i * 7919 + 13) % 10007);
	for (size_t i = 0; i < MANY; i++) {
		struct timer *timer = pop();

		assert_non_null(timer);
		assert_true(timer->due >= last);
		assert_false(timer->armed);
		last = timer->due;
	}
	assert_null(pop());
}

static void equal_deadlines_come_in_the_order_of_arming(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++)
		timer_arm(&timers, &items[(i * 7) % MANY], 42);
	for (size_t i = 0; i < MANY; i++)
		assert_ptr_equal(pop(), &items[(i * 7) % MANY]);
}

static void a_deadline_can_be_moved_both_ways(void **state)
{
	(void)state;
	timer_arm(&timers, &items[0], 10);
	timer_arm(&timers, &items[1], 20);
	timer_arm(&timers, &items[0], 30);
	assert_ptr_equal(timers_first(&timers), &items[1]);
	timer_arm(&timers, &items[0], 5);
	assert_ptr_equal(timers_first(&timers), &items[0]);
	/* Armed anew for the same time, it goes behind the others of that time. */
	timer_arm(&timers, &items[0], 20);
	assert_ptr_equal(pop(), &items[1]);
	assert_ptr_equal(pop(), &items[0]);
	assert_null(pop());
}

static void a_disarmed_deadline_never_comes(void **state)
{
	(void)state;
	timer_disarm(&timers, &items[0]); /* harmless */
	for (size_t i = 0; i < MANY; i++)
		timer_arm(&timers, &items[i], i);
	for (size_t i = 0; i < MANY; i += 2)
		timer_disarm(&timers, &items[i]);
	for (size_t i = 1; i < MANY; i += 2) {
		struct timer *timer = pop();

		assert_ptr_equal(timer, &items[i]);
		assert_ptr_equal(timer->owner, &items[i]);
	}
	assert_null(pop());
}

static void the_latest_time_of_all_is_a_deadline_too(void **state)
{
	(void)state;
	timer_arm(&timers, &items[0], UINT64_MAX);
	timer_arm(&timers, &items[1], 0);
	assert_ptr_equal(pop(), &items[1]);
	assert_ptr_equal(pop(), &items[0]);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_earliest_comes_first),
	    TEST(equal_deadlines_come_in_the_order_of_arming),
	    TEST(a_deadline_can_be_moved_both_ways),
	    TEST(a_disarmed_deadline_never_comes),
	    TEST(the_latest_time_of_all_is_a_deadline_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
