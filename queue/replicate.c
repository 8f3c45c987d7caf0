/* SPDX-License-Identifier: MIT */
/* See replicate.h. Members are named by their place in shard->members, and sets of them by bits. */
#include "queue/replicate.h"

#include "queue/alone.h"
#include "queue/cluster.h"
#include "queue/facts.h"
#include "queue/feed.h"
#include "queue/replica.h"
#include "queue/write.h"

/* A member that lives and has not answered for so long has a store that does not. */
static const usec ANSWER_PATIENCE = 10 * USEC_PER_SEC;

static uint32_t bits(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

static bool is_replicated(const struct write *write)
{
	return write->kind == WRITE_CLAIMS || write->kind == WRITE_OUTCOMES;
}

/* Claims are safe alone only where they say so. */
static bool enough_have_it(const struct core *core, const struct write *write)
{
	const struct shard *shard = write->shard;

	if (write->kind == WRITE_CLAIMS && !write->alone)
		return bits(write->stored) >= replica_majority(shard);
	/* An outcome of a shard that this node has left, whose members are all dead: nobody is left to be
	 * told. */
	if (!shard->mine && alone_left(core, shard) == 0)
		return true;
	return bits(write->stored) >= alone_needed(core, shard);
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

	/* Also where the first other member comes while the claims are being written. */
	if (write->kind == WRITE_CLAIMS && shard->member_count > 1 && !write->timer.armed)
		timer_arm(&core->boot_timers, &write->timer, core->now.us + CLAIM_MAX_AGE);
	for (int i = 0; i < shard->member_count; i++) {
		if (shard->members[i] == core->self || (write->stored >> i & 1U) != 0)
			continue;
		write->calls[i] = call_start(core, shard->members[i], CALL_APPEND, write, &append, false);
		write->calls[i]->number = (uint64_t)i;
	}
}

void replicate_send(struct core *core, struct write *write)
{
	const struct shard *shard = write->shard;

	send_append(core, write);
	write->counted = write->kind == WRITE_OUTCOMES && shard->member_count > 1;
	if (write->counted)
		core->unreplicated += write->count;
}

bool replicate_stored(struct core *core, struct write *write)
{
	int self = replica_number(write->shard, core->self);

	if (write->local && self >= 0)
		write->stored |= (uint8_t)(1U << self);
	if (write->safe || !write->local || !enough_have_it(core, write))
		return false;
	write->safe = true;
	write->safe_at = core->now;
	if (write->counted)
		core->unreplicated -= write->count;
	write->counted = false;
	leave_behind(core, write);
	return true;
}

bool replicate_over(const struct write *write)
{
	return write->safe && !calls_left(write);
}

void replicate_leave_all_behind(struct core *core, struct write *write)
{
	for (int i = 0; i < REPLICAS_MAX; i++) {
		if (write->calls[i] != NULL)
			replica_behind(core, write->shard, (uint8_t)(1U << i));
	}
	replicate_end_calls(core, write);
}

void replicate_end_calls(struct core *core, struct write *write)
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

void replicate_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct write *write = call->owner;
	uint32_t member = (uint32_t)call->number;
	const uint64_t token = write->token;

	write->calls[member] = NULL;
	if (answer->status != PEER_OK && write->kind == WRITE_CLAIMS && !write->safe) {
		refused(core, write, member, answer);
		return;
	}
	if (answer->status == PEER_OK) {
		write->stored |= (uint8_t)(1U << member);
		call->peer->mute_at.us = 0; /* its store answers */
	}
	/* Who was away may have told members of the past only. */
	if (write->kind == WRITE_OUTCOMES && answer->config > write->shard->config)
		replica_learn_config(
		    core, write->shard, answer->config, answer->members, answer->member_count);
	if (write_find(core, token) != NULL)
		write_stored_at(core, write);
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

void replicate_to_members(
    struct core *core, struct shard *shard, struct peer *const *before, uint8_t before_count)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->shard != shard || !is_replicated(write))
			continue;
		write->stored = new_places(shard, write->stored, before, before_count);
		replicate_end_calls(core, write);
		if (!write->safe)
			send_append(core, write);
		else
			replica_behind(core, shard, (uint8_t)(replica_others(core, shard) & ~write->stored));
		if (write->local)
			write_stored_at(core, write);
	}
}

void replicate_recheck(struct core *core, const struct shard *shard)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (write->shard == shard && write->kind == WRITE_OUTCOMES && write->local && !write->safe)
			facts_stored(core, write);
	}
}

void replicate_tick(struct core *core)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (!is_replicated(write))
			continue;
		if (write->kind == WRITE_OUTCOMES && write->local && !write->safe) {
			facts_stored(core, write);
		} else if (write->safe && core->now.us - write->safe_at.us >= ANSWER_PATIENCE) {
			replicate_leave_all_behind(core, write);
			write_free(core, write);
		}
	}
}

void replicate_members_gone(struct core *core)
{
	struct write *next;

	for (struct write *write = write_first(core); write != NULL; write = next) {
		next = write_next(write);
		if (!is_replicated(write) || !write->safe)
			continue;
		leave_behind(core, write);
		if (replicate_over(write))
			write_free(core, write);
	}
}
