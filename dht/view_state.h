/* SPDX-License-Identifier: MIT */
/*
 * What a view is made of, for the files that implement it: view.c (records, links, forgetting, looking),
 * view_digest.c (what heartbeats carry), view_judge.c (the rules). Nobody else includes this.
 */
#ifndef OPTIMUS_DHT_VIEW_STATE_H
#define OPTIMUS_DHT_VIEW_STATE_H

#include "dht/view.h"
#include "queue/tree.h"

struct entry {
	struct member member; /* first: a member is found from the one that the caller has */
	uint64_t own;         /* when we last heard it; 0 is never, as below */
	uint64_t others;      /* when others last heard it, as far as we know */
	uint64_t since;       /* when it became known: its clock starts there while nobody has heard it */
	uint64_t forgiven_at; /* when we were paused last: its clocks started again */
	uint64_t watched_at;  /* since when we listen for it ourselves */
	uint64_t down_at;     /* when its link went down */
	uint64_t beat;        /* the highest one known of this incarnation */
	uint64_t news_until;
	uint64_t mark; /* the last digest that it is in, by number */
	unsigned pending;
	bool watched;
	bool refused;
	bool in_news;
	bool in_touched;
	RB_ENTRY(entry) node;
	TAILQ_ENTRY(entry) news;
	TAILQ_ENTRY(entry) touched;
};

RB_HEAD(view_tree, entry);
TAILQ_HEAD(entry_news, entry);

struct view {
	struct view_tree tree;
	struct entry_news news;    /* the latest first */
	struct entry_news touched; /* those of which something was noted since view_judge() */
	struct entry *self;
	const struct member **changed;
	size_t count;
	size_t room; /* of changed */
	size_t live;
	size_t members;
	size_t digest_max;
	uint64_t digests;
	uint64_t judged_at;
	uint64_t deadline;
	uint64_t judge_all_at; /* in a large view: when those that were not touched have to be looked at */
	struct opt_id hash;    /* of the members that are not forgotten */
	bool self_forgotten;
};

RB_PROTOTYPE(view_tree, entry, node, compare)

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whether the record counts instead of the known one of the same node. */
static inline bool presence_is_newer(const struct presence *presence, const struct presence *known)
{
	if (presence->incarnation != known->incarnation)
		return presence->incarnation > known->incarnation;
	return presence->sequence > known->sequence;
}

/* NULL when unknown. */
struct entry *view_entry(const struct view *view, const struct opt_id *node);
/* Something was noted of the member: view_judge() has to look at it. */
void view_touch(struct view *view, struct entry *entry);
/* The same, and it is due now. */
void view_wake(struct view *view, struct entry *entry, struct boot_time now);
/* The next digests carry this member. */
void view_tell(struct view *view, struct entry *entry, struct boot_time now);
/* A newer record takes the place of the known one. */
void view_replace(
    struct view *view, struct entry *entry, const struct presence *presence, struct boot_time now);
/* The member is forgotten, which it was not. */
void view_mark_forgotten(struct view *view, struct entry *entry, struct boot_time now);

#endif
