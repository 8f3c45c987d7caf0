/* SPDX-License-Identifier: MIT */
/*
 * Pages that show batches.
 */
#ifndef OPTIMUS_DAEMON_API_BATCHES_H
#define OPTIMUS_DAEMON_API_BATCHES_H

#include <jansson.h>

#include "daemon/api_request.h"
#include "queue/core.h"

void api_batches_list(struct api_request *request);
void api_batches_show(struct api_request *request);

/* BATCH of docs/api.md, a new reference. */
json_t *api_batch_json(const struct batch_view *view);

#endif
