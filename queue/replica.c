/* SPDX-License-Identifier: MIT */
/* See replica.h. Members are named by their place in shard->members, and sets of them by bits. */
#include "queue/replica.h"

#include <stdlib.h>
#include <string.h>

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/catchup.h"
#include "queue/change.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/doubt.h"
#include "queue/error.h"
#include "queue/facts.h"
#include "queue/feed.h"
#include "queue/header.h"
#include "queue/lane.h"
#include "queue/lost_writes.h"
#include "queue/recover.h"
#include "queue/settle.h"
#include "queue/shard.h"
#include "queue/sync.h"
#include "queue/takeover.h"
#include "queue/tell.h"
#include "queue/write.h"

static const usec ISOLATED_MAX = 5 * USEC_PER_SEC;

void replica_init(struct core *core, struct shard *shard)
{
	const struct batch_record *record = &shard->batch->record;
	const struct record_shard *place = &record->shards[shard->index];

	shard->member_count = place->replica_count;
	for (uint8_t i = 0; i < place->replica_count; i++)
		shard->members[i] = peer_of(core, &record->nodes[place->replicas[i]]);
	shard->config = 1;
	shard->epoch = 1;
	shard->promised = 1;
	shard->owner = shard->promised_to = shard->members[0];
	shard->owner_incarnation = peer_incarnation(core, shard->owner);
	shard->mine = replica_mine(core, shard);
	/* What was recovered is owned only after it was taken over again. */
	shard->synced = core->recover_done;
	lost_writes_new_shard(core, shard);
	shard->owning = core->recover_done && shard->owner == core->self && lost_writes_may_vote(core, shard);
	timer_init(&shard->takeover_timer, TIMER_TAKEOVER, shard);
	timer_init(&shard->doubt_timer, TIMER_DOUBT, shard);
}

int replica_number(const struct shard *shard, const struct peer *peer)
{
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == peer)
			return i;
	}
	return -1;
}

bool replica_mine(const struct core *core, const struct shard *shard)
{
	return replica_number(shard, core->self) >= 0;
}

uint32_t replica_majority(const struct shard *shard)
{
	return shard->member_count / 2U + 1;
}

uint32_t replica_alive(const struct core *core, const struct shard *shard)
{
	uint32_t alive = 0;

	for (int i = 0; i < shard->member_count; i++)
		alive += peer_alive(core, shard->members[i]);
	return alive;
}

static uint32_t bits(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

void replica_behind(struct core *core, struct shard *shard, uint8_t members)
{
	if (shard->behind == 0 && members != 0)
		core->behind++;
	shard->behind |= members;
	if (shard->sync != NULL)
		sync_missed(shard->sync, members);
}

void replica_behind_others(struct core *core, struct shard *shard)
{
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] != core->self)
			replica_behind(core, shard, (uint8_t)(1U << i));
	}
}

void replica_not_behind(struct core *core, struct shard *shard, uint8_t members)
{
	if (shard->behind == 0)
		return;
	shard->behind &= (uint8_t)~members;
	if (shard->behind == 0)
		core->behind--;
}

/* Writes of our own, on their way to the members. */

/* Claims are safe alone only where they say so. */
static bool enough_have_it(const struct core *core, const struct write *write)
{
	const struct shard *shard = write->shard;

	return bits(write->stored) >= (write->kind == WRITE_CLAIMS && !write->alone
	                                      ? replica_majority(shard)
	                                      : alone_needed(core, shard));
}

/* The write is safe: members that are away get it later, by a sync. */
static void leave_behind(struct core *core, struct write *write)
{
	for (int i = 0; i < write->shard->member_count; i++) {
		if (write->calls[i] == NULL || peer_alive(core, write->shard->members[i]))
			continue;
		call_end(core, write->calls[i]);
		write->calls[i] = NULL;
		replica_behind(core, write->shard, (uint8_t)(1U << i));
	}
}

static bool calls_left(const struct write *write)
{
	for (int i = 0; i < REPLICAS_MAX; i++) {
		if (write->calls[i] != NULL)
			return true;
	}
	return false;
}

/* Sends it to the members that are not known to have it. */
static void send_append(struct core *core, struct write *write)
{
	struct shard *shard = write->shard;
	const struct span entry = {write->data, write->len};
	struct peer_message append = {
	    .type = PEER_APPEND,
	    .shard = shard->id,
	    .epoch = write->kind == WRITE_CLAIMS ? write->epoch : shard->epoch,
	    .config = shard->config,
	    .what = write->kind == WRITE_CLAIMS ? APPEND_CLAIMS : APPEND_FACTS,
	    .entries = &entry,
	    .entry_count = 1,
	};

	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == core->self || (write->stored >> i & 1U) != 0)
			continue;
		write->calls[i] = call_start(core, shard->members[i], CALL_APPEND, write, &append, false);
		write->calls[i]->number = (uint64_t)i;
	}
}

void replica_send(struct core *core, struct write *write)
{
	const struct shard *shard = write->shard;

	send_append(core, write);
	write->counted = write->kind == WRITE_OUTCOMES && shard->member_count > 1;
	if (write->counted)
		core->unreplicated += write->count;
}

bool replica_stored(struct core *core, struct write *write)
{
	int self = replica_number(write->shard, core->self);

	if (write->local && self >= 0)
		write->stored |= (uint8_t)(1U << self);
	if (write->safe || !write->local || !enough_have_it(core, write))
		return false;
	write->safe = true;
	if (write->counted)
		core->unreplicated -= write->count;
	write->counted = false;
	leave_behind(core, write);
	return true;
}

bool replica_write_over(const struct write *write)
{
	return write->safe && !calls_left(write);
}

void replica_leave_behind_all(struct core *core, struct write *write)
{
	for (int i = 0; i < REPLICAS_MAX; i++) {
		if (write->calls[i] != NULL)
			replica_behind(core, write->shard, (uint8_t)(1U << i));
	}
	replica_end_calls(core, write);
}

void replica_end_calls(struct core *core, struct write *write)
{
	for (int i = 0; i < REPLICAS_MAX; i++) {
		if (write->calls[i] != NULL)
			call_end(core, write->calls[i]);
		write->calls[i] = NULL;
	}
}

static void write_stored_at(struct core *core, struct write *write)
{
	if (write->kind == WRITE_CLAIMS)
		feed_claims_stored(core, write);
	else
		facts_stored(core, write);
}

/* A member refuses the claims: somebody else owns the shard, or the batch is held. */
static void refused(
    struct core *core, struct write *write, uint32_t member, const struct peer_message *answer)
{
	struct shard *shard = write->shard;
	const uint64_t token = write->token;
	const uint32_t epoch = write->epoch;
	const bool members_changed = answer->status == PEER_REFUSED && answer->config > shard->config;

	if (answer->status == PEER_REFUSED && answer->epoch == write->epoch &&
	    alone_yield(core, shard, answer->epoch))
		return;
	if (answer->status == PEER_REFUSED && answer->epoch <= write->epoch &&
	    answer->config <= shard->config) {
		/* It promised this epoch to another candidate, which had no majority then. */
		shard->contested = true;
		replica_behind(core, shard, (uint8_t)(1U << member));
		write_stored_at(core, write);
		return;
	}
	if (answer->status == PEER_REFUSED) {
		replica_learn_config(core, shard, answer->config, answer->members, answer->member_count);
		replica_learn(core, shard, answer->epoch, peer_of(core, &answer->node));
	}
	if (answer->status == PEER_BUSY)
		feed_rest(core);
	/* To the new members it was sent again. */
	if (members_changed && answer->epoch <= epoch && shard->owning)
		return;
	/* Stepping down may have ended it already. */
	if (write_find(core, token) != NULL)
		feed_claims_refused(core, write);
}

void replica_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct write *write = call->owner;
	uint32_t member = (uint32_t)call->number;
	const uint64_t token = write->token;

	write->calls[member] = NULL;
	if (answer->status != PEER_OK && write->kind == WRITE_CLAIMS && !write->safe) {
		refused(core, write, member, answer);
		return;
	}
	if (answer->status == PEER_OK)
		write->stored |= (uint8_t)(1U << member);
	/* Who was away may have told members of the past only. */
	if (write->kind == WRITE_OUTCOMES && answer->config > write->shard->config)
		replica_learn_config(
		    core, write->shard, answer->config, answer->members, answer->member_count);
	if (write_find(core, token) != NULL)
		write_stored_at(core, write);
}

/* Who owns it. */

void replica_step_down(struct core *core, struct shard *shard)
{
	struct write *next;

	if (!shard->owning)
		return;
	shard->owning = false;
	shard->synced = false; /* it may have facts that nobody else has */
	change_end(core, shard);
	core->owned_shards -= shard->phase != SHARD_FINISHED;
	doubt_end(core, shard);
	timer_disarm(&core->utc_timers, &shard->retry);
	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->kind == WRITE_CLAIMS && write->shard == shard && !write->safe)
			feed_claims_refused(core, write);
	}
}

void replica_own(struct core *core, struct shard *shard, uint32_t epoch)
{
	shard->epoch = epoch;
	shard->owner = core->self;
	shard->owner_incarnation = peer_incarnation(core, core->self);
	if (shard->promised < epoch) {
		shard->promised = epoch;
		shard->promised_to = core->self;
	}
	if (!shard->owning && shard->phase != SHARD_FINISHED)
		core->owned_shards++;
	shard->owning = true;
	shard->contested = false;
	shard->owned_at = core->now;
	shard->config_sent = false;
	shard->synced = true;
	replica_check_quorum(core, shard);
	doubt_watch(core, shard);
	if (control_cancelled(shard->batch))
		shard_cancel(core, shard);
	else
		shard_settle(core, shard);
}

void replica_learn(struct core *core, struct shard *shard, uint32_t epoch, struct peer *owner)
{
	if (epoch < shard->promised ||
	    (epoch == shard->promised && shard->promised_to == owner && shard->epoch == epoch))
		return;
	if (epoch > shard->promised) {
		shard->promised = epoch;
		shard->promised_to = owner;
		shard->promised_at = core->now;
	}
	if (owner != core->self && epoch > shard->epoch)
		replica_step_down(core, shard);
	if (epoch > shard->epoch && !shard->owning) {
		shard->epoch = epoch;
		shard->owner = owner;
		shard->owner_incarnation = peer_incarnation(core, owner);
	}
}

/* The same members by their places in the new configuration. */
static uint8_t new_places(
    const struct shard *shard, uint8_t set, struct peer *const *before, uint8_t before_count)
{
	uint8_t places = 0;

	for (int i = 0; i < before_count; i++) {
		int number = replica_number(shard, before[i]);

		if ((set >> i & 1U) != 0 && number >= 0)
			places |= (uint8_t)(1U << number);
	}
	return places;
}

static uint8_t all_others(const struct core *core, const struct shard *shard)
{
	const int self = replica_number(shard, core->self);

	return (uint8_t)(((1U << shard->member_count) - 1) & ~(self < 0 ? 0U : 1U << self));
}

/*
 * What is under way goes to the new members, too, and is safe when a majority of these has it. Who has not
 * got what was safe before gets it by a sync.
 */
static void follow_config(
    struct core *core, struct shard *shard, struct peer *const *before, uint8_t before_count)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->shard != shard || (write->kind != WRITE_CLAIMS && write->kind != WRITE_OUTCOMES))
			continue;
		write->stored = new_places(shard, write->stored, before, before_count);
		replica_end_calls(core, write);
		if (!write->safe)
			send_append(core, write);
		else
			replica_behind(core, shard, (uint8_t)(all_others(core, shard) & ~write->stored));
		if (write->local)
			write_stored_at(core, write);
	}
}

static void set_members(
    struct core *core, struct shard *shard, uint32_t config, const struct opt_id *members, uint32_t count)
{
	shard->config = config;
	shard->config_at = core->now;
	shard->member_count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		shard->members[i] = peer_of(core, &members[i]);
}

/* It may have been heard of, and be in no journal here; who looks for the shard on this node is sent on. */
static void write_members(struct core *core, const struct shard *shard)
{
	struct opt_id members[REPLICAS_MAX];
	const struct journal_entry entry = {
	    .type = JOURNAL_CONFIG,
	    .config = shard->config,
	    .epoch = shard->config / CONFIGS_AN_EPOCH,
	    .members = members,
	    .count = shard->member_count,
	};

	for (int i = 0; i < shard->member_count; i++)
		members[i] = shard->members[i]->id;
	if (core->recovered)
		write_entry(core, &shard->id, &entry);
}

bool replica_follow_members(struct core *core, struct shard *shard)
{
	const bool mine = replica_mine(core, shard);

	if (mine && !shard->mine) {
		shard_become_mine(core, shard);
		return true;
	}
	if (!mine && shard->mine) {
		/* It was away, and may have facts that nobody else has: the members get them. */
		const bool tells = !shard->synced;

		shard_leave(core, shard);
		write_members(core, shard);
		if (tells)
			replica_behind_others(core, shard);
	}
	return false;
}

void replica_learn_config(
    struct core *core, struct shard *shard, uint32_t config, const struct opt_id *members, uint32_t count)
{
	const uint8_t before_count = shard->member_count;
	const bool tells = !shard->mine && shard->behind != 0; /* what it had when it left */
	struct peer *before[REPLICAS_MAX];

	if (config <= shard->config || count == 0 || count > REPLICAS_MAX)
		return;
	memcpy(before, shard->members, sizeof(before));
	replica_not_behind(core, shard, shard->behind);
	takeover_cancel(core, shard);
	if (shard->sync != NULL)
		sync_end(core, shard->sync);
	change_end(core, shard);
	set_members(core, shard, config, members, count);
	if (!replica_mine(core, shard))
		replica_step_down(core, shard);
	if (!shard->journal_loading)
		replica_follow_members(core, shard);
	follow_config(core, shard, before, before_count);
	if (tells)
		replica_behind_others(core, shard);
	/* Nobody knows what the newcomer lacks, nor who else has not heard of this. */
	if (shard->owning && shard->phase != SHARD_FINISHED)
		replica_behind(core, shard, all_others(core, shard));
	/* A command that came while it joined was told to those who were members then. */
	for (uint32_t i = 0; i < count && shard->owning; i++)
		tell_peer(core, shard->batch, shard->members[i]);
	replica_check_quorum(core, shard);
	takeover_consider(core, shard);
}

void replica_take_entry(struct core *core, struct shard *shard, const struct journal_entry *entry)
{
	switch (entry->type) {
	case JOURNAL_CLAIMS:
	case JOURNAL_PROMISE:
		replica_learn(core, shard, entry->epoch, peer_of(core, &entry->node));
		return;
	case JOURNAL_CONFIG:
		replica_learn_config(core, shard, entry->config, entry->members, (uint32_t)entry->count);
		/* Its first member owned the shard in that epoch. */
		replica_learn(core, shard, entry->epoch, peer_of(core, &entry->members[0]));
		return;
	default:
		return;
	}
}

/* Requests of other members. */

static void reply_header(struct core *core, struct peer *peer, const struct peer_message *request,
    enum peer_status status, const struct shard *shard)
{
	struct peer_message answer = {
	    .epoch = shard->promised,
	    .node = shard->promised_to->id,
	    .config = shard->config,
	    .member_count = shard->member_count,
	};

	for (int i = 0; i < shard->member_count; i++)
		answer.members[i] = shard->members[i]->id;
	call_reply(core, peer, request, status, &answer);
}

/* Claims, and what else only the owner may say. */
static enum peer_status check_owner(
    struct core *core, struct shard *shard, struct peer *peer, const struct peer_message *append)
{
	if (append->config < shard->config)
		return PEER_REFUSED;
	if (append->epoch == shard->promised && peer != shard->promised_to)
		alone_yield(core, shard, append->epoch);
	if (core->config.broken_rule != CORE_BUG_PROMISE_IGNORED &&
	    (append->epoch < shard->promised ||
	        (append->epoch == shard->promised && peer != shard->promised_to)))
		return PEER_REFUSED;
	if (append->what == APPEND_CLAIMS && !control_may_claim(core, shard->batch))
		return PEER_BUSY;
	return PEER_OK;
}

void replica_refuse(
    struct core *core, struct peer *peer, const struct peer_message *request, const struct shard *shard)
{
	reply_header(core, peer, request, PEER_REFUSED, shard);
}

static bool entries_valid(struct core *core, const struct shard *shard, const struct peer_message *append)
{
	struct journal_entry entry;

	for (size_t i = 0; i < append->entry_count; i++) {
		if (journal_read(core->reader, &shard->id, append->entries[i].data, append->entries[i].len,
		        &entry) != 0 ||
		    entry.type == JOURNAL_PROMISE)
			return false;
	}
	return append->entry_count > 0;
}

/* Copies the entries behind each other, each with its length, so that they can be taken in when stored. */
static void keep_entries(struct write *write, const struct span *entries, size_t count)
{
	struct buffer bytes;

	buffer_init(&bytes);
	for (size_t i = 0; i < count; i++) {
		const uint64_t len = entries[i].len;

		buffer_add(&bytes, &len, sizeof(len));
		buffer_add(&bytes, entries[i].data, len);
	}
	write->data = bytes.data;
	write->len = bytes.len;
	write->count = count;
	write->pending = (uint32_t)count;
}

/* Whether any of the entries is about a mail, or about the members. */
static bool says_anything(struct core *core, const struct write *write)
{
	const char *next = write->data;
	struct journal_entry entry;

	for (size_t i = 0; i < write->count; i++) {
		uint64_t len;

		memcpy(&len, next, sizeof(len));
		next += sizeof(len);
		if (journal_read(core->reader, &write->shard->id, next, len, &entry) == 0 && entry.count > 0)
			return true;
		next += len;
	}
	return false;
}

void replica_write_entries(struct core *core, struct write *write, const struct span *entries, size_t count)
{
	keep_entries(write, entries, count);
	if (write->shard->mine && write->shard->phase == SHARD_FINISHED && says_anything(core, write))
		batch_reopening(core, write->shard->batch);
	for (size_t i = 0; i < count; i++) {
		struct effect *effect = effects_add(core->effects, EFFECT_STORE_APPEND);

		effect->token = write->token;
		effect->id = write->shard->id;
		effect->data = effects_copy(core->effects, entries[i].data, entries[i].len);
		effect->len = entries[i].len;
	}
}

/* Whether the journal is read, or to be read, anyway: entries that are in the store come with it. */
static bool comes_with_journal(struct core *core, struct shard *shard)
{
	if (shard->journal_loading)
		shard->reload = true;
	else if (shard->phase == SHARD_FINISHED)
		batch_reload(core, shard);
	else
		return false;
	return true;
}

void replica_reread(struct core *core, struct shard *shard)
{
	struct effect *effect;
	struct write *write;

	if (comes_with_journal(core, shard))
		return;
	write = write_new(core, WRITE_REREAD);
	write->shard = shard;
	shard->rereads++;
	effect = effects_add(core->effects, EFFECT_LOAD_JOURNAL);
	effect->id = shard->id;
	effect->token = write->token;
}

void replica_reread_loaded(struct core *core, struct write *write, const struct event *event)
{
	struct shard *shard = write->shard;
	struct journal_entry entry;

	write_free(core, write);
	shard->rereads--;
	if (event->journal_loaded.status != 0) {
		replica_reread(core, shard);
		return;
	}
	if (comes_with_journal(core, shard))
		return;
	for (size_t i = 0; i < event->journal_loaded.count; i++) {
		const struct span *bytes = &event->journal_loaded.entries[i];

		if (journal_read(core->reader, &shard->id, bytes->data, bytes->len, &entry) == 0)
			recover_take_entry(core, shard, &entry);
	}
	shard_settle(core, shard);
}

/* Of a shard that this node has left its members may ask. */
static void look_for_claims(struct core *core, const struct write *write)
{
	const char *next = write->data;
	struct journal_entry entry;

	for (size_t i = 0; i < write->count; i++) {
		uint64_t len;

		memcpy(&len, next, sizeof(len));
		next += sizeof(len);
		if (journal_read(core->reader, &write->shard->id, next, len, &entry) == 0)
			settle_asked(core, write->shard, &entry);
		next += len;
	}
}

void replica_take_entries(struct core *core, const struct write *write)
{
	struct shard *shard = write->shard;
	const char *next = write->data;
	struct journal_entry entry;

	if (!shard->mine)
		look_for_claims(core, write);
	/* That somebody owns what is finished changes nothing of it. */
	if (shard->phase == SHARD_FINISHED && !says_anything(core, write))
		return;
	if (comes_with_journal(core, shard))
		return;
	for (size_t i = 0; i < write->count; i++) {
		uint64_t len;

		memcpy(&len, next, sizeof(len));
		next += sizeof(len);
		if (journal_read(core->reader, &shard->id, next, len, &entry) == 0)
			recover_take_entry(core, shard, &entry);
		next += len;
	}
	shard_settle(core, shard);
}

void replica_append(struct core *core, struct peer *peer, const struct peer_message *request)
{
	struct shard *shard = shard_find(core, &request->shard);
	enum peer_status status = PEER_OK;
	struct write *write;

	/* "Unknown" is no vote: the record may still be on its way, and the request will be repeated. */
	if (shard == NULL || !entries_valid(core, shard, request))
		return;
	if ((request->what == APPEND_CLAIMS || request->what == APPEND_CONFIG) &&
	    (!header_known(core, shard) || !lost_writes_may_vote(core, shard)))
		return;
	if (request->what == APPEND_CLAIMS || request->what == APPEND_CONFIG)
		status = check_owner(core, shard, peer, request);
	else if (core->config.broken_rule == CORE_BUG_OUTCOMES_FENCED && request->epoch < shard->promised)
		status = PEER_OK, shard = NULL; /* says yes, and drops them */
	if (shard == NULL) {
		struct peer_message answer = {.member_count = 0};

		call_reply(core, peer, request, PEER_OK, &answer);
		return;
	}
	if (status == PEER_OK && !shard->mine && request->what == APPEND_CLAIMS)
		status = PEER_REFUSED;
	if (status != PEER_OK) {
		reply_header(core, peer, request, status, shard);
		if (request->what == APPEND_CLAIMS && !control_may_claim(core, shard->batch))
			tell_peer(core, shard->batch, peer);
		return;
	}
	if (request->what == APPEND_CLAIMS || request->what == APPEND_CONFIG)
		replica_learn(core, shard, request->epoch, peer);
	catchup_heard(core, shard);
	write = write_new(core, WRITE_PEER_APPEND);
	write->shard = shard;
	write->peer = peer;
	write->peer_token = request->token;
	shard->peer_writes++;
	replica_write_entries(core, write, request->entries, request->entry_count);
}

void replica_append_stored(struct core *core, struct write *write, int status)
{
	struct shard *shard = write->shard;

	if (status != 0)
		write->refused = true;
	if (--write->pending > 0)
		return;
	shard->peer_writes--;
	/* A part that was refused: the sender repeats all of it. */
	if (!write->refused) {
		struct peer_message answer = {
		    .epoch = shard->promised,
		    .node = shard->promised_to->id,
		    .config = shard->config,
		    .member_count = shard->member_count,
		};

		for (int i = 0; i < shard->member_count; i++)
			answer.members[i] = shard->members[i]->id;
		call_reply_to(core, write->peer, PEER_APPEND, write->peer_token, PEER_OK, &answer);
		replica_take_entries(core, write);
	} else if (write->count > 1) {
		replica_reread(core, shard);
	}
	write_free(core, write);
	shard_try_finish(core, shard);
}

/* Members come and go. */

/* Outcomes that wait for members that are known to be dead by now (queue/alone.h). */
static void check_writes(struct core *core, const struct shard *shard)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->shard == shard && write->kind == WRITE_OUTCOMES && write->local && !write->safe)
			facts_stored(core, write);
	}
}

void replica_check_quorum(struct core *core, struct shard *shard)
{
	bool cut_off = replica_alive(core, shard) < alone_needed(core, shard);

	if (cut_off == shard->cut_off)
		return;
	shard->cut_off = cut_off;
	if (!cut_off && shard->owning) {
		check_writes(core, shard);
		shard_settle(core, shard);
	}
}

static void peer_gone(struct core *core, struct peer *peer)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if ((write->kind != WRITE_CLAIMS && write->kind != WRITE_OUTCOMES) || !write->safe)
			continue;
		leave_behind(core, write);
		if (replica_write_over(write))
			write_free(core, write);
	}
	(void)peer;
}

void replica_peer_changed(struct core *core, struct peer *peer)
{
	bool alive = peer_alive(core, peer);

	if (!core->recovered)
		return;
	if (!alive)
		peer_gone(core, peer);
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		int member = replica_number(shard, peer);

		if (member < 0 || !shard->mine)
			continue;
		if (shard->sync != NULL)
			sync_peer_changed(core, shard, peer);
		if (shard->owner == peer)
			shard->synced = false;
		/* Heard for the first time since our own start: nothing says that it has restarted. */
		if (shard->owner == peer && shard->owner_incarnation == 0)
			shard->owner_incarnation = peer_incarnation(core, peer);
		/* It may have lost what it had not written down, or come back after we gave it up. */
		if (shard->owning && shard->phase != SHARD_FINISHED &&
		    peer_incarnation(core, peer) > peer->seen_incarnation)
			replica_behind(core, shard, (uint8_t)(1U << member));
		replica_check_quorum(core, shard);
		if (!alive && shard->owning)
			check_writes(core, shard);
		takeover_consider(core, shard);
	}
	peer->seen_incarnation = peer_incarnation(core, peer);
}

/* The members, of those that were behind, that can be brought up to date now. */
static uint32_t catchable(const struct core *core, const struct shard *shard)
{
	uint32_t members = 0;

	for (uint32_t i = 0; i < shard->member_count; i++) {
		/* Who is gone may still have a link: nobody would say that it went, once the sync has begun.
		 */
		if ((shard->behind & 1U << i) != 0 && peer_alive(core, shard->members[i]) &&
		    peer_linked(core, shard->members[i]))
			members |= 1U << i;
	}
	return members;
}

/*
 * An owner without a majority can't make its outcomes safe, and the others may send its mails again: it stops
 * sending, and settles before it goes on with the others: what it has of such a shard in its Postfix is the
 * reason. With two replicas it is the other one that waits (rule 7).
 */
static void check_isolation(struct core *core)
{
	bool alone = false;

	for (struct shard *shard = shard_next(core, NULL); shard != NULL && !alone;
	     shard = shard_next(core, shard))
		alone = shard->owning && shard->cut_off && shard->member_count > 2 &&
		        shard->phase != SHARD_FINISHED && shard_has_mail_of(shard, core->self);
	if (!alone) {
		core->isolated_since.us = 0;
		core->isolated = false;
		return;
	}
	if (core->isolated_since.us == 0)
		core->isolated_since = core->now;
	if (core->isolated || core->now.us - core->isolated_since.us < ISOLATED_MAX)
		return;
	core->isolated = true;
	facts_answer_held(core);
	settle_stand_down(core, "too few nodes can be reached to make outcomes safe");
}

void replica_tick(struct core *core)
{
	check_isolation(core);
	/* Claims that found no majority in time cut a shard off although its members seem alive. */
	for (struct shard *shard = shard_next(core, NULL); shard != NULL; shard = shard_next(core, shard)) {
		if (shard->phase == SHARD_FINISHED || !shard->mine)
			continue;
		if (shard->cut_off)
			replica_check_quorum(core, shard);
		/* Members and owners change in many ways; whoever should own it is asked again. */
		if (!shard->owning && !shard->takeover_timer.armed)
			takeover_consider(core, shard);
	}
	for (struct shard *shard = shard_next(core, NULL); shard != NULL && core->syncs < SYNCS_MAX;
	     shard = shard_next(core, shard)) {
		uint32_t members = shard->behind == 0 ? 0 : catchable(core, shard);

		if (members != 0 && shard->sync == NULL && shard->takeover == NULL && !shard->journal_loading)
			sync_start(core, shard, members, catchup_done);
	}
}

void replica_forget(struct core *core, struct shard *shard)
{
	takeover_cancel(core, shard);
	if (shard->sync != NULL)
		sync_end(core, shard->sync);
	change_end(core, shard);
	if (shard->catch_up != NULL)
		call_end(core, shard->catch_up);
	if (shard->hand_over != NULL)
		call_end(core, shard->hand_over);
	replica_not_behind(core, shard, shard->behind);
	timer_disarm(&core->boot_timers, &shard->takeover_timer);
	doubt_end(core, shard);
}
