/* SPDX-License-Identifier: MIT */
/*
 * The ledger: what the sink has accepted, one line a message and recipient, TAB-separated:
 *
 *   UTC microseconds, envelope sender ("<>" when empty), recipient, Message-ID ("-" when none), size in
 * bytes, BLAKE2b-256 of the content without Received fields, local port, flag, envelope id of DSN ("-" when
 * none)
 *
 * The flag is "-" for a message whose acceptance was answered, "dropped-before" for one accepted by a
 * connection that the sink then closed without an answer, "gone" for one whose client went away between the
 * final dot and the answer. Control characters and backslashes in a field are written as \xHH.
 */
#ifndef OPTIMUS_SINK_LEDGER_H
#define OPTIMUS_SINK_LEDGER_H

#include <stddef.h>
#include <stdint.h>

struct ledger_line {
	uint64_t utc_us;
	const char *sender;
	const char *recipient;
	const char *message_id;
	size_t size;
	const char *hash;
	unsigned port;
	const char *flag;
	const char *envid;
};

struct ledger;

/* Opens for appending, creates when needed. NULL and errno on failure. A NULL path keeps no ledger. */
struct ledger *ledger_open(const char *path);
/* Flushes and closes. */
void ledger_close(struct ledger *ledger);
/* Adds a line to the buffer. */
void ledger_add(struct ledger *ledger, const struct ledger_line *line);
/* Writes the buffer. A sink that can't write its ledger ends at once: what it would answer could not be
 * trusted. */
void ledger_flush(struct ledger *ledger);

#endif
