/* SPDX-License-Identifier: MIT */
/*
 * The number of this start of the node: higher than all before it, whatever the clock was set to meanwhile.
 */
#ifndef OPTIMUS_DAEMON_NODE_INCARNATION_H
#define OPTIMUS_DAEMON_NODE_INCARNATION_H

#include <stdint.h>

/*
 * The time in UTC microseconds, or the number after the last one, which the file `path` holds. Durable there
 * before it is returned. OPT_E_IO with errno.
 */
int node_incarnation(const char *path, uint64_t *ret_incarnation);

#endif
