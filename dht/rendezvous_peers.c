/* SPDX-License-Identifier: MIT */
/*
 * OpenDHT neither retries a bootstrap peer soon, nor does a DHT that was cut in two become one again when the
 * network heals: each half has forgotten the other. One answered ping across joins them. So while nobody has
 * answered yet, all seeds and some members are pinged each second; later one seed and one member, at random,
 * every 5 to 10 s. A member that was heard of elsewhere than in the DHT, at an address that is new to us, may
 * be the first one of another half and is pinged at the next tick. Members that are dead or unreachable stay
 * in the rotation: it is the silent ones that a healed partition is made of. Only who said goodbye is left
 * out.
 *
 * Each ping resolves its address anew, in libuv's thread pool, since names change; all addresses that a name
 * has are pinged, up to 4.
 */
#include "dht/rendezvous_peers.h"

#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "dht/endpoint.h"
#include "queue/error.h"
#include "queue/tree.h"

enum {
	ROUND_MIN_MS = 5000,
	ROUND_SPREAD_MS = 5000,
	SILENT_MS = 30000,
	MEMBERS_WHEN_ALONE = 3, /* pinged each second while nobody answers */
	FRESH_AT_ONCE = 8,
	DRAWS = 8, /* until one is found that has not left */
	RESOLVING_MAX = 256,
	ADDRESSES_MAX = 4,
};

struct peer {
	RB_ENTRY(peer) link;
	struct opt_id node;
	uint64_t incarnation, sequence;
	bool left;
	bool fresh; /* heard of elsewhere, not pinged since */
	char address[PRESENCE_ADDRESS_MAX + 1];
};

RB_HEAD(peer_tree, peer);

struct peers {
	uv_loop_t *loop;
	struct opendht *dht;
	struct opt_id self;
	void (*joined_fn)(void *, bool);
	void *context;
	struct peer_tree tree;
	struct peer **list; /* the same peers, to draw one from */
	uint32_t count, left_count, fresh_count;
	char *seeds[PEER_SEEDS_MAX];
	uint32_t seed_count;
	bool joined;
	uint64_t last_answer, next_round; /* uv_now(), milliseconds */
	uint32_t resolving;
	void (*closed_fn)(void *); /* set: closing */
	void *closed_context;
};

struct resolve {
	uv_getaddrinfo_t request;
	struct peers *peers;
};

static int compare_peers(const struct peer *a, const struct peer *b)
{
	return id_compare(&a->node, &b->node);
}

RB_GENERATE_STATIC(peer_tree, peer, link, compare_peers)

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		opt_abort("out of memory");
	return memory;
}

static void on_answer(void *context, bool ok)
{
	struct peers *peers = context;

	if (!ok || peers->closed_fn != NULL)
		return;
	peers->last_answer = uv_now(peers->loop);
	if (!peers->joined) {
		peers->joined = true;
		peers->joined_fn(peers->context, true);
	}
}

static void free_all(struct peers *peers)
{
	void (*fn)(void *) = peers->closed_fn;
	void *context = peers->closed_context;

	for (uint32_t i = 0; i < peers->count; i++)
		free(peers->list[i]);
	for (uint32_t i = 0; i < peers->seed_count; i++)
		free(peers->seeds[i]);
	free(peers->list);
	free(peers);
	fn(context);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct resolve *resolve = request->data;
	struct peers *peers = resolve->peers;
	int pinged = 0;

	for (struct addrinfo *at = status == 0 && peers->closed_fn == NULL ? found : NULL;
	     at != NULL && pinged < ADDRESSES_MAX; at = at->ai_next) {
		if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
			continue;
		opendht_ping(peers->dht, at->ai_addr, on_answer, peers);
		pinged++;
	}
	uv_freeaddrinfo(found);
	free(resolve);
	if (--peers->resolving == 0 && peers->closed_fn != NULL)
		free_all(peers);
}

static void ping(struct peers *peers, const char *address)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct endpoint endpoint;
	struct resolve *resolve;

	if (peers->resolving >= RESOLVING_MAX || endpoint_parse(address, &endpoint) != 0)
		return;
	resolve = allocate(sizeof(*resolve));
	resolve->peers = peers;
	resolve->request.data = resolve;
	if (uv_getaddrinfo(
	        peers->loop, &resolve->request, on_resolved, endpoint.host, endpoint.port, &hints) == 0)
		peers->resolving++;
	else
		free(resolve);
}

static void ping_member(struct peers *peers)
{
	for (int i = 0; i < DRAWS && peers->count > 0; i++) {
		const struct peer *peer = peers->list[randombytes_uniform(peers->count)];

		if (!peer->left) {
			ping(peers, peer->address);
			return;
		}
	}
}

struct peers *peers_new(
    uv_loop_t *loop, struct opendht *dht, const struct opt_id *self, void (*fn)(void *, bool), void *context)
{
	struct peers *peers = allocate(sizeof(*peers));

	peers->loop = loop;
	peers->dht = dht;
	peers->self = *self;
	peers->joined_fn = fn;
	peers->context = context;
	RB_INIT(&peers->tree);
	return peers;
}

void peers_add_seed(struct peers *peers, const char *address)
{
	struct endpoint endpoint;

	for (uint32_t i = 0; i < peers->seed_count; i++) {
		if (strcmp(peers->seeds[i], address) == 0)
			return;
	}
	if (peers->seed_count >= PEER_SEEDS_MAX || endpoint_parse(address, &endpoint) != 0)
		return;
	peers->seeds[peers->seed_count] = strdup(address);
	if (peers->seeds[peers->seed_count] == NULL)
		opt_abort("out of memory");
	peers->seed_count++;
	if (!peers->joined)
		ping(peers, address);
}

static struct peer *find(struct peers *peers, const struct opt_id *node)
{
	struct peer wanted;

	wanted.node = *node;
	return RB_FIND(peer_tree, &peers->tree, &wanted);
}

/* A place for a new peer; in a full table that of any other. */
static uint32_t make_place(struct peers *peers)
{
	uint32_t place = peers->count;
	struct peer **list;

	if (place >= PEERS_MAX) {
		place = randombytes_uniform(place);
		peers->left_count -= peers->list[place]->left;
		peers->fresh_count -= peers->list[place]->fresh;
		RB_REMOVE(peer_tree, &peers->tree, peers->list[place]);
		free(peers->list[place]);
		return place;
	}
	if ((place & (place - 1)) == 0) {
		list = realloc(peers->list, (place == 0 ? 1 : 2 * (size_t)place) * sizeof(struct peer *));
		if (list == NULL)
			opt_abort("out of memory");
		peers->list = list;
	}
	peers->count++;
	return place;
}

static struct peer *find_or_add(struct peers *peers, const struct opt_id *node)
{
	struct peer *peer = find(peers, node);
	uint32_t place;

	if (peer != NULL)
		return peer;
	peer = allocate(sizeof(*peer));
	peer->node = *node;
	place = make_place(peers); /* which may move the list */
	peers->list[place] = peer;
	RB_INSERT(peer_tree, &peers->tree, peer);
	return peer;
}

static void set(struct peers *peers, struct peer *peer, const char *address, bool left)
{
	memcpy(peer->address, address, strlen(address) + 1);
	peers->left_count = peers->left_count - peer->left + left;
	peer->left = left;
}

void peers_add(struct peers *peers, const struct opt_id *node, const char *address)
{
	struct endpoint endpoint;
	struct peer *peer;

	if (id_equal(node, &peers->self) || strlen(address) > PRESENCE_ADDRESS_MAX ||
	    endpoint_parse(address, &endpoint) != 0)
		return;
	peer = find_or_add(peers, node);
	if (!peer->fresh && strcmp(peer->address, address) != 0) {
		peer->fresh = true;
		peers->fresh_count++;
	}
	set(peers, peer, address, false);
}

void peers_add_presence(struct peers *peers, const struct presence *presence)
{
	struct peer *peer;

	if (id_equal(&presence->node, &peers->self))
		return;
	peer = find_or_add(peers, &presence->node);
	if (presence->incarnation < peer->incarnation ||
	    (presence->incarnation == peer->incarnation && presence->sequence <= peer->sequence &&
	        peer->address[0] != '\0'))
		return;
	peer->incarnation = presence->incarnation;
	peer->sequence = presence->sequence;
	set(peers, peer, presence->address, (presence->flags & PRESENCE_LEFT) != 0);
}

void peers_forget(struct peers *peers, const struct opt_id *node)
{
	struct peer *peer = find(peers, node);

	if (peer != NULL && !peer->left) {
		peer->left = true;
		peers->left_count++;
	}
}

uint32_t peers_count(const struct peers *peers)
{
	return 1 + peers->count - peers->left_count;
}

static void ping_fresh(struct peers *peers)
{
	uint32_t pinged = 0;

	for (uint32_t i = 0; i < peers->count && peers->fresh_count > 0 && pinged < FRESH_AT_ONCE; i++) {
		struct peer *peer = peers->list[i];

		if (!peer->fresh)
			continue;
		peer->fresh = false;
		peers->fresh_count--;
		ping(peers, peer->address);
		pinged++;
	}
}

void peers_tick(struct peers *peers)
{
	uint64_t now = uv_now(peers->loop);

	if (peers->joined && now - peers->last_answer > SILENT_MS) {
		peers->joined = false;
		peers->joined_fn(peers->context, false);
	}
	ping_fresh(peers);
	if (!peers->joined) {
		for (uint32_t i = 0; i < peers->seed_count; i++)
			ping(peers, peers->seeds[i]);
		for (int i = 0; i < MEMBERS_WHEN_ALONE; i++)
			ping_member(peers);
	} else if (now >= peers->next_round) {
		peers->next_round = now + ROUND_MIN_MS + randombytes_uniform(ROUND_SPREAD_MS);
		if (peers->seed_count > 0)
			ping(peers, peers->seeds[randombytes_uniform(peers->seed_count)]);
		ping_member(peers);
	}
}

void peers_close(struct peers *peers, void (*fn)(void *), void *context)
{
	peers->closed_fn = fn;
	peers->closed_context = context;
	if (peers->resolving == 0)
		free_all(peers);
}
