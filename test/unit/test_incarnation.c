/* SPDX-License-Identifier: MIT */
/* Each start of a node has a higher number than all before it, or the node does not start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <stdint.h>
#include <unistd.h>

#include "daemon/node_incarnation.h"
#include "queue/error.h"

static char dir[] = "/tmp/optimus-incarnation-XXXXXX";
static char path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(strrchr(dir, '-'), "-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/incarnation", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void it_rises_also_when_the_clock_was_set_back(void **state)
{
	const uint64_t ahead = UINT64_C(1) << 62;
	uint64_t number = 0;
	FILE *file;

	(void)state;
	assert_int_equal(node_incarnation(path, &number), 0);
	assert_true(number > 0 && number < ahead);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%llu\n", (unsigned long long)ahead);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(node_incarnation(path, &number), 0);
	assert_true(number == ahead + 1);
	assert_int_equal(node_incarnation(path, &number), 0);
	assert_true(number == ahead + 2);
}

static void a_file_that_cannot_be_opened_is_not_none(void **state)
{
	uint64_t number = 7;

	(void)state;
	assert_int_equal(symlink(path, path), 0); /* a loop: for root as well */
	assert_int_equal(node_incarnation(path, &number), OPT_E_IO);
	assert_true(number == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_rises_also_when_the_clock_was_set_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_is_not_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
