/* SPDX-License-Identifier: MIT */
/*
 * A change of a shard's members by its owner (rule 6): one member comes, or one goes.
 *
 *   comes: it gets the record, the values and the journal, and says so (PEER_JOIN, queue/join.h)
 *   → the configuration's entry on the newcomer → on a majority of the old and of the new members: it counts
 *   → the members' journals are compared, once
 *
 * To replace a member, one comes and then the other goes. A step changes one member only, so any majority of
 * the configuration before and any majority of the one after have a member in common: claims and promises
 * need not rest meanwhile, and whoever finds an entry of which nobody knows whether it came to count may take
 * it for one that did. The next step waits until the members of the last one are known to have all facts.
 *
 * Two entries that came to count nowhere may have no majority in common, though each has one with what was
 * before (Ongaro's correction of Raft's changes of one server, raft-dev, 2015). So an owner's first entry
 * says the members as they are, and an owner that does not know whether its entry counts owns the shard anew
 * before it sends another.
 *
 * The number of a configuration rises and is never used for two: that of a new owner starts at its epoch
 * times CONFIGS_AN_EPOCH, and who has used all of its epoch's owns the shard anew. In the entry the owner is
 * the first member, so that it tells who may write in its epoch.
 */
#ifndef OPTIMUS_QUEUE_CHANGE_H
#define OPTIMUS_QUEUE_CHANGE_H

#include "queue/call.h"
#include "queue/state.h"

enum {
	CHANGES_MAX = 8, /* at once */
	CONFIGS_AN_EPOCH = 64,
};

/*
 * Starts one, when this node owns the shard and nothing speaks against it now. `hand_over`: who comes is to
 * own the shard then. Returns whether it has started: the members may have to be settled first.
 */
bool change_start(struct core *core, struct shard *shard, struct peer *peer, bool comes, bool hand_over);
/* The change is given up, or was overtaken by another configuration. Takes a shard without one. */
void change_end(struct core *core, struct shard *shard);
/* With each heartbeat: one that takes too long is given up. */
void change_tick(struct core *core, struct shard *shard);

/* Answers to CALL_JOIN, CALL_CONFIG and CALL_TAKE. */
void change_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* WRITE_CONFIG. Frees the write. */
void change_stored(struct core *core, struct write *write, int status);

#endif
