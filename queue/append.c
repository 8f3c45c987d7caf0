/* SPDX-License-Identifier: MIT */
/* See append.h. */
#include "queue/append.h"

#include <string.h>

#include "queue/alone.h"
#include "queue/batch.h"
#include "queue/catchup.h"
#include "queue/control.h"
#include "queue/header.h"
#include "queue/lost_writes.h"
#include "queue/recover.h"
#include "queue/replica.h"
#include "queue/settle.h"
#include "queue/shard.h"
#include "queue/tell.h"
#include "queue/write.h"

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

/* The next of the write's entries that can be read, from `*at` on; false: there is none. */
static bool next_entry(
    struct core *core, const struct write *write, size_t *at, struct journal_entry *ret_entry)
{
	while (*at < write->len) {
		const char *bytes = (const char *)write->data + *at;
		uint64_t len;

		memcpy(&len, bytes, sizeof(len));
		bytes += sizeof(len);
		*at += sizeof(len) + len;
		if (journal_read(core->reader, &write->shard->id, bytes, len, ret_entry) == 0)
			return true;
	}
	return false;
}

/* Whether any of the entries is about a mail, or about the members. */
static bool says_anything(struct core *core, const struct write *write)
{
	struct journal_entry entry;

	for (size_t at = 0; next_entry(core, write, &at, &entry);) {
		if (entry.count > 0)
			return true;
	}
	return false;
}

void append_write(struct core *core, struct write *write, const struct span *entries, size_t count)
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

void append_reread(struct core *core, struct shard *shard)
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

void append_reread_loaded(struct core *core, struct write *write, const struct event *event)
{
	struct shard *shard = write->shard;
	struct journal_entry entry;

	write_free(core, write);
	shard->rereads--;
	if (event->journal_loaded.status != 0) {
		append_reread(core, shard);
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
	struct journal_entry entry;

	for (size_t at = 0; next_entry(core, write, &at, &entry);)
		settle_asked(core, write->shard, &entry);
}

void append_take(struct core *core, const struct write *write)
{
	struct shard *shard = write->shard;
	struct journal_entry entry;

	if (!shard->mine)
		look_for_claims(core, write);
	/* That somebody owns what is finished changes nothing of it. */
	if (shard->phase == SHARD_FINISHED && !says_anything(core, write))
		return;
	if (comes_with_journal(core, shard))
		return;
	for (size_t at = 0; next_entry(core, write, &at, &entry);)
		recover_take_entry(core, shard, &entry);
	shard_settle(core, shard);
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

static bool entries_valid(struct core *core, const struct shard *shard, const struct peer_message *append)
{
	struct journal_entry entry;

	for (size_t i = 0; i < append->entry_count; i++) {
		if (journal_read(core->reader, &shard->id, append->entries[i].data, append->entries[i].len,
		        &entry) != 0 ||
		    entry.type == JOURNAL_PROMISE || entry.type == JOURNAL_TOLD ||
		    !journal_numbers_within(&entry, PEER_NUMBER_MAX))
			return false;
	}
	return append->entry_count > 0;
}

/* Says with `status` who owns the shard, and the batch's command where that is the reason. */
static void refuse(struct core *core, struct peer *peer, const struct peer_message *request,
    enum peer_status status, const struct shard *shard)
{
	struct peer_message answer = replica_header(shard);

	call_reply(core, peer, request, status, &answer);
	if (request->what == APPEND_CLAIMS && !control_may_claim(core, shard->batch))
		tell_peer(core, shard->batch, peer);
}

void append_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	const bool by_owner = request->what == APPEND_CLAIMS || request->what == APPEND_CONFIG;
	struct shard *shard = shard_find(core, &request->shard);
	enum peer_status status = PEER_OK;
	struct write *write;

	/* "Unknown" is no vote: the record may still be on its way, and the request will be repeated. */
	if (shard == NULL || !entries_valid(core, shard, request))
		return;
	if (by_owner && (!header_known(core, shard) || !lost_writes_may_vote(core, shard)))
		return;
	if (by_owner)
		status = check_owner(core, shard, peer, request);
	if (status == PEER_OK && !shard->mine && request->what == APPEND_CLAIMS)
		status = PEER_REFUSED;
	if (status != PEER_OK) {
		refuse(core, peer, request, status, shard);
		return;
	}
	if (core->config.broken_rule == CORE_BUG_OUTCOMES_FENCED && !by_owner &&
	    request->epoch < shard->promised) {
		struct peer_message answer = {.member_count = 0};

		call_reply(core, peer, request, PEER_OK, &answer); /* and drops them */
		return;
	}
	if (by_owner)
		replica_learn(core, shard, request->epoch, peer);
	catchup_heard(core, shard);
	if (write_under_way(peer, request->token))
		return;
	write = write_new(core, WRITE_PEER_APPEND);
	write->shard = shard;
	write_for(write, peer, request->token);
	shard->peer_writes++;
	append_write(core, write, request->entries, request->entry_count);
}

void append_stored(struct core *core, struct write *write, int status)
{
	struct shard *shard = write->shard;

	if (status != 0)
		write->refused = true;
	if (--write->pending > 0)
		return;
	shard->peer_writes--;
	/* A part that was refused: the sender repeats all of it. */
	if (!write->refused) {
		struct peer_message answer = replica_header(shard);

		call_reply_to(core, write->peer, PEER_APPEND, write->peer_token, PEER_OK, &answer);
		append_take(core, write);
	} else if (write->count > 1) {
		append_reread(core, shard);
	}
	write_free(core, write);
	shard_try_finish(core, shard);
}
