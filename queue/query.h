/* SPDX-License-Identifier: MIT */
/*
 * A question about a batch that other nodes help to answer: whom it asks, who has answered, and the search
 * for the batch's record where this node has none.
 *
 *   record: here → the homes that are computed → those that the directory names → not found, or try again
 *
 * Nobody waits for a node longer than QUERY_WAIT, and one that is not alive is not asked. What is asked once
 * the record is known is the business of the query's kind: counts (queue/gather.c), a shard (queue/fetch.c).
 */
#ifndef OPTIMUS_QUEUE_QUERY_H
#define OPTIMUS_QUEUE_QUERY_H

#include "queue/call.h"
#include "queue/state.h"

#define QUERY_WAIT (2 * USEC_PER_SEC)

enum {
	QUERY_SHARDS = 4096,                  /* of a batch in one message */
	QUERY_NODES = 1000,                   /* nodes that an answer names */
	QUERY_PART = PEER_MESSAGE_MAX - 1024, /* bytes of a value in one message */
	QUERY_RECORDS = 8,                    /* foreign records that are kept */
};

enum query_kind {
	QUERY_COUNTS,
	QUERY_FETCH,
	QUERY_COMMAND, /* counts first, then the homes: queue/command.c */
	QUERY_DRAIN,   /* no batch; one node is asked */
};

enum query_phase {
	QUERY_HOMES,     /* asks the computed homes for the record */
	QUERY_DIRECTORY, /* asks the directory who has it */
	QUERY_NAMED,     /* asks those */
	QUERY_WORDS,     /* asks all who take part what they know */
	QUERY_VERSION,   /* COMMAND: takes a version for it */
	QUERY_COMMIT,    /* COMMAND, DRAIN: gives the command */
	QUERY_VALUE,     /* FETCH: reads value and journal, from one node after the other */
};

/* A node that a query has to do with. */
struct asked {
	RB_ENTRY(asked) node; /* by the peer's id */
	struct peer *peer;
	struct call *call;  /* NULL: nothing is expected of it */
	struct buffer data; /* parts of a value so far */
	bool unknown;       /* it knows nothing of the batch */
	bool named;         /* by the directory, as a home of the batch */
	bool told;          /* it has said what it knows */
	bool holds;         /* and has the batch; FETCH: the shard, and `counts` is its word */
	uint64_t from;      /* COUNTS: the page that was asked for last */
	bool tried; /* FETCH: nothing could be read from it; COUNTS: it was asked as the last resort */
	struct shard_counts counts;
};
RB_HEAD(asked_tree, asked);

/* A record of a batch in which this node has no part. Written once, so it is never out of date. */
struct foreign {
	TAILQ_ENTRY(foreign) link; /* the latest one used first */
	struct opt_id batch;
	struct batch_record record;
	uint32_t users;
};

/* What is known of one shard. */
struct word {
	struct shard_counts counts; /* the best that was said */
	uint32_t holders;           /* nodes that have it; 0: nothing is known */
};

struct query {
	TAILQ_ENTRY(query) link;
	enum query_kind kind;
	enum query_phase phase;
	uint64_t reply;
	struct opt_id batch; /* key */
	char name[BATCH_NAME_MAX + 1];
	struct foreign *foreign; /* NULL: this node has the batch, or the record is not known yet */
	struct asked_tree asked;
	uint32_t waiting; /* calls under way */
	uint64_t token;   /* of a directory or store effect */
	bool looked_up;   /* the directory has answered */
	struct timer timer;
	/* COUNTS, COMMAND */
	struct word *words;
	struct control control; /* the highest that is known; later the one that is given */
	uint64_t given;         /* the highest version that is known to be given */
	enum control_what what; /* COMMAND: what the operator wants */
	uint32_t homes;         /* COMMAND: that were asked to keep it, or its version */
	uint32_t stored;        /* COMMAND: homes that have that */
	bool widest;            /* all nodes were asked: the last resort; of FETCH those with a link */
	/* FETCH */
	uint32_t index;
	bool wide; /* all members were asked */
	struct asked *source;
	struct buffer value;
	struct buffer journal; /* entries, one behind the other */
	size_t *entry_ends;
	size_t entry_count, entry_size;
};

struct query *query_new(struct core *core, enum query_kind kind, uint64_t reply, const struct opt_id *batch);
void query_free(struct core *core, struct query *query);

/* The batch's record, here or fetched; NULL while it is not known. */
const struct batch_record *query_record(struct core *core, const struct query *query);
/* Starts the search. It ends in gather_found() or fetch_found(), or in gather_lost() or fetch_lost(). */
void query_search(struct core *core, struct query *query);

/* The node's entry, made when it is new. */
struct asked *query_asked(struct query *query, struct peer *peer);
/* In the order of their ids; NULL: the first. */
struct asked *query_asked_next(struct query *query, struct asked *asked);
/* Asks it, unless it is this node, is not alive, or an answer of it is expected already. */
bool query_ask(struct core *core, struct query *query, struct asked *asked, enum call_kind kind,
    struct peer_message *request);
/* The call that was answered is over. */
struct asked *query_answered(struct query *query, struct call *call);
void query_end_calls(struct core *core, struct query *query);
void query_wait(struct core *core, struct query *query);

/* The search's part of gather's events. */
void query_record_answered(
    struct core *core, struct query *query, struct call *call, const struct peer_message *answer);
void query_directory(struct core *core, struct query *query, const struct event *event);
void query_search_due(struct core *core, struct query *query);
void query_free_all(struct core *core);

/*
 * Whether this node alone can say all that is to be said of the batch: it has every shard, and nobody else
 * has one.
 */
bool query_alone(const struct core *core, const struct batch *batch);
/* Whether `a` knows more of the shard than `b`. */
bool query_better(const struct shard_counts *a, const struct shard_counts *b);
/* What this node knows of the shard. False when that is nothing. */
bool query_own_word(const struct core *core, const struct shard *shard, struct shard_counts *ret_counts);

#endif
