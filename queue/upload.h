/* SPDX-License-Identifier: MIT */
/*
 * Submission: staged shards become a batch by the decision of its homes, or leave no trace.
 */
#ifndef OPTIMUS_QUEUE_UPLOAD_H
#define OPTIMUS_QUEUE_UPLOAD_H

#include "queue/call.h"
#include "queue/state.h"

void upload_open(struct core *core, const struct event *event);
void upload_shard(struct core *core, const struct event *event);
void upload_commit(struct core *core, uint64_t reply, const struct opt_id *id);
void upload_abort(struct core *core, const struct opt_id *id);
/* All that the store has of an upload that is no batch and will be none. */
void upload_drop_left_over(struct core *core, const struct opt_id *id);

/* The store answered a WRITE_UPLOAD. */
void upload_written(struct core *core, const struct write *write, int status);
/* How it stands with a shard or the template has changed: goes on to the commit when that was all. */
void upload_go_on(struct core *core, struct upload *upload);
/* The record of that upload of the batch is in the store and the batch exists, or the store refused it. */
void upload_recorded(struct core *core, const struct opt_id *batch, const struct opt_id *upload, int status);
/* One more node of the batch's record has it; or none is left to wait for. */
void upload_announced(struct core *core, const struct opt_id *batch);
/* Once a heartbeat. */
void uploads_tick(struct core *core);

/* What core_upload_pending() says. */
uint32_t upload_pending(const struct upload *upload);
struct upload *upload_find(const struct core *core, const struct opt_id *id);
/* The next in the order of ids; NULL: the first. An upload of that id need not exist. */
struct upload *upload_after(const struct core *core, const struct opt_id *id);
void upload_look(const struct upload *upload, struct batch_view *ret_view);
void uploads_free(struct core *core);

#endif
