/* SPDX-License-Identifier: MIT */
/*
 * Lanes and domains.
 *
 * A batch has a lane for each domain that mails of it wait for. Lanes that may be fed stand in the batch's
 * `ready` list, and the one that gave a mail goes to the end: that is the round-robin. When a domain has its
 * share of the window in flight, or its next hop rests because Postfix suspended delivery to it, its lanes
 * are found at the head of `ready` by the next pop, moved to the domain's `blocked` list, and put back when
 * the domain may have more. So a blocked lane costs one look for each of the hop's rests.
 *
 * A slot may be stale: the mail was settled elsewhere or expired while it waited. lane_pop() skips those; the
 * flag MAIL_IN_LANE keeps a mail from standing in a lane twice.
 */
#include "queue/lane.h"

#include <stdlib.h>
#include <string.h>

#include "queue/hop.h"
#include "queue/shard.h"

/* The ready mails of one batch for one domain, first in, first out, behind those of orphans. Freed when
 * empty. */
struct lane {
	RB_ENTRY(lane) node; /* in the batch, by the domain's name */
	TAILQ_ENTRY(lane) link;
	bool blocked; /* in the domain's list, not in the batch's */
	struct batch *batch;
	struct domain *domain;
	struct lane_slot {
		struct shard *shard;
		uint32_t index;
		bool orphan;
	} * slots; /* a ring */
	uint32_t first, count, size;
};

static int compare_domains(const struct domain *a, const struct domain *b)
{
	return strcmp(a->name, b->name);
}

static int compare_lanes(const struct lane *a, const struct lane *b)
{
	return strcmp(a->domain->name, b->domain->name);
}

RB_GENERATE_STATIC(domain_tree, domain, node, compare_domains)
RB_GENERATE_STATIC(lane_tree, lane, node, compare_lanes)

struct domain *domain_hold_ref(struct core *core, const char *name)
{
	struct domain key = {.name = (char *)(uintptr_t)name};
	struct domain *domain = RB_FIND(domain_tree, &core->domains, &key);

	if (domain == NULL) {
		domain = calloc(1, sizeof(*domain));
		if (domain == NULL || (domain->name = strdup(name)) == NULL)
			abort();
		TAILQ_INIT(&domain->blocked);
		hop_join(core, domain);
		RB_INSERT(domain_tree, &core->domains, domain);
	}
	domain->refs++;
	return domain;
}

static void domain_free(struct core *core, struct domain *domain)
{
	RB_REMOVE(domain_tree, &core->domains, domain);
	hop_leave(core, domain);
	free(domain->name);
	free(domain);
}

void domain_drop_ref(struct core *core, struct domain *domain)
{
	if (--domain->refs == 0)
		domain_free(core, domain);
}

static uint32_t domain_cap(const struct core *core)
{
	uint64_t cap = (uint64_t)core->config.window * core->config.domain_share / 100;

	return cap < 1 ? 1 : (uint32_t)cap;
}

bool domain_full(const struct core *core, const struct domain *domain)
{
	return hop_rests(domain->hop) || domain->in_flight >= domain_cap(core);
}

void domain_unblock(struct core *core, struct domain *domain)
{
	struct lane *lane;

	if (domain_full(core, domain))
		return;
	while ((lane = TAILQ_FIRST(&domain->blocked)) != NULL) {
		TAILQ_REMOVE(&domain->blocked, lane, link);
		lane->blocked = false;
		TAILQ_INSERT_TAIL(&lane->batch->ready, lane, link);
		lane->batch->lane_mails += lane->count;
		lane->batch->lane_blocked -= lane->count;
	}
}

static void block(struct lane *lane)
{
	TAILQ_REMOVE(&lane->batch->ready, lane, link);
	lane->blocked = true;
	TAILQ_INSERT_TAIL(&lane->domain->blocked, lane, link);
	lane->batch->lane_mails -= lane->count;
	lane->batch->lane_blocked += lane->count;
}

void domain_claimed(struct core *core, struct domain *domain)
{
	domain->in_flight++;
	hop_claimed(core, domain->hop);
}

void domain_settled(struct core *core, struct domain *domain)
{
	domain->in_flight--;
	domain_unblock(core, domain);
}

static struct lane *lane_of(struct core *core, struct batch *batch, struct domain *domain)
{
	struct lane key = {.domain = domain};
	struct lane *lane = RB_FIND(lane_tree, &batch->lanes, &key);

	if (lane != NULL)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		abort();
	lane->batch = batch;
	lane->domain = domain_hold_ref(core, domain->name);
	RB_INSERT(lane_tree, &batch->lanes, lane);
	TAILQ_INSERT_TAIL(&batch->ready, lane, link);
	return lane;
}

static void lane_free(struct core *core, struct lane *lane)
{
	if (lane->blocked)
		TAILQ_REMOVE(&lane->domain->blocked, lane, link);
	else
		TAILQ_REMOVE(&lane->batch->ready, lane, link);
	RB_REMOVE(lane_tree, &lane->batch->lanes, lane);
	domain_drop_ref(core, lane->domain);
	free(lane->slots);
	free(lane);
}

static void lane_grow(struct lane *lane)
{
	uint32_t size = lane->size == 0 ? 4 : lane->size * 2;
	struct lane_slot *slots = calloc(size, sizeof(*slots));

	if (slots == NULL)
		abort();
	for (uint32_t i = 0; i < lane->count; i++)
		slots[i] = lane->slots[(lane->first + i) % lane->size];
	free(lane->slots);
	lane->slots = slots;
	lane->size = size;
	lane->first = 0;
}

static void put_first(struct lane *lane, struct shard *shard, uint32_t index)
{
	struct batch *batch = lane->batch;

	lane->first = (lane->first + lane->size - 1) % lane->size;
	lane->slots[lane->first] = (struct lane_slot){shard, index, true};
	batch->lane_orphans++;
	if (!lane->blocked) {
		TAILQ_REMOVE(&batch->ready, lane, link);
		TAILQ_INSERT_HEAD(&batch->ready, lane, link);
	}
}

void lane_push(struct core *core, struct shard *shard, uint32_t index)
{
	struct mail *mail = &shard->mails[index];
	struct lane *lane;

	if ((mail->flags & MAIL_IN_LANE) != 0)
		return;
	lane = lane_of(core, shard->batch, mail->domain);
	if (lane->count == lane->size)
		lane_grow(lane);
	if (shard->orphan)
		put_first(lane, shard, index);
	else
		lane->slots[(lane->first + lane->count) % lane->size] =
		    (struct lane_slot){shard, index, false};
	lane->count++;
	mail->flags |= MAIL_IN_LANE;
	if (lane->blocked)
		shard->batch->lane_blocked++;
	else
		shard->batch->lane_mails++;
}

/* Takes the first slot. Returns whether it is still a mail to feed. */
static bool take_slot(struct lane *lane, struct lane_slot *ret_slot)
{
	struct lane_slot slot = lane->slots[lane->first];
	struct mail *mail;

	lane->first = (lane->first + 1) % lane->size;
	lane->count--;
	lane->batch->lane_mails--;
	if (slot.orphan)
		lane->batch->lane_orphans--;
	if (slot.shard->mails == NULL)
		return false; /* all of its shard's mails are final */
	mail = &slot.shard->mails[slot.index];
	if ((mail->flags & MAIL_IN_LANE) == 0)
		return false;
	mail->flags &= (uint8_t)~MAIL_IN_LANE;
	*ret_slot = slot;
	return mail->state == MAIL_READY && slot.shard->owning && shard_claimable(slot.shard);
}

bool lane_pop(struct core *core, struct batch *batch, struct shard **ret_shard, uint32_t *ret_index)
{
	struct lane *lane;

	while ((lane = TAILQ_FIRST(&batch->ready)) != NULL) {
		struct lane_slot slot;
		bool found = false;

		if (lane->count > 0 && domain_full(core, lane->domain)) {
			block(lane);
			continue;
		}
		while (lane->count > 0 && !found)
			found = take_slot(lane, &slot);
		TAILQ_REMOVE(&batch->ready, lane, link);
		TAILQ_INSERT_TAIL(&batch->ready, lane, link);
		if (lane->count == 0)
			lane_free(core, lane);
		if (found) {
			*ret_shard = slot.shard;
			*ret_index = slot.index;
			return true;
		}
	}
	return false;
}

void lanes_free(struct core *core, struct batch *batch)
{
	struct lane *lane, *next;

	RB_FOREACH_SAFE (lane, lane_tree, &batch->lanes, next)
		lane_free(core, lane);
	batch->lane_mails = 0;
	batch->lane_blocked = 0;
	batch->lane_orphans = 0;
}

void domains_free(struct core *core)
{
	struct domain *domain, *next;

	RB_FOREACH_SAFE (domain, domain_tree, &core->domains, next)
		domain_free(core, domain);
	hops_free(core);
}
