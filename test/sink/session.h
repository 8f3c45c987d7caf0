/* SPDX-License-Identifier: MIT */
/*
 * One SMTP connection to the sink.
 */
#ifndef OPTIMUS_SINK_SESSION_H
#define OPTIMUS_SINK_SESSION_H

#include "test/sink/server.h"

/* Accepts a connection that waits at the listener. */
void session_accept(struct server *server, uv_stream_t *listener);

/*
 * Writes the ledger, then the answers of all sessions, then ends those that are to end. Runs in every turn of
 * the loop, so that one write(2) to the ledger serves many messages.
 */
void session_flush_all(struct server *server);

/* Ends all sessions without an answer. */
void session_close_all(struct server *server);

#endif
