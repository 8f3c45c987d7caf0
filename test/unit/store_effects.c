/* SPDX-License-Identifier: MIT */
/* Effects as the core would make them, for the tests that have no core. */
#include "test/unit/store_effects.h"

#include <string.h>

struct opt_id store_id(uint8_t n)
{
	struct opt_id id;

	memset(id.bytes, n, sizeof(id.bytes));
	return id;
}

struct effect effect_append(uint8_t journal, const void *data, size_t len)
{
	return (struct effect){
	    .type = EFFECT_STORE_APPEND, .id = store_id(journal), .data = data, .len = len};
}

struct effect effect_shard(uint8_t batch, uint32_t index, uint8_t upload, const void *data, size_t len)
{
	struct opt_id key = store_id(batch);

	return (struct effect){.type = EFFECT_STORE_SHARD,
	    .id = shard_id(&key, index),
	    .batch = key,
	    .upload = store_id(upload),
	    .data = data,
	    .len = len};
}

struct effect effect_commit(const char *name, uint8_t upload, const char *record)
{
	return (struct effect){.type = EFFECT_STORE_COMMIT,
	    .id = batch_key(name),
	    .upload = store_id(upload),
	    .text = name,
	    .data = record,
	    .len = strlen(record)};
}

struct effect effect_upload(uint8_t n, const void *data, size_t len)
{
	return (struct effect){.type = EFFECT_STORE_UPLOAD, .upload = store_id(n), .data = data, .len = len};
}
