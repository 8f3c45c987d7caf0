/* SPDX-License-Identifier: MIT */
/*
 * Pause, resume and cancel of batches, and draining of the node (rule 8).
 */
#ifndef OPTIMUS_QUEUE_CONTROL_H
#define OPTIMUS_QUEUE_CONTROL_H

#include <stdbool.h>

#include "queue/state.h"

/* EVENT_CONTROL and EVENT_DRAIN. */
void control_command(struct core *core, const struct event *event);
void control_drain(struct core *core, const struct event *event);
/* Request: PEER_DRAIN. */
void control_drain_request(struct core *core, struct peer *peer, const struct peer_message *request);
/* The store answered a command's entry. Frees the write. */
void control_written(struct core *core, struct write *write, int status);

/*
 * Merges two commands about one thing: cancel wins over everything, else the higher version. The result is
 * the same in any order and any number of times. Returns whether `into` has changed.
 */
bool control_merge(struct control *into, const struct control *other);
/* Whether `a` stands above `b`. */
bool control_above(const struct control *a, const struct control *b);
/*
 * The version of a new command where `given` was the last one; 0: the others would take none above it. A
 * cancel stands above all others without one.
 */
uint64_t control_next_version(uint64_t given, enum control_what what);
/* Writes it to the journal; it takes effect in control_written(). */
struct write *control_write(struct core *core, struct control_register *reg, const struct opt_id *journal,
    const struct control *control);
/* Writes down that a command may have the version: WRITE_VERSION. */
struct write *control_write_version(struct core *core, struct batch *batch, uint64_t version);
/* The version is taken, durably. */
void control_take_version(struct control_register *reg, uint64_t version);
/* A CONTROL entry that was read at start. */
void control_take(struct core *core, struct control_register *reg, const struct control *control);

/* Whether mails of the batch may be claimed and handed to Postfix now. */
bool control_may_feed(const struct core *core, const struct batch *batch);
/* Whether a replica may take claims for the batch: it is neither paused nor cancelled as far as this node
 * knows. */
bool control_may_claim(const struct core *core, const struct batch *batch);
bool control_cancelled(const struct batch *batch);
bool control_draining(const struct core *core);
/* What the status shows. */
enum batch_state control_state(const struct batch *batch);

/* The batch has started: if it is cancelled, its mails are ended. */
void control_started(struct core *core, struct batch *batch);
/* Ends some more mails of cancelled batches. Called in every step. */
void control_run(struct core *core);
/* The batch is about to be freed. */
void control_forget(struct core *core, struct batch *batch);

#endif
