/* SPDX-License-Identifier: MIT */
/*
 * The addresses that a recipients file has brought so far, as a set of 128-bit keyed hashes.
 */
#ifndef OPTIMUS_DAEMON_CLI_DEDUP_H
#define OPTIMUS_DAEMON_CLI_DEDUP_H

#include <stddef.h>

struct dedup;

/* A set of at most `limit` addresses, keyed with fresh random bytes. */
struct dedup *dedup_new(size_t limit);
void dedup_free(struct dedup *dedup);

/*
 * Adds the address. Two are the same when their local parts are the same octets and their domains are, after
 * ASCII letters became lower case. 0 when it is new, 1 when it was there, OPT_E_LIMIT when the set is full.
 */
int dedup_add(struct dedup *dedup, const char *address);
size_t dedup_count(const struct dedup *dedup);

#endif
