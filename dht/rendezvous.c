/* SPDX-License-Identifier: MIT */
/*
 * What the records mean, above dht/opendht.c, which moves bytes. Presences lie at the keys of dht/spread.h;
 * the directory's entries are left to rendezvous_batches.c, pings to rendezvous_peers.c.
 *
 * OpenDHT can't change a value: each publication is a new one, the one before is cancelled but stays with
 * others for 10 minutes. So publications are rationed, or a node that changes its mind every second would
 * fill its key with hundreds of values. The tombstone is not.
 *
 * One timer ticks each second: pings, publications that wait, the limits of gets and of leaving.
 */
#include "dht/rendezvous.h"

#include <sodium.h>
#include <stdlib.h>

#include "dht/opendht.h"
#include "dht/presence_record.h"
#include "dht/rendezvous_batches.h"
#include "dht/rendezvous_peers.h"
#include "dht/spread.h"
#include "queue/error.h"

enum {
	TICK_MS = 1000,
	PUBLISH_BURST = 4,
	PUBLISH_EVERY_MS = 60000,
	LEAVE_MS = 2000, /* looked at each TICK_MS */
};

struct rendezvous {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct opendht *dht;
	struct peers *peers;
	struct batches *batches;
	struct identity identity;
	struct cluster_key key;
	struct rendezvous_callbacks callbacks;
	struct rendezvous_counts counts;
	unsigned int home_level;   /* where we publish */
	unsigned int listen_level; /* all up to this one are listened to */
	struct presence presence;
	bool has_presence, unpublished;
	unsigned int tokens;
	uint64_t next_token;
	struct opendht_put *puts[SPREAD_LEVEL_MAX + 1];
	bool leaving;
	unsigned int leaving_puts;
	uint64_t leave_until;
	void (*left_fn)(void *);
	void *left_context;
	bool closing;
	int open_parts; /* that have yet to say that they are closed */
	void (*closed_fn)(void *);
	void *closed_context;
};

static int encode_presence(
    struct rendezvous *r, const struct presence *presence, struct sealed_record *ret_record)
{
	uint8_t nonce[SEAL_NONCE_SIZE];

	randombytes_buf(nonce, sizeof(nonce));
	return presence_encode(presence, &r->identity, &r->key, nonce, ret_record);
}

static struct opt_id own_key(struct rendezvous *r, unsigned int level)
{
	return spread_key(&r->key, level, spread_index(&r->identity.node, level));
}

static void cancel_puts(struct rendezvous *r)
{
	for (unsigned int level = 0; level <= SPREAD_LEVEL_MAX; level++) {
		if (r->puts[level] != NULL)
			opendht_cancel(r->puts[level]);
		r->puts[level] = NULL;
	}
}

static void publish_now(struct rendezvous *r)
{
	struct sealed_record record;

	r->presence.level = r->home_level;
	if (encode_presence(r, &r->presence, &record) != 0)
		opt_abort("rendezvous: a presence that was valid is not");
	cancel_puts(r);
	for (unsigned int level = 0; level <= r->home_level; level++) {
		struct opt_id key = own_key(r, level);

		if (spread_publishes(&r->identity.node, r->home_level, level))
			r->puts[level] =
			    opendht_put(r->dht, &key, record.bytes, record.len, true, NULL, NULL);
	}
	r->unpublished = false;
}

static void publish_if_allowed(struct rendezvous *r)
{
	uint64_t now = uv_now(r->loop);

	if (r->tokens < PUBLISH_BURST && now >= r->next_token) {
		r->tokens++;
		r->next_token = now + PUBLISH_EVERY_MS;
	}
	if (!r->has_presence || !r->unpublished || r->leaving || r->tokens == 0)
		return;
	if (r->tokens-- == PUBLISH_BURST)
		r->next_token = now + PUBLISH_EVERY_MS;
	publish_now(r);
}

static void on_presence(void *context, const uint8_t *data, size_t len);

static void listen_to_level(struct rendezvous *r, unsigned int level)
{
	for (uint32_t index = 0; index < UINT32_C(1) << level; index++) {
		struct opt_id key = spread_key(&r->key, level, index);

		opendht_listen(r->dht, &key, on_presence, r);
	}
}

/* `level`: of which we have heard. What is listened to once is listened to until the end. */
static void adapt_levels(struct rendezvous *r, unsigned int level)
{
	unsigned int home = spread_home_level(peers_count(r->peers));

	while (r->listen_level < level || r->listen_level < home)
		listen_to_level(r, ++r->listen_level);
	/* Back only by two, so as not to go to and fro. */
	if (home > r->home_level || home + 1 < r->home_level) {
		r->home_level = home;
		r->unpublished = true;
		publish_if_allowed(r);
	}
}

static void on_presence(void *context, const uint8_t *data, size_t len)
{
	struct rendezvous *r = context;
	struct presence presence;

	if (r->closing)
		return;
	r->counts.records++;
	if (presence_decode(&r->key, data, len, &presence) != 0) {
		r->counts.rejected++;
		return;
	}
	peers_add_presence(r->peers, &presence);
	adapt_levels(r, presence.level);
	r->callbacks.presence(r->callbacks.context, &presence);
}

static void on_joined(void *context, bool joined)
{
	struct rendezvous *r = context;

	if (!r->closing)
		r->callbacks.joined(r->callbacks.context, joined);
}

static void end_leave(struct rendezvous *r)
{
	void (*fn)(void *) = r->left_fn;

	r->left_fn = NULL;
	if (fn != NULL && !r->closing)
		fn(r->left_context);
}

static void on_tick(uv_timer_t *timer)
{
	struct rendezvous *r = timer->data;

	peers_tick(r->peers);
	publish_if_allowed(r);
	batches_tick(r->batches);
	if (r->left_fn != NULL && uv_now(r->loop) >= r->leave_until)
		end_leave(r);
}

int rendezvous_new(uv_loop_t *loop, const struct identity *identity, const struct cluster_key *key,
    uint16_t port, const struct rendezvous_callbacks *callbacks, struct rendezvous **ret_rendezvous,
    char *error, size_t size)
{
	struct rendezvous *r = calloc(1, sizeof(*r));
	int status;

	if (r == NULL)
		opt_abort("out of memory");
	status = opendht_new(
	    loop, &identity->node, seal_network(key), port, SEAL_RECORD_MAX, &r->dht, error, size);
	if (status != 0) {
		free(r);
		return status;
	}
	r->loop = loop;
	r->identity = *identity;
	r->key = *key;
	r->callbacks = *callbacks;
	r->tokens = PUBLISH_BURST;
	r->batches = batches_new(loop, r->dht, &r->identity, &r->key, &r->counts);
	r->peers = peers_new(loop, r->dht, &identity->node, on_joined, r);
	listen_to_level(r, 0);
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	uv_timer_start(&r->timer, on_tick, TICK_MS, TICK_MS);
	*ret_rendezvous = r;
	return 0;
}

uint16_t rendezvous_port(const struct rendezvous *rendezvous)
{
	return opendht_port(rendezvous->dht);
}

void rendezvous_bootstrap(struct rendezvous *rendezvous, const char *address)
{
	peers_add_seed(rendezvous->peers, address);
}

void rendezvous_known(struct rendezvous *rendezvous, const struct opt_id *node, const char *address)
{
	peers_add(rendezvous->peers, node, address);
	adapt_levels(rendezvous, 0);
}

void rendezvous_forget(struct rendezvous *rendezvous, const struct opt_id *node)
{
	peers_forget(rendezvous->peers, node);
	adapt_levels(rendezvous, 0);
}

int rendezvous_publish(struct rendezvous *rendezvous, const struct presence *presence)
{
	struct presence checked = *presence;
	struct sealed_record record;
	int status;

	checked.level = rendezvous->home_level;
	status = encode_presence(rendezvous, &checked, &record);
	if (status != 0)
		return status;
	rendezvous->presence = checked;
	rendezvous->has_presence = true;
	rendezvous->unpublished = true;
	publish_if_allowed(rendezvous);
	return 0;
}

static void on_tombstone_put(void *context, bool ok)
{
	struct rendezvous *r = context;

	(void)ok;
	if (--r->leaving_puts == 0)
		end_leave(r);
}

int rendezvous_leave(
    struct rendezvous *rendezvous, const struct presence *tombstone, void (*done)(void *), void *context)
{
	struct rendezvous *r = rendezvous;
	struct presence last = *tombstone;
	struct sealed_record record;
	int status;

	last.level = r->home_level;
	status = encode_presence(r, &last, &record);
	if (status != 0)
		return status;
	r->leaving = true;
	r->left_fn = done;
	r->left_context = context;
	r->leave_until = uv_now(r->loop) + LEAVE_MS;
	cancel_puts(r);
	for (unsigned int level = 0; level <= r->home_level; level++) {
		struct opt_id key = own_key(r, level);

		if (!spread_publishes(&r->identity.node, r->home_level, level))
			continue;
		opendht_put(r->dht, &key, record.bytes, record.len, false, on_tombstone_put, r);
		r->leaving_puts++;
	}
	return 0;
}

int rendezvous_put_batch(
    struct rendezvous *rendezvous, const struct opt_id *batch, const struct opt_id *homes, size_t count)
{
	return batches_put(rendezvous->batches, batch, homes, count);
}

void rendezvous_drop_batch(struct rendezvous *rendezvous, const struct opt_id *batch)
{
	batches_drop(rendezvous->batches, batch);
}

void rendezvous_get_batch(
    struct rendezvous *rendezvous, const struct opt_id *batch, rendezvous_homes_fn *fn, void *context)
{
	batches_get(rendezvous->batches, batch, fn, context);
}

struct rendezvous_counts rendezvous_counts(struct rendezvous *rendezvous)
{
	struct rendezvous_counts counts = rendezvous->counts;

	counts.dropped = opendht_dropped(rendezvous->dht);
	return counts;
}

static void on_part_closed(void *context)
{
	struct rendezvous *r = context;

	if (--r->open_parts > 0)
		return;
	batches_free(r->batches);
	identity_wipe(&r->identity);
	cluster_key_wipe(&r->key);
	if (r->closed_fn != NULL)
		r->closed_fn(r->closed_context);
	free(r);
}

/* Not before: rendezvous_close() may have been called by one of the parts. */
static void on_timer_closed(uv_handle_t *handle)
{
	struct rendezvous *r = handle->data;

	r->open_parts = 2;
	peers_close(r->peers, on_part_closed, r);
	opendht_close(r->dht, on_part_closed, r);
}

void rendezvous_close(struct rendezvous *rendezvous, void (*fn)(void *), void *context)
{
	rendezvous->closing = true;
	batches_mute(rendezvous->batches);
	rendezvous->closed_fn = fn;
	rendezvous->closed_context = context;
	uv_close((uv_handle_t *)&rendezvous->timer, on_timer_closed);
}
