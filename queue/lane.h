/* SPDX-License-Identifier: MIT */
/*
 * The order of feeding: batch by batch, within a batch round-robin over destination domains, each domain with
 * a cap on the window, so that one slow or dead destination holds nobody else up. The mails of an orphan,
 * which is a shard that this node took over from another one, have waited longest and go first.
 */
#ifndef OPTIMUS_QUEUE_LANE_H
#define OPTIMUS_QUEUE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/state.h"

/* A destination domain that somebody's mail waits for or is on its way to. Freed with its last reference. */
struct domain {
	RB_ENTRY(domain) node;
	char *name;
	uint32_t refs;              /* lanes and mails of open shards */
	uint32_t in_flight;         /* mails claimed for it */
	TAILQ_HEAD(, lane) blocked; /* lanes that wait until it may take more */
	struct hop *hop;
	TAILQ_ENTRY(domain) of_hop;
};

/* The domain of that name, with one more reference; made when there is none. */
struct domain *domain_hold_ref(struct core *core, const char *name);
void domain_drop_ref(struct core *core, struct domain *domain);

/* A mail for the domain was claimed, or its claim was settled. */
void domain_claimed(struct core *core, struct domain *domain);
void domain_settled(struct core *core, struct domain *domain);

/* Whether no mail for the domain may be claimed now: it has its share of the window, or its hop rests. */
bool domain_full(const struct core *core, const struct domain *domain);
/* It may have become less full. */
void domain_unblock(struct core *core, struct domain *domain);

/* Puts a READY mail whose domain is known at the end of its lane; a mail of an orphan at the head of it, and
 * its lane before the others. */
void lane_push(struct core *core, struct shard *shard, uint32_t index);

/*
 * Takes the next mail of the batch whose domain may have more: false when there is none. The mail is no
 * longer in a lane then; its state is the caller's to change.
 */
bool lane_pop(struct core *core, struct batch *batch, struct shard **ret_shard, uint32_t *ret_index);

/* Frees all lanes of the batch. */
void lanes_free(struct core *core, struct batch *batch);
/* Frees all domains and their hops; nothing may refer to them any more. */
void domains_free(struct core *core);

#endif
