/* SPDX-License-Identifier: MIT */
/*
 * The words of an SMTP session, without the connection: bytes in, replies out, and the wish to wait or end.
 */
#ifndef OPTIMUS_SINK_DIALOG_H
#define OPTIMUS_SINK_DIALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "test/sink/message.h"
#include "test/sink/server.h"

enum dialog_state {
	DIALOG_BANNER,  /* has not greeted yet; takes no bytes */
	DIALOG_COMMAND, /* reads lines */
	DIALOG_CONTENT, /* reads a message */
	DIALOG_ANSWER,  /* waits verdict.delay_ms before dialog_answer(); takes no bytes */
	DIALOG_END,     /* the connection is to be closed once the output is written; takes no bytes */
};

struct dialog {
	struct server *server;
	unsigned port; /* local */
	enum dialog_state state;
	bool skipping_line; /* the rest of a line that was too long */
	bool mail;          /* MAIL was accepted */
	bool drop_mid;      /* close as soon as content arrives */
	struct message message;
	struct message_verdict verdict;
	char *output;
	size_t output_len;
	size_t output_cap;
};

void dialog_init(struct dialog *dialog, struct server *server, unsigned port);
void dialog_done(struct dialog *dialog);
/* Says the banner. */
void dialog_greet(struct dialog *dialog);
/* Says a reply and ends. */
void dialog_refuse(struct dialog *dialog, const char *text);
/*
 * Takes received bytes while the state takes any. Returns how many were used: the rest is to come again, in
 * front of what arrives next.
 */
size_t dialog_feed(struct dialog *dialog, const char *bytes, size_t len);
/* Answers the final dot. `gone`: the client is known to have gone away in the meantime. */
void dialog_answer(struct dialog *dialog, bool gone);

#endif
