/* SPDX-License-Identifier: MIT */
/*
 * The view: the members of the cluster as this node sees them, and whether they are alive.
 *
 * Records of members (presence.h) come from the DHT and from peers; the newest counts. Evidence of life comes
 * from a member's own link, or from peers that heard it: each heartbeat carries a digest, some members with
 * the age of the latest evidence. Each node puts its own beat, a time of its own clock, into its digests;
 * others pass it on and take evidence from a third node only with a higher beat than they knew. So the last
 * words of a dead node can't go round for ever, getting younger with each transit.
 *
 * The rules, applied by view_judge():
 * - a member that we listen to (it has a link, or had one, or we tried) is suspect when we heard nothing of
 * it for VIEW_SUSPECT, and gone when nobody did for VIEW_GONE; while others hear it, it stays suspect;
 * - it is gone VIEW_REFUSED after its link went down when the redial was refused and nobody heard it since,
 * and at once when it said that it leaves and its link is down;
 * - a member that we only hear of has the time that digests take to come round (view_rotation()) on top;
 * - a record is no evidence: a member that nobody has heard yet, as far as we know, is suspect, then gone;
 * one of which we are told at once how long it is silent is judged by that;
 * - evidence brings a member back; nothing else does;
 * - after a pause of ours (VIEW_PAUSE between two calls of view_judge()) the clocks of all that were not gone
 * start again.
 *
 * A forgotten member stays in the view under the incarnation that was forgotten, is gone, and counts nowhere;
 * markers in the digests tell the others. It comes back, as a new member, with a higher incarnation only.
 */
#ifndef OPTIMUS_DHT_VIEW_H
#define OPTIMUS_DHT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/presence.h"
#include "queue/clock.h"
#include "queue/id.h"

enum {
	VIEW_MEMBERS_MAX = 16384, /* records of further nodes are not taken */
	VIEW_DIGEST_MAX = 64,     /* most entries of a digest */
};

#define VIEW_SUSPECT (3 * USEC_PER_SEC)
#define VIEW_GONE    (5 * USEC_PER_SEC)
#define VIEW_REFUSED (1 * USEC_PER_SEC)
#define VIEW_PAUSE   (2 * USEC_PER_SEC)
/* view_judge() and view_digest() want to be called this often. */
#define VIEW_BEAT (1 * USEC_PER_SEC)
/* No evidence, as an age in milliseconds. */
#define VIEW_AGE_NONE UINT32_MAX

enum member_state { MEMBER_UP, MEMBER_SUSPECT, MEMBER_GONE };

enum link_event {
	LINK_UP,        /* both sides have proved who they are */
	LINK_DOWN,      /* it was closed or reset, or a dial ran into its time limit */
	LINK_REFUSED,   /* a dial was refused: the host answers, the port does not */
	LINK_UNWATCHED, /* we closed it, or stopped dialling, by choice: the member lives by digests from now
	                   on */
};

enum member_change {
	CHANGE_NEW = 1,       /* first heard of, or back under a new incarnation after it was forgotten */
	CHANGE_STATE = 2,     /* up, suspect, gone */
	CHANGE_RECORD = 4,    /* a newer record: address, weight, flags, incarnation */
	CHANGE_FORGOTTEN = 8, /* now forgotten */
};

struct member {
	struct presence presence;
	enum member_state state;
	enum member_state before; /* the state before the latest view_judge() */
	unsigned changes;         /* enum member_change, what the latest view_judge() reported */
	bool linked;
	bool forgotten;
};

struct digest_entry {
	struct presence presence;
	uint64_t beat;  /* the latest that is known of this node; 0 is none */
	uint32_t age;   /* of the latest evidence of life, in milliseconds; VIEW_AGE_NONE */
	bool asks;      /* the sender suspects it: who has a higher beat says so in its next digests */
	bool forgotten; /* the incarnation in the record and all before it */
};

struct view;

/* A view that knows only ourselves. The record is copied. */
struct view *view_new(const struct presence *self);
/* Takes NULL. */
void view_free(struct view *view);

/* Our own record as it should be published. */
const struct presence *view_self(const struct view *view);
/* Our record changes; its sequence rises. False, and nothing happens, when it says the same already. */
bool view_self_changed(struct view *view, uint32_t flags, uint32_t weight, const char *address);
/* Whether the others have forgotten us: we take part again only after view_self_rejoin(). */
bool view_self_forgotten(const struct view *view);
/* A new incarnation of ourselves, `incarnation` (UTC microseconds) or what is above all that we used. */
void view_self_rejoin(struct view *view, uint64_t incarnation);

/*
 * Merges a record from the DHT or a peer. True when it was newer than what is known, the node unknown until
 * now included. One about ourselves that is newer than ours makes ours rise above it: view_self() wants to be
 * published then.
 */
bool view_presence(struct view *view, const struct presence *presence, struct boot_time now);

/* What became of the link with a member. False when the member is unknown: merge the record of its handshake
 * first. */
bool view_link(struct view *view, const struct opt_id *node, enum link_event event, struct boot_time now);
/* Any frame came from it on its link. False when it is unknown or forgotten. */
bool view_heard(struct view *view, const struct opt_id *node, struct boot_time now);

/*
 * What the next heartbeat on a link carries: ourselves first, then what is new or asked for, then further
 * members in id order behind *cursor, which belongs to the link, starts anywhere (zero) and moves on. Writes
 * up to `max` entries (1 to VIEW_DIGEST_MAX, the same all the time and on all nodes) and returns how many.
 */
size_t view_digest(
    struct view *view, struct boot_time now, struct digest_entry *out, size_t max, struct opt_id *cursor);
/* A heartbeat came from this member. Counts as view_heard(). */
void view_take_digest(struct view *view, const struct opt_id *from, const struct digest_entry *entries,
    size_t count, struct boot_time now);

/* This incarnation of the node is forgotten. False when it is unknown or ourselves. */
bool view_forget(struct view *view, const struct opt_id *node, struct boot_time now);

/*
 * Applies the rules. The members with changes since the last call come out in id order in *ret_changed, an
 * array that belongs to the view and is valid until the next call of any function that takes a view that is
 * not const. Returns their number.
 */
size_t view_judge(struct view *view, struct boot_time now, const struct member *const **ret_changed);
/* When view_judge() wants to be called next: VIEW_BEAT after the last time or sooner. */
struct boot_time view_deadline(const struct view *view);
/* How long digests take to come round, at the number of members that there are; 0 where each carries all. */
usec view_rotation(const struct view *view);

/* All members in id order, ourselves and the forgotten ones included. NULL after the last one. */
const struct member *view_first(const struct view *view);
const struct member *view_next(const struct view *view, const struct member *member);
/* NULL when unknown. */
const struct member *view_find(const struct view *view, const struct opt_id *node);

/* Members that are up or suspect, ourselves included. */
size_t view_live(const struct view *view);
/* Members that are not forgotten, ourselves included. */
size_t view_members(const struct view *view);
/* A hash over the ids of the members that are not forgotten. */
struct opt_id view_hash(const struct view *view);

/* "up", "draining", "suspect", "gone"; "forgotten". Static memory. */
const char *member_state_name(const struct member *member);

#endif
