/* SPDX-License-Identifier: MIT */
/*
 * See sync.h. The entries are held in memory for the time of the sync, once each, in the order of their
 * hashes, with a bit for each member that has it. Promises are a node's own: of them only the highest one of
 * the others is remembered. What a node has told is its own, too.
 */
#include "queue/sync.h"

#include <stdlib.h>
#include <string.h>

#include "queue/append.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/recover.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/takeover.h"
#include "queue/write.h"

struct entry {
	RB_ENTRY(entry) node;
	struct opt_id hash;
	uint32_t have; /* bits of members; SELF for this node */
	void *data;
	size_t len;
};
RB_HEAD(entry_tree, entry);

enum { SELF = 1 << 16 /* also when this node is no member */ };

struct sync {
	struct shard *shard;
	sync_done_fn *done;
	struct entry_tree entries;
	uint32_t members;  /* that take part */
	uint32_t read;     /* whose journal is known, SELF among them */
	uint32_t complete; /* that have everything, SELF among them */
	uint32_t missed;   /* that have missed something since it began */
	bool pushing;      /* all journals are known */
	bool failed;       /* our own store refused */
	bool gained;       /* this node lacked some */
	uint64_t load;     /* token of the read of our own journal */
	uint32_t promised; /* the highest epoch that another one has promised */
	struct peer *promised_to;
	struct write *own; /* what this node lacked, being written */
	struct call *calls[REPLICAS_MAX];
	struct entry *pushed[REPLICAS_MAX]; /* the last entry of the part that is on its way */
	uint64_t turns[REPLICAS_MAX];       /* so many answers of the member may come before ours */
	struct boot_time asked_at[REPLICAS_MAX];
};

/* A member that lives and has not answered for so long has a store that does not, */
static const usec ANSWER_PATIENCE = 30 * USEC_PER_SEC;
static const usec MUTE_REST = 30 * USEC_PER_SEC; /* before it is asked again */
static const usec UNKNOWN_AGAIN = 10 * USEC_PER_SEC;

static int compare(const struct entry *a, const struct entry *b)
{
	return id_compare(&a->hash, &b->hash);
}

RB_GENERATE_STATIC(entry_tree, entry, node, compare)

static void see_promise(struct core *core, struct sync *sync, const struct journal_entry *promise)
{
	struct peer *to = peer_of(core, &promise->node);

	if (promise->epoch < sync->promised)
		return;
	sync->promised_to = promise->epoch > sync->promised || to == sync->promised_to ? to : core->self;
	sync->promised = promise->epoch;
}

static void add_entry(struct core *core, struct sync *sync, const struct span *bytes, uint32_t who)
{
	struct journal_entry parsed;
	struct entry *entry, key;
	struct id_hash hash;

	if (journal_read(core->reader, &sync->shard->id, bytes->data, bytes->len, &parsed) != 0 ||
	    (who != SELF && !journal_numbers_within(&parsed, PEER_NUMBER_MAX)))
		return;
	if (parsed.type == JOURNAL_PROMISE) {
		if (who != SELF)
			see_promise(core, sync, &parsed);
		return;
	}
	if (parsed.type == JOURNAL_TOLD)
		return;
	id_hash_init(&hash);
	id_hash_add(&hash, bytes->data, bytes->len);
	key.hash = id_hash_done(&hash);
	entry = RB_FIND(entry_tree, &sync->entries, &key);
	if (entry == NULL) {
		entry = calloc(1, sizeof(*entry));
		if (entry == NULL || (entry->data = malloc(bytes->len)) == NULL)
			abort();
		entry->hash = key.hash;
		entry->len = bytes->len;
		memcpy(entry->data, bytes->data, bytes->len);
		RB_INSERT(entry_tree, &sync->entries, entry);
	}
	entry->have |= who;
}

static void call(
    struct core *core, struct sync *sync, uint32_t member, enum call_kind kind, struct peer_message *request)
{
	struct peer *peer = sync->shard->members[member];

	sync->calls[member] = call_start(core, peer, kind, sync->shard, request, kind == CALL_UNION);
	sync->calls[member]->number = member;
	/* Each of the others waits for one answer at a time. A link keeps order, but for what is short. */
	sync->turns[member] = peer->compared + 2 * (uint64_t)core->syncs;
	sync->asked_at[member] = core->now;
	peer->syncs++;
}

static void call_over(struct sync *sync, uint32_t member)
{
	sync->calls[member]->peer->syncs--;
	sync->calls[member] = NULL;
}

static void end_call(struct core *core, struct sync *sync, uint32_t member)
{
	struct call *call = sync->calls[member];

	if (call == NULL)
		return;
	call_over(sync, member);
	call_end(core, call);
}

static void ask(struct core *core, struct sync *sync, uint32_t member, uint64_t from)
{
	struct peer_message request = {.type = PEER_JOURNAL, .shard = sync->shard->id, .from = from};

	call(core, sync, member, CALL_JOURNAL, &request);
}

bool sync_may_start(const struct core *core, const struct shard *shard)
{
	return core->syncs < SYNCS_MAX &&
	       (shard->unknown_at.us == 0 || core->now.us - shard->unknown_at.us >= UNKNOWN_AGAIN);
}

/* A node is not compared with itself, whatever place it has among the members. */
static uint32_t not_self(const struct core *core, const struct shard *shard, uint32_t members)
{
	for (uint32_t i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == core->self)
			members &= ~(1U << i);
	}
	return members;
}

struct sync *sync_start(struct core *core, struct shard *shard, uint32_t members, sync_done_fn *done)
{
	struct sync *sync = calloc(1, sizeof(*sync));
	struct effect *effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);

	if (sync == NULL)
		abort();
	RB_INIT(&sync->entries);
	sync->shard = shard;
	sync->done = done;
	sync->members = not_self(core, shard, members);
	sync->load = core->next_token++;
	effect->id = shard->id;
	effect->token = sync->load;
	shard->sync = sync;
	core->syncs++;
	for (uint32_t i = 0; i < shard->member_count; i++) {
		if ((sync->members & 1U << i) != 0)
			ask(core, sync, i, 0);
	}
	return sync;
}

void sync_end(struct core *core, struct sync *sync)
{
	struct entry *entry, *next;

	for (uint32_t i = 0; i < REPLICAS_MAX; i++)
		end_call(core, sync, i);
	if (sync->own != NULL)
		sync->own->owner = NULL; /* it is stored all the same */
	RB_FOREACH_SAFE (entry, entry_tree, &sync->entries, next) {
		RB_REMOVE(entry_tree, &sync->entries, entry);
		free(entry->data);
		free(entry);
	}
	sync->shard->sync = NULL;
	core->syncs--;
	free(sync);
}

uint32_t sync_complete(const struct sync *sync)
{
	return sync->complete & ~(uint32_t)SELF;
}

uint32_t sync_up_to_date(const struct sync *sync)
{
	return sync_complete(sync) & ~sync->missed;
}

void sync_missed(struct sync *sync, uint32_t members)
{
	sync->missed |= members;
}

struct peer *sync_promised(const struct sync *sync, uint32_t *ret_epoch)
{
	*ret_epoch = sync->promised;
	return sync->promised_to;
}

bool sync_may_ask(const struct core *core, const struct peer *peer)
{
	return peer->mute_at.us == 0 || (core->now.us - peer->mute_at.us >= MUTE_REST && peer->syncs == 0);
}

bool sync_waits_its_turn(const struct sync *sync)
{
	for (int i = 0; i < sync->shard->member_count; i++) {
		if (sync->calls[i] != NULL && sync->shard->members[i]->compared <= sync->turns[i])
			return true;
	}
	return false;
}

bool sync_gained(const struct sync *sync)
{
	return sync->gained;
}

bool sync_complete_here(const struct sync *sync)
{
	return (sync->complete & SELF) != 0;
}

/* All who take part have everything. */
static void check_done(struct core *core, struct sync *sync)
{
	const uint32_t wanted = sync->members | SELF;
	const uint32_t failed = sync->failed ? SELF : 0;

	if (sync->pushing && sync->own == NULL && (sync->complete & wanted & ~failed) == (wanted & ~failed))
		sync->done(core, sync->shard, sync);
}

/* The next entries that the member lacks, as much as goes into a message; none: it is complete. */
static void push(struct core *core, struct sync *sync, uint32_t member)
{
	struct shard *shard = sync->shard;
	struct span *part = calloc(PEER_ENTRIES_MAX, sizeof(*part));
	struct peer_message append = {
	    .type = PEER_APPEND,
	    .shard = shard->id,
	    .epoch = shard->promised,
	    .config = shard->config,
	    .what = APPEND_UNION,
	    .entries = part,
	};
	struct entry *entry = sync->pushed[member];
	size_t len = 0;

	if (part == NULL)
		abort();
	entry =
	    entry == NULL ? RB_MIN(entry_tree, &sync->entries) : RB_NEXT(entry_tree, &sync->entries, entry);
	for (; entry != NULL && append.entry_count < PEER_ENTRIES_MAX && len < PEER_PART_MAX;
	     entry = RB_NEXT(entry_tree, &sync->entries, entry)) {
		sync->pushed[member] = entry;
		if ((entry->have & 1U << member) != 0)
			continue;
		part[append.entry_count++] = (struct span){entry->data, entry->len};
		len += entry->len;
	}
	if (append.entry_count > 0)
		call(core, sync, member, CALL_UNION, &append);
	else
		sync->complete |= 1U << member;
	free(part);
}

/* What this node lacked is stored, and taken into the state then. */
static void write_own(struct core *core, struct sync *sync)
{
	struct span *part;
	struct entry *entry;
	size_t count = 0, used = 0;

	RB_FOREACH (entry, entry_tree, &sync->entries)
		count += (entry->have & SELF) == 0;
	if (count == 0) {
		sync->complete |= SELF;
		return;
	}
	sync->gained = true;
	part = calloc(count, sizeof(*part));
	if (part == NULL)
		abort();
	RB_FOREACH (entry, entry_tree, &sync->entries) {
		if ((entry->have & SELF) == 0)
			part[used++] = (struct span){entry->data, entry->len};
	}
	sync->own = write_new(core, WRITE_UNION);
	sync->own->shard = sync->shard;
	sync->own->owner = sync;
	append_write(core, sync->own, part, count);
	free(part);
}

static void check_read(struct core *core, struct sync *sync)
{
	const uint32_t wanted = sync->members | SELF;

	if (sync->pushing || (sync->read & wanted) != wanted)
		return;
	sync->pushing = true;
	write_own(core, sync);
	for (uint32_t i = 0; i < sync->shard->member_count; i++) {
		if ((sync->members & 1U << i) != 0)
			push(core, sync, i);
	}
	check_done(core, sync);
}

void sync_stored(struct core *core, struct write *write, int status)
{
	struct sync *sync;

	if (status != 0)
		write->refused = true;
	else
		takeover_progress(core, write->shard);
	if (--write->pending > 0)
		return;
	if (!write->refused)
		append_take(core, write);
	else if (write->count > 1)
		append_reread(core, write->shard);
	sync = write->owner; /* NULL when it has ended, maybe by what was just taken in */
	if (sync != NULL) {
		sync->own = NULL;
		if (!write->refused)
			sync->complete |= SELF;
		else
			sync->failed = true;
	}
	write_free(core, write);
	if (sync != NULL)
		check_done(core, sync);
}

void sync_journal_loaded(struct core *core, struct shard *shard, const struct event *event)
{
	struct sync *sync = shard->sync;

	if (sync == NULL || sync->load != event->journal_loaded.token)
		return;
	if (event->journal_loaded.status != 0) {
		struct effect *effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);

		effect->id = shard->id;
		effect->token = sync->load;
		return;
	}
	for (size_t i = 0; i < event->journal_loaded.count; i++)
		add_entry(core, sync, &event->journal_loaded.entries[i], SELF);
	sync->read |= SELF;
	takeover_progress(core, shard);
	check_read(core, sync);
}

/* It takes no part any more: it is gone, or has nothing of the shard. */
static void leave_out(struct core *core, struct sync *sync, uint32_t member)
{
	sync->members &= ~(1U << member);
	end_call(core, sync, member);
	sync->complete &= ~(1U << member);
	if (sync->pushing)
		check_done(core, sync);
	else
		check_read(core, sync);
}

void sync_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct shard *shard = call->owner;
	struct sync *sync = shard->sync;
	uint32_t member = (uint32_t)call->number;

	call_over(sync, member);
	call->peer->compared_at = core->now;
	call->peer->compared++;
	call->peer->mute_at.us = 0;
	if (answer->status != PEER_OK) {
		shard->unknown_at = core->now;
		leave_out(core, sync, member);
		return;
	}
	takeover_progress(core, shard);
	if (call->kind == CALL_UNION) {
		push(core, sync, member);
		check_done(core, sync);
		return;
	}
	for (size_t i = 0; i < answer->entry_count; i++)
		add_entry(core, sync, &answer->entries[i], 1U << member);
	if (answer->next != 0) {
		ask(core, sync, member, answer->next);
		return;
	}
	sync->read |= 1U << member;
	check_read(core, sync);
}

void sync_peer_changed(struct core *core, struct shard *shard, struct peer *peer)
{
	struct sync *sync = shard->sync;
	int member = replica_number(shard, peer);

	if (member >= 0 && (sync->members & 1U << member) != 0 && !peer_alive(core, peer))
		leave_out(core, sync, (uint32_t)member);
}

/* It says nothing about this shard, nor has it about another one meanwhile. */
static bool mute(const struct core *core, const struct sync *sync, uint32_t member)
{
	const struct peer *peer = sync->shard->members[member];
	uint64_t since = sync->asked_at[member].us;

	if (peer->compared_at.us > since && peer->compared <= sync->turns[member])
		since = peer->compared_at.us;
	return sync->calls[member] != NULL && core->now.us - since >= ANSWER_PATIENCE;
}

void sync_leave_out_mute(struct core *core, struct shard *shard)
{
	for (uint32_t i = 0; i < shard->member_count && shard->sync != NULL; i++) {
		if (!mute(core, shard->sync, i))
			continue;
		shard->members[i]->mute_at = core->now;
		leave_out(core, shard->sync, i);
	}
}

/* Others read our journal. */

void sync_journal(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct shard *shard = shard_find(core, &request->shard);
	struct peer_message none = {.next = 0};
	struct effect *effect;
	struct write *write;

	if (shard == NULL) {
		/* While records are still being read it may turn up, and is asked for again. */
		if (core->recover_done)
			call_reply(core, peer, request, PEER_UNKNOWN, &none);
		return;
	}
	if (write_under_way(peer, request->token))
		return;
	write = write_new(core, WRITE_SERVE);
	write->shard = shard;
	write_for(write, peer, request->token);
	write->generation = request->from;
	effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);
	effect->id = shard->id;
	effect->token = write->token;
}

/* Entries from `from` on, as many as fit. */
static void serve_part(struct core *core, const struct write *write, const struct event *event)
{
	const struct span *entries = event->journal_loaded.entries;
	size_t count = event->journal_loaded.count;
	size_t from = write->generation < count ? (size_t)write->generation : count;
	struct peer_message answer = {.entries = entries + from};
	size_t len = 0;

	while (from < count && answer.entry_count < PEER_ENTRIES_MAX &&
	       (answer.entry_count == 0 || len + entries[from].len <= PEER_PART_MAX)) {
		len += entries[from++].len;
		answer.entry_count++;
	}
	answer.next = from < count ? from : 0;
	call_reply_to(core, write->peer, PEER_JOURNAL, write->peer_token, PEER_OK, &answer);
}

void sync_serve_loaded(struct core *core, struct write *write, const struct event *event)
{
	if (event->journal_loaded.status == 0) /* otherwise it is asked for again */
		serve_part(core, write, event);
	write_free(core, write);
}
