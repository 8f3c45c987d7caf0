/* SPDX-License-Identifier: MIT */
/*
 * A shard's replicas: who its members are, who owns it, and which of them lack something (rule 6).
 *
 * The members come from the batch's record, and then from configurations, of which the one with the highest
 * number counts (queue/change.h makes them). A member that has missed facts is *behind*: `shard->behind` says
 * so, and queue/sync.h brings it up to date when it is back.
 *
 * Epochs: a member promises an epoch to one node and refuses claims of lower ones. An owner that is refused,
 * or hears of a higher epoch, steps down: it takes back what was not fed and goes on as a replica.
 *
 * What members write to each other's journals is queue/replicate.h on its way out, and queue/append.h on its
 * way in; how a replica becomes the owner, queue/takeover.h.
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

/* Bits of all members but this node. */
uint8_t replica_others(const struct core *core, const struct shard *shard);

/* Members that lack facts, or have them again. */
void replica_behind(struct core *core, struct shard *shard, uint8_t members);
void replica_behind_others(struct core *core, struct shard *shard);
void replica_not_behind(struct core *core, struct shard *shard, uint8_t members);
/* The members, of those that are behind, that can be brought up to date now. */
uint32_t replica_catchable(const struct core *core, const struct shard *shard);

/* Puts the members, and the number of their configuration, into a message. */
void replica_say_members(const struct shard *shard, struct peer_message *message);
/* A message with what is known of the shard's owner and members. */
struct peer_message replica_header(const struct shard *shard);
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

/* What the view says of a peer has changed. */
void replica_peer_changed(struct core *core, struct peer *peer);
/* Whether enough members are alive for the shard to be fed. */
void replica_check_quorum(struct core *core, struct shard *shard);
/* With every heartbeat: members that were away are brought up to date. */
void replica_tick(struct core *core);
/* The shard is about to be freed. */
void replica_forget(struct core *core, struct shard *shard);

#endif
