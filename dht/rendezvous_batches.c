/* SPDX-License-Identifier: MIT */
/*
 * An entry of the directory lies at the batch's own key. The one that a batch has is published until it is
 * dropped; with other homes it is published anew.
 *
 * A get collects entries until OpenDHT says that it is done, or for a second when it has some, for at most 6
 * s without any, and then answers with the newest. After that it only waits for OpenDHT to let go of it,
 * which can't be told to, and does not while it knows nobody. So there is a limit to them; those over it are
 * refused, at the next tick like all that can't be asked.
 */
#include "dht/rendezvous_batches.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/error.h"
#include "queue/tree.h"

enum {
	GET_FOUND_MS = 1000, /* looked at each second */
	GET_NONE_MS = 6000,
};

struct batch {
	RB_ENTRY(batch) link;
	struct directory_entry entry;
	struct opendht_put *put;
};

RB_HEAD(batch_tree, batch);

struct get {
	TAILQ_ENTRY(get) link;
	struct batches *batches;
	struct opt_id batch;
	rendezvous_homes_fn *fn; /* NULL: answered */
	void *context;
	uint64_t started;
	bool refused;                /* OpenDHT was not asked */
	struct directory_entry best; /* home_count 0: none yet */
};

struct batches {
	uv_loop_t *loop;
	struct opendht *dht;
	const struct identity *identity;
	const struct cluster_key *key;
	struct rendezvous_counts *counts;
	struct batch_tree tree;
	TAILQ_HEAD(, get) gets;
	bool mute;
};

static int compare_batches(const struct batch *a, const struct batch *b)
{
	return id_compare(&a->entry.batch, &b->entry.batch);
}

RB_GENERATE_STATIC(batch_tree, batch, link, compare_batches)

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		opt_abort("out of memory");
	return memory;
}

static void answer_get(struct get *get, int status)
{
	rendezvous_homes_fn *fn = get->fn;

	get->fn = NULL;
	if (fn == NULL || get->batches->mute)
		return;
	if (get->best.home_count > 0)
		fn(get->context, 0, get->best.homes, get->best.home_count);
	else
		fn(get->context, status, NULL, 0);
}

static void free_get(struct get *get)
{
	struct batches *batches = get->batches;

	TAILQ_REMOVE(&batches->gets, get, link);
	batches->counts->gets -= !get->refused;
	free(get);
}

/* A callback may add gets, and close us, but not remove one: only on_get_done() does that. */
void batches_tick(struct batches *batches)
{
	uint64_t now = uv_now(batches->loop);
	struct get *get, *next;

	TAILQ_FOREACH_SAFE (get, &batches->gets, link, next) {
		uint64_t limit = get->best.home_count > 0 ? GET_FOUND_MS : GET_NONE_MS;

		if (get->refused || now - get->started >= limit)
			answer_get(get, OPT_E_AGAIN);
		if (get->refused)
			free_get(get);
	}
}

struct batches *batches_new(uv_loop_t *loop, struct opendht *dht, const struct identity *identity,
    const struct cluster_key *key, struct rendezvous_counts *counts)
{
	struct batches *batches = allocate(sizeof(*batches));

	batches->loop = loop;
	batches->dht = dht;
	batches->identity = identity;
	batches->key = key;
	batches->counts = counts;
	RB_INIT(&batches->tree);
	TAILQ_INIT(&batches->gets);
	return batches;
}

static struct batch *find_batch(struct batches *batches, const struct opt_id *key)
{
	struct batch wanted;

	wanted.entry.batch = *key;
	return RB_FIND(batch_tree, &batches->tree, &wanted);
}

static void free_batch(struct batches *batches, struct batch *batch)
{
	RB_REMOVE(batch_tree, &batches->tree, batch);
	free(batch);
}

int batches_put(struct batches *batches, const struct opt_id *batch, const struct opt_id *homes, size_t count)
{
	struct directory_entry entry = {.batch = *batch, .home_count = count};
	struct batch *known = find_batch(batches, batch);
	uint8_t nonce[SEAL_NONCE_SIZE];
	struct sealed_record record;
	struct timespec now;
	int status;

	if (count > DIRECTORY_HOMES_MAX)
		return OPT_E_INVALID;
	memcpy(entry.homes, homes, count * sizeof(*homes));
	if (known != NULL && known->entry.home_count == count &&
	    memcmp(known->entry.homes, homes, count * sizeof(*homes)) == 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	entry.written.us = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
	randombytes_buf(nonce, sizeof(nonce));
	status = directory_encode(&entry, batches->identity, batches->key, nonce, &record);
	if (status != 0)
		return status;
	if (known == NULL) {
		known = allocate(sizeof(*known));
		known->entry = entry;
		RB_INSERT(batch_tree, &batches->tree, known);
	} else {
		known->entry = entry;
		opendht_cancel(known->put);
	}
	known->put = opendht_put(batches->dht, batch, record.bytes, record.len, true, NULL, NULL);
	return 0;
}

void batches_drop(struct batches *batches, const struct opt_id *batch)
{
	struct batch *known = find_batch(batches, batch);

	if (known == NULL)
		return;
	opendht_cancel(known->put);
	free_batch(batches, known);
}

static void on_entry(void *context, const uint8_t *data, size_t len)
{
	struct get *get = context;
	struct batches *batches = get->batches;
	struct directory_entry entry;

	batches->counts->records++;
	if (directory_decode(batches->key, &get->batch, data, len, &entry) != 0)
		batches->counts->rejected++;
	else if (get->best.home_count == 0 || entry.written.us > get->best.written.us)
		get->best = entry;
}

static void on_get_done(void *context, bool ok)
{
	struct get *get = context;

	answer_get(get, ok ? OPT_E_NOT_FOUND : OPT_E_AGAIN);
	free_get(get);
}

void batches_get(struct batches *batches, const struct opt_id *batch, rendezvous_homes_fn *fn, void *context)
{
	struct get *get = allocate(sizeof(*get));

	get->batches = batches;
	get->batch = *batch;
	get->fn = fn;
	get->context = context;
	get->started = uv_now(batches->loop);
	get->refused = batches->counts->gets == RENDEZVOUS_GETS_MAX;
	TAILQ_INSERT_TAIL(&batches->gets, get, link);
	if (get->refused)
		return;
	batches->counts->gets++;
	opendht_get(batches->dht, batch, on_entry, on_get_done, get);
}

void batches_mute(struct batches *batches)
{
	batches->mute = true;
}

void batches_free(struct batches *batches)
{
	struct batch *batch;
	struct get *get;

	while ((batch = RB_ROOT(&batches->tree)) != NULL)
		free_batch(batches, batch);
	while ((get = TAILQ_FIRST(&batches->gets)) != NULL)
		free_get(get);
	free(batches);
}
