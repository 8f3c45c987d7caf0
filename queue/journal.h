/* SPDX-License-Identifier: MIT */
/*
 * Journal entries: the facts about a shard (or a batch), as they are stored and, later, replicated.
 *
 *   [1 CLAIMS,   epoch, node, generation, at, [ index, attempt, flags, ... ] ]
 *   [2 OUTCOMES, [ [index, epoch, node, attempt, kind, at, dsn, relay, reason], ... ] ]
 *   [3 FINISHED, at, duplicates, in doubt resent, [ count of each mail state ] ]        of a batch
 *   [4 CONTROL,  version, what, at ]                                         of a batch, or of a node
 *
 * Reading the entries of a journal in any order, and any of them repeatedly, gives the same state.
 */
#ifndef OPTIMUS_QUEUE_JOURNAL_H
#define OPTIMUS_QUEUE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/mail.h"
#include "queue/message/buffer.h"
#include "queue/outcome.h"

enum journal_type {
	JOURNAL_CLAIMS = 1,
	JOURNAL_OUTCOMES = 2,
	JOURNAL_FINISHED = 3,
	JOURNAL_CONTROL = 4,
};

enum { JOURNAL_ENTRIES_MAX = 1000 /* claims or outcomes in one entry */ };

enum claim_flag {
	CLAIM_AFTER_DOUBT = 1, /* the attempt before this one ended in doubt */
};

struct claim {
	uint32_t index;
	uint32_t attempt;
	uint32_t flags;
};

/* What the operator wants of a batch. In the journal of a node, PAUSED means that it drains. */
enum control_what {
	CONTROL_RUNNING,
	CONTROL_PAUSED,
	CONTROL_CANCELLED, /* final */
};

/* A command, and where it stands among the others about the same thing: queue/control.c merges them. */
struct control {
	uint64_t version; /* 0: none was ever given */
	enum control_what what;
	struct utc_time at;
};

struct journal_entry {
	enum journal_type type;
	struct opt_id node;  /* CLAIMS: the owner */
	uint32_t epoch;      /* CLAIMS */
	uint64_t generation; /* CLAIMS: of the Postfix spool that they are meant for */
	struct utc_time at;  /* CLAIMS, FINISHED */
	const struct claim *claims;
	const struct outcome *outcomes; /* key.shard is not stored; the reader fills it in */
	size_t count;
	uint64_t duplicates;      /* FINISHED */
	uint64_t in_doubt_resent; /* FINISHED */
	uint64_t states[MAIL_STATES];
	struct control control; /* CONTROL */
};

void journal_encode(const struct journal_entry *entry, struct buffer *out);

/* Decodes one entry of the journal of `shard`. What it returns is borrowed until the next call. */
struct journal_reader;
struct journal_reader *journal_reader_new(void);
void journal_reader_free(struct journal_reader *reader);
int journal_read(struct journal_reader *reader, const struct opt_id *shard, const void *data, size_t len,
    struct journal_entry *ret_entry);

#endif
