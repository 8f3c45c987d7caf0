/* SPDX-License-Identifier: MIT */
/*
 * Staged shards of uploads that go to another node (rule 1): this node holds them because it will be a
 * replica.
 *
 * They are stored under the upload's id and are no batch. When the record of the batch arrives with this
 * upload they become shards of it; when the coordinator drops the upload, or a majority of homes holds an
 * abort or the record of another upload, they go. A holder that hears nothing asks the coordinator and the
 * homes, and proposes the abort itself when the coordinator is gone or knows nothing of the upload.
 */
#ifndef OPTIMUS_QUEUE_STAGE_H
#define OPTIMUS_QUEUE_STAGE_H

#include "queue/call.h"
#include "queue/state.h"

/* EVENT_RECOVER_UPLOAD: held since before the start. */
void stage_recover(struct core *core, const struct event *event);
/* Requests: PEER_STAGE_OPEN, PEER_STAGE_SHARD, PEER_STAGE_DROP, PEER_RECORD. Answers to CALL_DECISION. */
void stage_open(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_shard(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_drop(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_record(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_answered(struct core *core, struct call *call, const struct peer_message *answer);
void stage_stored(struct core *core, struct write *write, int status);
/* TIMER_STAGE */
void stage_due(struct core *core, struct stage *stage);
void stage_free(struct core *core);

#endif
