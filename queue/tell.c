/* SPDX-License-Identifier: MIT */
/*
 * Telling the participants of a batch where it stands. A call for each that may not know it; a later command
 * takes the place of an earlier one. What the other side knows better comes back with its answer.
 *
 * The homes tell those who are in the record. Who became a member of a shard later may be known to no home,
 * as when the members that it came to are gone: it asks one of the homes every now and then.
 *
 * When the batch's time is over nothing of it can be fed any more, and nobody needs to be told.
 */
#include "queue/tell.h"

#include <stdlib.h>

#include "queue/batch.h"
#include "queue/cluster.h"
#include "queue/control.h"
#include "queue/error.h"
#include "queue/home.h"
#include "queue/write.h"

static const usec ASK_EVERY = 20 * USEC_PER_SEC;

/* A node that is being told. */
struct telling {
	TAILQ_ENTRY(telling) link;
	struct call *call;
};

static struct telling *find(struct batch *batch, const struct peer *peer)
{
	struct telling *telling;

	TAILQ_FOREACH (telling, &batch->tellings, link) {
		if (telling->call->peer == peer)
			return telling;
	}
	return NULL;
}

static void end(struct core *core, struct batch *batch, struct telling *telling)
{
	TAILQ_REMOVE(&batch->tellings, telling, link);
	call_end(core, telling->call);
	free(telling);
}

void tell_forget(struct core *core, struct batch *batch)
{
	struct telling *telling;

	while ((telling = TAILQ_FIRST(&batch->tellings)) != NULL)
		end(core, batch, telling);
}

static bool of_interest(const struct core *core, const struct batch *batch)
{
	return batch->control.now.version > 0 && !batch_is_over(core, batch);
}

static void start(struct core *core, struct batch *batch, struct peer *peer)
{
	const struct control *now = &batch->control.now;
	struct peer_message request = {.type = PEER_CONTROL,
	    .batch = batch->key,
	    .version = now->version,
	    .what = now->what,
	    .at = now->at};
	struct telling *telling = calloc(1, sizeof(*telling));

	if (telling == NULL)
		abort();
	telling->call = call_start(core, peer, CALL_CONTROL, batch, &request, false);
	telling->call->number = now->version;
	TAILQ_INSERT_TAIL(&batch->tellings, telling, link);
}

void tell_peer(struct core *core, struct batch *batch, struct peer *peer)
{
	struct telling *telling = find(batch, peer);

	if (peer == core->self || !of_interest(core, batch) || !peer_alive(core, peer))
		return;
	if (telling != NULL && telling->call->number == batch->control.now.version)
		return;
	if (telling != NULL)
		end(core, batch, telling);
	start(core, batch, peer);
}

static bool is_home(struct core *core, const struct batch *batch)
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = home_list(core, &batch->key, &batch->record, homes);

	for (uint32_t i = 0; i < count; i++) {
		if (homes[i] == core->self)
			return true;
	}
	return false;
}

void tell_all(struct core *core, struct batch *batch)
{
	const bool home = is_home(core, batch);

	for (uint32_t i = 0; i < batch->record.node_count && home; i++)
		tell_peer(core, batch, peer_of(core, &batch->record.nodes[i]));
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		/* Who came later is known to the owner, and to a home only if it is a member, too. */
		for (int m = 0; m < shard->member_count && shard->config > 1 && (home || shard->owning); m++)
			tell_peer(core, batch, shard->members[m]);
	}
}

static bool takes_part(const struct batch *batch, const struct peer *peer)
{
	for (uint32_t i = 0; i < batch->record.node_count; i++) {
		if (id_equal(&batch->record.nodes[i], &peer->id))
			return true;
	}
	for (uint32_t i = 0; i < batch->record.shard_count; i++) {
		const struct shard *shard = &batch->shards[i];

		for (int m = 0; m < shard->member_count && shard->config > 1; m++) {
			if (shard->members[m] == peer)
				return true;
		}
	}
	return false;
}

void tell_peer_changed(struct core *core, struct peer *peer)
{
	const bool alive = peer_alive(core, peer);

	for (struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		struct telling *telling = find(batch, peer);

		if (!alive && telling != NULL)
			end(core, batch, telling);
		else if (alive && telling == NULL && of_interest(core, batch) && is_home(core, batch) &&
		         takes_part(batch, peer))
			tell_peer(core, batch, peer);
	}
}

/* It came to the batch after its record was written. */
static bool came_later(const struct core *core, const struct batch *batch)
{
	for (uint32_t i = 0; i < batch->record.node_count; i++) {
		if (id_equal(&batch->record.nodes[i], &core->config.node))
			return false;
	}
	return true;
}

/* Says where the batch stands here to one of its homes, which answers with what it knows. */
static void ask_home(struct core *core, struct batch *batch)
{
	struct peer *homes[REPLICAS_MAX];
	const uint32_t count = home_list(core, &batch->key, &batch->record, homes);
	const uint32_t first = (uint32_t)core_random(core, count + 1);

	for (uint32_t i = 0; i < count; i++) {
		struct peer *home = homes[(first + i) % count];

		if (home == core->self || !peer_linked(core, home) || find(batch, home) != NULL)
			continue;
		start(core, batch, home);
		return;
	}
}

void tell_tick(struct core *core)
{
	if (core->unfinished_shards == 0)
		return;
	for (struct batch *batch = batch_after(core, NULL); batch != NULL;
	     batch = batch_after(core, &batch->key)) {
		if (batch->unfinished == 0 || core->now.us - batch->homes_asked.us < ASK_EVERY ||
		    !came_later(core, batch))
			continue;
		batch->homes_asked = core->now;
		ask_home(core, batch);
	}
}

static struct control control_of(const struct peer_message *message)
{
	return (struct control){
	    .version = message->version, .what = (enum control_what)message->what, .at = message->at};
}

static void reply(struct core *core, struct peer *peer, uint64_t token, enum peer_status status,
    const struct control *stands)
{
	struct peer_message answer = {.version = stands->version, .what = stands->what, .at = stands->at};

	call_reply_to(core, peer, PEER_CONTROL, token, status, &answer);
}

void tell_request(struct core *core, struct peer *peer, const struct peer_message *request)
{
	static const struct control none = {.version = 0};
	struct batch *batch = batch_find(core, &request->batch);
	const struct control control = control_of(request);
	struct write *write;

	if (batch == NULL) {
		reply(core, peer, request->token, PEER_UNKNOWN, &none);
		return;
	}
	if (!control_above(&control, &batch->control.now)) {
		reply(core, peer, request->token, PEER_OK, &batch->control.now);
		return;
	}
	if (write_under_way(peer, request->token))
		return;
	write = control_write(core, &batch->control, &batch->key, &control);
	write_for(write, peer, request->token);
}

void tell_written(struct core *core, const struct write *write, int status)
{
	const struct batch *batch = batch_find(core, &write->id);

	if (write->peer != NULL && batch != NULL)
		reply(core, write->peer, write->peer_token, status == 0 ? PEER_OK : PEER_FAILED,
		    &batch->control.now);
}

/* Who has not got the batch yet, or could not write it down, is told again. */
void tell_answered(struct core *core, struct call *call, const struct peer_message *answer)
{
	struct batch *batch = call->owner;
	const struct control control = control_of(answer);
	struct telling *telling = find(batch, call->peer);

	if (answer->status != PEER_OK) {
		call_again(call);
		return;
	}
	if (telling != NULL && telling->call == call)
		end(core, batch, telling);
	if (control_above(&control, &batch->control.now))
		control_write(core, &batch->control, &batch->key, &control);
}
