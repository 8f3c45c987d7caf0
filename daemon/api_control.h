/* SPDX-License-Identifier: MIT */
/*
 * Pages that command: batches are paused, resumed, cancelled; nodes are drained, undrained, forgotten.
 */
#ifndef OPTIMUS_DAEMON_API_CONTROL_H
#define OPTIMUS_DAEMON_API_CONTROL_H

#include "daemon/api_request.h"

void api_batch_pause(struct api_request *request);
void api_batch_resume(struct api_request *request);
void api_batch_cancel(struct api_request *request);
void api_node_drain(struct api_request *request);
void api_node_undrain(struct api_request *request);
void api_node_forget(struct api_request *request);

#endif
