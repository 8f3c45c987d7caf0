/* SPDX-License-Identifier: MIT */
/*
 * What the cores of two nodes say to each other: the messages, and their bytes.
 *
 * A request carries a token and is repeated until it is answered (queue/call.h), so every request may arrive
 * any number of times, late, and out of order, and does the same each time. An answer carries the token of
 * its request and a status. Heartbeats and notices are neither.
 *
 * Bytes: msgpack [type, token, field, ...] for a request, [type + PEER_ANSWER, token, status, field, ...] for
 * an answer, with the fields in the order of the table in peer.c. Links (docs/protocol.md) authenticate the
 * sender, encrypt, and carry at most PEER_MESSAGE_MAX bytes.
 *
 * Epochs, configurations, attempts and versions have a highest one that is taken from others, and nobody
 * makes one above it: what a node says next the others can always read. The readers of its own store take
 * higher ones, so that nothing that it has promised could ever be forgotten.
 */
#ifndef OPTIMUS_QUEUE_PEER_H
#define OPTIMUS_QUEUE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/view.h"
#include "queue/ballot.h"
#include "queue/clock.h"
#include "queue/id.h"
#include "queue/journal.h"
#include "queue/message/buffer.h"
#include "queue/record.h"

enum {
	PEER_MESSAGE_MAX = 1024 * 1024,
	PEER_PART_MAX = 256 * 1024,                       /* entries of a journal that go into one message */
	PEER_ENTRIES_MAX = 4096,                          /* journal entries in one message */
	PEER_NUMBER_MAX = JOURNAL_NUMBER_MAX - (1 << 20), /* of an epoch, a configuration, an attempt */
	PEER_ANSWER = 128,
};

#define PEER_VERSION_MAX (INT64_MAX - (1 << 20)) /* of a command */
#define PEER_HEARD_MAX   (INT64_MAX >> 4) /* of another one's writes: that one goes on counting above it */

enum peer_type {
	PEER_HEARTBEAT = 1, /* load, digest; no answer */
	/* Accepting a batch (queue/stage.h, queue/home.h). */
	PEER_STAGE_OPEN,  /* hold this upload's template */
	PEER_STAGE_SHARD, /* hold a shard of it */
	PEER_STAGE_DROP,  /* its coordinator has given it up: nothing of it will be committed */
	PEER_PREPARE,     /* the register of a batch, first phase */
	PEER_ACCEPT,      /* and second */
	PEER_RECORD,      /* a decided batch record: make it durable, take part */
	PEER_DECISION,    /* what became of the upload of that batch? */
	/* Shards (queue/append.h, queue/takeover.h, queue/sync.h). */
	PEER_APPEND,   /* facts for a shard's journal */
	PEER_PROMISE,  /* for a new epoch */
	PEER_JOURNAL,  /* read a part of your journal of the shard to me */
	PEER_CATCH_UP, /* we may have missed facts about the shard (queue/catchup.h) */
	PEER_FETCH,    /* a shard's value, or its template */
	PEER_TAKE,     /* take the shard over, with its owner's consent */
	PEER_GIVE,     /* I have nothing to do: which shards may I take over? */
	PEER_JOIN,     /* become a replica of this shard: fetch all of it */
	/* Batches (queue/control.h, queue/gather.h). */
	PEER_CONTROL, /* pause, resume, cancel */
	PEER_STATUS,  /* what do you know of this batch? */
	PEER_DRAIN,   /* take no new mail, or take some again */
	PEER_READ,    /* what do you know of the register of this batch? queue/homeread.h */
	PEER_VERSION, /* a command is about to have this version: the next one is to get a higher one */
	PEER_TYPES,
};

enum peer_status {
	PEER_OK,
	PEER_REFUSED, /* a later epoch, configuration, ballot or control is known: the answer's fields say it
	               */
	PEER_UNKNOWN, /* no such shard, upload or batch here: never a vote */
	PEER_BUSY,    /* can't be decided now: ask again */
	PEER_FULL,    /* no room */
	PEER_FAILED,
	PEER_STATUSES,
};

/* What PEER_APPEND carries, and so how far it is checked. */
enum append_kind {
	APPEND_CLAIMS, /* by the owner: refused when a later epoch was promised or the batch is held */
	APPEND_FACTS,  /* outcomes: taken from anybody, in any epoch */
	APPEND_UNION,  /* what a member lacked: taken from anybody */
	APPEND_CONFIG, /* by the owner: the new configuration; checked as claims are */
	APPEND_KINDS,
};

/* How PEER_CATCH_UP is meant. */
enum catch_up {
	CATCH_UP_COMPARE, /* one of the two was away: journals are to be compared */
	CATCH_UP_ASK,     /* only if the sender lacks something, as far as the receiver knows */
	CATCH_UPS,
};

/* What PEER_DECISION answers: the upload in the answer is the one that was committed or aborted. */
enum decision { DECISION_NONE, DECISION_COMMIT, DECISION_ABORT };

/* What a node says of itself, mostly as a home (queue/homesync.h): PEER_HEARTBEAT. */
enum beat_flag {
	BEAT_PUSHED = 1, /* it has pushed what it holds to the homes of the members that `hash` is of */
	BEAT_NEW = 2,    /* it does not know yet what was decided before it came */
	BEAT_LOST = 4,   /* nor has it heard those that it was told to join */
	BEAT_ASKS = 8,   /* it wants to know what was heard of its earlier lives (queue/lost_writes.h) */
	BEAT_TELLS = 16, /* `heard` says that of the receiver */
	BEAT_FLAGS = 31,
};

/* What a home says about the upload or the batch: PREPARE's and ACCEPT's answer. */
enum home_word {
	HOME_WORD_NONE,
	HOME_WORD_ABORTED, /* the abort of the upload is accepted here */
	HOME_WORD_DECIDED, /* data is the record of the batch */
	HOME_WORDS,
};

/* What PEER_READ answers. */
enum read_word {
	READ_NOTHING,
	READ_NEW,      /* nothing, and it does not know yet what was decided before it came */
	READ_REGISTER, /* data is its register */
	READ_RECORD,   /* data is the record */
	READ_WORDS,
};

/* What PEER_RECORD is about. */
enum record_what {
	RECORD_DECIDED,  /* data is the decided record */
	RECORD_REGISTER, /* data is a register of another home */
	RECORD_ASKED,    /* does the receiver have the record of that upload? PEER_UNKNOWN: no */
	RECORD_WHATS,
};

enum { STAGE_PART = 512 * 1024, STAGE_PARTS_MAX = 128 /* of a template, one message each */ };

enum fetch_what { FETCH_SHARD, FETCH_TEMPLATE, FETCH_RECORD, FETCH_WHATS };

/* What a node has to do and how fast it does it: PEER_HEARTBEAT. */
struct peer_load {
	uint64_t ready;     /* mails that it owns and could feed */
	uint32_t owned;     /* shards not finished */
	uint32_t replicas;  /* shards not finished */
	uint32_t in_flight; /* mails inside its Postfix */
	uint32_t window;
	uint64_t sent;    /* since its start */
	uint32_t rate;    /* mails settled in a second, in hundredths */
	uint32_t postfix; /* 1: runs */
};

/* What was heard of a node's store (queue/lost_writes.h): the highest number in each of its lives. */
struct heard_of {
	uint64_t life;   /* the latest incarnation that spoke; 0: none */
	uint64_t now;    /* in that one */
	uint64_t before; /* in those before it */
};

struct peer_message {
	enum peer_type type;
	bool answer;
	uint64_t token;
	enum peer_status status; /* of an answer */

	struct opt_id batch; /* key */
	struct opt_id upload;
	struct opt_id shard;
	struct opt_id node;
	struct opt_id hash;
	uint32_t index;
	uint32_t epoch;
	uint32_t config;
	uint32_t count;
	uint32_t what; /* APPEND, CATCH_UP, FETCH: as above; DECISION's answer: enum decision; CONTROL, DRAIN
	                  and STATUS's answer: enum control_what */
	uint64_t from; /* JOURNAL: entries to leave out; STATUS: shards; FETCH: bytes */
	uint64_t next; /* where to go on; 0: that was all */
	uint64_t version;
	uint64_t given; /* STATUS: the highest version that any command was given */
	struct utc_time at;
	struct ballot ballot;
	struct ballot accepted;
	struct opt_id members[REPLICAS_MAX];
	uint32_t member_count;
	const void *data; /* borrowed */
	size_t len;
	const struct span *entries; /* borrowed: journal entries, or ids of shards */
	size_t entry_count;
	const struct shard_counts *shards; /* borrowed; by rising index */
	size_t shard_count;
	struct peer_load load;
	struct heard_of heard;
	const struct digest_entry *digest; /* borrowed */
	size_t digest_count;
};

/* Appends the message's bytes to `out`. The caller keeps them below PEER_MESSAGE_MAX. */
void peer_encode(const struct peer_message *message, struct buffer *out);

/*
 * Reads a message. Any bytes may come. What *ret_message points to belongs to the reader, or lies in `data`,
 * and is valid until the next call. OPT_E_INVALID: not a message, or one with a number out of its bounds.
 */
struct peer_reader;
struct peer_reader *peer_reader_new(void);
void peer_reader_free(struct peer_reader *reader);
int peer_read(struct peer_reader *reader, const void *data, size_t len, struct peer_message *ret_message);

/* "stage_open", "append", ...; "unknown" for what is none. Static memory. */
const char *peer_type_name(enum peer_type type);

#endif
