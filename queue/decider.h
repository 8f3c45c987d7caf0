/* SPDX-License-Identifier: MIT */
/*
 * Deciders: all nodes that may have decided something about batches, and so have to be heard before it is
 * decided again (queue/home.h).
 *
 * These are the members, those that were forgotten while they may have left something with somebody who was
 * not heard since, and members of before this node's start that nobody has named yet. The latter are known
 * from the mark: the list of deciders that a node which knows what was decided keeps in its store. So a
 * cluster of which only a part is back after a failure of the power does not take that part for all of it.
 */
#ifndef OPTIMUS_QUEUE_DECIDER_H
#define OPTIMUS_QUEUE_DECIDER_H

#include "queue/state.h"

/* Whether the peer, this node included, is a member. */
bool decider_member(const struct core *core, const struct peer *peer);
/* Whether it is a decider. */
bool decider_is(const struct core *core, const struct peer *peer);

/* The ring of all deciders, as of the last change of members that queue/homesync.h has seen. */
const struct ring *decider_ring(struct core *core);

/* Appends their ids for the mark, which the write with that token stores. */
void decider_list(struct core *core, uint64_t token, struct buffer *out);
/* Takes the ids of a mark from before the start, one after the other. */
void decider_recover(struct core *core, const void *ids, size_t len);
/* Whether the durable mark names the peer. */
bool decider_marked(const struct core *core, const struct peer *peer);

/* Whether a decider of before is not a member, nor forgotten: nobody has named it since the start. */
bool decider_missing(const struct core *core);
/* Whether the peer is such a one. */
bool decider_unnamed(const struct core *core, const struct peer *peer);
/*
 * Whether half or more of the `homes` homes that the batch had among the deciders of before can't be asked,
 * and one of these is missing. Who asks this node about the batch then does not know of them, and must not
 * take its answer for one of a majority.
 */
bool decider_lost(struct core *core, const struct opt_id *batch, uint32_t homes);

#endif
