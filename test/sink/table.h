/* SPDX-License-Identifier: MIT */
/*
 * A hash table from byte strings to records of a fixed size, for a million of them.
 */
#ifndef OPTIMUS_SINK_TABLE_H
#define OPTIMUS_SINK_TABLE_H

#include <stddef.h>

struct table;

/* Records of `size` bytes start as zeros. */
struct table *table_new(size_t size);
void table_free(struct table *table);
/* The record of the key, made when it is not there. Valid until the next table_get(). Copies the key. */
void *table_get(struct table *table, const char *key, size_t len);
/* The record of the key, or NULL. */
void *table_find(const struct table *table, const char *key, size_t len);
/* How many there are, and each of them in the order of their making. */
size_t table_count(const struct table *table);
void *table_at(const struct table *table, size_t index, const char **ret_key, size_t *ret_len);

#endif
