/* SPDX-License-Identifier: MIT */
/*
 * The message that a session is receiving: its envelope, its content, and what the rules say about its end.
 */
#ifndef OPTIMUS_SINK_MESSAGE_H
#define OPTIMUS_SINK_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sink/command.h"
#include "test/sink/content.h"
#include "test/sink/server.h"

enum { MESSAGE_RECIPIENTS_MAX = 1000, MESSAGE_REPLY_MAX = 512 };

struct message {
	char sender[COMMAND_ADDRESS_MAX];
	char envid[COMMAND_PARAM_MAX];
	char **recipients;
	size_t count;
	struct content content;
};

/* How the message is to end. action is ACTION_ACCEPT, ACTION_REJECT_DATA or one of the drops. */
struct message_verdict {
	uint64_t delay_ms;
	enum rule_action action;
	char reply[MESSAGE_REPLY_MAX]; /* of ACTION_REJECT_DATA */
};

void message_init(struct message *message, size_t max_size);
void message_done(struct message *message);
void message_reset(struct message *message);
/* Copies the address. The caller keeps to MESSAGE_RECIPIENTS_MAX. */
void message_add_recipient(struct message *message, const char *address);

/*
 * What the rules say now: the longest delay and the first ending among the recipients. Counts a try of each
 * recipient whose rule is limited in number, so to be asked once a message.
 */
struct message_verdict message_judge(const struct message *message, const struct server *server);

/* Adds the message to the ledger, a line a recipient, saves it when asked to, counts it. Returns its number.
 */
uint64_t message_record(
    const struct message *message, struct server *server, unsigned port, const char *flag);

#endif
