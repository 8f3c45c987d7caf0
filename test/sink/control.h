/* SPDX-License-Identifier: MIT */
/*
 * The sink's control socket: commands of one line, answers of one line.
 *
 *   stats         the counters as a JSON object
 *   rules FILE    replaces the rules; "ok", or "error: ..." and the old ones stay
 *   quit          "ok", then the sink ends as after SIGTERM
 */
#ifndef OPTIMUS_SINK_CONTROL_H
#define OPTIMUS_SINK_CONTROL_H

#include "test/sink/server.h"

/* Listens on a Unix-domain socket at `path`, replacing one that nobody answers at. 0 or a libuv error. */
int control_listen(struct server *server, const char *path);
/* Ends the socket and its connections, removes the path. Does nothing when not listening. */
void control_close(void);

#endif
