/* SPDX-License-Identifier: MIT */
/*
 * The simulator's own books. They share no code with the core apart from the decoders of its records, so that
 * a mistake of the core is not made a second time here.
 */
#include "test/sim/truth.h"

#include <string.h>

#include "queue/outcome.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

const char *const domain_names[DOMAINS] = {"big0.example", "big1.example", "big2.example", "s3.example",
    "s4.example", "s5.example", "s6.example", "s7.example", "s8.example", "s9.example", "s10.example",
    "s11.example", "s12.example", "s13.example", "s14.example", "s15.example", "s16.example", "s17.example",
    "s18.example", "s19.example", "s20.example", "s21.example", "s22.example", "s23.example", "s24.example",
    "s25.example", "s26.example", "s27.example", "s28.example",
    "s29.example", [DOMAIN_SLOW] = "slow.example", [DOMAIN_DEAD] = "dead.example"};

void truth_init(struct truth *truth, struct arena *arena, struct journal_reader *reader)
{
	memset(truth, 0, sizeof(*truth));
	truth->arena = arena;
	truth->reader = reader;
	idmap_init(&truth->uploads, arena);
	idmap_init(&truth->batches, arena);
	idmap_init(&truth->shards, arena);
}

struct sim_batch *truth_batch(struct truth *truth, const char *name)
{
	struct sim_batch *batch = ARENA_NEW(truth->arena, struct sim_batch);

	batch->name = name;
	batch->key = batch_key(name);
	idmap_set(&truth->batches, &batch->key, NULL, batch);
	return batch;
}

static const char *members(
    struct world *w, const struct batch_record *record, struct sim_shard *shard, uint32_t index)
{
	const struct record_shard *place = &record->shards[index];

	shard->config = shard->configs = ARENA_NEW(w->arena, struct sim_config);
	shard->config->number = 1;
	shard->config->count = place->replica_count;
	for (uint32_t i = 0; i < place->replica_count; i++) {
		const struct node *node = world_node(w, &record->nodes[place->replicas[i]]);

		if (node == NULL)
			return "I4: a record names a node that there is not";
		shard->config->nodes[i] = node->index;
	}
	return NULL;
}

static const char *homes(struct world *w, const struct batch_record *record, struct sim_batch *batch)
{
	batch->home_count = record->home_count;
	for (uint32_t i = 0; i < record->home_count; i++) {
		const struct node *node = world_node(w, &record->nodes[record->homes[i]]);

		if (node == NULL)
			return "I4: a record names a node that there is not";
		batch->homes[i] = node->index;
	}
	return NULL;
}

static void add_shard(struct truth *truth, struct sim_batch *batch, uint32_t index)
{
	const struct content_shard *source = &batch->accepted->shards[index];
	struct sim_shard *shard = &batch->shards[index];

	shard->batch = batch;
	shard->id = shard_id(&batch->key, index);
	shard->index = index;
	shard->count = source->count;
	shard->mails = arena_alloc(truth->arena, source->count * sizeof(*shard->mails));
	for (uint32_t i = 0; i < source->count; i++) {
		struct mail *mail = &shard->mails[i];

		mail->batch = batch;
		mail->shard = shard;
		mail->index = i;
		mail->number = ++truth->mails;
		mail->domain = content_domain(source->value, i);
		mail->refused = content_refused(source->value, i);
	}
	idmap_set(&truth->shards, &shard->id, NULL, shard);
}

static const char *compare(const struct batch_record *record, const struct content *content)
{
	if (strcmp(record->settings.name, content->settings.name) != 0 ||
	    strcmp(record->settings.sender, content->settings.sender) != 0 ||
	    record->settings.start.us != content->settings.start.us ||
	    record->settings.expire != content->settings.expire ||
	    record->settings.priority != content->settings.priority)
		return "I1: the record's settings are not those of its upload";
	if (!id_equal(&record->template, &content->template_hash))
		return "I1: the record names another template than its upload";
	if (record->shard_count != content->shard_count)
		return "I1: the record has other shards than its upload";
	for (uint32_t i = 0; i < record->shard_count; i++) {
		if (record->shards[i].count != content->shards[i].count ||
		    !id_equal(&record->shards[i].hash, &content->shards[i].hash))
			return "I1: a shard of the record is not the one that was uploaded";
	}
	return NULL;
}

const char *truth_accept(struct world *w, const struct opt_id *key, const void *data, size_t len)
{
	struct truth *truth = &w->truth;
	struct sim_batch *batch = idmap_get(&truth->batches, key, NULL);
	const struct content *content;
	struct batch_record record;
	const char *wrong;

	if (batch == NULL)
		return "I4: a record of a batch that nobody submitted";
	if (record_decode(data, len, &record) != 0)
		return "I1: a record that can't be read";
	content = idmap_get(&truth->uploads, &record.upload, NULL);
	wrong = content == NULL || content->batch != batch ? "I4: a record of an upload that nobody made"
	                                                   : compare(&record, content);
	if (wrong == NULL) {
		batch->accepted = content;
		batch->upload = record.upload;
		batch->created = record.created;
		batch->expires = record.expires;
		batch->record = arena_copy(truth->arena, data, len);
		batch->record_len = len;
		batch->shards = arena_alloc(truth->arena, content->shard_count * sizeof(*batch->shards));
		wrong = homes(w, &record, batch);
		for (uint32_t i = 0; i < content->shard_count && wrong == NULL; i++) {
			wrong = members(w, &record, &batch->shards[i], i);
			add_shard(truth, batch, i);
		}
	}
	record_done(&record);
	return wrong;
}

struct mail *truth_mail(const struct truth *truth, const struct opt_id *shard_id, uint32_t index)
{
	const struct sim_shard *shard = idmap_get(&truth->shards, shard_id, NULL);

	return shard != NULL && index < shard->count ? &shard->mails[index] : NULL;
}

struct attempt *truth_attempt(const struct truth *truth, const struct attempt_key *key)
{
	const struct mail *mail = truth_mail(truth, &key->shard, key->index);
	struct attempt *attempt = mail != NULL ? mail->attempts : NULL;

	while (attempt != NULL && (attempt->key.attempt != key->attempt || attempt->key.epoch != key->epoch ||
	                              !id_equal(&attempt->key.node, &key->node)))
		attempt = attempt->next;
	return attempt;
}

struct attempt *truth_attempt_new(struct truth *truth, const struct attempt_key *key)
{
	struct attempt *attempt = truth_attempt(truth, key);
	struct mail *mail;

	if (attempt != NULL)
		return attempt;
	mail = truth_mail(truth, &key->shard, key->index);
	if (mail == NULL)
		return NULL;
	attempt = ARENA_NEW(truth->arena, struct attempt);
	attempt->mail = mail;
	attempt->key = *key;
	attempt->next = mail->attempts;
	mail->attempts = attempt;
	return attempt;
}

bool truth_settled(const struct attempt *attempt)
{
	return attempt->told != 0 || attempt->not_now || attempt->refused;
}

bool truth_ended(const struct mail *mail)
{
	/* Without a word of Postfix, by whoever owns it, or owned it when it was cut off. */
	const uint32_t decided = 1U << OUTCOME_EXPIRED | 1U << OUTCOME_CANCELLED | 1U << OUTCOME_UNKNOWN;

	for (const struct attempt *a = mail->attempts; a != NULL; a = a->next) {
		if (a->told & (1U << OUTCOME_SENT | 1U << OUTCOME_BOUNCED) || a->refused ||
		    a->facts & decided)
			return true;
	}
	return false;
}

void truth_forget_told(struct truth *truth, const struct node *node)
{
	for (size_t i = 0; i < truth->shards.count; i++) {
		const struct sim_shard *shard = truth->shards.items[i].value;

		for (uint32_t k = 0; k < shard->count; k++) {
			for (struct attempt *a = shard->mails[k].attempts; a != NULL; a = a->next) {
				if (!id_equal(&a->key.node, &node->id))
					continue;
				a->told &= truth_facts_of(a, node->index);
				a->refused = a->refused && (a->told & 1U << OUTCOME_BOUNCED) != 0;
			}
		}
	}
}

struct held *truth_held(struct truth *truth, struct attempt *attempt, uint32_t node)
{
	struct held *held = attempt->held;

	while (held != NULL && held->node != node)
		held = held->next;
	if (held != NULL)
		return held;
	held = ARENA_NEW(truth->arena, struct held);
	held->node = node;
	held->next = attempt->held;
	attempt->held = held;
	return held;
}

static const struct held *find_held(const struct attempt *attempt, uint32_t node)
{
	const struct held *held = attempt->held;

	while (held != NULL && held->node != node)
		held = held->next;
	return held;
}

uint32_t truth_facts_of(const struct attempt *attempt, uint32_t node)
{
	const struct held *held = find_held(attempt, node);

	return held != NULL ? held->facts : 0;
}

void truth_fact_held(
    struct truth *truth, struct attempt *attempt, uint32_t node, enum outcome_kind kind, usec now)
{
	const struct sim_config *config = attempt->mail->shard->config;
	const uint32_t final = 1U << OUTCOME_SENT | 1U << OUTCOME_BOUNCED;
	uint32_t count = 0;

	truth_held(truth, attempt, node)->facts |= 1U << kind;
	if (attempt->settled != 0 || (final & 1U << kind) == 0)
		return;
	for (uint32_t i = 0; i < config->count; i++)
		count += (truth_facts_of(attempt, config->nodes[i]) & final) != 0;
	if (2 * count > config->count)
		attempt->settled = now;
}

bool truth_claim_safe(const struct attempt *attempt)
{
	for (const struct sim_config *config = attempt->mail->shard->configs; config != NULL;
	     config = config->before) {
		uint32_t count = 0;

		for (uint32_t i = 0; i < config->count; i++) {
			const struct held *held = find_held(attempt, config->nodes[i]);

			count += held != NULL && held->claimed;
		}
		if (2 * count > config->count)
			return true;
	}
	return false;
}

static bool in_config(const struct sim_config *config, uint32_t node)
{
	for (uint32_t i = 0; i < config->count; i++) {
		if (config->nodes[i] == node)
			return true;
	}
	return false;
}

bool truth_member(const struct sim_shard *shard, uint32_t node)
{
	return in_config(shard->config, node);
}

bool truth_members_changed(const struct sim_batch *batch)
{
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		if (batch->shards[i].configs->before != NULL)
			return true;
	}
	return false;
}

bool truth_takes_part(const struct sim_batch *batch, uint32_t node)
{
	for (uint32_t i = 0; i < batch->home_count; i++) {
		if (batch->homes[i] == node)
			return true;
	}
	for (uint32_t i = 0; i < batch->accepted->shard_count; i++) {
		for (const struct sim_config *c = batch->shards[i].configs; c != NULL; c = c->before) {
			if (in_config(c, node))
				return true;
		}
	}
	return false;
}

struct sim_epoch *truth_epoch(struct truth *truth, struct sim_shard *shard, uint32_t epoch)
{
	struct sim_epoch *found = shard->epochs;

	while (found != NULL && found->epoch != epoch)
		found = found->next;
	if (found != NULL)
		return found;
	found = ARENA_NEW(truth->arena, struct sim_epoch);
	found->epoch = epoch;
	found->owner = UINT32_MAX;
	found->next = shard->epochs;
	shard->epochs = found;
	return found;
}

void truth_promise(struct truth *truth, const struct opt_id *shard_id, uint32_t epoch, usec now)
{
	struct sim_shard *shard = idmap_get(&truth->shards, shard_id, NULL);

	if (shard != NULL && truth_epoch(truth, shard, epoch)->promised == 0)
		truth_epoch(truth, shard, epoch)->promised = now;
}

/* The one with that number, made when it is new. */
static struct sim_config *find_config(
    struct world *w, struct sim_shard *shard, const struct journal_entry *entry)
{
	struct sim_config **place = &shard->configs;
	struct sim_config *config;

	while (*place != NULL && (*place)->number > entry->config)
		place = &(*place)->before;
	if (*place != NULL && (*place)->number == entry->config)
		return *place;
	config = ARENA_NEW(w->arena, struct sim_config);
	config->before = *place;
	config->number = entry->config;
	for (size_t i = 0; i < entry->count; i++) {
		const struct node *node = world_node(w, &entry->members[i]);

		if (node != NULL)
			config->nodes[config->count++] = node->index;
	}
	*place = config;
	return config;
}

void truth_config(const struct node *node, const struct opt_id *shard_id, const struct journal_entry *entry)
{
	struct world *w = node->world;
	struct sim_shard *shard = idmap_get(&w->truth.shards, shard_id, NULL);
	struct sim_config *config;

	if (shard == NULL || entry->count > REPLICAS_MAX)
		return;
	config = find_config(w, shard, entry);
	if (config->number <= shard->config->number || node->index == config->nodes[0])
		return;
	TRACE(w, "%s/%u has configuration %u of %u members", T(shard->batch->name), N(shard->index),
	    N(config->number), N(config->count));
	shard->config = config;
}

void truth_store_heard(struct truth *truth, const struct node *node, const struct store_op *op, bool answered)
{
	struct sim_batch *batch;
	struct journal_entry entry;
	struct heard *heard;

	if (op->type != EFFECT_STORE_APPEND)
		return;
	batch = idmap_get(&truth->batches, &op->id, NULL);
	if (batch == NULL || journal_read(truth->reader, &op->id, op->data, op->len, &entry) != 0 ||
	    entry.type != JOURNAL_CONTROL || (!answered && entry.control.what != CONTROL_RUNNING))
		return;
	if (batch->heard == NULL)
		batch->heard = arena_alloc(truth->arena, node->world->node_count * sizeof(*batch->heard));
	heard = &batch->heard[node->index];
	if (entry.control.version <= heard->version || heard->what == CONTROL_CANCELLED)
		return;
	if (heard->what == CONTROL_RUNNING || entry.control.what == CONTROL_RUNNING)
		heard->since = node->world->now;
	heard->version = entry.control.version;
	heard->what = entry.control.what;
}

static uint32_t facts_left(const struct attempt *attempt, const struct node *dead)
{
	uint32_t facts = 0;

	for (const struct held *held = attempt->held; held != NULL; held = held->next) {
		if (!dead->world->nodes[held->node].dead)
			facts |= held->facts;
	}
	return facts;
}

void truth_node_died(struct truth *truth, const struct node *node)
{
	for (size_t i = 0; i < truth->shards.count; i++) {
		const struct sim_shard *shard = truth->shards.items[i].value;

		for (uint32_t k = 0; k < shard->count; k++) {
			struct mail *mail = &shard->mails[k];

			mail->fact_kinds = 0;
			for (struct attempt *a = mail->attempts; a != NULL; a = a->next) {
				a->facts = facts_left(a, node);
				mail->fact_kinds |= a->facts;
				if (id_equal(&a->key.node, &node->id))
					a->causes |= CAUSE_DEATH;
			}
		}
	}
}

enum mail_state truth_state(const struct mail *mail)
{
	static const struct {
		enum outcome_kind kind;
		enum mail_state state;
	} order[] = {
	    {OUTCOME_SENT, MAIL_SENT},
	    {OUTCOME_BOUNCED, MAIL_BOUNCED},
	    {OUTCOME_EXPIRED, MAIL_EXPIRED},
	    {OUTCOME_CANCELLED, MAIL_CANCELLED},
	    {OUTCOME_SUPPRESSED, MAIL_SUPPRESSED},
	    {OUTCOME_UNKNOWN, MAIL_UNKNOWN},
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (mail->fact_kinds & 1U << order[i].kind)
			return order[i].state;
	}
	return MAIL_READY;
}

void *content_encode(
    struct arena *arena, const struct mail *mails, uint32_t count, uint32_t salt, size_t *ret_len)
{
	size_t len = 8 + 3 * (size_t)count;
	uint8_t *value = arena_alloc(arena, len);

	memcpy(value, &count, 4);
	memcpy(value + 4, &salt, 4);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(value + 8 + 3 * i, &mails[i].domain, 2);
		value[8 + 3 * i + 2] = mails[i].refused;
	}
	*ret_len = len;
	return value;
}

uint32_t content_count(const void *data, size_t len)
{
	uint32_t count;

	if (len < 8)
		return 0;
	memcpy(&count, data, 4);
	return len == 8 + 3 * (size_t)count ? count : 0;
}

uint16_t content_domain(const void *data, uint32_t index)
{
	uint16_t domain;

	memcpy(&domain, (const uint8_t *)data + 8 + 3 * index, 2);
	return domain;
}

bool content_refused(const void *data, uint32_t index)
{
	return ((const uint8_t *)data)[8 + 3 * index + 2] != 0;
}
