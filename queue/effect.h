/* SPDX-License-Identifier: MIT */
/*
 * What the core wants done: a list of effects, in the order in which they are to be carried out.
 *
 * The shell owns the list and passes it to every step; the data inside belongs to the list and lives until
 * effects_clear().
 */
#ifndef OPTIMUS_QUEUE_EFFECT_H
#define OPTIMUS_QUEUE_EFFECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/presence.h"
#include "queue/clock.h"
#include "queue/frames.h"
#include "queue/id.h"

enum effect_type {
	/* The store. Each ends with EVENT_STORE_DONE and its token; docs/store.md names the keys. */
	EFFECT_STORE_UPLOAD,      /* add `upload` to the open uploads and store its template */
	EFFECT_STORE_SHARD,       /* store a shard's value */
	EFFECT_STORE_COMMIT,      /* store the batch record and close the upload, in one transaction */
	EFFECT_STORE_DROP_UPLOAD, /* delete all that belongs to `upload`; `shards` of `id` may exist */
	EFFECT_STORE_APPEND,      /* append an entry to the journal of `id` */
	EFFECT_STORE_SQUASH,      /* compress the journal of `id` */
	EFFECT_STORE_REGISTER,    /* set the register of the batch `id` to data; empty: remove it */
	EFFECT_LOAD_JOURNAL,      /* of `id`: EVENT_JOURNAL_LOADED, with the token */
	EFFECT_LOAD_SHARD,        /* EVENT_SHARD_LOADED; with `and_template`, not found without that */
	EFFECT_LOAD_VALUE,        /* of shard `id` and `upload`; zero id: its template. EVENT_VALUE_LOADED */
	/* The other nodes. */
	EFFECT_SEND,          /* data to the node `id`; lost when there is no link */
	EFFECT_PEER_WANT,     /* keep a link to the node `id` at the address `text` */
	EFFECT_PEER_UNWANT,   /* no more */
	EFFECT_PEER_END,      /* end the link to the node `id`: it says what no node of ours says */
	EFFECT_PUBLISH,       /* `presence` to the DHT, in the place of the one before */
	EFFECT_DIRECTORY_PUT, /* the batch `id` has the homes in data (opt_ids) */
	EFFECT_DIRECTORY_GET, /* EVENT_DIRECTORY, with the token */
	/* Postfix. */
	EFFECT_ENGINE_SETTLE,  /* find out what is in the spool: EVENT_SPOOL */
	EFFECT_ENGINE_RESTART, /* empty the spool (Postfix is dead), start Postfix: EVENT_ENGINE_UP */
	EFFECT_ENGINE_STOP,    /* stop Postfix, `text` says why: EVENT_ENGINE_DOWN once its master is dead */
	EFFECT_SPOOL_REMOVE,   /* remove one file from the spool */
	EFFECT_FEED,
	/* Answers to those who wait. */
	EFFECT_OUTCOME_ANSWER, /* the outcome is safe: Postfix may go on */
	EFFECT_UPLOAD_ANSWER,
	EFFECT_QUERY_ANSWER,   /* `status`, `view` */
	EFFECT_FETCH_ANSWER,   /* `status`, data: the shard's value; `entries`: its journal */
	EFFECT_COMMAND_ANSWER, /* `status` */
	EFFECT_CONTROL_ANSWER,
	/* Wake the core with EVENT_TICK at `deadline`; the last one counts. */
	EFFECT_TIMER,
	/* Notices, for the log. */
	EFFECT_BATCH_ACCEPTED,
	EFFECT_BATCH_DONE,
	/* `text`: what happened, one word; `id`: to which shard, batch or node. A shard was
	 * taken from `node`, `why` */
	EFFECT_NOTICE,
};

struct batch_view;

enum upload_answer {
	UPLOAD_OPENED,   /* go on with the recipients */
	UPLOAD_COMPARES, /* go on; the batch exists and is only compared */
	UPLOAD_ACCEPTED, /* durable: the batch is ours */
	UPLOAD_SAME,     /* it was accepted before, with the same content */
	UPLOAD_CONFLICT, /* it was accepted before, with other content */
	UPLOAD_BUSY,     /* somebody else uploads this id right now: try again */
	UPLOAD_FAILED,   /* the store refused: nothing is kept */
	UPLOAD_GONE,     /* no such upload */
	UPLOAD_AGAIN,    /* too few nodes can be asked now: try again */
};

enum control_answer {
	CONTROL_OK,        /* durable, and so from now on */
	CONTROL_NOT_FOUND, /* no such batch, or it was not accepted yet */
	CONTROL_ALREADY,   /* the batch is done or cancelled: nothing can change that */
	CONTROL_STARTING,  /* the node does not know yet what it has: try again */
	CONTROL_FAILED,    /* the store refused: all is as it was */
	CONTROL_AGAIN,     /* too few nodes can be asked now; it may take effect or not: try again */
};

struct effect {
	enum effect_type type;
	uint64_t token;
	uint64_t reply;
	struct opt_id id; /* batch key or shard id */
	struct opt_id upload;
	struct opt_id node; /* STORE_UPLOAD: the upload's coordinator; zero: it is this node's alone */
	/* STORE_APPEND, STORE_REGISTER: the store's sequence from this write on (queue/lost_writes.h), in one
	 * transaction with it; 0: as it was. */
	uint64_t sequence;
	const void *data;
	size_t len;
	uint32_t shards;             /* STORE_DROP_UPLOAD */
	bool and_template;           /* LOAD_SHARD */
	enum upload_answer answer;   /* UPLOAD_ANSWER */
	enum control_answer control; /* CONTROL_ANSWER */
	struct boot_time deadline;   /* TIMER */
	const char *text;            /* SPOOL_REMOVE: the file; STORE_COMMIT, BATCH_*: the batch's name */
	const char *why;             /* NOTICE: one word, static memory; NULL: there is no `node` either */
	/* FEED */
	struct opt_id batch; /* LOAD_SHARD, FEED, STORE_SHARD: the batch's key */
	const char *sender;
	struct utc_time created;
	uint32_t epoch;
	const struct frame_mail *mails;
	size_t mail_count;
	bool bulk;  /* SEND: may wait behind others */
	int status; /* answers: 0 or an OPT_E_ code */
	const struct presence *presence;
	const struct batch_view *view;
	const struct span *entries;
	size_t entry_count;
};

struct effects {
	struct effect *items;
	size_t count;
	size_t size;
	void **owned;
	size_t owned_count;
	size_t owned_size;
};

void effects_init(struct effects *effects);
void effects_done(struct effects *effects);
void effects_clear(struct effects *effects);

/* For the core: a new, zeroed effect at the end of the list. */
struct effect *effects_add(struct effects *effects, enum effect_type type);
/* Copies into memory of the list. */
void *effects_copy(struct effects *effects, const void *data, size_t len);
char *effects_copy_text(struct effects *effects, const char *text);

#endif
