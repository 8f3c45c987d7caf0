/* SPDX-License-Identifier: MIT */
/*
 * What can happen to the core: one struct event, with both times, for core_step().
 *
 * All pointers are borrowed for the duration of the step. A `reply` is the shell's own number for somebody
 * who waits; it comes back in an effect.
 */
#ifndef OPTIMUS_QUEUE_EVENT_H
#define OPTIMUS_QUEUE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/presence.h"
#include "queue/clock.h"
#include "queue/frames.h"
#include "queue/id.h"
#include "queue/journal.h"
#include "queue/mail.h"
#include "queue/message/buffer.h"
#include "queue/outcome.h"
#include "queue/record.h"

enum event_type {
	/* Start: every stored batch record, register and staged upload, then RECOVER_DONE. */
	EVENT_RECOVER_BATCH,
	EVENT_RECOVER_UPLOAD,
	EVENT_RECOVER_REGISTER, /* the sequence, too: under its own key (queue/lost_writes.h) */
	EVENT_RECOVER_DONE,
	/* Answers to EFFECT_LOAD_JOURNAL and EFFECT_LOAD_SHARD. */
	EVENT_JOURNAL_LOADED,
	EVENT_SHARD_LOADED,
	/* A client submits. */
	EVENT_UPLOAD_OPEN,
	EVENT_UPLOAD_SHARD,
	EVENT_UPLOAD_COMMIT,
	EVENT_UPLOAD_ABORT,
	/* An operator's command: EFFECT_CONTROL_ANSWER. */
	EVENT_CONTROL,
	EVENT_DRAIN,
	/* A store effect has ended. */
	EVENT_STORE_DONE,
	EVENT_VALUE_LOADED, /* answer to EFFECT_LOAD_VALUE */
	/* The other nodes. */
	EVENT_PRESENCE,     /* a record came out of the DHT; the shell has checked its signature */
	EVENT_PEER_UP,      /* there is a link to the node now */
	EVENT_PEER_DOWN,    /* there is none any more */
	EVENT_PEER_REFUSED, /* its host answered, and refused the port: its process is not there */
	EVENT_FRAME,        /* a message of a peer (queue/peer.h) */
	EVENT_DIRECTORY,    /* answer to EFFECT_DIRECTORY_GET */
	/* Somebody asks this node about the cluster. */
	EVENT_QUERY,  /* a batch's counts: EFFECT_QUERY_ANSWER */
	EVENT_FETCH,  /* a shard's value and journal: EFFECT_FETCH_ANSWER */
	EVENT_FORGET, /* the operator says that a node is gone for good: EFFECT_COMMAND_ANSWER */
	EVENT_JOINED, /* all nodes that this one was told to join by have been heard since its start */
	EVENT_LEAVE,  /* the shell is about to stop in order: the peers are told in this step */
	/* Postfix. */
	EVENT_ENGINE_DOWN,
	EVENT_ENGINE_UP,
	EVENT_SPOOL,
	EVENT_FED,
	EVENT_OUTCOME,
	EVENT_LEFT_SPOOL,
	/* The deadline of EFFECT_TIMER has come. */
	EVENT_TICK,
};

/* Where in Postfix's spool a message was found. */
enum spool_place {
	SPOOL_WRITING,  /* cleanup(8) has not finished it: it will be queued or vanish */
	SPOOL_INCOMING, /* no delivery agent has ever seen it */
	SPOOL_ACTIVE,   /* may be in delivery */
	SPOOL_ASIDE,    /* deferred, hold, corrupt: Postfix has put it aside */
};

struct spool_entry {
	struct attempt_key key;
	enum spool_place place;
	const char *file; /* "active/4gB..." : what EFFECT_SPOOL_REMOVE names */
};

struct event {
	enum event_type type;
	struct boot_time now;
	struct utc_time utc;
	union {
		struct {
			const void *data;
			size_t len;
		} recover_batch; /* the record's bytes */
		struct {
			struct opt_id upload;
			struct opt_id batch;       /* key */
			struct opt_id coordinator; /* the node that the client uploaded to; zero: nobody else
			                              heard of it */
		} recover_upload;
		struct {
			struct opt_id batch; /* key */
			const void *data;
			size_t len;
		} recover_register;
		struct {
			usec away; /* since this node was last at work, as far as is known; UINT64_MAX: it
			              is not */
		} recover_done;
		struct {
			uint64_t token;   /* of the effect */
			struct opt_id id; /* shard id or batch key */
			int status;       /* 0 or OPT_E_ code */
			const struct span *entries;
			size_t count;
		} journal_loaded;
		struct {
			struct opt_id shard;
			int status;
			const char *const *domains; /* of each mail, in order */
			size_t count;
		} shard_loaded;
		struct {
			uint64_t reply;
			struct opt_id upload; /* random, chosen by the shell */
			const struct batch_settings *settings;
			struct opt_id template_hash;
			const void *template_value; /* as it is to be stored */
			size_t template_len;
		} upload_open;
		struct {
			struct opt_id upload;
			uint32_t count; /* of mails in it */
			struct opt_id hash;
			const void *value;
			size_t len;
		} upload_shard; /* in order: the core numbers them */
		struct {
			uint64_t reply;
			struct opt_id upload;
		} upload_commit;
		struct {
			struct opt_id upload;
		} upload_abort;
		struct {
			uint64_t reply;
			const char *batch; /* its name */
			enum control_what what;
		} control;
		struct {
			uint64_t reply;
			struct opt_id node; /* zero: this one */
			bool on;
		} drain;
		struct {
			uint64_t token;
			int status; /* 0, OPT_E_FULL, OPT_E_STORE: it is certain that nothing was written */
		} store_done;
		struct {
			uint64_t token;
			int status; /* OPT_E_NOT_FOUND: there is none */
			const void *data;
			size_t len;
		} value_loaded;
		struct {
			const struct presence *presence;
		} presence;
		struct {
			struct opt_id node;
		} peer; /* PEER_UP, PEER_DOWN, PEER_REFUSED */
		struct {
			struct opt_id node;
			const void *data;
			size_t len;
		} frame;
		struct {
			uint64_t token;
			int status; /* 0, also where nothing was found; OPT_E_AGAIN: it could not be asked */
			const struct opt_id *homes;
			size_t count;
		} directory;
		struct {
			uint64_t reply;
			const char *batch; /* its name */
		} query;
		struct {
			uint64_t reply;
			struct opt_id batch; /* key */
			uint32_t index;      /* of the shard */
		} fetch;
		struct {
			uint64_t reply;
			struct opt_id node;
		} forget;
		struct {
			bool lives; /* its master still runs, and its delivery agents would take the next mail
			               when they are answered; the event comes again when it does not */
		} engine_down;
		struct {
			uint64_t generation; /* of the spool that Postfix runs over */
		} engine_up;
		struct {
			bool alive; /* the same Postfix that got the mails still runs over this spool */
			bool nameless_tried; /* a file in active or aside does not tell its attempt */
			uint64_t generation;
			const struct spool_entry *entries;
			size_t count;
		} spool;
		struct {
			struct attempt_key key;
			enum fed_status status;
			const char *reason;
		} fed;
		struct {
			uint64_t reply;
			struct outcome outcome;
		} outcome;
		struct {
			uint64_t reply;
			struct attempt_key key;
		} left_spool;
	};
};

#endif
