/* SPDX-License-Identifier: MIT */
/*
 * Addresses of members that this node has met, in the file `members` of its data folder: after a restart it
 * dials them, and knows that it is not the only node, whatever --bootstrap says.
 */
#ifndef OPTIMUS_DAEMON_KNOWN_MEMBERS_H
#define OPTIMUS_DAEMON_KNOWN_MEMBERS_H

#include <stddef.h>
#include <uv.h>

enum { KNOWN_MEMBERS_MAX = 32 };

struct known_members;

/* What the file in the folder `data` says; none when there is no file yet. Never fails: lines too long are
 * left out. */
struct known_members *known_members_load(uv_loop_t *loop, const char *data);
size_t known_members_count(const struct known_members *known);
/* i < count. Borrowed. */
const char *known_members_address(const struct known_members *known, size_t i);
/*
 * Remembers one more; the oldest goes when there are too many. The first one is in the file when this
 * returns, the others are a few seconds later. What is known already costs nothing.
 */
void known_members_add(struct known_members *known, const char *address);
/* Writes what is not written yet, and frees it; fn(context) is called, from the loop, when that is done. */
void known_members_close(struct known_members *known, void (*fn)(void *context), void *context);

#endif
