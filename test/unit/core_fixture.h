/* SPDX-License-Identifier: MIT */
/* One core in its shell for each test of a file, as CORE_TEST() says. */
#ifndef OPTIMUS_TEST_UNIT_CORE_FIXTURE_H
#define OPTIMUS_TEST_UNIT_CORE_FIXTURE_H

#include "core_shell.h"

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, core_set_up, core_tear_down)

/* Of this test. One that wants another frees it, and puts that in its place. */
extern struct shell *shell;

/* shell_new(NULL) */
int core_set_up(void **state);
int core_tear_down(void **state);

#endif
