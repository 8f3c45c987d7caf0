/* SPDX-License-Identifier: MIT */
/*
 * Submission: staged shards become a batch by the decision of its homes, or leave no trace.
 */
#ifndef OPTIMUS_QUEUE_UPLOAD_H
#define OPTIMUS_QUEUE_UPLOAD_H

#include "queue/call.h"
#include "queue/state.h"

enum upload_phase {
	UPLOAD_TAKING,   /* the client sends, or waits for what is being stored */
	UPLOAD_PROPOSED, /* the record is on its way to be decided */
	UPLOAD_DECIDED,  /* it is the batch; the replicas are told */
	UPLOAD_LOST,     /* another upload is the batch; its record is on its way into the store */
	UPLOAD_ENDING, /* the client was answered; replicas that are slow, but answer, still get their shards
	                */
	UPLOAD_ABORTING, /* the client was answered; the register has to say that it will never be a batch */
};

/* How far a shard of an upload is: bits by the place in its list of replicas. */
struct upload_place {
	uint8_t stored;
	uint8_t failed;
};

/* A replica of some shard of an upload, by its number in the record. */
struct upload_node {
	struct peer *peer;
	bool opened;                  /* it has heard of the upload */
	bool sending;                 /* the template is on its way, and was not confirmed */
	uint32_t parts;               /* of it that were sent */
	uint64_t incarnation;         /* to which the first one went */
	uint32_t calls;               /* under way */
	bool silent;                  /* it leaves them unanswered, though it lives */
	struct boot_time answered_at; /* one of them; or they began */
};

struct upload {
	RB_ENTRY(upload) node;
	struct opt_id id;
	struct opt_id batch; /* key */
	struct batch_settings settings;
	struct opt_id template_hash;
	void *template; /* for the replicas; NULL when there are none */
	size_t template_len;
	struct record_shard *shards;
	struct upload_place *places;
	uint32_t shard_count, shard_size;
	uint64_t mails;
	struct spread *spread;     /* NULL: this node was the only one when it was opened */
	struct upload_node *nodes; /* replicas: the first place_nodes of the record's nodes */
	uint32_t place_nodes;
	uint32_t pending; /* writes of this node under way */
	bool template_stored;
	uint32_t unsafe; /* shards that no majority has yet */
	uint32_t calls;  /* under way */
	bool compares;   /* the batch exists: nothing is stored */
	bool failed;
	bool again;          /* too few replicas are left for one of the shards */
	bool refused;        /* a replica knows that another upload is the batch */
	uint32_t shards_max; /* that the record has room for */
	enum upload_phase phase;
	bool deciding;              /* a proposal is under way */
	struct boot_time decided;   /* when */
	uint64_t commit_reply;      /* 0: commit was not asked for yet, or was answered */
	struct batch_record record; /* its nodes; all of it once it was proposed */
};

void upload_open(struct core *core, const struct event *event);
void upload_shard(struct core *core, const struct event *event);
void upload_commit(struct core *core, uint64_t reply, const struct opt_id *id);
void upload_abort(struct core *core, const struct opt_id *id);
/* All that the store has of an upload that is no batch and will be none. */
void upload_drop_left_over(struct core *core, const struct opt_id *id);

/* The store answered a WRITE_UPLOAD. */
void upload_written(struct core *core, const struct write *write, int status);
/* How it stands with a shard or the template has changed: goes on to the commit when that was all. */
void upload_go_on(struct core *core, struct upload *upload);
/* The record of that upload of the batch is in the store and the batch exists, or the store refused it. */
void upload_recorded(struct core *core, const struct opt_id *batch, const struct opt_id *upload, int status);
/* One more node of the batch's record has it; or none is left to wait for. */
void upload_announced(struct core *core, const struct opt_id *batch);
/* Once a heartbeat. */
void uploads_tick(struct core *core);

/* What core_upload_pending() says. */
uint32_t upload_pending(const struct upload *upload);
struct upload *upload_find(const struct core *core, const struct opt_id *id);
/* The next in the order of ids; NULL: the first. An upload of that id need not exist. */
struct upload *upload_after(const struct core *core, const struct opt_id *id);
void upload_look(const struct upload *upload, struct batch_view *ret_view);
void uploads_free(struct core *core);

#endif
