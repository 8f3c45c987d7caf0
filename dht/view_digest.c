/* SPDX-License-Identifier: MIT */
/*
 * What heartbeats carry of the view. At most a quarter is news: members whose record, state or marker changed
 * a moment ago, and those that a peer suspects though we know better: that is the indirect check. The rest
 * goes round in id order.
 */
#include "dht/view_state.h"

#include <string.h>

usec view_rotation(const struct view *view)
{
	size_t others = view->count - 1;
	size_t carried = view->digest_max - 1;

	if (others <= carried)
		return 0;
	carried -= carried / 4;
	return others / (carried > 0 ? carried : 1) * VIEW_BEAT;
}

static void write_entry(
    struct view *view, struct entry *entry, struct boot_time now, struct digest_entry *out)
{
	uint64_t evidence = later(entry->own, entry->others);
	uint64_t age = now.us > evidence ? (now.us - evidence) / USEC_PER_MSEC : 0;

	memset(out, 0, sizeof(*out));
	out->presence = entry->member.presence;
	out->forgotten = entry->member.forgotten;
	out->asks = entry->member.state == MEMBER_SUSPECT;
	out->beat = entry->beat;
	out->age = VIEW_AGE_NONE;
	if (evidence > 0 && age < VIEW_AGE_NONE)
		out->age = (uint32_t)age;
	entry->mark = view->digests;
}

size_t view_digest(
    struct view *view, struct boot_time now, struct digest_entry *out, size_t max, struct opt_id *cursor)
{
	struct entry key;
	struct entry *entry;
	size_t count = 0;

	if (max > VIEW_DIGEST_MAX)
		max = VIEW_DIGEST_MAX;
	if (max == 0)
		return 0;
	view->digest_max = max;
	view->digests++;
	view->self->own = now.us;
	view->self->beat = later(view->self->beat, now.us / USEC_PER_MSEC + 1);
	write_entry(view, view->self, now, &out[count++]);
	while ((entry = TAILQ_LAST(&view->news, entry_news)) != NULL && entry->news_until <= now.us) {
		TAILQ_REMOVE(&view->news, entry, news);
		entry->in_news = false;
	}
	TAILQ_FOREACH (entry, &view->news, news) {
		if (count > (max - 1) / 4)
			break;
		if (entry != view->self)
			write_entry(view, entry, now, &out[count++]);
	}
	key.member.presence.node = *cursor;
	entry = RB_NFIND(view_tree, &view->tree, &key);
	if (entry && id_equal(&entry->member.presence.node, cursor))
		entry = RB_NEXT(view_tree, &view->tree, entry);
	for (size_t looked = 0; looked < view->count && count < max; looked++) {
		if (!entry)
			entry = RB_MIN(view_tree, &view->tree);
		*cursor = entry->member.presence.node;
		if (entry->mark != view->digests)
			write_entry(view, entry, now, &out[count++]);
		entry = RB_NEXT(view_tree, &view->tree, entry);
	}
	return count;
}

/* Someone says that he heard it. Only a beat that we did not know is evidence. */
static void take_evidence(
    struct view *view, struct entry *entry, const struct digest_entry *said, struct boot_time now)
{
	uint64_t age = said->age * USEC_PER_MSEC;
	/* What is older than this machine's clock is as old as can be. */
	uint64_t evidence = age < now.us ? now.us - age : 1;

	if (said->presence.incarnation != entry->member.presence.incarnation)
		return;
	if (said->beat > entry->beat) {
		entry->beat = said->beat;
		if (said->age == VIEW_AGE_NONE)
			return;
		entry->others = later(entry->others, evidence);
		if (entry->member.state != MEMBER_UP)
			view_wake(view, entry, now);
	} else if (said->asks && said->beat < entry->beat) {
		view_tell(view, entry, now);
	}
}

static void take_marker(
    struct view *view, struct entry *entry, const struct digest_entry *said, struct boot_time now)
{
	const struct presence *known = &entry->member.presence;

	if (known->incarnation > said->presence.incarnation)
		return;
	if (entry == view->self) {
		view->self_forgotten = true;
		return;
	}
	if (presence_is_newer(&said->presence, known))
		view_replace(view, entry, &said->presence, now);
	if (!entry->member.forgotten)
		view_mark_forgotten(view, entry, now);
}

/* `guess` may be the entry that is meant. Returns it, or NULL when the view takes no more. */
static struct entry *take_entry(
    struct view *view, struct entry *guess, const struct digest_entry *said, struct boot_time now)
{
	struct entry *entry = guess;

	if (!entry || !id_equal(&entry->member.presence.node, &said->presence.node))
		entry = view_entry(view, &said->presence.node);
	if (!entry || (!said->forgotten && presence_is_newer(&said->presence, &entry->member.presence))) {
		view_presence(view, &said->presence, now);
		entry = view_entry(view, &said->presence.node);
	}
	if (!entry)
		return NULL;
	if (said->forgotten)
		take_marker(view, entry, said, now);
	else if (entry != view->self && !entry->member.forgotten)
		take_evidence(view, entry, said, now);
	return entry;
}

void view_take_digest(struct view *view, const struct opt_id *from, const struct digest_entry *entries,
    size_t count, struct boot_time now)
{
	struct entry *entry = NULL;

	/* Most of a digest is in id order, and so are we: the next one is mostly the one that is meant. */
	for (size_t i = 0; i < count; i++)
		entry =
		    take_entry(view, entry ? RB_NEXT(view_tree, &view->tree, entry) : NULL, &entries[i], now);
	view_heard(view, from, now);
}
