/* SPDX-License-Identifier: MIT */
/*
 * Submission: staged shards become a batch by one write of its record, or leave no trace.
 */
#ifndef OPTIMUS_QUEUE_UPLOAD_H
#define OPTIMUS_QUEUE_UPLOAD_H

#include "queue/state.h"

void upload_open(struct core *core, const struct event *event);
void upload_shard(struct core *core, const struct event *event);
void upload_commit(struct core *core, uint64_t reply, const struct opt_id *id);
void upload_abort(struct core *core, const struct opt_id *id);
/* An upload that an earlier run of this node left open: drop all of it. */
void upload_drop_left_over(struct core *core, const struct opt_id *id);

/* The store answered a WRITE_UPLOAD or WRITE_COMMIT. */
void upload_written(struct core *core, const struct write *write, int status);

struct upload *upload_find(const struct core *core, const struct opt_id *id);
struct upload *upload_after(const struct core *core, const struct opt_id *id);
void upload_look(const struct upload *upload, struct batch_view *ret_view);
void uploads_free(struct core *core);

#endif
