/* SPDX-License-Identifier: MIT */
/*
 * A shard's replicas: who they are, who owns it, and facts on a majority of them (rules 2, 3 and 6).
 *
 * A write to a shard's journal goes to this node's store and, as a call, to every other member. It is
 * *durable here* when the store has it, and *safe* when a majority of the members has it. A member that does
 * not answer is left behind once the write is safe and it is no longer alive: `shard->behind` says so, and
 * queue/sync.h brings it up to date when it is back.
 *
 * Epochs: a member promises an epoch to one node and refuses claims of lower ones. An owner that is refused,
 * or hears of a higher epoch, steps down: it takes back what was not fed and goes on as a replica.
 */
#ifndef OPTIMUS_QUEUE_REPLICA_H
#define OPTIMUS_QUEUE_REPLICA_H

#include "queue/call.h"
#include "queue/state.h"

/* Members and first owner from the batch's record. */
void replica_init(struct core *core, struct shard *shard);
int replica_number(const struct shard *shard, const struct peer *peer); /* -1: no member */
bool replica_mine(const struct core *core, const struct shard *shard);  /* this node is a member */
uint32_t replica_majority(const struct shard *shard);

uint32_t replica_alive(const struct core *core, const struct shard *shard); /* members that are alive */

/* Members that lack facts, or have them again. */
void replica_behind(struct core *core, struct shard *shard, uint8_t members);
void replica_behind_others(struct core *core, struct shard *shard); /* all but this node */
void replica_not_behind(struct core *core, struct shard *shard, uint8_t members);

/* Sends what `write` appends to the other members: CLAIMS or FACTS by its kind. After write_append(). */
void replica_send(struct core *core, struct write *write);
/* The store has the write, or a member has it. True when it has just become safe. */
bool replica_stored(struct core *core, struct write *write);
/* Safe, and nobody is being told of it any more. */
bool replica_write_over(const struct write *write);
/* Ends the calls: who has not answered gets the entry by a comparison of journals. */
void replica_leave_behind_all(struct core *core, struct write *write);
void replica_end_calls(struct core *core, struct write *write);
/* For writes of entries that came from others: copies them into the write and appends them to the store. */
void replica_write_entries(struct core *core, struct write *write, const struct span *entries, size_t count);
/* They are in the store: takes them into the shard's state. */
void replica_take_entries(struct core *core, const struct write *write);
/* The store has refused some of them: reads the journal for those that it took. */
void replica_reread(struct core *core, struct shard *shard);
/* The journal that WRITE_REREAD asked for. Frees the write. */
void replica_reread_loaded(struct core *core, struct write *write, const struct event *event);

/* PEER_REFUSED, with what is known of the shard's owner and members. */
void replica_refuse(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct shard *shard);

/* The owner is known to be `owner` in `epoch`: from a promise, an append, a journal. */
void replica_learn(struct core *core, struct shard *shard, uint32_t epoch, struct peer *owner);
void replica_learn_config(
    struct core *core, struct shard *shard, uint32_t config, const struct opt_id *members, uint32_t count);
/*
 * This node takes part in the shard when it is one of its members, and does not when it is none. While the
 * journal is being read it stays as it is: one configuration follows the other then. True: the journal is
 * being read now.
 */
bool replica_follow_members(struct core *core, struct shard *shard);
/* This node owns the shard from now on, in `epoch`. */
void replica_own(struct core *core, struct shard *shard, uint32_t epoch);
void replica_step_down(struct core *core, struct shard *shard);

/* A journal entry about promises or members was read from the store, or came in a union. */
void replica_take_entry(struct core *core, struct shard *shard, const struct journal_entry *entry);

/* Requests: PEER_APPEND. Answers to CALL_APPEND. */
void replica_append(struct core *core, struct peer *peer, const struct peer_message *request);
void replica_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* An append of a peer is in the store. */
void replica_append_stored(struct core *core, struct write *write, int status);

/* What the view says of a peer has changed. */
void replica_peer_changed(struct core *core, struct peer *peer);
/* Whether enough members are alive for the shard to be fed. */
void replica_check_quorum(struct core *core, struct shard *shard);
/* With every heartbeat: members that were away are brought up to date. */
void replica_tick(struct core *core);
/* The shard is about to be freed. */
void replica_forget(struct core *core, struct shard *shard);

#endif
