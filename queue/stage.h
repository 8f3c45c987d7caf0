/* SPDX-License-Identifier: MIT */
/*
 * Staged shards of uploads that go to another node (rule 1): this node holds them because it will be a
 * replica.
 *
 * They are stored under the upload's id and are no batch. When the record of the batch arrives with this
 * upload they become shards of it; when the coordinator drops the upload, or a majority of homes holds an
 * abort or the record of another upload, they go. A holder that hears nothing asks the coordinator, and
 * proposes the abort itself when the coordinator is gone or knows nothing of the upload: then it learns
 * whether the upload was committed after all.
 *
 * No shard is confirmed before the whole template is durable here, whether the record has come or not.
 *
 * An upload of this node's own that a crash left behind is treated the same way.
 */
#ifndef OPTIMUS_QUEUE_STAGE_H
#define OPTIMUS_QUEUE_STAGE_H

#include "queue/call.h"
#include "queue/state.h"

#define STAGE_ASK (10 * USEC_PER_SEC) /* without news, and between questions */

/* EVENT_RECOVER_UPLOAD: held since before the start. */
void stage_recover(struct core *core, const struct event *event);
/* Whether all that is held of it came in this life of the node. */
bool stage_since_start(const struct core *core, const struct opt_id *upload);
/* Requests: PEER_STAGE_OPEN, PEER_STAGE_SHARD, PEER_STAGE_DROP (a notice), PEER_DECISION. */
void stage_open(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_shard(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_drop(struct core *core, struct peer *peer, const struct peer_message *request);
void stage_decision(struct core *core, struct peer *peer, const struct peer_message *request);
/* An answer to CALL_DECISION. The call is over. */
void stage_answered(struct core *core, struct call *call, const struct peer_message *answer);
/* WRITE_STAGE */
void stage_stored(struct core *core, struct write *write, int status);
/* TIMER_STAGE */
void stage_due(struct core *core, struct stage *stage);
/* The upload is this batch by now. */
void stage_accepted(struct core *core, struct batch *batch);
void stages_free(struct core *core);

#endif
