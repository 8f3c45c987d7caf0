/* SPDX-License-Identifier: MIT */
/* See stuck.h. */
#include "test/sim/stuck.h"

#include <string.h>

#include "queue/describe.h"
#include "test/sim/store_write.h"
#include "test/sim/world.h"

/* A few mails that have not ended. */
static void trace_open(struct world *w, const struct sim_batch *batch)
{
	int left = 3;

	for (uint32_t i = 0; batch->accepted != NULL && i < batch->accepted->shard_count; i++) {
		const struct sim_shard *shard = &batch->shards[i];

		for (uint32_t k = 0; k < shard->count && left > 0; k++) {
			const struct mail *mail = &shard->mails[k];
			const struct attempt *latest = mail->attempts;

			if (mail_state_final(truth_state(mail)))
				continue;
			left--;
			TRACE(w, "%m of %x is open, attempt %u of %s in epoch %u, facts %x", M(mail),
			    N(id_number(&shard->id)), N(latest != NULL ? latest->key.attempt : 0),
			    T(latest != NULL ? w->nodes[latest->owner].name : "nobody"),
			    N(latest != NULL ? latest->key.epoch : 0), N(latest != NULL ? latest->facts : 0));
		}
	}
}

static void trace_batches(struct node *node)
{
	const struct world *w = node->world;
	struct batch_view view;

	for (size_t i = 0; i < w->truth.batches.count; i++) {
		const struct sim_batch *batch = w->truth.batches.items[i].value;

		if (core_batch(node->core, batch->name, &view) == 0 && view.finished.us == 0)
			TRACE_NODE(node, "%s: ready %u, claimed %u, retry %u, in doubt %u, total %u",
			    T(batch->name), N(view.states[MAIL_READY]), N(view.states[MAIL_CLAIMED]),
			    N(view.states[MAIL_RETRY]), N(view.states[MAIL_IN_DOUBT]), N(view.total));
	}
}

static const char *name(void *context, const struct opt_id *id)
{
	const struct node *node = world_node(context, id);

	return node == NULL ? "?" : node->name;
}

static void trace_shards(struct node *node)
{
	struct world *w = node->world;
	char text[DESCRIBE_MAX];
	struct opt_id id;

	for (int status = describe_open_shard(node->core, NULL, name, w, &id, text); status == 0;
	     status = describe_open_shard(node->core, &id, name, w, &id, text))
		TRACE_NODE(node, "%s", T(arena_copy(w->arena, text, strlen(text) + 1)));
}

static void trace_staged(struct node *node)
{
	for (size_t i = 0; i < node->store.uploads.count; i++) {
		const struct idmap_item *item = &node->store.uploads.items[i];
		const struct stored_upload *upload = item->value;
		const struct node *from =
		    upload != NULL ? world_node(node->world, &upload->coordinator) : NULL;

		if (upload != NULL)
			TRACE_NODE(node, "upload %x of %x is staged, from %s", N(id_number(&item->a)),
			    N(id_number(&upload->batch)), T(from != NULL ? from->name : "nobody"));
	}
}

void stuck_trace(struct world *w)
{
	for (size_t i = 0; i < w->truth.batches.count; i++)
		trace_open(w, w->truth.batches.items[i].value);
	for (uint32_t n = 0; n < w->node_count; n++) {
		struct node *node = &w->nodes[n];

		if (node->core != NULL) {
			trace_batches(node);
			trace_shards(node);
		}
		if (!node->dead)
			trace_staged(node);
	}
}
