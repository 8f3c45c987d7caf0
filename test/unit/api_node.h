/* SPDX-License-Identifier: MIT */
/*
 * The fixture's node, for the fixture.
 */
#ifndef OPTIMUS_TEST_UNIT_API_NODE_H
#define OPTIMUS_TEST_UNIT_API_NODE_H

#include <uv.h>

#include "daemon/node.h"

struct node *node_make(uv_loop_t *loop, const struct config *config);
/* After the server. */
void node_unmake(struct node *node);

#endif
