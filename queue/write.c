/* SPDX-License-Identifier: MIT */
/* Writes by token. A token is never used again, so an answer that comes late or twice finds nothing. */
#include "queue/write.h"

#include <stdlib.h>

#include "queue/replicate.h"

static int compare(const struct write *a, const struct write *b)
{
	return a->token < b->token ? -1 : a->token > b->token;
}

RB_GENERATE_STATIC(write_tree, write, node, compare)

static int compare_request(const struct write *a, const struct write *b)
{
	return a->peer_token < b->peer_token ? -1 : a->peer_token > b->peer_token;
}

RB_GENERATE_STATIC(request_tree, write, request, compare_request)

struct write *write_new(struct core *core, enum write_kind kind)
{
	struct write *write = calloc(1, sizeof(*write));

	if (write == NULL)
		abort();
	write->kind = kind;
	write->token = core->next_token++;
	write->since = core->now;
	RB_INSERT(write_tree, &core->writes, write);
	core->write_count++;
	TAILQ_INSERT_TAIL(&core->awaited, write, awaited);
	write->in_awaited = true;
	core->awaited_count++;
	return write;
}

struct write *write_find(struct core *core, uint64_t token)
{
	struct write key = {.token = token};

	return RB_FIND(write_tree, &core->writes, &key);
}

struct write *write_first(struct core *core)
{
	return RB_MIN(write_tree, &core->writes);
}

struct write *write_next(struct write *write)
{
	return RB_NEXT(write_tree, &core->writes, write);
}

void write_free(struct core *core, struct write *write)
{
	replicate_end_calls(core, write);
	write_answered(core, write);
	if (write->in_requests)
		RB_REMOVE(request_tree, &write->peer->requests, write);
	timer_disarm(&core->boot_timers, &write->timer);
	RB_REMOVE(write_tree, &core->writes, write);
	core->write_count--;
	for (size_t i = 0; write->files != NULL && i < write->count; i++)
		free(write->files[i]);
	free(write->files);
	free(write->claims);
	free(write->replies);
	free(write->data);
	free(write);
}

void write_answered(struct core *core, struct write *write)
{
	if (!write->in_awaited)
		return;
	TAILQ_REMOVE(&core->awaited, write, awaited);
	write->in_awaited = false;
	core->awaited_count--;
}

usec write_wait(const struct core *core)
{
	const struct write *oldest = TAILQ_FIRST(&core->awaited);

	return oldest == NULL ? 0 : core->now.us - oldest->since.us;
}

void write_for(struct write *write, struct peer *peer, uint64_t token)
{
	write->peer = peer;
	write->peer_token = token;
	write->in_requests = RB_INSERT(request_tree, &peer->requests, write) == NULL;
}

bool write_under_way(const struct peer *peer, uint64_t token)
{
	struct write key = {.peer_token = token};

	return RB_FIND(request_tree, (struct request_tree *)(uintptr_t)&peer->requests, &key) != NULL;
}

void write_append(struct core *core, struct write *write)
{
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_APPEND);

	effect->token = write->token;
	effect->id = write->id;
	effect->data = effects_copy(core->effects, write->data, write->len);
	effect->len = write->len;
}

void write_append_entry(struct core *core, struct write *write, const struct journal_entry *entry)
{
	struct buffer bytes;

	buffer_init(&bytes);
	journal_encode(entry, &bytes);
	write->data = bytes.data;
	write->len = bytes.len;
	write_append(core, write);
}

void write_entry(struct core *core, const struct opt_id *id, const struct journal_entry *entry)
{
	struct write *write = write_new(core, WRITE_OTHER);

	write->id = *id;
	write_append_entry(core, write, entry);
}

void write_drop(struct core *core, const struct opt_id *batch, const struct opt_id *upload, uint32_t shards)
{
	struct write *write = write_new(core, WRITE_DROP);
	struct effect *effect = effects_add(core->effects, EFFECT_STORE_DROP_UPLOAD);

	write->id = *batch;
	write->upload = *upload;
	write->count = shards;
	effect->token = write->token;
	effect->id = *batch;
	effect->upload = *upload;
	effect->shards = shards;
}

void write_again(struct core *core, struct write *write)
{
	if (write->kind != WRITE_DROP) {
		write_append(core, write);
		return;
	}
	write_drop(core, &write->id, &write->upload, (uint32_t)write->count);
	write_free(core, write);
}
