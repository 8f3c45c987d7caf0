/* SPDX-License-Identifier: MIT */
/*
 * The rules of view.h. A member's state is a function of what is noted of it and of now: there is nothing
 * between two states in which it could get stuck, and evidence that arrives late is as good as if it had come
 * in time.
 */
#include "dht/view_state.h"
#include "queue/error.h"

#include <stdlib.h>

/* Evidence that others have is as late as this by the way it took; a link that went down proves more. */
#define TRANSIT (250 * USEC_PER_MSEC)
/* Two more heartbeats: until a peer that hears a suspect has said so, where digests do not carry all members.
 */
#define ASKING_TIME (3 * USEC_PER_SEC / 2)

struct limits {
	uint64_t suspect_at;
	uint64_t gone_at;
};

static struct limits limits_of(const struct entry *entry, usec rotation)
{
	uint64_t evidence = later(entry->own, entry->others);
	uint64_t any = later(evidence > 0 ? evidence : entry->since, entry->forgiven_at);
	uint64_t own = later(later(entry->own, entry->watched_at), entry->forgiven_at);
	struct limits limits;

	if (entry->member.forgotten)
		return (struct limits){0, 0};
	if (!entry->member.linked && entry->member.presence.flags & PRESENCE_LEFT)
		return (struct limits){0, 0};
	if (entry->watched) {
		limits.suspect_at = own + VIEW_SUSPECT;
		limits.gone_at = any + VIEW_GONE + sooner(rotation, ASKING_TIME);
	} else {
		limits.suspect_at = any + VIEW_SUSPECT + rotation;
		limits.gone_at = any + VIEW_GONE + rotation;
	}
	if (evidence == 0)
		limits.suspect_at = 0;
	if (any == 0)
		limits.gone_at = 0;
	if (entry->refused && evidence <= entry->down_at + TRANSIT)
		limits.gone_at = sooner(limits.gone_at, entry->down_at + VIEW_REFUSED);
	return limits;
}

/* Nothing was heard because nobody listened. */
static void forgive(struct view *view, struct boot_time now)
{
	struct entry *entry;

	RB_FOREACH (entry, view_tree, &view->tree) {
		if (entry->member.state == MEMBER_GONE)
			continue;
		entry->forgiven_at = now.us;
		if (entry->refused)
			entry->down_at = now.us;
	}
}

static void judge(struct view *view, struct entry *entry, usec rotation, struct boot_time now)
{
	struct limits limits = limits_of(entry, rotation);
	enum member_state state = MEMBER_UP;

	if (entry == view->self)
		return;
	if (now.us >= limits.gone_at)
		state = MEMBER_GONE;
	else if (now.us >= limits.suspect_at)
		state = MEMBER_SUSPECT;
	if (state != entry->member.state) {
		entry->pending |= CHANGE_STATE;
		view_tell(view, entry, now);
	}
	entry->member.state = state;
	if (now.us < limits.gone_at)
		view->deadline = sooner(view->deadline, limits.gone_at);
	if (now.us < limits.suspect_at)
		view->deadline = sooner(view->deadline, limits.suspect_at);
}

/* Judges the member, and tells the caller when something has changed since the last time. */
static size_t look(struct view *view, struct entry *entry, usec rotation, struct boot_time now, size_t count)
{
	const bool lived = entry->member.state != MEMBER_GONE;

	entry->member.before = entry->member.state;
	judge(view, entry, rotation, now);
	entry->member.changes = entry->pending;
	entry->pending = 0;
	if (entry->member.state != MEMBER_GONE && !lived)
		view->live++;
	else if (entry->member.state == MEMBER_GONE && lived)
		view->live--;
	if (entry->member.changes != 0)
		view->changed[count++] = &entry->member;
	return count;
}

static int compare_members(const void *a, const void *b)
{
	const struct member *const *left = a, *const *right = b;

	return id_compare(&(*left)->presence.node, &(*right)->presence.node);
}

static size_t look_at_touched(struct view *view, usec rotation, struct boot_time now)
{
	struct entry *entry;
	size_t count = 0;

	view->deadline = view->judge_all_at;
	while ((entry = TAILQ_FIRST(&view->touched)) != NULL) {
		TAILQ_REMOVE(&view->touched, entry, touched);
		entry->in_touched = false;
		count = look(view, entry, rotation, now, count);
	}
	qsort(view->changed, count, sizeof(const struct member *), compare_members);
	return count;
}

static size_t look_at_all(struct view *view, usec rotation, struct boot_time now)
{
	struct entry *entry;
	size_t count = 0;

	while ((entry = TAILQ_FIRST(&view->touched)) != NULL) {
		TAILQ_REMOVE(&view->touched, entry, touched);
		entry->in_touched = false;
	}
	view->deadline = now.us + VIEW_BEAT;
	RB_FOREACH (entry, view_tree, &view->tree)
		count = look(view, entry, rotation, now, count);
	return count;
}

size_t view_judge(struct view *view, struct boot_time now, const struct member *const **ret_changed)
{
	const usec rotation = view_rotation(view);
	const bool pause = view->judged_at > 0 && now.us > view->judged_at + VIEW_PAUSE;
	size_t count;

	if (pause)
		forgive(view, now);
	view->judged_at = now.us;
	if (view->room < view->count) {
		free(view->changed);
		view->room = view->count + 64;
		view->changed = calloc(view->room, sizeof(const struct member *));
		if (!view->changed)
			opt_abort("out of memory");
	}
	/* In a large view there is news all the time, and seldom of many. */
	if (rotation > 0 && !pause && now.us < view->judge_all_at)
		count = look_at_touched(view, rotation, now);
	else
		count = look_at_all(view, rotation, now);
	view->judge_all_at = view->deadline;
	*ret_changed = view->changed;
	return count;
}
