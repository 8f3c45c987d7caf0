/* SPDX-License-Identifier: MIT */
/*
 * Which nodes there are links to, which of several links to a node stays, and who is dialled.
 *
 * When two nodes find two links between them, both keep the same one without a word about it (is_better()):
 * after a restart of the peer the one to its new process, of two dials of one node the later one, else the
 * one dialled by the node with the smaller id. The other one is drained: what was handed over to it still
 * arrives.
 *
 * `current` is where messages go. `told` is the link of which the owner of the links knows; it follows
 * `current` silently when nothing was lost on the way, otherwise with down and up.
 *
 * A peer is kept while it has a link or is wanted. Callbacks may change all of this, so nothing is held
 * across them but ids.
 */
#include "daemon/link.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/link_dialler.h"
#include "daemon/link_listener.h"
#include "daemon/log.h"
#include "queue/error.h"
#include "queue/tree.h"

enum { WANT_MIN_MS = 100, WANT_MAX_MS = 2000, DIAL_MS = 1000, DIAL_AGAIN_MS = 10000 };

struct peer {
	RB_ENTRY(peer) node;
	struct opt_id id;
	struct link_connection *current; /* open, or NULL */
	struct link_connection *told;    /* the one that `up` was called for, until `down` */
	struct link_dialler *wish;       /* NULL when it is not wanted */
};

RB_HEAD(peer_tree, peer);

struct links {
	struct link_ground ground;
	struct links_callbacks callbacks;
	struct peer_tree peers;
	TAILQ_HEAD(, link_dialler) dials; /* of links_dial() */
	struct link_listener listener;
	bool closing;
	void (*closed)(void *context);
	void *closed_context;
};

static int compare_peers(const struct peer *a, const struct peer *b)
{
	return id_compare(&a->id, &b->id);
}

RB_GENERATE_STATIC(peer_tree, peer, node, compare_peers)

static struct peer *find_peer(const struct links *links, const struct opt_id *id)
{
	struct peer key = {.id = *id};

	return RB_FIND(peer_tree, (struct peer_tree *)&links->peers, &key);
}

static struct peer *get_peer(struct links *links, const struct opt_id *id)
{
	struct peer *peer = find_peer(links, id);

	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		abort();
	peer->id = *id;
	RB_INSERT(peer_tree, &links->peers, peer);
	return peer;
}

static void drop_if_unused(struct links *links, struct peer *peer)
{
	if (peer == NULL || peer->current != NULL || peer->told != NULL || peer->wish != NULL)
		return;
	RB_REMOVE(peer_tree, &links->peers, peer);
	free(peer);
}

static void tell_up(struct links *links, struct peer *peer)
{
	struct opt_id id = peer->id;
	char address[LINK_ADDRESS_SIZE], hex[OPT_ID_HEX];

	peer->told = peer->current;
	memcpy(address, peer->current->address, sizeof(address));
	log_info("link_up", "node", id_to_hex(&id, hex), "address", address, NULL);
	links->callbacks.up(links->callbacks.context, &id, address);
}

static void tell_down(struct links *links, struct peer *peer, enum link_end why)
{
	struct opt_id id = peer->id;
	char hex[OPT_ID_HEX];

	peer->told = NULL;
	log_info("link_down", "node", id_to_hex(&id, hex), "why", link_end_name(why), NULL);
	links->callbacks.down(links->callbacks.context, &id, why);
}

/* After a `down`, when there is a link all the same. */
static void tell_up_again(struct links *links, const struct opt_id *id)
{
	struct peer *peer = links->closing ? NULL : find_peer(links, id);

	if (peer != NULL && peer->current != NULL && peer->told == NULL)
		tell_up(links, peer);
}

static bool same_process(const struct link_connection *a, const struct link_connection *b)
{
	return memcmp(a->peer.instance, b->peer.instance, sizeof(a->peer.instance)) == 0;
}

/* Whether the newer one is kept of two links to one node. The other side comes to the same result. */
static bool is_better(
    const struct links *links, const struct link_connection *newer, const struct link_connection *older)
{
	bool smaller = id_compare(&links->ground.self.identity.node, &newer->peer.node) < 0;

	if (!same_process(newer, older))
		return true;
	if (newer->dialled != older->dialled)
		return newer->dialled == smaller;
	return newer->number > older->number;
}

static bool is_expected(const struct link_connection *connection)
{
	const struct link_dialler *dialler = connection->owner;

	return dialler == NULL || dialler->ticks || id_equal(&dialler->peer, &connection->peer.node);
}

/*
 * Somebody else has the address by now. The connection is one to him as good as any other: the other side
 * judges it by the rules for two links, so it must not be closed for this side's reason alone.
 */
static void dial_missed(struct link_connection *connection)
{
	struct link_dialler *dialler = connection->owner;

	connection->owner = NULL;
	link_account_end(&connection->ground->account, LINK_WRONG_NODE, connection->address);
	dialler->pause = dialler->pause_min = dialler->pause_max = DIAL_AGAIN_MS;
	dialler_failed(dialler, LINK_WRONG_NODE);
}

static void dial_succeeded(struct link_connection *connection)
{
	struct link_dialler *dialler = connection->owner;

	if (dialler == NULL)
		return;
	connection->owner = NULL;
	dialler->peer = connection->peer.node;
	dialler->known = dialler->answered = true;
	if (dialler->ticks)
		dialler->pause_min = dialler->pause_max = DIAL_AGAIN_MS;
	dialler_succeeded(dialler);
}

static void proven(void *context, struct link_connection *connection)
{
	struct links *links = context;
	struct link_connection *older;
	struct opt_id id = connection->peer.node;
	struct peer *peer;
	bool restarted;

	if (is_expected(connection))
		dial_succeeded(connection);
	else
		dial_missed(connection);
	peer = get_peer(links, &id);
	older = peer->current;
	if (older != NULL && !is_better(links, connection, older)) {
		connection_drain(connection, LINK_REPLACED);
		return;
	}
	peer->current = connection;
	restarted = older != NULL && !same_process(older, connection);
	if (restarted)
		connection_end(older, LINK_RESET);
	else if (older != NULL)
		connection_drain(older, LINK_REPLACED);
	if (older != NULL && older == peer->told && !restarted) {
		peer->told = connection;
		return;
	}
	if (peer->told != NULL)
		tell_down(links, peer, peer->told->why);
	tell_up_again(links, &id);
}

static void ended(void *context, struct link_connection *connection)
{
	struct links *links = context;
	struct peer *peer = find_peer(links, &connection->peer.node);

	if (peer == NULL || peer->current != connection)
		return;
	peer->current = NULL;
	if (peer->wish != NULL)
		dialler_wake(peer->wish);
}

static void message(void *context, struct link_connection *connection, const void *data, size_t len)
{
	struct links *links = context;
	struct opt_id id = connection->peer.node;

	if (!links->closing)
		links->callbacks.message(links->callbacks.context, &id, data, len);
}

static void room(void *context, struct link_connection *connection)
{
	struct links *links = context;
	struct opt_id id = connection->peer.node;

	if (!links->closing)
		links->callbacks.room(links->callbacks.context, &id);
}

static void finish_close(struct links *links)
{
	void (*fn)(void *context) = links->closed;
	void *context = links->closed_context;

	if (!links->closing || links->listener.open || links->ground.diallers > 0 ||
	    !TAILQ_EMPTY(&links->ground.all))
		return;
	identity_wipe(&links->ground.self.identity);
	cluster_key_wipe(&links->ground.self.key);
	free(links);
	fn(context);
}

static void gone(void *context, struct link_connection *connection)
{
	struct links *links = context;
	struct opt_id id = connection->peer.node;
	struct peer *peer;

	if (connection->owner != NULL) {
		struct link_dialler *dialler = connection->owner;

		/* One of the bootstrap addresses may well be this node's own. */
		if (connection->why == LINK_SELF) {
			dialler->pause = dialler->pause_min = dialler->pause_max = DIAL_AGAIN_MS;
			dialler->answered = true;
		}
		dialler_failed(dialler, connection->why);
	}
	peer = id_is_zero(&id) ? NULL : find_peer(links, &id);
	if (peer != NULL && !links->closing) {
		bool lost = connection->why == LINK_REPLACED && !connection_is_clean(connection) &&
		            peer->told != NULL;

		if (peer->told == connection || lost)
			tell_down(links, peer, connection->why);
		tell_up_again(links, &id);
	}
	drop_if_unused(links, find_peer(links, &id));
	finish_close(links);
}

static void settled(void *context)
{
	finish_close(context);
}

static bool wish_needed(void *context, const struct link_dialler *dialler)
{
	const struct peer *peer = find_peer(context, &dialler->peer);

	return peer != NULL && peer->current == NULL;
}

static void wish_refused(void *context, const struct link_dialler *dialler)
{
	struct links *links = context;
	struct opt_id id = dialler->peer;

	links->callbacks.refused(links->callbacks.context, &id);
}

static bool dial_needed(void *context, const struct link_dialler *dialler)
{
	return !dialler->known || wish_needed(context, dialler) || find_peer(context, &dialler->peer) == NULL;
}

static void dial_refused(void *context, const struct link_dialler *dialler)
{
	(void)context;
	log_debug("bootstrap_refused", "address", dialler->text, NULL);
}

static void nobody_waits(void *context)
{
	(void)context;
}

static const struct link_connection_events connection_events = {proven, message, room, ended, gone, settled};
static const struct link_dialler_events wish_events = {wish_needed, wish_refused};
static const struct link_dialler_events dial_events = {dial_needed, dial_refused};

int links_new(uv_loop_t *loop, const struct identity *identity, const struct cluster_key *key,
    const char *listen, const struct links_callbacks *callbacks, struct links **ret_links, char *error,
    size_t size)
{
	struct links *links;
	int status;

	if (sodium_init() < 0)
		opt_abort("libsodium can't be used");
	links = calloc(1, sizeof(*links));
	if (links == NULL)
		abort();
	links->ground.loop = loop;
	links->ground.self.identity = *identity;
	links->ground.self.key = *key;
	randombytes_buf(links->ground.self.instance, sizeof(links->ground.self.instance));
	links->ground.events = &connection_events;
	links->ground.context = links;
	links->callbacks = *callbacks;
	TAILQ_INIT(&links->ground.all);
	TAILQ_INIT(&links->ground.half_open);
	TAILQ_INIT(&links->dials);
	RB_INIT(&links->peers);
	status = listener_open(&links->listener, &links->ground, listen, error, size);
	if (status == 0)
		*ret_links = links;
	else
		links_close(links, nobody_waits, NULL);
	return status;
}

const char *links_address(const struct links *links)
{
	return links->listener.address;
}

int links_want(struct links *links, const struct opt_id *id, const char *address)
{
	struct link_dialler *dialler;
	struct link_address parsed;
	struct peer *peer;

	if (link_address_parse(address, &parsed) != 0)
		return OPT_E_INVALID;
	if (links->closing || id_equal(id, &links->ground.self.identity.node))
		return 0;
	peer = get_peer(links, id);
	if (peer->wish != NULL && strcmp(peer->wish->text, address) == 0)
		return 0;
	dialler_free(peer->wish);
	dialler_new(&links->ground, &wish_events, links, address, WANT_MIN_MS, WANT_MAX_MS, &dialler);
	dialler->peer = *id;
	dialler->known = true;
	peer->wish = dialler;
	return 0;
}

/* Whether links_dial() keeps a link to this node. */
static bool is_dialled(const struct links *links, const struct opt_id *id)
{
	const struct link_dialler *dialler;

	TAILQ_FOREACH (dialler, &links->dials, link) {
		if (dialler->known && id_equal(&dialler->peer, id))
			return true;
	}
	return false;
}

void links_unwant(struct links *links, const struct opt_id *id)
{
	struct peer *peer = find_peer(links, id);

	if (peer == NULL || peer->wish == NULL)
		return;
	dialler_free(peer->wish);
	peer->wish = NULL;
	if (peer->current != NULL && peer->current->dialled && !is_dialled(links, id))
		connection_drain(peer->current, LINK_CLOSED);
	drop_if_unused(links, peer);
}

int links_dial(struct links *links, const char *address)
{
	struct link_dialler *dialler;
	int status;

	if (links->closing)
		return 0;
	status = dialler_new(&links->ground, &dial_events, links, address, DIAL_MS, DIAL_MS, &dialler);
	if (status != 0)
		return status;
	dialler->ticks = true;
	TAILQ_INSERT_TAIL(&links->dials, dialler, link);
	return 0;
}

bool links_awaits(const struct links *links, const char *address)
{
	const struct link_dialler *dialler;

	TAILQ_FOREACH (dialler, &links->dials, link) {
		if (!dialler->answered && strcmp(dialler->text, address) == 0)
			return true;
	}
	return false;
}

int links_send(struct links *links, const struct opt_id *id, const void *data, size_t len, bool bulk)
{
	const struct peer *peer = links->closing ? NULL : find_peer(links, id);

	if (peer == NULL || peer->current == NULL)
		return OPT_E_NOT_FOUND;
	return connection_send(peer->current, data, len, bulk ? LANE_BULK : LANE_CONTROL);
}

void links_end(struct links *links, const struct opt_id *id, enum link_end why)
{
	const struct peer *peer = find_peer(links, id);

	if (peer != NULL && peer->current != NULL)
		connection_break(peer->current, why);
}

size_t links_queued(const struct links *links, const struct opt_id *id)
{
	const struct peer *peer = find_peer(links, id);

	return peer == NULL || peer->current == NULL ? 0 : peer->current->queue.lanes[LANE_BULK].bytes;
}

struct links_numbers links_numbers(const struct links *links)
{
	struct links_numbers numbers = {
	    .half_open = links->ground.half_open_count,
	    .accepted = links->ground.accepted,
	    .dialled = links->ground.dials,
	};
	struct peer *peer;

	RB_FOREACH (peer, peer_tree, (struct peer_tree *)&links->peers) {
		if (peer->current != NULL)
			numbers.up++;
	}
	memcpy(numbers.ended, links->ground.account.ended, sizeof(numbers.ended));
	return numbers;
}

static void close_all(struct links *links)
{
	struct link_connection *connection, *next_connection;
	struct link_dialler *dialler, *next_dialler;
	struct peer *peer, *next_peer;

	TAILQ_FOREACH_SAFE (dialler, &links->dials, link, next_dialler) {
		TAILQ_REMOVE(&links->dials, dialler, link);
		dialler_free(dialler);
	}
	RB_FOREACH_SAFE (peer, peer_tree, &links->peers, next_peer) {
		dialler_free(peer->wish);
		RB_REMOVE(peer_tree, &links->peers, peer);
		free(peer);
	}
	TAILQ_FOREACH_SAFE (connection, &links->ground.all, link, next_connection) {
		connection_drain(connection, LINK_CLOSED);
	}
}

void links_close(struct links *links, void (*fn)(void *context), void *context)
{
	if (links->closing)
		return;
	links->closing = true;
	links->closed = fn;
	links->closed_context = context;
	close_all(links);
	if (links->listener.open)
		listener_close(&links->listener);
	else
		finish_close(links);
}
