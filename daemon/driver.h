/* SPDX-License-Identifier: MIT */
/*
 * The driver: hands claimed mails to pickup inside Postfix, over a few connections.
 */
#ifndef OPTIMUS_DAEMON_DRIVER_H
#define OPTIMUS_DAEMON_DRIVER_H

#include <uv.h>

#include "daemon/node.h"

struct driver *driver_new(uv_loop_t *loop, struct node *node);
/* Postfix is up: connect. */
void driver_start(struct driver *driver);
/* Postfix is gone or to stop: reads what pickup has written, lets go of all connections, and tells the core
 * of every mail that had no answer. */
void driver_stop(struct driver *driver);
/* EFFECT_FEED. Each mail ends in one EVENT_FED. */
void driver_feed(struct driver *driver, const struct effect *effect);
/* Closes everything without another word; run the loop once more. Takes NULL. */
void driver_free(struct driver *driver);

#endif
