/* SPDX-License-Identifier: MIT */
/*
 * The view of the members: their records, what becomes of their links, forgetting, and looking at it all.
 * Every input notes what it proves, with its time; view_judge() alone moves states. So the order in which
 * inputs arrive within a round does not matter. The view owns its entries; none is ever removed.
 */
#include "dht/view_state.h"
#include "queue/error.h"

#include <stdlib.h>
#include <string.h>

/* How long a change is news. */
#define NEWS_TIME (3 * USEC_PER_SEC)

static int compare(const struct entry *a, const struct entry *b)
{
	return id_compare(&a->member.presence.node, &b->member.presence.node);
}

RB_GENERATE(view_tree, entry, node, compare)

struct entry *view_entry(const struct view *view, const struct opt_id *node)
{
	struct entry key;

	key.member.presence.node = *node;
	return RB_FIND(view_tree, (struct view_tree *)&view->tree, &key);
}

void view_touch(struct view *view, struct entry *entry)
{
	if (entry->in_touched)
		return;
	entry->in_touched = true;
	TAILQ_INSERT_TAIL(&view->touched, entry, touched);
}

void view_wake(struct view *view, struct entry *entry, struct boot_time now)
{
	view_touch(view, entry);
	view->deadline = sooner(view->deadline, now.us);
}

void view_tell(struct view *view, struct entry *entry, struct boot_time now)
{
	if (entry->in_news)
		TAILQ_REMOVE(&view->news, entry, news);
	TAILQ_INSERT_HEAD(&view->news, entry, news);
	entry->in_news = true;
	entry->news_until = now.us + NEWS_TIME;
}

static void changed(struct view *view, struct entry *entry, unsigned changes, struct boot_time now)
{
	entry->pending |= changes;
	view_tell(view, entry, now);
	view_wake(view, entry, now);
}

/* Puts a member into the hash, or takes it out: the hash is the XOR of the hashes of their ids. */
static void count_in_hash(struct view *view, const struct opt_id *node)
{
	struct id_hash hash;
	struct opt_id id;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus view", 12);
	id_hash_add(&hash, node->bytes, OPT_ID_SIZE);
	id = id_hash_done(&hash);
	for (int i = 0; i < OPT_ID_SIZE; i++)
		view->hash.bytes[i] ^= id.bytes[i];
}

static struct entry *add(struct view *view, const struct presence *presence)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		opt_abort("out of memory");
	entry->member.presence = *presence;
	entry->member.presence.address[PRESENCE_ADDRESS_MAX] = '\0';
	entry->member.presence.version[PRESENCE_VERSION_MAX] = '\0';
	RB_INSERT(view_tree, &view->tree, entry);
	view->count++;
	view->members++;
	view->live++;
	count_in_hash(view, &entry->member.presence.node);
	return entry;
}

struct view *view_new(const struct presence *self)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view)
		opt_abort("out of memory");
	RB_INIT(&view->tree);
	TAILQ_INIT(&view->news);
	TAILQ_INIT(&view->touched);
	view->digest_max = VIEW_DIGEST_MAX;
	view->self = add(view, self);
	return view;
}

void view_free(struct view *view)
{
	struct entry *entry;

	if (!view)
		return;
	while ((entry = RB_MIN(view_tree, &view->tree)) != NULL) {
		RB_REMOVE(view_tree, &view->tree, entry);
		free(entry);
	}
	free(view->changed);
	free(view);
}

const struct presence *view_self(const struct view *view)
{
	return &view->self->member.presence;
}

/* Our record counts as changed from now on, whenever that is: the next digest carries it in any case. */
static void self_rises(struct view *view)
{
	view->self->pending |= CHANGE_RECORD;
	view_touch(view, view->self);
	view->deadline = 0;
}

bool view_self_changed(struct view *view, uint32_t flags, uint32_t weight, const char *address)
{
	struct presence *self = &view->self->member.presence;

	if (self->flags == flags && self->weight == weight && strcmp(self->address, address) == 0)
		return false;
	self->flags = flags;
	self->weight = weight;
	memset(self->address, 0, sizeof(self->address));
	strncpy(self->address, address, PRESENCE_ADDRESS_MAX);
	self->sequence++;
	self_rises(view);
	return true;
}

bool view_self_forgotten(const struct view *view)
{
	return view->self_forgotten;
}

void view_self_rejoin(struct view *view, uint64_t incarnation)
{
	struct presence *self = &view->self->member.presence;

	self->incarnation = later(incarnation, self->incarnation + 1);
	self->sequence = 0;
	view->self_forgotten = false;
	self_rises(view);
}

/* Above (incarnation, sequence); where both are at their end there is nothing above. */
static void refute(struct view *view, uint64_t incarnation, uint64_t sequence)
{
	struct presence *self = &view->self->member.presence;

	if (sequence < UINT64_MAX) {
		self->incarnation = incarnation;
		self->sequence = sequence + 1;
	} else if (incarnation < UINT64_MAX) {
		self->incarnation = incarnation + 1;
		self->sequence = 0;
	}
	self_rises(view);
}

/* What was known of the incarnation before proves nothing of this one. */
static void start_again(struct entry *entry, uint64_t since)
{
	entry->own = 0;
	entry->others = 0;
	entry->since = since;
	entry->forgiven_at = 0;
}

static void remember_again(struct view *view, struct entry *entry, struct boot_time now)
{
	entry->member.forgotten = false;
	entry->refused = false;
	view->members++;
	count_in_hash(view, &entry->member.presence.node);
	start_again(entry, now.us);
	changed(view, entry, CHANGE_NEW, now);
}

void view_mark_forgotten(struct view *view, struct entry *entry, struct boot_time now)
{
	entry->member.forgotten = true;
	view->members--;
	count_in_hash(view, &entry->member.presence.node);
	changed(view, entry, CHANGE_FORGOTTEN, now);
}

void view_replace(
    struct view *view, struct entry *entry, const struct presence *presence, struct boot_time now)
{
	bool reborn = presence->incarnation > entry->member.presence.incarnation;

	entry->member.presence = *presence;
	entry->member.presence.address[PRESENCE_ADDRESS_MAX] = '\0';
	entry->member.presence.version[PRESENCE_VERSION_MAX] = '\0';
	if (reborn) {
		entry->beat = 0;
		if (entry->member.state == MEMBER_GONE && !entry->member.linked)
			start_again(entry, 0);
	}
	changed(view, entry, CHANGE_RECORD, now);
}

bool view_presence(struct view *view, const struct presence *presence, struct boot_time now)
{
	struct entry *entry = view_entry(view, &presence->node);

	if (!entry) {
		if (view->count >= VIEW_MEMBERS_MAX)
			return false;
		entry = add(view, presence);
		entry->member.state = MEMBER_SUSPECT;
		entry->since = now.us;
		changed(view, entry, CHANGE_NEW, now);
		return true;
	}
	if (!presence_is_newer(presence, &entry->member.presence))
		return false;
	if (entry == view->self) {
		refute(view, presence->incarnation, presence->sequence);
		return true;
	}
	if (entry->member.forgotten && presence->incarnation == entry->member.presence.incarnation)
		return false;
	view_replace(view, entry, presence, now);
	if (entry->member.forgotten)
		remember_again(view, entry, now);
	return true;
}

/* From now on its silence counts. Where there never was a link, it is down since now. */
static void watch(struct entry *entry, struct boot_time now)
{
	if (!entry->watched) {
		entry->watched_at = now.us;
		entry->down_at = now.us;
	}
	entry->watched = true;
}

static void heard(struct view *view, struct entry *entry, struct boot_time now)
{
	entry->own = later(entry->own, now.us);
	if (entry->member.state != MEMBER_UP)
		view_wake(view, entry, now);
}

bool view_link(struct view *view, const struct opt_id *node, enum link_event event, struct boot_time now)
{
	struct entry *entry = view_entry(view, node);

	if (!entry || entry == view->self)
		return false;
	switch (event) {
	case LINK_UP:
		watch(entry, now);
		entry->member.linked = true;
		entry->refused = false;
		heard(view, entry, now);
		break;
	case LINK_DOWN:
		watch(entry, now);
		if (entry->member.linked)
			entry->down_at = now.us;
		entry->member.linked = false;
		break;
	case LINK_REFUSED:
		if (entry->member.linked)
			break;
		watch(entry, now);
		entry->refused = true;
		break;
	case LINK_UNWATCHED:
		entry->member.linked = false;
		entry->watched = false;
		entry->refused = false;
		break;
	}
	view_wake(view, entry, now);
	return true;
}

bool view_heard(struct view *view, const struct opt_id *node, struct boot_time now)
{
	struct entry *entry = view_entry(view, node);

	if (!entry || entry->member.forgotten)
		return false;
	heard(view, entry, now);
	return true;
}

bool view_forget(struct view *view, const struct opt_id *node, struct boot_time now)
{
	struct entry *entry = view_entry(view, node);

	if (!entry || entry == view->self)
		return false;
	if (!entry->member.forgotten)
		view_mark_forgotten(view, entry, now);
	return true;
}

struct boot_time view_deadline(const struct view *view)
{
	return (struct boot_time){view->deadline};
}

const struct member *view_first(const struct view *view)
{
	struct entry *entry = RB_MIN(view_tree, (struct view_tree *)&view->tree);

	return &entry->member;
}

const struct member *view_next(const struct view *view, const struct member *member)
{
	/* A member is the first thing in its entry. */
	struct entry *entry = RB_NEXT(view_tree, &view->tree, (struct entry *)(uintptr_t)member);

	(void)view;
	return entry ? &entry->member : NULL;
}

const struct member *view_find(const struct view *view, const struct opt_id *node)
{
	struct entry *entry = view_entry(view, node);

	return entry ? &entry->member : NULL;
}

size_t view_live(const struct view *view)
{
	return view->live;
}

size_t view_members(const struct view *view)
{
	return view->members;
}

struct opt_id view_hash(const struct view *view)
{
	return view->hash;
}

const char *member_state_name(const struct member *member)
{
	if (member->forgotten)
		return "forgotten";
	switch (member->state) {
	case MEMBER_UP:
		return member->presence.flags & PRESENCE_DRAINING ? "draining" : "up";
	case MEMBER_SUSPECT:
		return "suspect";
	case MEMBER_GONE:
		break;
	}
	return "gone";
}
