/* SPDX-License-Identifier: MIT */
/*
 * Addresses of members that this node has met, in the file `members` of its data folder: after a restart it
 * dials them, and knows that it is not the only node, whatever --bootstrap says.
 */
#ifndef OPTIMUS_DAEMON_KNOWN_MEMBERS_H
#define OPTIMUS_DAEMON_KNOWN_MEMBERS_H

#include <stddef.h>

struct known_members;

/* What the file in the folder `data` says; none when there is no file yet. Never fails: lines too long are
 * left out. */
struct known_members *known_members_load(const char *data);
/* Takes NULL. */
void known_members_free(struct known_members *known);
size_t known_members_count(const struct known_members *known);
/* i < count. Borrowed. */
const char *known_members_address(const struct known_members *known, size_t i);
/* Remembers one more, in the file too; the oldest goes when there are too many. What is known already costs
 * nothing. */
void known_members_add(struct known_members *known, const char *address);

#endif
