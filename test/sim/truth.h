/* SPDX-License-Identifier: MIT */
/*
 * What really happened, as only the simulator can know it: what clients submitted, what the store holds, what
 * Postfix and the remote servers did with each attempt. The checks compare the core's word with it.
 */
#ifndef OPTIMUS_TEST_SIM_TRUTH_H
#define OPTIMUS_TEST_SIM_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/clock.h"
#include "queue/journal.h"
#include "queue/mail.h"
#include "queue/record.h"
#include "test/sim/arena.h"
#include "test/sim/idmap.h"
#include "test/sim/sim_control.h"

struct sim_file;
struct effect;
struct node;
struct world;
struct store_op;

/* Where an attempt is, in truth. */
enum place {
	PLACE_NOWHERE, /* not fed yet, or it never reached Postfix */
	PLACE_PICKUP,  /* in a connection to pickup */
	PLACE_SPOOL,   /* in the spool, dead or alive */
	PLACE_GONE,    /* it was in the spool */
};

/* Why the core may be unsure about an attempt. */
enum cause {
	CAUSE_UNCERTAIN = 1, /* pickup said so */
	CAUSE_WORDLESS = 2,  /* it left the spool, or was put aside, without an outcome */
	CAUSE_ENGINE = 4,    /* Postfix died under it */
	CAUSE_DAEMON = 8,    /* optimusd died while it was on its way or in the spool */
	CAUSE_DEATH = 16,    /* its node died for good */
};

/* What the store of one node has of an attempt. */
struct held {
	struct held *next;
	uint32_t node;
	bool claimed;
	uint32_t facts; /* 1 << kind */
};

struct attempt {
	struct attempt *next; /* the mail's earlier one */
	struct mail *mail;
	struct attempt_key key;
	/* What stores hold: all of them together, then each. */
	struct held *held;
	uint32_t owner;  /* the node that claimed it */
	usec claim_made; /* when the core said so */
	usec settled;    /* when a majority of the members had its final fact; 0: not yet */
	bool claimed;
	uint32_t flags;
	uint64_t generation;
	struct utc_time claimed_at;
	uint32_t facts; /* bit 1 << kind */
	/* What happened. */
	enum place place;
	struct sim_file *file;
	uint32_t life;     /* the daemon's, when it was claimed or fed */
	uint32_t fed;      /* times it was handed to Postfix */
	uint32_t causes;   /* bits of enum cause */
	uint32_t accepted; /* by the remote server */
	uint32_t lost_dots;
	uint32_t did; /* bit of what Postfix would report: 1 << kind */
	bool refused; /* pickup told the core FED_REFUSED */
	/* What the core was told, and what it answered. */
	uint32_t told;     /* 1 << kind */
	uint32_t answered; /* 1 << kind */
	bool not_now;      /* the core was told that nothing was queued */
	struct boot_time deferred_boot;
	struct utc_time deferred_utc;
	usec deferred_booted; /* when its machine had booted */
};

struct mail {
	struct sim_batch *batch;
	struct sim_shard *shard;
	uint64_t number; /* of all mails of the world */
	uint32_t index;
	uint16_t domain;
	bool refused;             /* can't be rendered */
	struct attempt *attempts; /* latest first */
	uint32_t copies;          /* that the remote servers have */
	uint32_t fact_kinds;      /* durable facts of all attempts, 1 << kind */
};

/*
 * Members of a shard. A configuration counts when somebody else than its maker, the first of its members, has
 * it in the store: majorities of the old and of the new members are never the maker alone.
 */
struct sim_config {
	struct sim_config *before; /* of the next lower number */
	uint32_t number;
	uint32_t count;
	uint32_t nodes[REPLICAS_MAX];
};

struct sim_epoch {
	struct sim_epoch *next;
	uint32_t epoch;
	uint32_t owner; /* UINT32_MAX: nobody has claimed in it */
	usec promised;  /* the first promise of it that became durable; 0: none */
};

struct sim_shard {
	struct sim_batch *batch;
	struct sim_config *configs; /* all that was ever written, the latest first */
	struct sim_config *config;  /* the latest that counts */
	struct sim_epoch *epochs;
	struct opt_id id;
	uint32_t index;
	uint32_t count;
	struct mail *mails;
};

enum { DOMAINS = 32, DOMAIN_SLOW = 30, DOMAIN_DEAD = 31 };
extern const char *const domain_names[DOMAINS];

/* One version of what a client submits. */
struct content {
	struct sim_batch *batch;
	uint32_t number;
	struct batch_settings settings;
	struct opt_id template_hash;
	const char *template_text;
	bool told_conflict; /* a client knows that the batch has other content */
	uint32_t shard_count;
	uint64_t total;
	struct content_shard {
		uint32_t count;
		struct opt_id hash;
		void *value;
		size_t len;
	} * shards;
};

/* What a node has durably heard of the operator's commands about a batch. */
struct heard {
	uint64_t version;
	enum control_what what;
	usec since;
};

struct sim_batch {
	const char *name;
	struct opt_id key;
	struct content *contents[2];
	/* From the moment when the record is durable. */
	const struct content *accepted;
	struct opt_id upload;
	void *record;
	size_t record_len;
	uint32_t homes[REPLICAS_MAX];
	uint32_t home_count;
	struct heard *heard; /* of each node; NULL: of none */
	struct utc_time created;
	struct utc_time expires;
	struct sim_shard *shards;
	bool told_accepted; /* a client knows */
	struct commanded control;
};

struct truth {
	struct arena *arena;
	struct idmap uploads; /* upload id -> struct content */
	struct idmap batches; /* batch key -> struct sim_batch */
	struct idmap shards;  /* shard id -> struct sim_shard, of accepted batches */
	uint64_t mails;
	struct journal_reader *reader;
};

void truth_init(struct truth *truth, struct arena *arena, struct journal_reader *reader);
struct sim_batch *truth_batch(struct truth *truth, const char *name);
/* The record of the batch became durable. NULL, or what is wrong with it. */
const char *truth_accept(struct world *w, const struct opt_id *key, const void *data, size_t len);
/* NULL when there is none. */
struct mail *truth_mail(const struct truth *truth, const struct opt_id *shard, uint32_t index);
struct attempt *truth_attempt(const struct truth *truth, const struct attempt_key *key);
/* The same, made when there is none. NULL only when there is no such mail. */
struct attempt *truth_attempt_new(struct truth *truth, const struct attempt_key *key);
/* Whether somebody's word settles the attempt: an outcome that the core was told, or that nothing was queued.
 */
bool truth_settled(const struct attempt *attempt);
/* Whether the cores were told how the mail ended, by any attempt, or one of them has decided it. */
bool truth_ended(const struct mail *mail);
/* The daemon died: what it was told and did not write down is forgotten. */
void truth_forget_told(struct truth *truth, const struct node *node);
/* What only that node knew is lost. */
void truth_node_died(struct truth *truth, const struct node *node);
/* What the node's store has of the attempt; made when there is nothing yet. */
struct held *truth_held(struct truth *truth, struct attempt *attempt, uint32_t node);
uint32_t truth_facts_of(const struct attempt *attempt, uint32_t node);
/* A fact became durable on the node. */
void truth_fact_held(
    struct truth *truth, struct attempt *attempt, uint32_t node, enum outcome_kind kind, usec now);
/* Whether a majority of the members of some configuration has the claim. */
bool truth_claim_safe(const struct attempt *attempt);
/* Of the latest configuration. */
bool truth_member(const struct sim_shard *shard, uint32_t node);
/* Whether a shard of it has other members than when it was accepted. */
bool truth_members_changed(const struct sim_batch *batch);
/* The node is a home of the batch or a member of one of its shards, now or before. */
bool truth_takes_part(const struct sim_batch *batch, uint32_t node);
struct sim_epoch *truth_epoch(struct truth *truth, struct sim_shard *shard, uint32_t epoch);
void truth_promise(struct truth *truth, const struct opt_id *shard, uint32_t epoch, usec now);
/* The node has the configuration in its store. */
void truth_config(const struct node *node, const struct opt_id *shard, const struct journal_entry *entry);
/*
 * A write is durable, and the core was told so, or not yet. It refuses claims from the moment on when it was
 * told; it need not any more as soon as the word is durable, since a restart finds it in the journal.
 */
void truth_store_heard(
    struct truth *truth, const struct node *node, const struct store_op *op, bool answered);
/* The state that the durable facts give: the report's line. MAIL_READY when they leave it open. */
enum mail_state truth_state(const struct mail *mail);

/* A shard's value, as the simulated client writes it. */
void *content_encode(
    struct arena *arena, const struct mail *mails, uint32_t count, uint32_t salt, size_t *ret_len);
/* Number of mails, 0 when the bytes are no such value. */
uint32_t content_count(const void *data, size_t len);
uint16_t content_domain(const void *data, uint32_t index);
bool content_refused(const void *data, uint32_t index);

#endif
