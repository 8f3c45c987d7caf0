/* SPDX-License-Identifier: MIT */
/*
 * The register of a batch at one of its homes (rule 1): what this node has promised and accepted as a voter.
 * queue/propose.h is the other side.
 *
 * The register decides once which upload becomes the batch: single-decree Paxos (Lamport, Paxos Made Simple,
 * 2001). What is proposed under a ballot is the record of an upload (commit) or the word that an upload will
 * never be one (abort). A commit that a majority has accepted is decided and binds every later ballot. An
 * abort binds only its own upload: a home that has accepted it never accepts that upload's commit again, and
 * the id stays free for others. Promises and acceptances are durable before they are answered.
 *
 *   decided commit of X at ballot b: every later ballot finds it at a majority, and proposes it again
 *   decided abort of X at ballot b:  no lower ballot had decided X, for the majority that promised b had not
 *                                    accepted it; no higher one can, for a majority refuses it
 *
 * Who the homes are follows from the members that are not forgotten. Every request carries a hash of the
 * sender's members and homes, and a home that sees others answers "busy". Members that come or go move homes,
 * so a home votes only while it knows what was decided before:
 *
 * - every node pushes the records and registers that it holds to their present homes, again after each change
 *   of the members and each new link, and says in its heartbeats for which members it has done so;
 * - a home of a cluster with a full mesh votes only when all its live, linked peers have said so for the
 *   members that it sees itself, and when those that it can't hear are too few to be a majority of the homes
 *   that the batch had without the nodes that are new. A node is new until it has heard enough others to know
 *   everything that was decided; from then on it is one of those that others have to hear, also after a
 *   restart, for which it leaves a mark in its store. The mark names the members, and no vote is given before
 *   it names those of now: so who starts again knows whom it has to hear;
 * - a forgotten home counts as one that can't be heard until all others were heard once, or all of those that
 *   could know what it decided;
 * - where the mesh is not full, a home asks the members around the batch before it votes (queue/homeread.h),
 *   and the mark has to name these.
 *
 * Where all are new a cluster begins, and it must begin once. A node that was told to join by others is lost
 * until it has heard all of them, and nodes begin a cluster only when none of them is lost. So two groups
 * that can't hear each other do not begin two clusters, as one of them lacks the node that the others were to
 * join. In a large cluster a node looks at its linked peers for that, and begins with the first that knows.
 *
 * What this can't see: what only nodes have decided that were forgotten. The operator's word is that it is
 * lost.
 */
#ifndef OPTIMUS_QUEUE_HOME_H
#define OPTIMUS_QUEUE_HOME_H

#include "queue/call.h"
#include "queue/state.h"

struct reg;

/* At core_new() and core_free(). */
void home_init(struct core *core);
void home_free(struct core *core);
/* EVENT_RECOVER_REGISTER */
void home_recover(struct core *core, const struct opt_id *batch, const void *data, size_t len);

/* Requests: PEER_PREPARE, PEER_ACCEPT. `peer` may be this node. */
void home_prepare(struct core *core, struct peer *peer, const struct peer_message *request);
void home_accept(struct core *core, struct peer *peer, const struct peer_message *request);
/* WRITE_REGISTER */
void home_stored(struct core *core, struct write *write, int status);

/* Whether there is a register with anything in it. */
bool home_has(struct core *core, const struct opt_id *batch);
/* This node knows from now on what was decided. */
void home_known(struct core *core);
/* Writes the mark that says so, with the members of now, into the store. */
void home_mark(struct core *core);
/* The record of the batch is durable: its register is not needed any more. */
void home_learnt(struct core *core, const struct batch *batch);
/*
 * The homes of an accepted batch: those that its record names without those that were forgotten, for nobody
 * would wait for them any more; where none of them is left, the batch's present homes, which have the record
 * from those that hold it (queue/homesync.h). Returns how many.
 */
uint32_t home_list(struct core *core, const struct opt_id *batch, const struct batch_record *record,
    struct peer *ret_homes[REPLICAS_MAX]);
/* EFFECT_DIRECTORY_PUT when this node is a home of the batch by its record. */
void home_directory(struct core *core, const struct batch *batch);

/* The hash that requests about the batch carry, and the batch's homes. */
struct opt_id home_hash(
    struct core *core, const struct opt_id *batch, struct peer *ret_homes[REPLICAS_MAX], uint32_t *ret_count);

/*
 * A register of another home (PEER_RECORD with RECORD_REGISTER): merged, and answered when it is durable.
 * PEER_REFUSED where the batch's record is, on a node that others have to hear before they vote.
 */
void home_merge(struct core *core, struct peer *peer, const struct peer_message *request);
/* Nobody needs the register any more: it is removed, from the store as well. */
void home_drop(struct core *core, struct reg *reg);
/* All records and registers have been read. */
void home_recovered(struct core *core);

#endif
