/* SPDX-License-Identifier: MIT */
/*
 * Journal entries: the facts about a shard (or a batch), as they are stored and, later, replicated.
 *
 *   [1 CLAIMS,   epoch, node, generation, at, [ index, attempt, flags, ... ] ]
 *   [2 OUTCOMES, [ [index, epoch, node, attempt, flags, kind, at, dsn, relay, reason], ... ] ]
 *                                                              the flags are those of the attempt's claim
 *   [3 FINISHED, at, [ [index, duplicates, in doubt resent, last, [ count of each mail state ]], ... ] ]
 *                            of a batch: what this node has; no shards: it is a member of another one since
 *   [4 CONTROL,  version, what, at ]       of a batch, or of a node
 *   [5 PROMISE,  epoch, node ]             this node has promised the epoch to the node
 *   [6 CONFIG,   number, epoch, [ member, ... ] ]
 *   [7 VERSION,  version ]                 of a batch: a command may have it, the next one gets a higher one
 *   [8 TOLD ]                              this node has left the shard: its members have all that is before
 *
 * Reading the entries of a journal in any order, and any of them repeatedly, gives the same state; the place
 * of TOLD only says what need not be told again (queue/left.h).
 */
#ifndef OPTIMUS_QUEUE_JOURNAL_H
#define OPTIMUS_QUEUE_JOURNAL_H

#include <stdbool.h>
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
	JOURNAL_PROMISE = 5,
	JOURNAL_CONFIG = 6,
	JOURNAL_VERSION = 7,
	JOURNAL_TOLD = 8,
};

enum {
	JOURNAL_ENTRIES_MAX = 1000,     /* claims or outcomes in one entry */
	JOURNAL_NUMBER_MAX = INT32_MAX, /* of an epoch, a configuration, an attempt */
};

enum claim_flag {
	CLAIM_AFTER_DOUBT = 1, /* the attempt before this one ended in doubt */
	CLAIM_ALONE = 2,       /* made without a majority (rule 7): no proof that it was never fed */
};

struct claim {
	uint32_t index;
	uint32_t attempt;
	uint32_t flags; /* enum claim_flag */
};

/* One shard of a batch as one node knows it: FINISHED, and PEER_STATUS (queue/peer.h). */
struct shard_counts {
	uint32_t index;
	uint16_t states[MAIL_STATES];
	uint32_t duplicates;
	uint32_t in_doubt_resent;
	struct utc_time last; /* of its latest final fact; 0: none */
	/* The rest is not in a journal. */
	uint32_t epoch;
	bool owner;    /* the node that says so owns it */
	bool finished; /* every mail is final there */
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
	struct opt_id node;  /* CLAIMS: the owner; PROMISE */
	uint32_t epoch;      /* CLAIMS, PROMISE, CONFIG */
	uint32_t config;     /* CONFIG */
	uint64_t generation; /* CLAIMS: of the Postfix spool that they are meant for */
	struct utc_time at;  /* CLAIMS, FINISHED */
	const struct claim *claims;
	const struct outcome *outcomes;    /* key.shard is not stored; the reader fills it in */
	const struct opt_id *members;      /* CONFIG */
	const struct shard_counts *shards; /* FINISHED: those that this node has */
	size_t count;
	struct control control; /* CONTROL; VERSION: only that */
};

void journal_encode(const struct journal_entry *entry, struct buffer *out);

/* Decodes one entry of the journal of `shard`. What it returns is borrowed until the next call. */
struct journal_reader;
struct journal_reader *journal_reader_new(void);
void journal_reader_free(struct journal_reader *reader);
int journal_read(struct journal_reader *reader, const struct opt_id *shard, const void *data, size_t len,
    struct journal_entry *ret_entry);
/* Whether none of its epochs, configurations and attempts is above `max`. */
bool journal_numbers_within(const struct journal_entry *entry, uint32_t max);

#endif
