/* SPDX-License-Identifier: MIT */
/*
 * A spool that outlived the machine's death must not be taken for one that was looked after all the time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/spool_mark.h"

static char dir[64];

static void path_of(const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", dir, name);
}

static int set_up(void **state)
{
	char path[128];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/optimus-mark-XXXXXX");
	assert_non_null(mkdtemp(dir));
	path_of("spool", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of("spool/flush", path);
	assert_int_equal(mkdir(path, 0700), 0);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {
	    "spool/flush/worked", "spool/flush/generation", "spool/flush", "spool", ""};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		path_of(files[i], path);
		remove(path);
	}
	assert_int_not_equal(access(dir, F_OK), 0);
	return 0;
}

static void write_mark(const char *name, const char *content)
{
	char path[128];
	FILE *file;

	path_of(name, path);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void a_mark_of_this_boot_is_read(void **state)
{
	(void)state;
	assert_int_equal(spool_mark_read(dir, "generation"), 0);
	spool_mark_write(dir, "generation", 4711);
	assert_int_equal(spool_mark_read(dir, "generation"), 4711);
	spool_mark_worked(dir);
	assert_true(spool_mark_away(dir) < UINT64_MAX);
}

static void a_mark_of_another_boot_is_none(void **state)
{
	(void)state;
	write_mark("spool/flush/generation", "4711 00000000-0000-0000-0000-000000000000\n");
	assert_int_equal(spool_mark_read(dir, "generation"), 0);
	write_mark("spool/flush/worked", "1 00000000-0000-0000-0000-000000000000\n");
	assert_true(spool_mark_away(dir) == UINT64_MAX);
}

/* Else an update of optimusd would put in doubt what its Postfix has. */
static void a_mark_of_an_earlier_version_is_read(void **state)
{
	(void)state;
	write_mark("spool/flush/generation", "4711\n");
	assert_int_equal(spool_mark_read(dir, "generation"), 4711);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_mark_of_this_boot_is_read, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_mark_of_another_boot_is_none, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_mark_of_an_earlier_version_is_read, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
