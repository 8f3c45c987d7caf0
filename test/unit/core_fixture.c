/* SPDX-License-Identifier: MIT */
/* See core_fixture.h. */
#include "core_fixture.h"

struct shell *shell;

int core_set_up(void **state)
{
	(void)state;
	shell = shell_new(NULL);
	return 0;
}

int core_tear_down(void **state)
{
	(void)state;
	shell_free(shell);
	return 0;
}
