/* SPDX-License-Identifier: MIT */
/* See node_cluster.h. */
#include "daemon/node_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/known_members.h"
#include "daemon/link.h"
#include "daemon/log.h"
#include "dht/endpoint.h"
#include "dht/rendezvous.h"
#include "queue/error.h"

struct node_cluster {
	struct node *node;
	const struct config *config;
	struct links *links;
	struct rendezvous *rendezvous;
	struct presence presence; /* the last one that was published */
	bool closing;
	int open; /* of known members, links and rendezvous, while closing */
	void (*closed)(void *context);
	void *closed_context;
	char address[PRESENCE_ADDRESS_MAX + 1];
	struct known_members *known;
	bool joined; /* EVENT_JOINED was said */
};

/* A read of the directory that the core waits for. */
struct lookup {
	struct node_cluster *cluster;
	uint64_t token;
};

static void peer_event(struct node_cluster *cluster, enum event_type type, const struct opt_id *peer)
{
	struct event event = {.type = type};

	event.peer.node = *peer;
	node_event(cluster->node, &event);
}

/* Looked at whenever a node is heard: one that was dialled may have had a link before. */
static void see_joined(struct node_cluster *cluster)
{
	struct event event = {.type = EVENT_JOINED};

	for (size_t i = 0; i < cluster->config->bootstrap.count && !cluster->joined; i++) {
		if (links_awaits(cluster->links, cluster->config->bootstrap.items[i]))
			return;
	}
	if (!cluster->joined)
		node_event(cluster->node, &event);
	cluster->joined = true;
}

static void link_up(void *context, const struct opt_id *peer, const char *address)
{
	(void)address; /* daemon/link.c has logged it */
	see_joined(context);
	peer_event(context, EVENT_PEER_UP, peer);
}

static void link_down(void *context, const struct opt_id *peer, enum link_end why)
{
	(void)why;
	peer_event(context, EVENT_PEER_DOWN, peer);
}

static void link_refused(void *context, const struct opt_id *peer)
{
	peer_event(context, EVENT_PEER_REFUSED, peer);
}

static void link_message(void *context, const struct opt_id *peer, const void *data, size_t len)
{
	struct node_cluster *cluster = context;
	struct event event = {.type = EVENT_FRAME};

	event.frame.node = *peer;
	event.frame.data = data;
	event.frame.len = len;
	see_joined(cluster);
	node_event(cluster->node, &event);
}

/* Calls repeat what was refused; nothing waits for room. */
static void link_room(void *context, const struct opt_id *peer)
{
	(void)context;
	(void)peer;
}

static void presence_seen(void *context, const struct presence *presence)
{
	struct node_cluster *cluster = context;
	struct event event = {.type = EVENT_PRESENCE};

	if (cluster->closing)
		return;
	event.presence.presence = presence;
	node_event(cluster->node, &event);
}

static void joined(void *context, bool is_joined)
{
	(void)context;
	log_info("rendezvous", "joined", is_joined ? "yes" : "no", NULL);
}

/* "0.0.0.0:4100" says nothing to others. */
static bool is_wildcard(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || host[0] == '\0';
}

/* The address that others are told: --advertise, or --listen with the port that was bound. */
static int own_address(struct node_cluster *cluster, char *error, size_t size)
{
	const char *given =
	    cluster->config->advertise != NULL ? cluster->config->advertise : cluster->config->listen;
	const char *bound = links_address(cluster->links);
	const char *port = strrchr(bound, ':');
	const char *colon = strrchr(given, ':');
	struct endpoint endpoint;

	if (colon == NULL || port == NULL || endpoint_parse(given, &endpoint) != 0) {
		/* Port 0 is no address, but says that any port will do. */
		if (colon == NULL || strcmp(colon, ":0") != 0) {
			snprintf(error, size, "%s is no HOST:PORT", given);
			return OPT_E_INVALID;
		}
	} else if (is_wildcard(endpoint.host)) {
		snprintf(error, size,
		    "the others can't reach %s: say with --advertise HOST:PORT where they can", given);
		return OPT_E_INVALID;
	}
	if (cluster->config->advertise != NULL)
		snprintf(cluster->address, sizeof(cluster->address), "%s", given);
	else
		snprintf(
		    cluster->address, sizeof(cluster->address), "%.*s%s", (int)(colon - given), given, port);
	return 0;
}

int node_cluster_new(uv_loop_t *loop, const struct config *config, const struct identity *identity,
    const struct cluster_key *key, struct node_cluster **ret_cluster, char *error, size_t size)
{
	struct node_cluster *cluster = calloc(1, sizeof(*cluster));
	const struct links_callbacks links = {
	    .context = cluster,
	    .up = link_up,
	    .down = link_down,
	    .refused = link_refused,
	    .message = link_message,
	    .room = link_room,
	};
	const struct rendezvous_callbacks rendezvous = {
	    .context = cluster, .presence = presence_seen, .joined = joined};
	uint16_t port;
	int status;

	if (cluster == NULL)
		abort();
	cluster->config = config;
	cluster->known = known_members_load(loop, config->data);
	status = links_new(loop, identity, key, config->listen, &links, &cluster->links, error, size);
	if (status == 0)
		status = own_address(cluster, error, size);
	if (status == 0) {
		port = (uint16_t)strtoul(strrchr(links_address(cluster->links), ':') + 1, NULL, 10);
		status =
		    rendezvous_new(loop, identity, key, port, &rendezvous, &cluster->rendezvous, error, size);
	}
	*ret_cluster = cluster; /* also after a failure: to be closed */
	return status;
}

void node_cluster_attach(struct node_cluster *cluster, struct node *node)
{
	cluster->node = node;
}

const char *node_cluster_address(const struct node_cluster *cluster)
{
	return cluster->address;
}

bool node_cluster_has_company(const struct node_cluster *cluster)
{
	return cluster->config->bootstrap.count > 0 || known_members_count(cluster->known) > 0;
}

bool node_cluster_joins(const struct node_cluster *cluster)
{
	return cluster->config->bootstrap.count > 0;
}

void node_cluster_begin(struct node_cluster *cluster)
{
	for (size_t i = 0; i < known_members_count(cluster->known); i++) {
		const char *address = known_members_address(cluster->known, i);

		links_dial(cluster->links, address);
		rendezvous_bootstrap(cluster->rendezvous, address);
	}
	for (size_t i = 0; i < cluster->config->bootstrap.count; i++) {
		const char *address = cluster->config->bootstrap.items[i];

		if (links_dial(cluster->links, address) != 0)
			log_warning(
			    "bootstrap_ignored", "address", address, "reason", "it is no HOST:PORT", NULL);
		rendezvous_bootstrap(cluster->rendezvous, address);
	}
}

struct links_numbers node_cluster_links(const struct node_cluster *cluster)
{
	const struct links_numbers none = {0};

	return cluster == NULL || cluster->closing ? none : links_numbers(cluster->links);
}

static void homes_found(void *context, int status, const struct opt_id *homes, size_t count)
{
	struct lookup *lookup = context;
	struct event event = {.type = EVENT_DIRECTORY};

	event.directory.token = lookup->token;
	event.directory.status = status == OPT_E_NOT_FOUND ? 0 : status;
	event.directory.homes = homes;
	event.directory.count = status == 0 ? count : 0;
	if (!lookup->cluster->closing)
		node_event(lookup->cluster->node, &event);
	free(lookup);
}

static void look_up(struct node_cluster *cluster, const struct effect *effect)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		abort();
	lookup->cluster = cluster;
	lookup->token = effect->token;
	rendezvous_get_batch(cluster->rendezvous, &effect->id, homes_found, lookup);
}

void node_cluster_effect(struct node_cluster *cluster, const struct effect *effect)
{
	if (cluster == NULL || cluster->closing || cluster->rendezvous == NULL)
		return;
	switch (effect->type) {
	case EFFECT_SEND:
		links_send(cluster->links, &effect->id, effect->data, effect->len, effect->bulk);
		return;
	case EFFECT_PEER_WANT:
		links_want(cluster->links, &effect->id, effect->text);
		known_members_add(cluster->known, effect->text);
		rendezvous_known(cluster->rendezvous, &effect->id, effect->text);
		return;
	case EFFECT_PEER_UNWANT:
		links_unwant(cluster->links, &effect->id);
		return;
	case EFFECT_PEER_END:
		links_end(cluster->links, &effect->id, LINK_MALFORMED);
		return;
	case EFFECT_PUBLISH:
		cluster->presence = *effect->presence;
		rendezvous_publish(cluster->rendezvous, effect->presence);
		return;
	case EFFECT_DIRECTORY_PUT:
		rendezvous_put_batch(
		    cluster->rendezvous, &effect->id, effect->data, effect->len / sizeof(struct opt_id));
		return;
	case EFFECT_DIRECTORY_GET:
		look_up(cluster, effect);
		return;
	default:
		return;
	}
}

static void one_closed(void *context)
{
	struct node_cluster *cluster = context;

	if (--cluster->open > 0)
		return;
	if (cluster->closed != NULL)
		cluster->closed(cluster->closed_context);
	free(cluster);
}

static void left(void *context)
{
	struct node_cluster *cluster = context;

	rendezvous_close(cluster->rendezvous, one_closed, cluster);
}

void node_cluster_close(struct node_cluster *cluster, void (*fn)(void *context), void *context)
{
	struct presence tombstone = cluster->presence;

	cluster->closing = true;
	cluster->closed = fn;
	cluster->closed_context = context;
	cluster->open = 1 + (cluster->links != NULL) + (cluster->rendezvous != NULL);
	known_members_close(cluster->known, one_closed, cluster);
	if (cluster->links != NULL)
		links_close(cluster->links, one_closed, cluster);
	if (cluster->rendezvous == NULL)
		return;
	tombstone.flags |= PRESENCE_LEFT;
	tombstone.sequence++;
	if (cluster->presence.address[0] == '\0' ||
	    rendezvous_leave(cluster->rendezvous, &tombstone, left, cluster) != 0)
		left(cluster);
}
