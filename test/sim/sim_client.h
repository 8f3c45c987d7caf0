/* SPDX-License-Identifier: MIT */
/*
 * Clients: each wants one batch accepted and does not rest until it knows what became of it.
 */
#ifndef OPTIMUS_TEST_SIM_SIM_CLIENT_H
#define OPTIMUS_TEST_SIM_SIM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/effect.h"

struct world;
struct node;
struct reply;

void clients_start(struct world *w);
/* Every connection to the node breaks. */
void clients_daemon_died(struct world *w, struct node *node);
void client_answer(struct node *node, struct reply *reply, enum upload_answer answer);
/* How many are in the middle of an upload. */
uint32_t clients_uploading(const struct world *w);
/* How many do not know yet. */
uint32_t clients_waiting(const struct world *w);

#endif
