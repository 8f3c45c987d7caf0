/* SPDX-License-Identifier: MIT */
/*
 * The view of the members. Every input notes what it proves, with its time; view_judge() alone moves states,
 * and a member's state is a function of these notes and of now. So the order in which inputs arrive within a
 * round does not matter, and nothing can get stuck between two states.
 *
 * Digests carry at most a quarter of news: members whose record, state or marker changed within NEWS_TIME,
 * and those that a peer believes silent though we have heard them since: that is the indirect check. The rest
 * goes round.
 */
#include "dht/view.h"
#include "queue/error.h"
#include "queue/tree.h"

#include <stdlib.h>
#include <string.h>

#define NEWS_TIME (3 * USEC_PER_SEC)
/* Evidence that others have is as late as this by the way it took; a link that went down proves more. */
#define TRANSIT (250 * USEC_PER_MSEC)
/* Two more heartbeats: until a peer that hears a suspect has said so, where digests do not carry all members.
 */
#define ASKING_TIME (3 * USEC_PER_SEC / 2)

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
	RB_ENTRY(entry) node;
	TAILQ_ENTRY(entry) news;
};

RB_HEAD(entry_tree, entry);
TAILQ_HEAD(entry_news, entry);

struct view {
	struct entry_tree tree;
	struct entry_news news; /* the latest first */
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
	bool self_forgotten;
};

static int compare(const struct entry *a, const struct entry *b)
{
	return id_compare(&a->member.presence.node, &b->member.presence.node);
}

RB_GENERATE_STATIC(entry_tree, entry, node, compare)

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct entry *find(const struct view *view, const struct opt_id *node)
{
	struct entry key;

	key.member.presence.node = *node;
	return RB_FIND(entry_tree, (struct entry_tree *)&view->tree, &key);
}

static void wake(struct view *view, struct boot_time now)
{
	view->deadline = sooner(view->deadline, now.us);
}

static void tell(struct view *view, struct entry *entry, struct boot_time now)
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
	tell(view, entry, now);
	wake(view, now);
}

static struct entry *add(struct view *view, const struct presence *presence)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		opt_abort("out of memory");
	entry->member.presence = *presence;
	entry->member.presence.address[PRESENCE_ADDRESS_MAX] = '\0';
	entry->member.presence.version[PRESENCE_VERSION_MAX] = '\0';
	RB_INSERT(entry_tree, &view->tree, entry);
	view->count++;
	view->members++;
	view->live++;
	return entry;
}

struct view *view_new(const struct presence *self)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view)
		opt_abort("out of memory");
	RB_INIT(&view->tree);
	TAILQ_INIT(&view->news);
	view->digest_max = VIEW_DIGEST_MAX;
	view->self = add(view, self);
	return view;
}

void view_free(struct view *view)
{
	struct entry *entry;

	if (!view)
		return;
	while ((entry = RB_MIN(entry_tree, &view->tree)) != NULL) {
		RB_REMOVE(entry_tree, &view->tree, entry);
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

static bool is_newer(const struct presence *presence, const struct presence *known)
{
	if (presence->incarnation != known->incarnation)
		return presence->incarnation > known->incarnation;
	return presence->sequence > known->sequence;
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
	start_again(entry, now.us);
	changed(view, entry, CHANGE_NEW, now);
}

static void forget(struct view *view, struct entry *entry, struct boot_time now)
{
	entry->member.forgotten = true;
	view->members--;
	changed(view, entry, CHANGE_FORGOTTEN, now);
}

static void replace_record(
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
	struct entry *entry = find(view, &presence->node);

	if (!entry) {
		if (view->count >= VIEW_MEMBERS_MAX)
			return false;
		entry = add(view, presence);
		entry->member.state = MEMBER_SUSPECT;
		entry->since = now.us;
		changed(view, entry, CHANGE_NEW, now);
		return true;
	}
	if (!is_newer(presence, &entry->member.presence))
		return false;
	if (entry == view->self) {
		refute(view, presence->incarnation, presence->sequence);
		return true;
	}
	if (entry->member.forgotten && presence->incarnation == entry->member.presence.incarnation)
		return false;
	replace_record(view, entry, presence, now);
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
		wake(view, now);
}

bool view_link(struct view *view, const struct opt_id *node, enum link_event event, struct boot_time now)
{
	struct entry *entry = find(view, node);

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
	wake(view, now);
	return true;
}

bool view_heard(struct view *view, const struct opt_id *node, struct boot_time now)
{
	struct entry *entry = find(view, node);

	if (!entry || entry->member.forgotten)
		return false;
	heard(view, entry, now);
	return true;
}

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
	struct entry *next;
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
	TAILQ_FOREACH_SAFE (entry, &view->news, news, next) {
		if (entry->news_until <= now.us) {
			TAILQ_REMOVE(&view->news, entry, news);
			entry->in_news = false;
		} else if (count <= (max - 1) / 4 && entry != view->self) {
			write_entry(view, entry, now, &out[count++]);
		}
	}
	key.member.presence.node = *cursor;
	entry = RB_NFIND(entry_tree, &view->tree, &key);
	if (entry && id_equal(&entry->member.presence.node, cursor))
		entry = RB_NEXT(entry_tree, &view->tree, entry);
	for (size_t looked = 0; looked < view->count && count < max; looked++) {
		if (!entry)
			entry = RB_MIN(entry_tree, &view->tree);
		*cursor = entry->member.presence.node;
		if (entry->mark != view->digests)
			write_entry(view, entry, now, &out[count++]);
		entry = RB_NEXT(entry_tree, &view->tree, entry);
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
			wake(view, now);
	} else if (said->asks && said->beat < entry->beat) {
		tell(view, entry, now);
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
	if (is_newer(&said->presence, known))
		replace_record(view, entry, &said->presence, now);
	if (!entry->member.forgotten)
		forget(view, entry, now);
}

static void take_entry(struct view *view, const struct digest_entry *said, struct boot_time now)
{
	struct entry *entry = find(view, &said->presence.node);

	if (!entry || !said->forgotten) {
		view_presence(view, &said->presence, now);
		entry = find(view, &said->presence.node);
	}
	if (!entry)
		return;
	if (said->forgotten)
		take_marker(view, entry, said, now);
	else if (entry != view->self && !entry->member.forgotten)
		take_evidence(view, entry, said, now);
}

void view_take_digest(struct view *view, const struct opt_id *from, const struct digest_entry *entries,
    size_t count, struct boot_time now)
{
	for (size_t i = 0; i < count; i++)
		take_entry(view, &entries[i], now);
	view_heard(view, from, now);
}

bool view_forget(struct view *view, const struct opt_id *node, struct boot_time now)
{
	struct entry *entry = find(view, node);

	if (!entry || entry == view->self)
		return false;
	if (!entry->member.forgotten)
		forget(view, entry, now);
	return true;
}

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

	RB_FOREACH (entry, entry_tree, &view->tree) {
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
		tell(view, entry, now);
	}
	entry->member.state = state;
	if (now.us < limits.gone_at)
		view->deadline = sooner(view->deadline, limits.gone_at);
	if (now.us < limits.suspect_at)
		view->deadline = sooner(view->deadline, limits.suspect_at);
}

size_t view_judge(struct view *view, struct boot_time now, const struct member *const **ret_changed)
{
	usec rotation = view_rotation(view);
	struct entry *entry;
	size_t count = 0;

	if (view->judged_at > 0 && now.us > view->judged_at + VIEW_PAUSE)
		forgive(view, now);
	view->judged_at = now.us;
	if (view->room < view->count) {
		free(view->changed);
		view->room = view->count + 64;
		view->changed = calloc(view->room, sizeof(const struct member *));
		if (!view->changed)
			opt_abort("out of memory");
	}
	view->deadline = now.us + VIEW_BEAT;
	view->live = 0;
	RB_FOREACH (entry, entry_tree, &view->tree) {
		entry->member.before = entry->member.state;
		judge(view, entry, rotation, now);
		entry->member.changes = entry->pending;
		entry->pending = 0;
		view->live += entry->member.state != MEMBER_GONE;
		if (entry->member.changes != 0)
			view->changed[count++] = &entry->member;
	}
	*ret_changed = view->changed;
	return count;
}

struct boot_time view_deadline(const struct view *view)
{
	return (struct boot_time){view->deadline};
}

const struct member *view_first(const struct view *view)
{
	struct entry *entry = RB_MIN(entry_tree, (struct entry_tree *)&view->tree);

	return &entry->member;
}

const struct member *view_next(const struct view *view, const struct member *member)
{
	struct entry *entry = find(view, &member->presence.node);

	entry = RB_NEXT(entry_tree, (struct entry_tree *)&view->tree, entry);
	return entry ? &entry->member : NULL;
}

const struct member *view_find(const struct view *view, const struct opt_id *node)
{
	struct entry *entry = find(view, node);

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
	struct id_hash hash;
	struct entry *entry;

	id_hash_init(&hash);
	id_hash_add(&hash, "optimus view", 12);
	RB_FOREACH (entry, entry_tree, (struct entry_tree *)&view->tree) {
		if (!entry->member.forgotten)
			id_hash_add(&hash, entry->member.presence.node.bytes, OPT_ID_SIZE);
	}
	return id_hash_done(&hash);
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
