/* SPDX-License-Identifier: MIT */
/*
 * The page that lists batches.
 */
#ifndef OPTIMUS_DAEMON_API_LIST_H
#define OPTIMUS_DAEMON_API_LIST_H

#include <stdbool.h>

#include "daemon/api_request.h"

void api_list_start(struct api_request *request);
void api_list_gone(struct api_request *request, bool completed);

#endif
