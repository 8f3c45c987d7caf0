/* SPDX-License-Identifier: MIT */
/* optimus keygen: a new cluster key on standard output. Returns an exit code. */
#ifndef OPTIMUS_DAEMON_CLI_KEYGEN_H
#define OPTIMUS_DAEMON_CLI_KEYGEN_H

int keygen_run(void);

#endif
