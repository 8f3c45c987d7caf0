/* SPDX-License-Identifier: MIT */
/*
 * Effects for tests of the store: short ways to say what is to be written. All borrow their data.
 */
#ifndef OPTIMUS_TEST_STORE_EFFECTS_H
#define OPTIMUS_TEST_STORE_EFFECTS_H

#include "queue/effect.h"

/* An id of which every byte is n. */
struct opt_id store_id(uint8_t n);
struct effect effect_append(uint8_t journal, const void *data, size_t len);
struct effect effect_shard(uint8_t batch, uint32_t index, uint8_t upload, const void *data, size_t len);
struct effect effect_commit(const char *name, uint8_t upload, const char *record);
struct effect effect_upload(uint8_t n, const void *data, size_t len);

#endif
