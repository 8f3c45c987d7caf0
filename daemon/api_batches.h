/* SPDX-License-Identifier: MIT */
/*
 * The page that shows a batch.
 */
#ifndef OPTIMUS_DAEMON_API_BATCHES_H
#define OPTIMUS_DAEMON_API_BATCHES_H

#include <jansson.h>

#include "daemon/api_request.h"
#include "queue/core.h"

void api_batches_show(struct api_request *request);

/* What this node alone knows: mails of shards that are elsewhere count as unavailable. */
void api_batch_add_up(struct batch_view *view);
/* BATCH of docs/api.md, a new reference. */
json_t *api_batch_json(const struct batch_view *view);

#endif
