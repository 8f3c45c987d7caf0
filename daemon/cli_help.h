/* SPDX-License-Identifier: MIT */
/* The texts of --help. */
#ifndef OPTIMUS_DAEMON_CLI_HELP_H
#define OPTIMUS_DAEMON_CLI_HELP_H

/* Of a command, or of the whole when it is NULL or has no text of its own. */
const char *help_text(const char *command);

#endif
