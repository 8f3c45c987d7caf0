/* SPDX-License-Identifier: MIT */
/*
 * Whether curses can use the terminal on standard output. In a file of its own because <term.h> takes common
 * words for its macros; asked before newterm(), which keeps memory where it fails.
 */
#ifndef OPTIMUS_DAEMON_CLI_TERMINAL_H
#define OPTIMUS_DAEMON_CLI_TERMINAL_H

#include <stdbool.h>

bool terminal_is_known(void);

#endif
