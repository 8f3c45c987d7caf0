/* SPDX-License-Identifier: MIT */
/*
 * The ballast takes real room, gives it back, and is never made where it would fill the disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "queue/error.h"

enum { BALLAST = 4 * 1024 * 1024 };

static char dir[] = "/tmp/optimus-XXXXXX";
static char ballast[64];

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(ballast);
	return rmdir(dir);
}

static void room_is_what_the_reserve_leaves(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(disk_free(dir, &bytes), 0);
	assert_true(bytes > 0);
	assert_int_equal(disk_room(dir, 1), 0);
	assert_int_equal(disk_room(dir, UINT64_MAX), OPT_E_FULL);
	assert_int_equal(disk_free("/nonexistent/folder", &bytes), OPT_E_IO);
	assert_int_equal(disk_room("/nonexistent/folder", 1), OPT_E_IO);
}

static void the_ballast_takes_room_and_gives_it_back(void **state)
{
	struct stat st;

	(void)state;
	assert_false(disk_ballast_exists(ballast, BALLAST));
	assert_int_equal(disk_ballast_create(ballast, BALLAST), 0);
	assert_true(disk_ballast_exists(ballast, BALLAST));
	assert_int_equal(stat(ballast, &st), 0);
	assert_true(st.st_blocks * 512 >= BALLAST);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(disk_ballast_create(ballast, BALLAST), 0);
	assert_int_equal(disk_ballast_free(ballast), 0);
	assert_int_equal(disk_ballast_free(ballast), OPT_E_NOT_FOUND);
	assert_false(disk_ballast_exists(ballast, BALLAST));
}

static void a_sparse_or_short_file_is_no_ballast(void **state)
{
	FILE *file = fopen(ballast, "w");

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_int_equal(truncate(ballast, BALLAST), 0);
	assert_false(disk_ballast_exists(ballast, BALLAST));
	assert_int_equal(disk_ballast_create(ballast, BALLAST), 0);
	assert_true(disk_ballast_exists(ballast, BALLAST));
	assert_int_equal(disk_ballast_free(ballast), 0);
}

static void a_ballast_that_does_not_fit_is_not_made(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(disk_free(dir, &bytes), 0);
	assert_int_equal(disk_ballast_create(ballast, bytes / 4 * 3), OPT_E_FULL);
	assert_int_equal(access(ballast, F_OK), -1);
	assert_int_equal(disk_ballast_create("/nonexistent/ballast", BALLAST), OPT_E_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(room_is_what_the_reserve_leaves),
	    cmocka_unit_test(the_ballast_takes_room_and_gives_it_back),
	    cmocka_unit_test(a_sparse_or_short_file_is_no_ballast),
	    cmocka_unit_test(a_ballast_that_does_not_fit_is_not_made),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
