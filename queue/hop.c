/* SPDX-License-Identifier: MIT */
/*
 * The rest of next hops.
 *
 *             Postfix gives mail back untried
 *   open  ------------------------------------>  suspended: nothing goes
 *    ^                                             |       ^
 *    |                                   rest over |       | the one goes: a rest, twice as long
 *    |   a server has answered                     v       |
 *    +------------------------------------------  one mail may go
 *
 * A hop that answers is open at once, with all the room that its domains have; so the one mail after a rest
 * is all that the way back takes. An attempt that reached no server leaves the hop suspended. One that a
 * server put off opens it, for that may be greylisting, but the next suspension rests on from the length that
 * this one had: only a mail that was delivered or refused for good makes rests short again.
 *
 * The hosts of a domain of its own rest for up to max_backoff. A relay or route is one hop for many mails,
 * and one mail a minute costs nothing: its rests end at SHARED_REST_MAX, so it is not missed for longer when
 * it is back.
 */
#include "queue/hop.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queue/lane.h"

static const usec SHARED_REST_MAX = 60 * USEC_PER_SEC;

static int compare(const struct hop *a, const struct hop *b)
{
	return a->shared != b->shared ? a->shared - b->shared : strcmp(a->name, b->name);
}

RB_GENERATE_STATIC(hop_tree, hop, node, compare)

/* The server that is configured for the domain; NULL: there is none. */
static const char *server_of(const struct core_config *config, const char *domain)
{
	const size_t len = strlen(domain);

	for (size_t i = 0; i < config->route_count; i++) {
		const char *route = config->routes[i];

		if (strncasecmp(route, domain, len) == 0 && route[len] == '=')
			return route + len + 1;
	}
	return config->relay;
}

void hop_join(struct core *core, struct domain *domain)
{
	const char *server = server_of(&core->config, domain->name);
	struct hop key = {
	    .shared = server != NULL, .name = (char *)(uintptr_t)(server != NULL ? server : domain->name)};
	struct hop *hop = RB_FIND(hop_tree, &core->hops, &key);

	if (hop == NULL) {
		hop = calloc(1, sizeof(*hop));
		if (hop == NULL || (hop->name = strdup(key.name)) == NULL)
			abort();
		hop->shared = key.shared;
		timer_init(&hop->timer, TIMER_HOP, hop);
		TAILQ_INIT(&hop->domains);
		RB_INSERT(hop_tree, &core->hops, hop);
	}
	domain->hop = hop;
	TAILQ_INSERT_TAIL(&hop->domains, domain, of_hop);
}

static void free_hop(struct core *core, struct hop *hop)
{
	RB_REMOVE(hop_tree, &core->hops, hop);
	free(hop->name);
	free(hop);
}

/* A rest holds for mails that come later, too; what is known of a relay until one has gone there. */
static void free_if_idle(struct core *core, struct hop *hop)
{
	if (TAILQ_EMPTY(&hop->domains) && !hop->timer.armed && !(hop->shared && hop->suspended))
		free_hop(core, hop);
}

void hop_leave(struct core *core, struct domain *domain)
{
	struct hop *hop = domain->hop;

	TAILQ_REMOVE(&hop->domains, domain, of_hop);
	free_if_idle(core, hop);
}

bool hop_rests(const struct hop *hop)
{
	return hop->suspended && !hop->one_may_go;
}

static void rest(struct core *core, struct hop *hop)
{
	usec longest = hop->shared ? SHARED_REST_MAX : core->config.max_backoff;

	if (longest < core->config.domain_hold)
		longest = core->config.domain_hold;
	hop->rest = hop->rest == 0 ? core->config.domain_hold : 2 * hop->rest;
	if (hop->rest > longest)
		hop->rest = longest;
	hop->one_may_go = false;
	timer_arm(&core->boot_timers, &hop->timer, core->now.us + hop->rest);
}

void hop_claimed(struct core *core, struct hop *hop)
{
	if (hop->one_may_go)
		rest(core, hop);
}

static void unblock(struct core *core, struct hop *hop)
{
	struct domain *domain;

	TAILQ_FOREACH (domain, &hop->domains, of_hop)
		domain_unblock(core, domain);
}

/* Postfix says "none" where it got no connection. */
static bool server_answered(const struct outcome *outcome)
{
	return outcome->relay != NULL && *outcome->relay != '\0' && strcmp(outcome->relay, "none") != 0;
}

void hop_outcome(struct core *core, struct hop *hop, const struct outcome *outcome)
{
	if (outcome->kind == OUTCOME_RETURNED) {
		if (!hop->suspended) {
			hop->suspended = true;
			rest(core, hop);
		}
		return;
	}
	/* Of a domain without mail exchangers no server says so, and it ends its mails all the same. */
	if (!server_answered(outcome) && (hop->shared || outcome->kind != OUTCOME_BOUNCED))
		return;
	if (outcome->kind == OUTCOME_SENT || outcome->kind == OUTCOME_BOUNCED)
		hop->rest = 0;
	if (!hop->suspended)
		return;
	hop->suspended = hop->one_may_go = false;
	timer_disarm(&core->boot_timers, &hop->timer);
	unblock(core, hop);
}

void hop_rested(struct core *core, struct hop *hop)
{
	hop->one_may_go = true;
	unblock(core, hop);
	free_if_idle(core, hop);
}

bool hop_relay_rests(const struct core *core)
{
	struct hop key = {.shared = true, .name = (char *)(uintptr_t)core->config.relay};
	const struct hop *hop =
	    key.name == NULL ? NULL : RB_FIND(hop_tree, (struct hop_tree *)(uintptr_t)&core->hops, &key);

	return hop != NULL && hop_rests(hop);
}

const char *hops_check(const struct core *core)
{
	const struct domain *domain;
	struct hop *hop;

	RB_FOREACH (hop, hop_tree, (struct hop_tree *)(uintptr_t)&core->hops) {
		if (hop_rests(hop) != hop->timer.armed)
			return "a hop rests without an end, or has a timer without a rest";
		if (!hop->suspended && hop->one_may_go)
			return "a hop that is open counts its mails";
		TAILQ_FOREACH (domain, &hop->domains, of_hop) {
			if (!TAILQ_EMPTY(&domain->blocked) && !domain_full(core, domain))
				return "a domain that may have more is blocked";
		}
	}
	return NULL;
}

void hops_free(struct core *core)
{
	struct hop *hop, *next;

	RB_FOREACH_SAFE (hop, hop_tree, &core->hops, next)
		free_hop(core, hop);
}
