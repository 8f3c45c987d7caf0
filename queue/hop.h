/* SPDX-License-Identifier: MIT */
/*
 * Next hops: where Postfix delivers mail for a domain to. With a relay or a route that is a server which many
 * domains may share, else each domain's own mail exchangers. Postfix finds next hops dead, not domains, and
 * gives all mail for one back untried; so it is the hop that rests, and thousands of domains behind a dead
 * relay are as quiet as one.
 */
#ifndef OPTIMUS_QUEUE_HOP_H
#define OPTIMUS_QUEUE_HOP_H

#include <stdbool.h>

#include "queue/outcome.h"
#include "queue/state.h"

/* Freed when it has no domain and does not rest; a relay only when it is not suspended. */
struct hop {
	RB_ENTRY(hop) node;
	char *name;         /* the server, as configured, or the domain */
	bool shared;        /* a relay or route */
	bool suspended;     /* Postfix gave mail for it back untried; no server has answered since */
	bool one_may_go;    /* of a suspended one: its rest is over */
	usec rest;          /* its latest; 0: a mail was delivered since */
	struct timer timer; /* boot time: the end of its rest */
	TAILQ_HEAD(, domain) domains;
};

/* The domain gets its hop, made when there is none; and lets it go. */
void hop_join(struct core *core, struct domain *domain);
void hop_leave(struct core *core, struct domain *domain);

/* Whether no mail may be claimed for it now. */
bool hop_rests(const struct hop *hop);
/* The same of the relay for all mail, if there is one. */
bool hop_relay_rests(const struct core *core);
/* One was claimed. */
void hop_claimed(struct core *core, struct hop *hop);
/* Postfix's own word on a mail for it. */
void hop_outcome(struct core *core, struct hop *hop, const struct outcome *outcome);
/* The rest is over (TIMER_HOP). May free the hop. */
void hop_rested(struct core *core, struct hop *hop);

/* What is broken, NULL when nothing is. */
const char *hops_check(const struct core *core);
/* Frees those that no domain refers to any more but that rest. */
void hops_free(struct core *core);

#endif
