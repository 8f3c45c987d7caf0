/* SPDX-License-Identifier: MIT */
/*
 * Red-black trees and queues of libbsd, the ordered containers of the core: walking them gives the same order
 * on every machine and in every run, without which a seed of the simulator would not replay.
 *
 * libbsd's header expects a word that glibc does not define, hence this one.
 */
#ifndef OPTIMUS_QUEUE_TREE_H
#define OPTIMUS_QUEUE_TREE_H

#include <stddef.h>
#include <bsd/sys/queue.h>
#ifndef __unused
#define __unused __attribute__((unused))
#endif
#include <bsd/sys/tree.h>

#endif
