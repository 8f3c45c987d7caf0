/* SPDX-License-Identifier: MIT */
/*
 * One message into Postfix's cleanup(8).
 */
#ifndef OPTIMUS_GLUE_INJECT_H
#define OPTIMUS_GLUE_INJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/frames.h"

struct inject;

struct inject *inject_new(void);
void inject_free(struct inject *inject);

/*
 * Connects to cleanup(8), which opens a queue file. 0 and *ret_queue_id (borrowed until inject_send() or
 * inject_drop()), or OPT_E_AGAIN when nobody answers. Nothing of the message has been given away yet.
 */
int inject_begin(struct inject *inject, const char **ret_queue_id);

struct inject_mail {
	const char *attempt; /* the text of its attempt key */
	const char *sender;  /* "" is the null sender */
	const char *recipient;
	const char *content; /* a whole message, lines ending in LF */
	size_t len;
};

/* Sends the message and waits for cleanup's verdict. *ret_reason is borrowed until the next call. */
enum fed_status inject_send(struct inject *inject, const struct inject_mail *mail, const char **ret_reason);

/* Gives the queue file up; cleanup removes it. */
void inject_drop(struct inject *inject);

#endif
