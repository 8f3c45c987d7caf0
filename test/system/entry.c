/* SPDX-License-Identifier: MIT */
/*
 * Looks into the DHT of a running cluster, without being a member of it: prints the homes in the directory
 * entry that lies at the key of a batch, one id a line. Exit code 1: none was found within 20 s.
 *
 *   entry HOST:PORT KEYFILE BATCH
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "dht/rendezvous.h"

enum { LIMIT_MS = 20000, AGAIN_MS = 500 };

static struct rendezvous *rendezvous;
static struct opt_id batch;

static void on_presence(void *context, const struct presence *presence)
{
	(void)context;
	(void)presence;
}

static void on_joined(void *context, bool joined)
{
	(void)context;
	(void)joined;
}

static void on_homes(void *context, int status, const struct opt_id *homes, size_t count)
{
	char hex[OPT_ID_HEX];

	(void)context;
	if (status != 0)
		return;
	for (size_t i = 0; i < count; i++)
		puts(id_to_hex(&homes[i], hex));
	fflush(stdout);
	_Exit(0);
}

static void on_ask(uv_timer_t *timer)
{
	(void)timer;
	rendezvous_get_batch(rendezvous, &batch, on_homes, NULL);
}

static void on_limit(uv_timer_t *timer)
{
	(void)timer;
	_Exit(1);
}

int main(int argc, char **argv)
{
	const struct rendezvous_callbacks callbacks = {NULL, on_presence, on_joined};
	uv_loop_t *loop = uv_default_loop();
	uv_timer_t ask, limit;
	struct identity identity;
	struct cluster_key key;
	struct id_hash hash;
	char error[200] = "HOST:PORT KEYFILE BATCH";

	if (argc != 4 || sodium_init() < 0 || cluster_key_load(argv[2], &key, error, sizeof(error)) != 0) {
		fprintf(stderr, "entry: %s\n", error);
		return 2;
	}
	crypto_sign_keypair(identity.public_key, identity.secret_key);
	id_hash_init(&hash);
	id_hash_add(&hash, identity.public_key, sizeof(identity.public_key));
	identity.node = id_hash_done(&hash);
	batch = batch_key(argv[3]);
	if (rendezvous_new(loop, &identity, &key, 0, &callbacks, &rendezvous, error, sizeof(error)) != 0) {
		fprintf(stderr, "entry: %s\n", error);
		return 2;
	}
	rendezvous_bootstrap(rendezvous, argv[1]);
	uv_timer_init(loop, &ask);
	uv_timer_init(loop, &limit);
	uv_timer_start(&ask, on_ask, AGAIN_MS, AGAIN_MS);
	uv_timer_start(&limit, on_limit, LIMIT_MS, 0);
	uv_run(loop, UV_RUN_DEFAULT);
	return 1;
}
