/* SPDX-License-Identifier: MIT */
/*
 * Writes under way: what the core asked of the store and what is to happen when the answer comes.
 */
#ifndef OPTIMUS_QUEUE_WRITE_H
#define OPTIMUS_QUEUE_WRITE_H

#include "queue/state.h"

enum write_kind {
	WRITE_UPLOAD, /* the upload's template or one of its shards */
	WRITE_COMMIT,
	WRITE_CLAIMS,
	WRITE_OUTCOMES,
	WRITE_OTHER,       /* nobody waits: squash, finished */
	WRITE_DROP,        /* nobody waits: all that belongs to an upload goes */
	WRITE_PEER_APPEND, /* a peer's PEER_APPEND */
	WRITE_PROMISE,     /* a promise, to a peer or to ourselves */
	WRITE_UNION,       /* what a sync found that this node lacked */
	WRITE_SERVE,       /* no write: our journal is being read for a peer */
	WRITE_REREAD,      /* no write: it is being read again for ourselves */
	WRITE_HEADER,      /* no write: it is being read for the shard's header */
	WRITE_REGISTER,    /* a promise or an acceptance of a home */
	WRITE_STAGE,       /* a staged template or shard of a peer's upload */
	WRITE_CONTROL,     /* of a batch */
	WRITE_VERSION,     /* of a command that is to come */
	WRITE_CONFIG,      /* the entry of a new configuration */
	WRITE_JOIN,        /* what a newcomer to a shard has fetched */
	WRITE_TOLD,        /* of a shard that this node has left */
};

/* What is to happen when the store has answered. */
struct write {
	RB_ENTRY(write) node;
	TAILQ_ENTRY(write) again;
	TAILQ_ENTRY(write) awaited; /* in core->awaited */
	bool in_awaited;
	RB_ENTRY(write) request; /* in peer->requests */
	bool in_requests;
	uint64_t token;
	enum write_kind kind;
	struct opt_id upload; /* UPLOAD, COMMIT, STAGE, REGISTER, DROP: by id, as it may be gone by then */
	struct shard *shard;  /* CLAIMS, OUTCOMES */
	struct boot_time since;
	struct claim *claims; /* CLAIMS */
	uint64_t generation;  /* CLAIMS: of the spool that they name */
	uint64_t sequence;    /* of the store, once it has the write; 0: none */
	uint64_t *replies;    /* OUTCOMES, CONTROL */
	char **files;         /* OUTCOMES: NULL where there is none */
	size_t count;
	struct control control; /* CONTROL, with one reply; VERSION: only that */
	void *data;             /* OUTCOMES, OTHER: to be written again after a failure */
	size_t len;
	struct opt_id id; /* the journal */
	/* Replication: CLAIMS, OUTCOMES. */
	uint32_t epoch;
	uint8_t stored; /* bits of members that have it; without one, `local` */
	bool local;     /* this node's store has it */
	bool safe;      /* a majority has it, or as many as are left */
	struct boot_time safe_at;
	bool alone;         /* CLAIMS: made without a majority, and marked so (queue/alone.h) */
	bool counted;       /* among core->unreplicated */
	bool tried;         /* CLAIMS: of a silent shard; no round waits for them */
	bool refused;       /* part of it */
	bool done;          /* CLAIMS: fed or taken back. OUTCOMES: written here */
	bool held;          /* OUTCOMES: Postfix is not answered yet, as too few facts are safe */
	uint32_t pending;   /* entries that the store has not answered */
	struct timer timer; /* CLAIMS: boot time; when it is too late for them */
	struct call *calls[REPLICAS_MAX]; /* by member; NULL: none, or answered */
	/* What came from a peer. */
	struct peer *peer; /* who waits; NULL: this node itself */
	uint64_t peer_token;
	enum peer_type peer_type;
	struct ballot ballot; /* REGISTER */
	void *owner;          /* by kind */
};

/* A new write with a token, remembered until write_free(). */
struct write *write_new(struct core *core, enum write_kind kind);
struct write *write_find(struct core *core, uint64_t token);
/* In the order of their tokens; NULL at the end. */
struct write *write_first(struct core *core);
struct write *write_next(struct write *write);
/* Ends its calls, too. */
void write_free(struct core *core, struct write *write);

/* The store has answered. write_free() says so as well. */
void write_answered(struct core *core, struct write *write);
/* How long the oldest of those that the store has not answered waits. */
usec write_wait(const struct core *core);

/* The write is made for that request of the peer, which write_under_way() finds. */
void write_for(struct write *write, struct peer *peer, uint64_t token);
/* Whether one is under way for it. A request is repeated until it is answered: one write is enough. */
bool write_under_way(const struct peer *peer, uint64_t token);

/* EFFECT_STORE_APPEND of write->data to the journal write->id. */
void write_append(struct core *core, struct write *write);
/* The same with this entry, which becomes write->data. */
void write_append_entry(struct core *core, struct write *write, const struct journal_entry *entry);
/* EFFECT_STORE_DROP_UPLOAD. It is repeated until the store takes it, too: a full one is where it matters. */
void write_drop(struct core *core, const struct opt_id *batch, const struct opt_id *upload, uint32_t shards);
/* An entry for the journal of `id` for which nobody waits; it is repeated until the store takes it. */
void write_entry(struct core *core, const struct opt_id *id, const struct journal_entry *entry);
/* The store has refused it, a while ago: it gets it once more. A drop becomes another write. */
void write_again(struct core *core, struct write *write);

#endif
