/* SPDX-License-Identifier: MIT */
/*
 * See change.h. Those who are told are the old and the new members together, by their places in `told`; this
 * node is one of them, and its own store is asked when the newcomer has the entry: a newcomer that dies in
 * between leaves no trace.
 */
#include "queue/change.h"

#include <stdlib.h>

#include "queue/alone.h"
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/replica.h"
#include "queue/shard.h"
#include "queue/takeover.h"
#include "queue/write.h"

enum { TOLD_MAX = REPLICAS_MAX + 1 };

static const usec START_REST = 10 * USEC_PER_SEC; /* after our own start */
static const usec JOIN_LIMIT = 60 * USEC_PER_SEC; /* for a newcomer to become complete */
static const usec LIMIT = 10 * USEC_PER_SEC;      /* for the entry to come to count */

struct change {
	struct peer *peer;
	bool comes, hand_over;
	uint32_t config;
	struct peer *members[REPLICAS_MAX]; /* new */
	uint8_t member_count;
	struct peer *told[TOLD_MAX];
	uint8_t told_count;
	uint8_t stored; /* bits of told */
	struct call *calls[TOLD_MAX];
	struct call *join;
	struct write *write;
	void *entry;
	size_t len;
	struct boot_time since; /* of this part of it */
};

void change_end(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;

	if (change == NULL)
		return;
	for (int i = 0; i < TOLD_MAX; i++) {
		if (change->calls[i] != NULL)
			call_end(core, change->calls[i]);
	}
	if (change->join != NULL)
		call_end(core, change->join);
	if (change->write != NULL)
		change->write->owner = NULL; /* it is stored all the same */
	free(change->entry);
	free(change);
	shard->change = NULL;
	core->changes--;
}

static int place(const struct change *change, const struct peer *peer)
{
	for (int i = 0; i < change->told_count; i++) {
		if (change->told[i] == peer)
			return i;
	}
	return -1;
}

static uint32_t have(const struct change *change, struct peer *const *members, uint32_t count)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i < count; i++)
		number += (change->stored >> place(change, members[i]) & 1U) != 0;
	return number;
}

static void notice(struct core *core, const struct shard *shard, const struct change *change)
{
	struct effect *effect = effects_add(core->effects, EFFECT_NOTICE);

	effect->text = effects_copy_text(core->effects, change->comes ? "member_added" : "member_removed");
	effect->id = shard->id;
	effect->epoch = change->config;
}

static void hand_over(struct core *core, struct shard *shard, struct peer *peer)
{
	struct peer_message request = {.type = PEER_TAKE, .shard = shard->id, .epoch = shard->epoch};

	if (shard->hand_over != NULL)
		call_end(core, shard->hand_over);
	shard->hand_over = call_start(core, peer, CALL_TAKE, shard, &request, false);
}

/* It counts: from now on these are the members. */
static void finish(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;
	struct peer *to = change->hand_over ? change->peer : NULL;
	struct opt_id members[REPLICAS_MAX];
	const uint32_t config = change->config, count = change->member_count;

	for (uint32_t i = 0; i < count; i++)
		members[i] = change->members[i]->id;
	if (change->peer != NULL)
		notice(core, shard, change);
	shard->config_sent = false;
	change_end(core, shard);
	replica_learn_config(core, shard, config, members, count);
	if (to != NULL)
		hand_over(core, shard, to);
}

static void check(struct core *core, struct shard *shard)
{
	const struct change *change = shard->change;
	const bool old = have(change, shard->members, shard->member_count) >= alone_needed(core, shard);
	const bool new = have(change, change->members, change->member_count) >=
	                 alone_needed_of(core, shard, change->members, change->member_count);

	if (old && (new || core->config.broken_rule == CORE_BUG_CONFIG_OLD_MAJORITY_ONLY) &&
	    (change->stored >> place(change, core->self) & 1U) != 0)
		finish(core, shard);
}

static void write_entry_here(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;
	struct write *write = write_new(core, WRITE_CONFIG);
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_APPEND);

	write->shard = shard;
	write->owner = change;
	change->write = write;
	effect->token = write->token;
	effect->id = shard->id;
	effect->data = effects_copy(core->effects, change->entry, change->len);
	effect->len = change->len;
}

static void tell(struct core *core, struct shard *shard, int number)
{
	struct change *change = shard->change;
	const struct span entry = {change->entry, change->len};
	struct peer_message append = {
	    .type = PEER_APPEND,
	    .shard = shard->id,
	    .epoch = shard->epoch,
	    .config = shard->config,
	    .what = APPEND_CONFIG,
	    .entries = &entry,
	    .entry_count = 1,
	};

	change->calls[number] = call_start(core, change->told[number], CALL_CONFIG, shard, &append, false);
	change->calls[number]->number = (uint64_t)number;
}

static void tell_the_others(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;

	change->since = core->now;
	write_entry_here(core, shard);
	for (int i = 0; i < change->told_count; i++) {
		if (change->told[i] != core->self && (change->stored >> i & 1U) == 0)
			tell(core, shard, i);
	}
}

static void write_config(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;
	struct opt_id members[REPLICAS_MAX];
	struct journal_entry entry = {
	    .type = JOURNAL_CONFIG,
	    .config = change->config,
	    .epoch = shard->epoch,
	    .members = members,
	    .count = change->member_count,
	};
	struct buffer bytes;

	for (uint32_t i = 0; i < change->member_count; i++)
		members[i] = change->members[i]->id;
	buffer_init(&bytes);
	journal_encode(&entry, &bytes);
	change->entry = bytes.data;
	change->len = bytes.len;
	change->since = core->now;
	shard->config_used = change->config;
	shard->config_sent = change->peer != NULL;
	if (change->comes && core->config.broken_rule != CORE_BUG_CONFIG_OLD_MAJORITY_ONLY)
		tell(core, shard, place(change, change->peer));
	else
		tell_the_others(core, shard);
}

static void ask_to_join(struct core *core, struct shard *shard)
{
	const struct control *control = &shard->batch->control.now;
	struct peer_message request = {
	    .type = PEER_JOIN,
	    .batch = shard->batch->key,
	    .shard = shard->id,
	    .epoch = shard->epoch,
	    .version = control->version,
	    .what = control->what,
	    .at = control->at,
	};
	struct buffer record;

	replica_say_members(shard, &request);
	buffer_init(&record);
	record_encode(&shard->batch->record, &record);
	request.data = record.data;
	request.len = record.len;
	shard->change->join = call_start(core, shard->change->peer, CALL_JOIN, shard, &request, true);
	buffer_done(&record);
}

static uint32_t next_config(const struct shard *shard)
{
	const uint32_t first = shard->epoch * CONFIGS_AN_EPOCH;
	uint32_t config = shard->config > shard->config_used ? shard->config : shard->config_used;

	return config < first ? first : config + 1;
}

/* Enough members answer, before and after, and those after have what there is to know. */
static bool possible(const struct core *core, const struct shard *shard, const struct change *change)
{
	const uint32_t complete_before = shard->member_count - (uint32_t)__builtin_popcount(shard->behind);
	const uint32_t needed = alone_needed_of(core, shard, change->members, change->member_count);
	uint32_t alive = 0, complete = 0;

	for (uint32_t i = 0; i < change->member_count; i++) {
		int number = replica_number(shard, change->members[i]);

		alive += peer_alive(core, change->members[i]);
		complete += number >= 0 && (shard->behind >> number & 1U) == 0;
	}
	return alive >= needed && complete_before >= alone_needed(core, shard) &&
	       complete >= needed - change->comes && replica_alive(core, shard) >= alone_needed(core, shard);
}

static bool list_members(const struct core *core, const struct shard *shard, struct change *change)
{
	change->members[change->member_count++] = core->self;
	for (int i = 0; i < shard->member_count; i++) {
		struct peer *member = shard->members[i];

		change->told[change->told_count++] = member;
		if (member != core->self && (change->comes || member != change->peer))
			change->members[change->member_count++] = member;
	}
	if (change->peer == NULL)
		return true;
	if (!change->comes)
		return change->member_count < shard->member_count;
	if (shard->member_count >= REPLICAS_MAX || place(change, change->peer) >= 0)
		return false;
	change->told[change->told_count++] = change->peer;
	change->members[change->member_count++] = change->peer;
	return true;
}

static bool at_rest(const struct core *core, const struct shard *shard)
{
	return shard->owning && !shard->config_sent &&
	       shard->epoch < PEER_NUMBER_MAX / CONFIGS_AN_EPOCH - 1 && shard->promised == shard->epoch &&
	       shard->change == NULL && shard->takeover == NULL && shard->sync == NULL &&
	       shard->phase != SHARD_FINISHED && !shard->journal_loading && core->changes < CHANGES_MAX &&
	       core->now.us >= core->recovered_at.us + START_REST;
}

/*
 * Whether a majority knows the members in the owner's own epoch. What an owner before it has sent to few may
 * come up again: two such configurations need not have a majority in common, each has one with that of a
 * later epoch.
 */
static bool members_are_settled(const struct shard *shard)
{
	return shard->config >= shard->epoch * CONFIGS_AN_EPOCH || shard->epoch == 1;
}

bool change_start(struct core *core, struct shard *shard, struct peer *peer, bool comes, bool hand_over_then)
{
	struct change *change;

	if (!at_rest(core, shard) || peer == core->self)
		return false;
	if (next_config(shard) >= (shard->epoch + 1) * CONFIGS_AN_EPOCH) {
		shard->config_sent = true; /* another epoch has numbers */
		return false;
	}
	change = calloc(1, sizeof(*change));
	if (change == NULL)
		abort();
	if (members_are_settled(shard)) {
		change->peer = peer;
		change->comes = comes;
		change->hand_over = hand_over_then;
	}
	change->config = next_config(shard);
	change->since = core->now;
	if (!list_members(core, shard, change) || !possible(core, shard, change)) {
		free(change);
		return false;
	}
	shard->change = change;
	core->changes++;
	if (change->comes)
		ask_to_join(core, shard);
	else
		write_config(core, shard);
	return change->peer != NULL;
}

static void config_answered(
    struct core *core, struct shard *shard, uint32_t number, const struct peer_message *answer)
{
	struct change *change = shard->change;

	change->calls[number] = NULL;
	if (answer->status == PEER_REFUSED) {
		replica_learn_config(core, shard, answer->config, answer->members, answer->member_count);
		replica_learn(core, shard, answer->epoch, peer_of(core, &answer->node));
		if (!shard->owning)
			change_end(core, shard);
		return;
	}
	if (answer->status != PEER_OK)
		return;
	change->stored |= (uint8_t)(1U << number);
	if (change->write == NULL && (change->stored >> place(change, core->self) & 1U) == 0)
		tell_the_others(core, shard);
	else
		check(core, shard);
}

void change_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct shard *shard = call->owner;

	if (call->kind == CALL_TAKE) {
		shard->hand_over = NULL;
		return;
	}
	if (shard->change == NULL)
		return;
	if (call->kind == CALL_CONFIG) {
		config_answered(core, shard, (uint32_t)call->number, answer);
		return;
	}
	shard->change->join = NULL;
	/* Of what is finished in the meantime nobody needs another copy. */
	if (answer->status == PEER_OK && shard->owning && shard->phase != SHARD_FINISHED)
		write_config(core, shard);
	else
		change_end(core, shard);
}

void change_stored(struct core *core, struct write *write, int status)
{
	struct change *change = write->owner;
	struct shard *shard = write->shard;

	write_free(core, write);
	if (change == NULL)
		return;
	change->write = NULL;
	if (status != 0) {
		change_end(core, shard);
		return;
	}
	change->stored |= (uint8_t)(1U << place(change, core->self));
	check(core, shard);
}

void change_tick(struct core *core, struct shard *shard)
{
	struct change *change = shard->change;

	if (change != NULL && change->entry != NULL)
		check(core, shard); /* who is known to be dead by now need not answer */
	change = shard->change;
	if (change != NULL &&
	    (!shard->owning || shard->phase == SHARD_FINISHED ||
	        core->now.us - change->since.us > (change->join != NULL ? JOIN_LIMIT : LIMIT) ||
	        (change->comes && !peer_alive(core, change->peer))))
		change_end(core, shard);
	/* Where no majority could give a new promise, it goes on as it is. */
	if (shard->change == NULL && shard->owning && shard->config_sent && shard->phase != SHARD_FINISHED &&
	    replica_alive(core, shard) >= replica_majority(shard)) {
		replica_step_down(core, shard);
		takeover_consider(core, shard);
	}
}
