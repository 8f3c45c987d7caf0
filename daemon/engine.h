/* SPDX-License-Identifier: MIT */
/*
 * The engine: the node's private Postfix instance, as the core sees it. Starts it, watches it, and looks into
 * its spool.
 */
#ifndef OPTIMUS_DAEMON_ENGINE_H
#define OPTIMUS_DAEMON_ENGINE_H

#include <uv.h>

#include "daemon/keeper.h"
#include "daemon/node.h"

struct engine;
struct driver;

/* keeper: NULL when there is no Postfix (`--postfix none`); otherwise borrowed. */
struct engine *engine_new(uv_loop_t *loop, struct node *node, struct driver *driver, struct keeper *keeper);
/* Prepares the instance; what the core asks meanwhile waits. */
void engine_begin(struct engine *engine);
/* EFFECT_ENGINE_SETTLE, EFFECT_ENGINE_RESTART, EFFECT_SPOOL_REMOVE */
void engine_settle(struct engine *engine);
void engine_restart(struct engine *engine);
/*
 * EFFECT_ENGINE_STOP: EVENT_ENGINE_DOWN once master is dead, and the next EVENT_SPOOL when all its processes
 * have ended. `why` goes into the log.
 */
void engine_stand_down(struct engine *engine, const char *why);
/* How long Postfix was without an optimusd, in microseconds; UINT64_MAX: it is not known. */
uint64_t engine_away(const struct engine *engine);
void engine_remove_file(struct engine *engine, const char *file);
/* "up", "starting", "settling", "down" or "none". */
const char *engine_state_name(const struct engine *engine);

/*
 * Ends Postfix: deliveries under way may finish for a few seconds; then fn(context). What is left in the
 * spool is settled at the next start.
 */
void engine_stop(struct engine *engine, void (*fn)(void *context), void *context);
/* Closes its handles; run the loop once more. Takes NULL. */
void engine_free(struct engine *engine);

#endif
